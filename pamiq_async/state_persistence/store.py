"""Saving a state so that it is there as a whole or not at all, and loading one that verifies.

Everything is written to a hidden directory beside the states, made durable, described by a manifest, and renamed to
its final name; only then is it a state.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import secrets
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from .. import time
from .._version import __version__
from ..exceptions import InvalidState, PickleRefused, StateError, StateNotFound
from .codec import PICKLE_SUFFIX
from .manifest import FORMAT, MANIFEST, Manifest, describe_files, list_states, verify
from .mixin import PersistentStateMixin, check_name

logger = logging.getLogger(__name__)

STATE_NAME_FORMAT = "%Y-%m-%d_%H-%M-%S,%f.state"
_DRAFT_PREFIX = ".draft-"
_REMOVAL_PREFIX = ".removed-"


class StateStore:
    """Saves and loads the states of registered components, one directory a state.

    Args:
        states_dir: where the states are; made, with its parents, by the first save.
        state_name_format: strftime format of a state directory's name.

    Raises:
        ValueError: `state_name_format` gives what can't be a directory's name, or is hidden.
    """

    def __init__(self, states_dir: str | Path, state_name_format: str = STATE_NAME_FORMAT) -> None:
        self.states_dir = Path(states_dir)
        self.state_name_format = state_name_format
        self.components: dict[str, PersistentStateMixin] = {}
        self._last_sequence: int | None = None
        check_name(self._new_name(), "saved state")

    def register(self, name: str, state: PersistentStateMixin) -> None:
        """Add a component; its state is saved below `name`.

        Raises:
            KeyError: the name is taken.
            ValueError: it can't be a file name.
        """
        if check_name(name, "state") in self.components:
            raise KeyError(f"a state named {name!r} is registered already; there are: {sorted(self.components)}")
        self.components[name] = state

    def save_state(self, reason: str = "command") -> Path:
        """Save all registered components and return the new state's path."""
        with self.draft() as draft:
            for name, component in self.components.items():
                component.save_state(draft / name)
            return self.commit(draft, reason, time.time())

    def load_state(self, state_path: str | Path, *, allow_pickle: bool = False) -> None:
        """Verify a state, then load all registered components from it.

        Raises:
            StateNotFound: there is no such directory.
            InvalidState: it does not verify; nothing was loaded.
            PickleRefused: it holds pickled objects and `allow_pickle` is False; nothing was loaded.
        """
        path = Path(state_path)
        self.check(path, allow_pickle=allow_pickle)
        for name, component in self.components.items():
            component.load_state(path / name)

    # The steps of the two above, for a caller that runs them on different threads.

    @contextlib.contextmanager
    def draft(self) -> Iterator[Path]:
        """A hidden directory to save components into; what was not committed is removed."""
        draft = self.new_draft()
        try:
            yield draft
        finally:
            self.discard(draft)

    def new_draft(self) -> Path:
        """Make a hidden directory to save components into."""
        self.states_dir.mkdir(parents=True, exist_ok=True)
        draft = self.states_dir / f"{_DRAFT_PREFIX}{secrets.token_hex(8)}"
        draft.mkdir()
        return draft

    def discard(self, draft: Path) -> None:
        """Remove a draft, if it was not committed."""
        shutil.rmtree(draft, ignore_errors=True)

    def commit(self, draft: Path, reason: str, system_time: float) -> Path:
        """Make a draft durable and turn it into a state; returns the state's path."""
        manifest = Manifest(
            format=FORMAT,
            sequence=self._next_sequence(),
            reason=reason,
            wall_time=time.fixed_time(),
            system_time=system_time,
            versions={"python": platform.python_version(), "pamiq_async": __version__},
            files=describe_files(draft),
        )
        for directory, _, names in os.walk(draft, topdown=False):
            for name in names:
                _fsync(Path(directory, name))
            _fsync(Path(directory))
        with (draft / MANIFEST).open("xb") as file:
            file.write(manifest.encode())
            file.flush()
            os.fsync(file.fileno())
        _fsync(draft)
        path = self._free_path()
        draft.rename(path)
        _fsync(self.states_dir)
        self._last_sequence = manifest.sequence
        return path

    def check(self, path: Path, *, allow_pickle: bool) -> Manifest:
        """Verify that a state can be loaded; see `load_state` for what it raises."""
        manifest = verify(path)
        pickled = [name for name in manifest.files if name.endswith(PICKLE_SUFFIX)]
        if pickled and not allow_pickle:
            raise PickleRefused(
                f"{path} holds pickled objects ({', '.join(pickled)}), and unpickling runs whatever code the file asks "
                f"for; if you trust where it comes from, set LaunchConfig.allow_pickle=True"
            )
        return manifest

    def latest(self) -> Path | None:
        """The newest state that verifies; None if there are no states at all.

        Raises:
            InvalidState: there are states, but none verifies.
        """
        passed_over: list[StateError] = []

        def pass_over(error: StateError) -> None:
            passed_over.append(error)
            logger.warning("passed over a state that does not verify: %s", error)

        for _, path in reversed(list_states(self.states_dir, on_damage=pass_over)):
            try:
                verify(path)
            except StateError as error:
                pass_over(error)
            else:
                return path
        if passed_over:
            raise InvalidState(
                f"none of the {len(passed_over)} states in {str(self.states_dir)!r} verifies; move them away to start "
                f"afresh. The first one: {passed_over[0]}"
            )
        if self.states_dir.is_dir():
            foreign = [path.name for path in self.states_dir.iterdir() if path.is_dir() and path.name[0] != "."]
            if foreign:  # such as states of another program, which its user may have meant
                logger.warning("in %s there are directories, but no states: %s", self.states_dir, sorted(foreign)[:3])
        return None

    def clear_leftovers(self) -> None:
        """Remove what a crash left half-written or half-removed."""
        for prefix in (_DRAFT_PREFIX, _REMOVAL_PREFIX):
            for path in self.states_dir.glob(f"{prefix}*"):
                logger.info("removing a leftover of an earlier run: %s", path)
                shutil.rmtree(path, ignore_errors=True)

    def _next_sequence(self) -> int:
        if self._last_sequence is None:
            self._last_sequence = max((m.sequence for m, _ in list_states(self.states_dir)), default=0)
        return self._last_sequence + 1

    def _free_path(self) -> Path:
        first = path = self.states_dir / self._new_name()
        number = 0
        while path.exists() or path.is_symlink():
            number += 1
            path = first.with_name(f"{first.stem}-{number}{first.suffix}")
        return path

    def _new_name(self) -> str:
        return datetime.now().strftime(self.state_name_format)


def remove_state(path: Path) -> None:
    """Remove a state such that no half-removed one is ever seen under its name.

    Raises:
        StateNotFound: it is not there.
        InvalidState: it is not a state.
    """
    if not path.is_dir():
        raise StateNotFound(f"there is no state at {str(path)!r}")
    if path.is_symlink() or not os.path.lexists(path / MANIFEST):
        raise InvalidState(f"{str(path)!r} is not a saved state: it is a link, or has no {MANIFEST}")
    grave = path.with_name(f"{_REMOVAL_PREFIX}{secrets.token_hex(8)}")
    path.rename(grave)
    shutil.rmtree(grave)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
