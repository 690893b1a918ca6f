"""What an agent acts in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import Generic, TypeVar

from .composite import Component

ObsType = TypeVar("ObsType")
ActType = TypeVar("ActType")


class Environment(Component, ABC, Generic[ObsType, ActType]):
    """Gives observations and takes actions.

    Both hooks may be `def` (on the interaction's worker thread) or `async def` (on the event loop). Raise
    `EndOfInteraction` in one of them when there is nothing more to live through.
    """

    @abstractmethod
    def observe(self) -> ObsType | Awaitable[ObsType]:
        """Give the present observation."""

    @abstractmethod
    def affect(self, action: ActType) -> Awaitable[None] | None:
        """Carry an action out."""
