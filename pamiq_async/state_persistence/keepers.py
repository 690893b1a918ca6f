"""Which saved states are kept."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

from typing_extensions import override

from ..exceptions import InvalidState, StateError
from .manifest import list_states, verify
from .store import remove_state

logger = logging.getLogger(__name__)


class StatesKeeper(ABC):
    """A retention policy: is told of each state saved and selects those to remove."""

    _protected: frozenset[Path] = frozenset()

    def append(self, path: Path) -> None:  # noqa: B027  (a policy need not care)
        """A state was saved at `path`."""

    def distrust(self, path: Path) -> None:  # noqa: B027  (a policy need not care)
        """A state was saved at `path`, but may not outlive a power loss: it is no reason to remove another."""

    @abstractmethod
    def select_removal_states(self) -> Iterable[Path]:
        """The states that may go now, oldest first."""

    def protect(self, paths: Iterable[Path]) -> None:
        """From now on never remove `paths`: the newest state, and the one that was loaded."""
        self._protected = frozenset(paths)

    def cleanup(self) -> list[Path]:
        """Remove the selected states, except protected ones; returns those removed.

        What is not a state is left alone, whatever the policy selects.
        """
        protected = {path.resolve() for path in self._protected}
        removed = []
        for path in list(self.select_removal_states()):
            if path.resolve() in protected:
                continue
            try:
                remove_state(path)
            except FileNotFoundError:
                continue  # somebody else removed it
            except InvalidState as error:
                logger.warning("left alone: %s", error)
                continue
            logger.info("removed state %s", path)
            removed.append(path)
        return removed


class LatestStatesKeeper(StatesKeeper):
    """Keeps the newest states, by sequence; directories that are not states are left alone.

    Only states that verify are counted. Each is verified once, and not at all if it was announced by `append`; what was
    announced by `distrust` is not counted.

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
        self._verified: dict[str, bool] = {}

    @override
    def append(self, path: Path) -> None:
        self._verified[path.name] = True

    @override
    def distrust(self, path: Path) -> None:
        self._verified[path.name] = False

    @override
    def select_removal_states(self) -> list[Path]:
        if self.max_keep == -1:
            return []
        states = [path for _, path in list_states(self.states_dir, self.state_name_pattern)]
        if len(states) <= self.max_keep:
            return []
        self._verified = {path.name: self._verified[path.name] for path in states if path.name in self._verified}
        kept = 0
        while states and kept < self.max_keep:
            kept += self._verifies(states.pop())
        return states

    def _verifies(self, path: Path) -> bool:
        if path.name not in self._verified:
            try:
                verify(path)
            except StateError as error:
                logger.warning("not counted as a state that is kept: %s", error)
                self._verified[path.name] = False
            else:
                self._verified[path.name] = True
        return self._verified[path.name]
