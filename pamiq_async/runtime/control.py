"""The role that steers: carries out commands, one at a time, and what is due by the clock."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from pathlib import Path
from typing import Any, NamedTuple

from ..alarms import alarms
from ..exceptions import PauseTimeout, SystemEnded
from ..hooks import acall
from ..lifecycle import SystemStatus
from ..roles import Gate
from ..time import TimeController
from .config import LaunchConfig
from .states import Draft, States

logger = logging.getLogger(__name__)

CONDITION_INTERVAL = 0.1
"""Real seconds between two looks at `save_state_condition`."""

Action = Callable[[], Awaitable[Any]]


class _Timer:
    """Something to do at intervals of system time; inf: never."""

    def __init__(self, clock: TimeController, interval: Callable[[], float], action: Action) -> None:
        self._clock = clock
        self._interval = interval
        self._action = action
        self.due = clock.perf_counter() + interval()

    async def fire(self) -> None:
        await self._action()
        self.due = self._clock.perf_counter() + self._interval()


class SaveStage(Enum):
    """How far a save has come."""

    CAPTURING = auto()  # components save themselves, and nothing may move
    WRITING = auto()  # what they left for later is written, while training is held
    COMMITTING = auto()  # their files become a state; it must not be cut short


class _Save(NamedTuple):
    """Why a state is saved, and who waits for it."""

    reason: str
    futures: list[asyncio.Future[Path]]

    def settle(self, path: Path) -> None:
        for future in self._waiting():
            future.set_result(path)

    def fail(self, error: Exception) -> None:
        for future in self._waiting():
            future.set_exception(error)

    def _waiting(self) -> list[asyncio.Future[Path]]:
        return [future for future in self.futures if not future.done()]


class Control:
    """Knows the phase of a system and changes it.

    Args:
        request_shutdown: what to call when the system's time is up.
        log_statistics: called at the interval that the configuration gives.
    """

    def __init__(
        self,
        config: LaunchConfig,
        clock: TimeController,
        gate: Gate,
        states: States,
        *,
        request_shutdown: Callable[[], None],
        log_statistics: Callable[[], None],
    ) -> None:
        self.status = SystemStatus.ACTIVE
        self.task: asyncio.Task[Any] | None = None
        self._config = config
        self._clock = clock
        self._gate = gate
        self._states = states
        self._request_shutdown = request_shutdown
        self._log_statistics = log_statistics
        self._commands: deque[tuple[Action, asyncio.Future[Any]]] = deque()
        self._refuses_commands = False
        self.stage: SaveStage | None = None  # of the save under way
        self._stage_changed = asyncio.Event()
        self._wanted_save: _Save | None = None
        self._begun_save: tuple[_Save, asyncio.Task[Path]] | None = None  # its components were captured

    # Commands

    async def pause(self) -> None:
        """Park every role, then stop system time.

        Raises:
            PauseTimeout: a role did not park; the system goes on.
            SystemEnded: the system is shutting down or has ended.
        """
        await self._submit(self._pause)

    async def resume(self) -> None:
        """Let system time go on, then the roles.

        Raises:
            SystemEnded: the system is shutting down or has ended.
        """
        await self._submit(self._resume)

    async def save_state(self) -> Path:
        """Save a state; roles stand still while components are captured, and act again while files are written.

        While one is written, further ones wait and become one.

        Raises:
            PauseTimeout: a role did not park; the system goes on, nothing was saved.
            SystemEnded: the system is shutting down or has ended.
        """
        if self._refuses_commands:
            raise _too_late()
        future: asyncio.Future[Path] = asyncio.get_running_loop().create_future()
        self._want_save("command", future)
        return await future

    def refuse_commands(self) -> None:
        """From now on, and for those that wait: too late."""
        self._refuses_commands = True
        while self._commands:
            _, future = self._commands.popleft()
            if not future.done():
                future.set_exception(_too_late())
        if self._wanted_save is not None:
            self._wanted_save.fail(_too_late())
            self._wanted_save = None

    async def wait_while(self, stage: SaveStage) -> None:
        """Wait until no save is at this stage. Once commands are refused, none will begin."""
        while self.stage is stage:
            await self._stage_changed.wait()

    def give_up_writing(self) -> None:
        """Cut a save short that is being written."""
        if self._begun_save is not None:
            self._begun_save[1].cancel()

    # The task

    async def run(self) -> None:
        """Carry out commands, saves and timers until the gate stops and what was captured is saved."""
        self.task = asyncio.current_task()
        try:
            with alarms().kept_open():  # a command ends one wait and begins the next
                await self._run()
        finally:
            await self._conclude_save()

    async def _run(self) -> None:
        timers = self._timers()
        while not self._gate.is_stopping:
            due = min(timer.due for timer in timers)
            await self._clock.await_until(due, self._is_called)
            while self._commands and not self._gate.is_stopping:
                await self._carry_out(*self._commands.popleft())
            if self._is_written():
                await self._conclude_save()
            if self._may_save() and not self._gate.is_stopping:
                await self._begin_save()
            for timer in timers:
                if timer.due <= self._clock.perf_counter() and not self._gate.is_stopping:
                    await timer.fire()
            await asyncio.sleep(0)  # a timer that is always due must leave the loop its turns

    def _is_called(self) -> bool:
        return bool(self._commands) or self._may_save() or self._is_written() or self._gate.is_stopping

    def _may_save(self) -> bool:
        return self._wanted_save is not None and self._begun_save is None

    def _is_written(self) -> bool:
        return self._begun_save is not None and self._begun_save[1].done()

    def _timers(self) -> list[_Timer]:
        config = self._config

        async def end() -> None:
            logger.info("max_uptime of %s s is over", config.max_uptime)
            self._request_shutdown()

        async def log() -> None:
            self._log_statistics()

        async def save() -> None:
            self._want_save("periodic")

        def condition_interval() -> float:
            if config.save_state_condition is None:
                return math.inf
            return CONDITION_INTERVAL * self._clock.get_time_scale()

        intervals: list[tuple[Callable[[], float], Action]] = [
            (lambda: config.max_uptime, end),
            (lambda: config.save_state_interval, save),
            (condition_interval, self._ask_condition),
            (lambda: config.states_cleanup_interval, self._states.clean_up),
            (lambda: config.log_tick_time_statistics_interval, log),
        ]
        return [_Timer(self._clock, interval, action) for interval, action in intervals]

    async def _submit(self, action: Action) -> Any:
        if self._refuses_commands:
            raise _too_late()
        future = asyncio.get_running_loop().create_future()
        self._commands.append((action, future))
        self._clock.wake()
        return await future

    async def _carry_out(self, action: Action, future: asyncio.Future[Any]) -> None:
        if future.cancelled():
            return
        try:
            result = await action()
        except Exception as error:
            unforeseen = None if isinstance(error, PauseTimeout) else error
            logger.error("a command failed: %s: %s", type(error).__name__, error, exc_info=unforeseen)
            if not future.done():
                future.set_exception(error)
        except BaseException:
            if not future.done():
                future.set_exception(_too_late())
            raise
        else:
            if not future.done():
                future.set_result(result)

    # What they do

    async def _pause(self) -> None:
        if self.status is SystemStatus.PAUSED:
            return
        self.status = SystemStatus.PAUSING
        timeout = self._config.timeout_for_all_threads_pause
        attempts = self._config.max_attempts_to_pause_all_threads
        for attempt in range(1, attempts + 1):
            self._gate.close()
            if await self._gate.wait_all_parked(timeout):
                self._clock.pause()
                self.status = SystemStatus.PAUSED
                logger.info("paused")
                return
            if self._gate.is_stopping:
                raise _too_late()
            busy = ", ".join(f"{r.name} is running {r.running()}" for r in self._gate.roles if not r.is_parked)
            logger.warning("pausing: attempt %d of %d: %s", attempt, attempts, busy)
            self._gate.open()
        self.status = SystemStatus.ACTIVE
        raise PauseTimeout(
            f"no pause within {attempts} attempts of {timeout:g} s: {busy}; the system goes on. A step is the unit of "
            f"pausing: make it shorter, call pause_point() in long trainings, or raise timeout_for_all_threads_pause"
        )

    async def _resume(self) -> None:
        if self.status is not SystemStatus.PAUSED:
            return
        self.status = SystemStatus.RESUMING
        self._clock.resume()
        self._gate.open()
        if not await self._gate.wait_none_parked():
            raise _too_late()
        self.status = SystemStatus.ACTIVE
        logger.info("resumed")

    def _want_save(self, reason: str, future: asyncio.Future[Path] | None = None) -> None:
        if self._wanted_save is None:
            self._wanted_save = _Save(reason, [])
        elif reason == "command":  # whoever asked for it may look for it
            self._wanted_save = self._wanted_save._replace(reason=reason)
        if future is not None:
            self._wanted_save.futures.append(future)
        self._clock.wake()

    async def _begin_save(self) -> None:
        """Capture for the save that is wanted; a task of its own writes while the agent acts."""
        save, self._wanted_save = self._wanted_save, None
        assert save is not None
        try:
            draft = await self._capture()
        except Exception as error:
            self._report_failure(save, error)
        except BaseException:
            self._enter(None)
            save.fail(_too_late())
            raise
        else:
            writing = asyncio.create_task(self._write(draft, save.reason), name="pamiq-save")
            writing.add_done_callback(lambda _: self._clock.wake())
            self._begun_save = save, writing

    async def _conclude_save(self) -> None:
        """Wait until the save that was begun is written, and tell those who want to know."""
        if self._begun_save is None:
            return
        save, writing = self._begun_save
        try:
            try:
                await asyncio.wait({writing})
            except asyncio.CancelledError:
                writing.cancel()
                raise
            if writing.cancelled():  # it was given up
                return
            path = writing.result()
            await self._states.tell_keeper(path)
            save.settle(path)
        except Exception as error:
            await self._states.tell_keeper_of_doubt(error)
            self._report_failure(save, error)
        finally:
            save.fail(_too_late())  # those who still wait, because this was cut short
            self._begun_save = None

    async def _capture(self) -> Draft:
        was_paused = self.status is SystemStatus.PAUSED
        await self._pause()
        if self._refuses_commands:
            raise _too_late()
        self._enter(SaveStage.CAPTURING)
        try:
            draft = await self._states.capture()
            self._enter(SaveStage.WRITING)
            return draft
        except BaseException:
            self._enter(None)
            raise
        finally:
            if not was_paused and not self._gate.is_stopping:
                with contextlib.suppress(SystemEnded):  # asked to shut down just now; what was captured is kept
                    await self._resume()

    async def _write(self, draft: Draft, reason: str) -> Path:
        try:
            await self._states.write(draft)
            self._enter(SaveStage.COMMITTING)
            return await self._states.commit(draft, reason)
        finally:
            self._enter(None)

    def _enter(self, stage: SaveStage | None) -> None:
        self.stage = stage
        self._stage_changed.set()
        self._stage_changed = asyncio.Event()

    def _report_failure(self, save: _Save, error: Exception) -> None:
        """A save that fails leaves the agent as it was."""
        if not self._gate.is_stopping:
            logger.error("%s save failed: %s: %s", save.reason, type(error).__name__, error, exc_info=error)
        save.fail(error)

    async def _ask_condition(self) -> None:
        condition = self._config.save_state_condition
        if condition is not None and await acall(condition):
            self._want_save("condition")


def _too_late() -> SystemEnded:
    return SystemEnded("the system is shutting down or has ended; start another one")
