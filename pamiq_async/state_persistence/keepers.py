"""Which saved states are kept."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

from typing_extensions import override

from ..exceptions import StateNotFound
from .manifest import list_states
from .store import remove_state

logger = logging.getLogger(__name__)


class StatesKeeper(ABC):
    """A retention policy: is told of each state saved and selects those to remove."""

    _protected: frozenset[Path] = frozenset()

    def append(self, path: Path) -> None:  # noqa: B027  (a policy need not care)
        """A state was saved at `path`."""

    @abstractmethod
    def select_removal_states(self) -> Iterable[Path]:
        """The states that may go now, oldest first."""

    def protect(self, paths: Iterable[Path]) -> None:
        """From now on never remove `paths`: the newest state, and the one that was loaded."""
        self._protected = frozenset(path.absolute() for path in paths)

    def cleanup(self) -> list[Path]:
        """Remove the selected states, except protected ones; returns those removed."""
        removed = []
        for path in list(self.select_removal_states()):
            if path.absolute() in self._protected:
                continue
            try:
                remove_state(path)
            except StateNotFound:
                continue  # somebody else removed it
            logger.info("removed state %s", path)
            removed.append(path)
        return removed


class LatestStatesKeeper(StatesKeeper):
    """Keeps the newest states, by sequence; directories that are not states are left alone.

    Args:
        states_dir: where the states are.
        max_keep: how many to keep; -1 keeps all.
        state_name_pattern: glob of the directories that may be touched.

    Raises:
        ValueError: `max_keep` is neither -1 nor at least 1.
    """

    def __init__(self, states_dir: str | Path, max_keep: int, state_name_pattern: str = "*.state") -> None:
        if max_keep != -1 and max_keep < 1:
            raise ValueError(f"max_keep is {max_keep!r}; it must be at least 1, or -1 to keep all")
        self.states_dir = Path(states_dir)
        self.max_keep = max_keep
        self.state_name_pattern = state_name_pattern

    @override
    def select_removal_states(self) -> list[Path]:
        if self.max_keep == -1:
            return []
        states = [path for _, path in list_states(self.states_dir, self.state_name_pattern)]
        return states[: -self.max_keep]
