"""Changing what passes between an agent and its environment."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

from typing_extensions import override

from ..hooks import call
from .composite import Component, Composite, check_component, passes_through
from .env import Environment
from .modular_env import Actuator, Sensor

T = TypeVar("T")
W = TypeVar("W")
ObsType = TypeVar("ObsType")
ActType = TypeVar("ActType")
WrappedObsType = TypeVar("WrappedObsType")
WrappedActType = TypeVar("WrappedActType")


class Wrapper(Component, ABC, Generic[T, W]):
    """Turns a value into another; it can be called like a function."""

    @abstractmethod
    def wrap(self, value: T) -> W | Awaitable[W]:
        """Turn `value` into what comes out; `def` or `async def`."""

    def __call__(self, value: T) -> W | Awaitable[W]:
        """The same as `wrap`."""
        return self.wrap(value)

    def wrap_sensor(self, sensor: Sensor[T]) -> SensorWrapper[T, W]:
        """A sensor whose readings went through this wrapper."""
        return SensorWrapper(sensor, self)

    def wrap_actuator(self, actuator: Actuator[W]) -> ActuatorWrapper[W, T]:
        """An actuator whose actions go through this wrapper first."""
        return ActuatorWrapper(actuator, self)


class LambdaWrapper(Wrapper[T, W]):
    """A function as a wrapper; `def` or `async def`.

    Raises:
        TypeError: `func` can't be called.
    """

    def __init__(self, func: Callable[[T], W]) -> None:
        super().__init__()
        if not callable(func):
            raise TypeError(f"func is {func!r}; it must be a callable that takes one value")
        self._func = func

    @override
    @passes_through(lambda self: [self._func])
    def wrap(self, value: T) -> W | Awaitable[W]:
        return call(self._func, value)  # type: ignore[no-any-return]


def _as_wrapper(wrapper: Wrapper[T, W] | Callable[[T], W]) -> Wrapper[T, W]:
    return wrapper if isinstance(wrapper, Wrapper) else LambdaWrapper(wrapper)


class SensorWrapper(Composite, Sensor[W], Generic[T, W]):
    """A sensor whose readings go through a wrapper.

    Args:
        wrapper: a Wrapper, or a callable that takes one value.

    Raises:
        TypeError: an argument is of the wrong type.
    """

    def __init__(self, sensor: Sensor[T], wrapper: Wrapper[T, W] | Callable[[T], W]) -> None:
        super().__init__()
        self.sensor = check_component(sensor, Sensor, "sensor")
        self._wrapper = _as_wrapper(wrapper)

    @override
    def _children(self) -> Mapping[str, Component]:
        return {"sensor": self.sensor, "wrapper": self._wrapper}

    @override
    @passes_through(lambda self: [self.sensor.read, self._wrapper.wrap])
    def read(self) -> W | Awaitable[W]:
        return call(self._wrapper.wrap, call(self.sensor.read))  # type: ignore[no-any-return]


class ActuatorWrapper(Composite, Actuator[W], Generic[T, W]):
    """An actuator whose actions go through a wrapper first.

    Args:
        wrapper: a Wrapper, or a callable that takes one value.

    Raises:
        TypeError: an argument is of the wrong type.
    """

    def __init__(self, actuator: Actuator[T], wrapper: Wrapper[W, T] | Callable[[W], T]) -> None:
        super().__init__()
        self.actuator = check_component(actuator, Actuator, "actuator")
        self._wrapper = _as_wrapper(wrapper)

    @override
    def _children(self) -> Mapping[str, Component]:
        return {"actuator": self.actuator, "wrapper": self._wrapper}

    @override
    @passes_through(lambda self: [self._wrapper.wrap, self.actuator.operate])
    def operate(self, action: W) -> Awaitable[None] | None:
        call(self.actuator.operate, call(self._wrapper.wrap, action))
        return None


class EnvironmentWrapper(
    Composite,
    Environment[WrappedObsType, WrappedActType],
    Generic[ObsType, WrappedObsType, ActType, WrappedActType],
):
    """An environment whose observations and actions go through wrappers.

    Args:
        obs_wrapper: for what comes out: a Wrapper, or a callable that takes one value.
        act_wrapper: for what goes in.

    Raises:
        TypeError: an argument is of the wrong type.
    """

    def __init__(
        self,
        env: Environment[ObsType, ActType],
        obs_wrapper: Wrapper[ObsType, WrappedObsType] | Callable[[ObsType], WrappedObsType],
        act_wrapper: Wrapper[WrappedActType, ActType] | Callable[[WrappedActType], ActType],
    ) -> None:
        super().__init__()
        self.env = check_component(env, Environment, "env")
        self._obs_wrapper = _as_wrapper(obs_wrapper)
        self._act_wrapper = _as_wrapper(act_wrapper)

    @override
    def _children(self) -> Mapping[str, Component]:
        return {"env": self.env, "obs_wrapper": self._obs_wrapper, "act_wrapper": self._act_wrapper}

    @override
    @passes_through(lambda self: [self.env.observe, self._obs_wrapper.wrap])
    def observe(self) -> WrappedObsType | Awaitable[WrappedObsType]:
        return call(self._obs_wrapper.wrap, call(self.env.observe))  # type: ignore[no-any-return]

    @override
    @passes_through(lambda self: [self._act_wrapper.wrap, self.env.affect])
    def affect(self, action: WrappedActType) -> Awaitable[None] | None:
        call(self.env.affect, call(self._act_wrapper.wrap, action))
        return None
