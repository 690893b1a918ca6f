"""Environments made of sensors and actuators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import UserDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from typing_extensions import override

from ..flows import Together
from ..hooks import call
from ..state_persistence.mixin import check_name
from .composite import Component, Composite, check_component, passes_through
from .env import Environment

T = TypeVar("T")
ObsType = TypeVar("ObsType")
ActType = TypeVar("ActType")


class Sensor(Component, ABC, Generic[T]):
    """Reads one thing."""

    @abstractmethod
    def read(self) -> T | Awaitable[T]:
        """Give the present value; `def` or `async def`."""


class Actuator(Component, ABC, Generic[T]):
    """Moves one thing."""

    @abstractmethod
    def operate(self, action: T) -> Awaitable[None] | None:
        """Carry an action out; `def` or `async def`."""


class ModularEnvironment(Composite, Environment[ObsType, ActType]):
    """An environment that observes through a sensor and acts through an actuator.

    Raises:
        TypeError: `sensor` is not a Sensor, or `actuator` not an Actuator.
    """

    def __init__(self, sensor: Sensor[ObsType], actuator: Actuator[ActType]) -> None:
        super().__init__()
        self.sensor = check_component(sensor, Sensor, "sensor")
        self.actuator = check_component(actuator, Actuator, "actuator")

    @staticmethod
    def from_dict(
        sensors: Mapping[str, Sensor[Any]], actuators: Mapping[str, Actuator[Any]]
    ) -> ModularEnvironment[Mapping[str, Any], Mapping[str, Any]]:
        """An environment whose observations and actions are mappings, with an item for each sensor and actuator."""
        return ModularEnvironment(SensorsDict(sensors), ActuatorsDict(actuators))

    @override
    @passes_through(lambda self: [self.sensor.read])
    def observe(self) -> ObsType | Awaitable[ObsType]:
        return call(self.sensor.read)  # type: ignore[no-any-return]

    @override
    @passes_through(lambda self: [self.actuator.operate])
    def affect(self, action: ActType) -> Awaitable[None] | None:
        call(self.actuator.operate, action)
        return None

    @override
    def _children(self) -> Mapping[str, Component]:
        return {"sensor": self.sensor, "actuator": self.actuator}


C = TypeVar("C", bound="Sensor[Any] | Actuator[Any]")


class _Parts(Composite, UserDict[str, C]):
    """Components of one type by name."""

    _type: type[C]

    @override
    def __setitem__(self, name: str, part: C) -> None:
        kind = self._type.__name__.lower()
        super().__setitem__(check_name(name, kind), check_component(part, self._type, f"{kind} {name!r}"))

    @override
    def _children(self) -> Mapping[str, Component]:
        return self.data


class SensorsDict(_Parts[Sensor[Any]], Sensor[Mapping[str, Any]]):
    """Sensors by name. Those whose `read` is `async def` are read at the same time; the others in order.

    The first error cancels the reading of the others and is raised as itself.
    """

    _type = Sensor

    @override
    @passes_through(lambda self: [Together(_hooks(self, "read"), spread=False)])
    def read(self) -> Mapping[str, Any] | Awaitable[Mapping[str, Any]]:
        """A reading of each sensor, by its name."""
        return {name: call(sensor.read) for name, sensor in self.items()}


class ActuatorsDict(_Parts[Actuator[Any]], Actuator[Mapping[str, Any]]):
    """Actuators by name. Those whose `operate` is `async def` run at the same time; the others in order.

    The first error cancels the others and is raised as itself.
    """

    _type = Actuator

    @override
    @passes_through(lambda self: [Together(_hooks(self, "operate"), spread=True)])
    def operate(self, action: Mapping[str, Any]) -> Awaitable[None] | None:
        """Hand each actuator its item of `action`.

        Raises:
            KeyError: `action` has no item for an actuator.
        """
        for name, actuator in self.items():
            call(actuator.operate, action[name])
        return None


def _hooks(parts: Mapping[str, Any], hook: str) -> Mapping[str, Iterable[Callable[..., Any]]]:
    return {name: [getattr(part, hook)] for name, part in parts.items()}
