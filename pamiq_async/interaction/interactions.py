"""An agent in its environment, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, Self, TypeVar

from typing_extensions import override

from ..flows import Flow, flows_through
from .agent import Agent
from .composite import Component, Composite
from .env import Environment
from .interval_adjustors import IntervalAdjustor, SleepIntervalAdjustor

ObsType = TypeVar("ObsType")
ActType = TypeVar("ActType")


class Interaction(Composite, Generic[ObsType, ActType]):
    """An agent and the environment that it acts in.

    Raises:
        TypeError: `agent` is not an Agent, or `environment` not an Environment.
    """

    def __init__(self, agent: Agent[ObsType, ActType], environment: Environment[ObsType, ActType]) -> None:
        super().__init__()
        for name, value, expected in (("agent", agent, Agent), ("environment", environment, Environment)):
            if not isinstance(value, expected):
                raise TypeError(f"{name} is {value!r}; it must be an {expected.__name__}")
        self.agent = agent
        self.environment = environment

    @flows_through(lambda self: [self.environment.observe, self.agent.step, self.environment.affect])
    def step(self) -> None:
        """Observe, decide, act."""
        self.environment.affect(self.agent.step(self.environment.observe()))

    async def astep(self) -> None:
        """`step` for coroutines; its hooks may be `def` or `async def`."""
        await self.flow().arun()

    def flow(self) -> Flow:
        """A step, compiled for running it many times."""
        return Flow([self.step])

    @override
    def _children(self) -> Mapping[str, Component]:
        return {"agent": self.agent, "environment": self.environment}


class FixedIntervalInteraction(Interaction[ObsType, ActType]):
    """An interaction whose steps start at a fixed interval of system time.

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
            ValueError: `interval` is not positive, or `offset` is not in 0..interval.
        """
        return cls(agent, environment, SleepIntervalAdjustor(interval, offset))

    @override
    def setup(self) -> None:
        super().setup()
        self.adjustor.reset()

    @override
    def step(self) -> None:
        """Observe, decide, act, and wait until the next step is due."""
        super().step()
        self.adjustor.adjust()

    @override
    async def astep(self) -> None:
        """`step` for coroutines; its hooks may be `def` or `async def`."""
        await super().astep()
        if self.waits_between_steps:
            await self.adjustor.aadjust()

    @override
    def flow(self) -> Flow:
        """A step without the wait behind it, unless the wait is part of a `step` of the user's own."""
        return Flow([super().step]) if self.waits_between_steps else super().flow()

    @property
    def waits_between_steps(self) -> bool:
        """Whether the wait can be taken out of the step, so that a pause can cut it short."""
        return type(self).step is FixedIntervalInteraction.step
