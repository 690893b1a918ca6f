"""An agent in its environment, step by step."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Mapping
from types import MethodType
from typing import Generic, Self, TypeVar

from typing_extensions import override

from ..exceptions import SystemShutdown
from ..flows import Flow
from ..hooks import Kind, call, kind_of, pass_on
from ..roles import GateClosed, apause_point, pause_point
from .agent import Agent
from .composite import Component, Composite, check_component, passes_through
from .env import Environment
from .interval_adjustors import IntervalAdjustor, SleepIntervalAdjustor

ObsType = TypeVar("ObsType")
ActType = TypeVar("ActType")


class Interaction(Composite, Generic[ObsType, ActType]):
    """An agent and the environment that it acts in.

    To do more in a step, override `step`: either as a `def` that calls ``super().step()``, or as an `async def` that
    awaits ``super().astep()``.

    Raises:
        TypeError: `agent` is not an Agent, or `environment` not an Environment.
    """

    def __init__(self, agent: Agent[ObsType, ActType], environment: Environment[ObsType, ActType]) -> None:
        super().__init__()
        self.agent = check_component(agent, Agent, "agent")
        self.environment = check_component(environment, Environment, "environment")

    @passes_through(lambda self: [self.environment.observe, self.agent.step, self.environment.affect])
    def step(self) -> Awaitable[None] | None:
        """Observe, decide, act."""
        call(self.environment.affect, call(self.agent.step, call(self.environment.observe)))
        return None

    async def astep(self) -> None:
        """`step` for coroutines; its hooks may be `def` or `async def`."""
        await Flow([self.step if self._step_is_own_def() else self._act]).arun()

    def flow(self) -> Flow:
        """A step, compiled for running it many times."""
        return Flow([self.step])

    @property
    def has_own_step(self) -> bool:
        """Whether `step` was overridden."""
        return type(self).step is not Interaction.step

    @property
    def _act(self) -> MethodType:
        """Observe, decide, act, whatever `step` was made to be."""
        return MethodType(Interaction.step, self)

    def _step_is_own_def(self) -> bool:
        return self.has_own_step and kind_of(self.step) is not Kind.LOOP

    @override
    def _children(self) -> Mapping[str, Component]:
        return {"agent": self.agent, "environment": self.environment}


class FixedIntervalInteraction(Interaction[ObsType, ActType]):
    """An interaction whose steps start at a fixed interval of system time.

    All its components are told the interval, by their hook `on_interval_set`, so that it need be stated here alone.

    Args:
        adjustor: waits between the steps.

    Raises:
        TypeError: a component is of the wrong type.
    """

    def __init__(
        self,
        agent: Agent[ObsType, ActType],
        environment: Environment[ObsType, ActType],
        adjustor: IntervalAdjustor,
    ) -> None:
        super().__init__(agent, environment)
        if not isinstance(adjustor, IntervalAdjustor):
            raise TypeError(
                f"adjustor is {adjustor!r}; it must be an IntervalAdjustor. "
                f"For an interval in seconds, use {type(self).__name__}.with_sleep_adjustor"
            )
        self.adjustor = adjustor

    @classmethod
    def with_sleep_adjustor(
        cls,
        agent: Agent[ObsType, ActType],
        environment: Environment[ObsType, ActType],
        interval: float,
        offset: float = 0.0,
    ) -> Self:
        """Steps start `interval - offset` seconds of system time apart.

        Raises:
            ValueError: `interval` is not positive and finite, or `offset` is not in 0..interval.
        """
        return cls(agent, environment, SleepIntervalAdjustor(interval, offset))

    @override
    def setup(self) -> Awaitable[None] | None:
        pass_on(self.on_interval_set, self.adjustor.interval)
        super().setup()
        self.adjustor.reset()
        return None

    @override
    def step(self) -> Awaitable[None] | None:
        """Observe, decide, act, and wait until the next step is due."""
        super().step()
        # Reached through a `step` of the user's own. It must not be torn apart: a pause is sat out here, and at
        # shutdown there is no next step to wait for.
        with contextlib.suppress(SystemShutdown):
            while True:
                try:
                    self.adjustor.adjust()
                    return None
                except GateClosed:
                    pause_point()
        return None

    @override
    async def astep(self) -> None:
        """`step` for coroutines; its hooks may be `def` or `async def`."""
        await super().astep()
        if self._step_is_own_def():  # which has waited
            return
        with contextlib.suppress(SystemShutdown):
            while True:
                try:
                    await self.adjustor.aadjust()
                    return
                except GateClosed:
                    await apause_point()

    @override
    def flow(self) -> Flow:
        """A step without the wait behind it, unless the wait is part of a `step` of the user's own."""
        return Flow([self._act]) if self.waits_between_steps else super().flow()

    @property
    def waits_between_steps(self) -> bool:
        """Whether the wait can be taken out of the step, so that a pause can cut it short."""
        return not self.has_own_step

    @property
    @override
    def has_own_step(self) -> bool:
        return type(self).step is not FixedIntervalInteraction.step
