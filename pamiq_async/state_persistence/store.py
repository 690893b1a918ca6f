"""Saving a state so that it is there as a whole or not at all, and loading one that verifies.

Everything is written to a hidden directory beside the states, made durable, described by a manifest, and renamed to
its final name; only then is it a state. Nothing is reported as saved before its name is durable, too.

Where a sync fails, the kernel may have dropped what it could not write and hold it for written: syncing once more would
succeed and mean nothing. So what could not be synced is thrown away, and the next save writes everything anew.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import secrets
import shutil
from collections.abc import Collection, Iterator
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import NoReturn

from .. import time
from .._version import __version__
from ..exceptions import DurabilityUnknown, InvalidState, StateError, StateNotFound, StatesDirUnusable
from .manifest import FORMAT, MANIFEST, Manifest, describe_files, list_states, verify
from .mixin import PersistentStateMixin, check_name
from .pickles import refuse_pickles

logger = logging.getLogger(__name__)

STATE_NAME_FORMAT = "%Y-%m-%d_%H-%M-%S,%f.state"
_DRAFT_PREFIX = ".draft-"
_REMOVAL_PREFIX = ".removed-"

_MAX_UNDELETED_DRAFTS = 3

# Where manifests can't be read, the last sequence is not known. It is not this far above the others.
_SEQUENCE_LEAP = 1_000_000


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
        self._directory_is_durable = False
        self._undurable_directories: list[Path] = []
        self._undeleted_drafts: list[Path] = []
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
        """Save all registered components and return the new state's path.

        Raises:
            DurabilityUnknown: it was saved, but may not outlive a power loss; it has the state's path.
            Exception: what a component raised, or an OSError; nothing was saved.
        """
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

    def make_directory(self) -> None:
        """Make the states directory with its parents, such that it outlives a power loss.

        Raises:
            OSError: it can't be made or not be made durable; what was made is removed again.
        """
        if self._directory_is_durable and self.states_dir.is_dir():
            return
        self._directory_is_durable = False
        self._remove_undurable_directories()
        directory = self.states_dir.resolve()
        missing = list(takewhile(lambda path: not path.exists(), [directory, *directory.parents]))
        self._undurable_directories = missing
        try:
            directory.mkdir(parents=True, exist_ok=True)
            _fsync_parents(directory, missing)
        except OSError:
            self._remove_undurable_directories()
            raise
        self._undurable_directories = []
        self._directory_is_durable = True

    def new_draft(self) -> Path:
        """Make a hidden directory to save components into.

        Raises:
            StatesDirUnusable: the drafts of failed saves can't be deleted.
            OSError: it can't be made.
        """
        self.make_directory()
        self._undeleted_drafts = [draft for draft in self._undeleted_drafts if not _delete(draft)]
        if len(self._undeleted_drafts) >= _MAX_UNDELETED_DRAFTS:
            raise StatesDirUnusable(
                f"{len(self._undeleted_drafts)} saves failed and what they left in {str(self.states_dir)!r} can't be "
                f"deleted (the log says why), so no other is begun before {self._undeleted_drafts[0].name!r} is gone"
            )
        draft = self.states_dir / f"{_DRAFT_PREFIX}{secrets.token_hex(8)}"
        draft.mkdir()
        return draft

    def discard(self, draft: Path) -> None:
        """Remove a draft, if it was not committed; if it can't be, later saves try again."""
        if not _delete(draft):
            self._undeleted_drafts.append(draft)

    def commit(self, draft: Path, reason: str, system_time: float) -> Path:
        """Make a draft durable and turn it into a state; returns the state's path.

        Raises:
            DurabilityUnknown: it is a state now, but may not outlive a power loss.
            InvalidState: there is something in it that is neither a file nor a directory; it is still a draft.
            OSError: it can't be made durable; it is still a draft, and to be discarded.
        """
        sequence = self._next_sequence()
        manifest = Manifest(
            format=FORMAT,
            sequence=sequence,
            reason=reason,
            wall_time=time.fixed_time(),
            system_time=system_time,
            versions={"python": platform.python_version(), "pamiq_async": __version__},
            files=describe_files(draft),
        )
        _fsync_below(draft)
        with (draft / MANIFEST).open("xb") as file:
            file.write(manifest.encode())
            file.flush()
            os.fsync(file.fileno())
        _fsync(draft)
        path = self._free_path()
        # Used up even if renaming fails: a network may lose the answer to a rename that was done.
        self._last_sequence = sequence
        # The name is free, and who owns the directory is alone in it. Should somebody make something of this name just
        # now, a rename takes the place of an empty directory only, and of what is one no state is lost.
        draft.rename(path)
        try:
            _fsync(self.states_dir)
        except OSError as error:
            raise DurabilityUnknown(path, error) from error
        return path

    def check(self, path: Path, *, allow_pickle: bool) -> Manifest:
        """Verify that a state can be loaded; see `load_state` for what it raises."""
        manifest = verify(path)
        if not allow_pickle:
            refuse_pickles(path, manifest.files)
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
        """Remove what a crash left half-written or half-removed; what can't be removed is logged.

        Raises:
            OSError: the directory can't be read.
        """
        leftovers = [path for prefix in (_DRAFT_PREFIX, _REMOVAL_PREFIX) for path in self.states_dir.glob(f"{prefix}*")]
        if not leftovers:
            return
        try:
            _fsync(self.states_dir)  # see remove_state
        except OSError as error:
            logger.warning("leftovers of an earlier run stay in %s: %s", self.states_dir, error)
            return
        for path in leftovers:
            logger.info("removing a leftover of an earlier run: %s", path)
            _delete(path)

    def _remove_undurable_directories(self) -> None:
        for path in self._undurable_directories:  # they are empty; made anew, they will be synced anew
            with contextlib.suppress(OSError):
                path.rmdir()

    def _next_sequence(self) -> int:
        if self._last_sequence is None:
            unreadable: list[InvalidState] = []
            states = list_states(self.states_dir, on_damage=unreadable.append)
            self._last_sequence = max((manifest.sequence for manifest, _ in states), default=0)
            if unreadable:
                self._last_sequence += _SEQUENCE_LEAP
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
        OSError: it can't be removed; or it was, and is deleted by a later removal or start.
    """
    if not path.is_dir():
        raise StateNotFound(f"there is no state at {str(path)!r}")
    if path.is_symlink() or not os.path.lexists(path / MANIFEST):
        raise InvalidState(f"{str(path)!r} is not a saved state: it is a link, or has no {MANIFEST}")
    grave = path.with_name(f"{_REMOVAL_PREFIX}{secrets.token_hex(8)}")
    path.rename(grave)
    # Were the name to come back after a power loss, so would a state of which half is deleted.
    _fsync(path.parent)
    for removed in path.parent.glob(f"{_REMOVAL_PREFIX}*"):  # some may be left from when it failed
        _delete(removed)


def _delete(directory: Path) -> bool:
    """Delete as much of a directory as can be; returns whether all of it is gone. What can't be is logged."""
    try:
        shutil.rmtree(directory, ignore_errors=True)
        shutil.rmtree(directory)  # says what is in the way
    except FileNotFoundError:
        return True
    except (OSError, RecursionError) as error:
        logger.warning("%s can't be deleted: %s", directory, error)
        return False
    return True


def _fsync_below(draft: Path) -> None:
    """Sync all that components wrote; the draft itself comes after the manifest.

    They have closed their files. A file opened anew still reports what went wrong with writing it back, as long as
    nobody else was told (Linux 4.13); the file may have left the cache meanwhile, so it is not left for long.
    """
    for directory, subdirectories, names in os.walk(draft, topdown=False, onerror=_reraise):
        for name in names:
            _fsync(Path(directory, name))
        if directory != str(draft) and (names or subdirectories):
            _fsync(Path(directory))


def _fsync_parents(directory: Path, made: Collection[Path]) -> None:
    """Sync what leads to a directory, as far up as its file system reaches.

    Not what was `made` just now alone: whoever made the others may have been killed before they were synced.
    """
    device = directory.stat().st_dev
    for child, parent in zip([directory, *directory.parents], directory.parents, strict=False):
        if parent.stat().st_dev != device:
            return
        try:
            _fsync(parent)
        except PermissionError:
            if child in made:
                raise  # the others were made by somebody with more rights


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reraise(error: OSError) -> NoReturn:
    raise error
