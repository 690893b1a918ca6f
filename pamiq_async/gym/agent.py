"""An agent for Gymnasium environments."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable
from typing import Any, Generic, TypeVar

from typing_extensions import override

from pamiq_async import Agent
from pamiq_async.interaction import call

from .types import EnvReset, EnvStep, GymAction, GymObs

O = TypeVar("O")  # noqa: E741
A = TypeVar("A")


class GymAgent(Agent[GymObs[O], GymAction[A]], Generic[O, A]):
    """Decides on an action after each reset and each step; both hooks may be `def` or `async def`.

    Attributes:
        need_reset: set it to True to end the episode after the next action, whatever the environment says; the reset
            makes it False again.
    """

    need_reset = False

    @abstractmethod
    def on_reset(self, obs: O, info: dict[str, Any]) -> A | Awaitable[A]:
        """An episode begins: decide on its first action."""

    @abstractmethod
    def on_step(
        self, obs: O, reward: float, terminated: bool, truncated: bool, info: dict[str, Any]
    ) -> A | Awaitable[A]:
        """A step was made: decide on the next action. At an episode's end the action is not used."""

    @override
    def step(self, observation: GymObs[O]) -> GymAction[A] | Awaitable[GymAction[A]]:
        """Call `on_step`, `on_reset`, or at an episode's end both, in this order."""
        if isinstance(observation, tuple):
            last, observation = observation
            self._on_step(last)
        if isinstance(observation, EnvReset):
            self.need_reset = False
            action: A = call(self.on_reset, observation.obs, observation.info)
        else:
            action = self._on_step(observation)
        return GymAction(action, self.need_reset)

    def _on_step(self, step: EnvStep[O]) -> A:
        action: A = call(self.on_step, step.obs, step.reward, step.terminated, step.truncated, step.info)
        return action
