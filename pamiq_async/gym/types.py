"""What passes between a Gymnasium environment and an agent."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import attrs

T = TypeVar("T")


@attrs.frozen
class EnvReset(Generic[T]):
    """What `reset` gave: the first observation of an episode."""

    obs: T
    info: dict[str, Any]


@attrs.frozen
class EnvStep(Generic[T]):
    """What `step` gave."""

    obs: T
    reward: float
    terminated: bool
    truncated: bool
    info: dict[str, Any]

    @property
    def done(self) -> bool:
        """Whether the episode has ended with this step."""
        return self.terminated or self.truncated


@attrs.frozen
class GymAction(Generic[T]):
    """An action, and whether the episode is to end after it whatever the environment says."""

    action: T
    need_reset: bool = False


GymObs = EnvReset[T] | EnvStep[T] | tuple[EnvStep[T], EnvReset[T]]
"""What an agent observes; at an episode's end the last step and the reset together."""
