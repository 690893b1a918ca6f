"""Saving and loading a running system: its components on their own threads, the files on others."""

from __future__ import annotations

import fcntl
import inspect
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import anyio
import anyio.to_thread

from ..exceptions import DurabilityUnknown, InvalidState, StatesDirLocked, StatesDirUnusable
from ..hooks import Lane, acall, describe, in_lane
from ..roles import Role
from ..state_persistence import LatestStatesKeeper, PersistentStateMixin, StatesKeeper, StateStore
from ..time import TimeController
from .config import LaunchConfig
from .ending import to_the_end

logger = logging.getLogger(__name__)

R = TypeVar("R")

LOCK_FILE = ".lock"


class Draft(NamedTuple):
    """What components saved while the system stood still, and what they left to be written later; not yet a state."""

    path: Path
    system_time: float
    writes: list[Callable[[], object]]


class States:
    """The states directory of one system.

    `capture` and `load` call components, on the threads of their roles. A keeper runs on the lane of whoever calls; all
    else is file work, on a worker thread.

    Args:
        training: the role that changes what is written later, so that it has to wait for that.
    """

    def __init__(self, config: LaunchConfig, clock: TimeController, training: Role) -> None:
        self.saved = 0
        self.writer = Lane("pamiq-writer")
        """Where what components left is written; of users' code, which may hang."""
        self._config = config
        self._clock = clock
        self._training = training
        self._roles: dict[str, Role | None] = {}
        self._store = StateStore(config.states_dir, config.state_name_format)
        self._keeper = config.states_keeper
        self._loaded: Path | None = None
        self._newest: Path | None = None
        self._lock: IO[str] | None = None
        self._limiter: anyio.CapacityLimiter | None = None

    def register(self, name: str, component: PersistentStateMixin, role: Role | None) -> None:
        """Add a component, whose hooks belong to `role`."""
        self._store.register(name, component)
        self._roles[name] = role

    async def open(self) -> None:
        """Make the directory, take possession of it, and clear what a crash left there.

        Raises:
            StatesDirLocked: another system has it.
        """
        self._limiter = anyio.CapacityLimiter(1)
        await self._in_thread(self._open)
        self.writer.start()

    async def close(self) -> None:
        """Give the directory up."""
        if self.writer.is_busy:
            self.writer.abandon()
        await self.writer.close()
        await self._in_thread(self._close)

    async def load(self, saved_state_path: str | Path) -> Path | None:
        """Verify a state and load every component from it; returns the state, or None for a fresh start.

        Raises:
            StateError: the state is not there or does not verify; nothing was loaded.
            Exception: what a component raised; a note says which one, and that others have loaded.
        """
        if saved_state_path == "latest":
            path = await self._in_thread(self._store.latest)
            if path is None:
                logger.info("no states in %s yet: a fresh start", self._config.states_dir)
                return None
        else:
            path = Path(saved_state_path)
        await self._in_thread(lambda: self._store.check(path, allow_pickle=self._config.allow_pickle))
        for name, component in self._store.components.items():
            try:
                await self._load(name, component, path / name)
            except Exception as error:
                error.add_note(
                    f"This was while {name!r} was loaded from {path}. Nothing has acted, but components may have taken "
                    f"over a part of the state: make new ones to start again"
                )
                raise
        self._loaded = path
        self._protect()
        logger.info("loaded state %s", path)
        return path

    async def _load(self, name: str, component: PersistentStateMixin, path: Path) -> None:
        role = self._roles[name]
        if role is not None:
            await role.call(component.load_state, path)
            return
        try:
            await acall(component.load_state, path)
        except ValueError as error:  # from the clock, which knows no errors of ours
            raise InvalidState(str(error)) from error

    async def capture(self) -> Draft:
        """Have every component save itself, in order; call it while the system stands still.

        The training role is held until `write` is done, if there is anything to write later.
        """
        path = await self._in_thread(self._store.new_draft)
        writes = []
        try:
            for name, component in self._store.components.items():
                role = self._roles[name]
                if role is None:
                    await acall(component.save_state, path / name)
                else:
                    writes += await role.save(component.save_state, path / name)
        except BaseException:
            await self._in_thread(self._store.discard, path)
            raise
        if writes:
            self._training.hold()
        return Draft(path, self._clock.time(), writes)

    async def write(self, draft: Draft) -> None:
        """Write what components left for later, while the agent acts again. When cancelled it is left behind.

        Raises:
            Exception: what a component raised; the draft is gone then.
        """
        try:
            await self.writer.run(_call_each, draft.writes)
        except BaseException:
            await to_the_end(self._in_thread(self._store.discard, draft.path))
            raise
        finally:
            self._training.release()

    async def commit(self, draft: Draft, reason: str) -> Path:
        """Make a draft a state; the system may act meanwhile, and no cancellation cuts it short."""
        return await to_the_end(self._commit(draft, reason))

    async def _commit(self, draft: Draft, reason: str) -> Path:
        try:
            path = await self._in_thread(self._store.commit, draft.path, reason, draft.system_time)
        except Exception:
            await self._in_thread(self._store.discard, draft.path)
            raise
        self.saved += 1
        self._newest = path
        self._protect()
        logger.info("saved state %s (%s)", path, reason)
        return path

    async def tell_keeper(self, path: Path) -> None:
        """Tell the retention policy of a new state; a failure is logged, the state is saved all the same."""
        await self._ask_keeper(lambda keeper: keeper.append(path))

    async def tell_keeper_of_doubt(self, error: Exception) -> None:
        """If a state was saved that may not outlive a power loss, tell the retention policy not to rely on it."""
        if isinstance(error, DurabilityUnknown):
            path = error.path
            await self._ask_keeper(lambda keeper: keeper.distrust(path))

    async def clean_up(self) -> None:
        """Apply the retention policy; a failure is logged."""
        await self._ask_keeper(lambda keeper: keeper.cleanup())

    async def _ask_keeper(self, ask: Callable[[StatesKeeper], object]) -> None:
        try:
            await in_lane(ask, self._get_keeper())
        except Exception as error:
            logger.error("states_keeper failed: %s: %s", type(error).__name__, error, exc_info=error)

    def _protect(self) -> None:
        self._get_keeper().protect([path for path in (self._loaded, self._newest) if path is not None])

    def _get_keeper(self) -> StatesKeeper:
        assert self._keeper is not None, "open() was not called"
        return self._keeper

    def _open(self) -> None:
        directory = self._store.states_dir = self._config.states_dir.absolute()  # whatever becomes of the working one
        if self._keeper is None:
            config = self._config
            self._keeper = LatestStatesKeeper(directory, config.max_keep_states, config.state_name_pattern)
        try:
            self._store.make_directory()
        except OSError as error:
            raise StatesDirUnusable(
                f"states can't be saved in {str(directory)!r}: {error.strerror}; set LaunchConfig.states_dir to a "
                f"directory that can be written to"
            ) from error
        lock = (directory / LOCK_FILE).open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise StatesDirLocked(
                f"the states directory {str(directory)!r} belongs to a running system (process {owner}); "
                f"shut that one down, or give this one another states_dir"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock
        self._store.clear_leftovers()

    def _close(self) -> None:
        if self._lock is not None:
            fcntl.flock(self._lock, fcntl.LOCK_UN)  # a process forked meanwhile has the file open, too
            self._lock.close()
            self._lock = None

    async def _in_thread(self, function: Callable[..., R], *args: Any) -> R:
        return await anyio.to_thread.run_sync(function, *args, limiter=self._limiter)


def _call_each(writes: Iterable[Callable[[], object]]) -> None:
    for write in writes:
        try:
            result = write()
        except Exception as error:
            error.add_note(f"This was in {describe(write)}, which a component left to be written later.")
            raise
        except BaseException as error:  # in a task it would leave the loop at once
            raise RuntimeError(f"{describe(write)} raised {type(error).__name__} while a state was written") from error
        if inspect.iscoroutine(result):
            result.close()
            raise TypeError(f"{describe(write)}, given to write_later(), made a coroutine; it must write by itself")
