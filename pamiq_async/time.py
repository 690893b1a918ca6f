"""System time: the clock that an agent lives by.

System time runs at a scale, stands still while the system is paused and is saved with a state. Each
running system has a clock of its own. The functions of this module mean the clock of the system whose
task or thread calls them, and elsewhere one that belongs to the process.

>>> from pamiq_async import time
>>> start = time.perf_counter()
>>> time.sleep(0.01)
>>> time.perf_counter() - start >= 0.01
True
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import math
import reprlib
import threading
import time as _real
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from .alarms import alarms

fixed_time = _real.time
"""Wall clock, never scaled or paused."""

fixed_sleep = _real.sleep
"""Blocks for real seconds, whatever system time does."""


class _Anchor(NamedTuple):
    """A straight piece of system time. It is swapped whole, so reading needs no lock."""

    real: float  # time.perf_counter() where the piece begins
    system: float  # the system's perf_counter() there
    rate: float  # system seconds per real second; 0 while paused
    epoch: float  # system time() minus system perf_counter()


_MAX_STATE_BYTES = 1000  # it is two numbers


def _never() -> bool:
    return False


class TimeController:
    """A clock that can be scaled, paused, saved and waited on.

    Readings never go back, except by `load_state_dict`. Reading takes no lock; changing wakes all who wait, so that
    they wait for what is left.
    """

    _REMEMBERED = 10_000  # pieces of system time that are over

    def __init__(self) -> None:
        now = _real.perf_counter()
        self._past: deque[_Anchor] = deque(maxlen=self._REMEMBERED)
        self._anchor = _Anchor(real=now, system=now, rate=1.0, epoch=_real.time() - now)
        self._scale = 1.0
        self._paused = False
        self._changing = False  # while a new anchor is being made: readings by the old one would be too late
        # Guards changes of the five above; blocked sleepers wait on it.
        self._changed = threading.Condition()
        self._listeners: set[Callable[[], object]] = set()

    def time(self) -> float:
        """Seconds since 1970 in system time."""
        system, anchor = self._read()
        return anchor.epoch + system

    def perf_counter(self) -> float:
        """Seconds of system time from an arbitrary start."""
        return self._read()[0]

    def monotonic(self) -> float:
        """The same clock as `perf_counter`."""
        return self.perf_counter()

    def sleep(self, secs: float) -> None:
        """Block the calling thread for `secs` of system time.

        A sleep that is under way when time pauses goes on after resume.

        Raises:
            RuntimeError: called on a running event loop.
            ValueError: `secs` is negative or not a number.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise RuntimeError(
                "time.sleep() would block the event loop: use 'await time.asleep(...)' here, "
                "or call it from a plain def hook"
            )
        self.wait_until(self.perf_counter() + _checked_duration(secs))

    async def asleep(self, secs: float) -> None:
        """Wait for `secs` of system time without blocking the event loop; never ends early.

        Raises:
            ValueError: `secs` is negative or not a number.
        """
        deadline = self.perf_counter() + _checked_duration(secs)
        await asyncio.sleep(0)  # others get their turn, however short it is
        await self.await_until(deadline)

    def wait_until(self, deadline: float, interrupted: Callable[[], bool] = _never) -> bool:
        """Block until `perf_counter()` reaches `deadline` or, after a `wake()`, `interrupted()` holds.

        Returns:
            True when the deadline was reached, False when interrupted before.
        """
        with self._changed:
            while not interrupted():
                remaining = self._real_seconds_until(deadline)
                if remaining is not None and remaining <= 0:
                    return True
                self._changed.wait(None if remaining is None else min(remaining, threading.TIMEOUT_MAX))
            return False

    async def await_until(self, deadline: float, interrupted: Callable[[], bool] = _never) -> bool:
        """`wait_until` for coroutines."""
        loop = asyncio.get_running_loop()
        while not interrupted():
            woken = loop.create_future()
            with self._listening(functools.partial(_set_from_any_thread, loop, woken)):
                remaining = self._real_seconds_until(deadline)  # after listening: no change is missed
                if remaining is not None and remaining <= 0:
                    return True
                if interrupted():
                    return False
                call_off = None if remaining is None else alarms().set(remaining, functools.partial(_set, woken))
                try:
                    await woken
                finally:
                    if call_off is not None:
                        call_off()
        return False

    def wake(self) -> None:
        """Make all who wait look again at what they wait for."""
        with self._changed:
            self._changed.notify_all()
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener()

    def pause(self) -> None:
        """Stop time. Stopping stopped time changes nothing."""
        self._change(paused=True)

    def resume(self) -> None:
        """Let time go on from where it stopped."""
        self._change(paused=False)

    def is_paused(self) -> bool:
        """Whether time stands still."""
        return self._paused

    def set_time_scale(self, time_scale: float) -> None:
        """Let `time_scale` seconds of system time pass per real second from now on.

        Raises:
            ValueError: `time_scale` is not a positive finite number.
        """
        if not (math.isfinite(time_scale) and time_scale > 0):
            raise ValueError(f"time_scale is {time_scale!r}; it must be a positive finite number")
        self._change(scale=time_scale)

    def get_time_scale(self) -> float:
        """System seconds per real second while time is not paused."""
        return self._scale

    def state_dict(self) -> dict[str, float]:
        """What `load_state_dict` takes: the present readings of `time` and `perf_counter`."""
        system, anchor = self._read()
        return {"time": anchor.epoch + system, "perf_counter": system}

    def load_state_dict(self, state_dict: Mapping[str, float]) -> None:
        """Take time back, or forward, to when `state_dict` was called.

        Raises:
            ValueError: a reading is missing or not a finite number.
        """
        readings = [state_dict.get(key) for key in ("time", "perf_counter")] if isinstance(state_dict, Mapping) else []
        if not readings or not all(isinstance(r, int | float) and abs(r) < math.inf for r in readings):
            raise ValueError(
                f"not the state of a clock: {reprlib.repr(state_dict)}; needs finite 'time' and 'perf_counter'"
            )
        try:
            time, perf_counter = (float(r) for r in readings if r is not None)
        except OverflowError as error:
            raise ValueError(f"not the state of a clock: {error}") from None
        if not math.isfinite(time - perf_counter):
            raise ValueError(f"not the state of a clock: {time} and {perf_counter} are too far apart")
        with self._changed:
            self._begin(_Anchor(_real.perf_counter(), perf_counter, self._anchor.rate, time - perf_counter))
        self.wake()

    def save_state(self, path: Path) -> None:
        """Write the readings to `path` with the suffix ``.json``."""
        path.with_suffix(".json").write_text(json.dumps(self.state_dict()), encoding="utf-8")

    def load_state(self, path: Path) -> None:
        """Read what `save_state` wrote.

        Raises:
            FileNotFoundError: it is not there.
            ValueError: it is something else; time is as it was.
        """
        path = path.with_suffix(".json")
        with path.open("rb") as file:
            content = file.read(_MAX_STATE_BYTES + 1)
        if len(content) > _MAX_STATE_BYTES:
            raise ValueError(f"{path}: not the state of a clock: longer than {_MAX_STATE_BYTES} bytes")
        try:
            self.load_state_dict(json.loads(content))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: {error}") from error

    def _pieces(self, readings: list[float]) -> list[tuple[_Anchor, list[float]]]:
        """Split ascending readings of `time.perf_counter` by the pieces of system time that they fall into.

        What is older than all pieces that are remembered belongs to the first of them. The list is not to be used any
        more.
        """
        if not readings:
            return []
        with self._changed:
            anchors = [self._anchor]
            for anchor in reversed(self._past):
                if anchors[-1].real <= readings[0]:
                    break
                anchors.append(anchor)
        if len(anchors) == 1:
            return [(anchors[0], readings)]
        anchors.reverse()
        edges = [0, *(bisect_left(readings, anchor.real) for anchor in anchors[1:]), len(readings)]
        return [(anchor, readings[left:right]) for anchor, (left, right) in zip(anchors, pairwise(edges), strict=True)]

    def _begin(self, anchor: _Anchor) -> None:
        """Begin a piece of system time, with `_changed` held."""
        self._past.append(self._anchor)
        self._anchor = anchor

    def _read(self) -> tuple[float, _Anchor]:
        """The present `perf_counter()`, and the anchor by which it was read."""
        anchor = self._anchor
        now = _real.perf_counter()
        if self._changing or self._anchor is not anchor:  # in this order: changed while reading
            with self._changed:
                anchor, now = self._anchor, _real.perf_counter()
        return anchor.system + (now - anchor.real) * anchor.rate, anchor

    def _change(self, *, scale: float | None = None, paused: bool | None = None) -> None:
        with self._changed:
            self._changing = True
            try:
                scale = self._scale if scale is None else float(scale)
                paused = self._paused if paused is None else paused
                real, system, rate, epoch = self._anchor
                now = _real.perf_counter()
                system += (now - real) * rate
                if rate != (rate_from_now := 0.0 if paused else scale):
                    self._begin(_Anchor(now, system, rate_from_now, epoch))
                self._scale, self._paused = scale, paused
            finally:
                self._changing = False
        self.wake()

    def _real_seconds_until(self, deadline: float) -> float | None:
        """None: not before something changes."""
        now, anchor = self._read()
        if now >= deadline:
            return 0.0
        if anchor.rate == 0 or deadline == math.inf:
            return None
        return (deadline - now) / anchor.rate

    @contextlib.contextmanager
    def _listening(self, listener: Callable[[], object]) -> Iterator[None]:
        with self._changed:
            self._listeners.add(listener)
        try:
            yield
        finally:
            with self._changed:
                self._listeners.discard(listener)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _set_from_any_thread(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
    if is_in_task_of(loop):
        _set(future)
        return
    with contextlib.suppress(RuntimeError):  # a loop that was closed with tasks left over
        loop.call_soon_threadsafe(_set, future)


def is_in_task_of(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether a task of this loop calls, so that the loop does not wait just now and need not be woken."""
    return asyncio._get_running_loop() is loop and asyncio.current_task(loop) is not None


def _checked_duration(secs: float) -> float:
    if not secs >= 0:
        raise ValueError(f"can't sleep for {secs!r} seconds; the length must be 0 or more")
    return secs


_process_clock = TimeController()
_current: ContextVar[TimeController] = ContextVar("pamiq_async_clock", default=_process_clock)


def get_global_time_controller() -> TimeController:
    """The clock that the functions of this module mean here."""
    return _current.get()


@contextlib.contextmanager
def use_time_controller(controller: TimeController) -> Iterator[TimeController]:
    """Within the block, and in tasks started there, this module's functions mean `controller`."""
    token = _current.set(controller)
    try:
        yield controller
    finally:
        _current.reset(token)


def time() -> float:
    """Seconds since 1970 in system time."""
    return _current.get().time()


def perf_counter() -> float:
    """Seconds of system time from an arbitrary start."""
    return _current.get().perf_counter()


def monotonic() -> float:
    """The same clock as `perf_counter`."""
    return _current.get().monotonic()


def sleep(secs: float) -> None:
    """Block the calling thread for `secs` of system time. On an event loop, use `asleep`."""
    _current.get().sleep(secs)


async def asleep(secs: float) -> None:
    """Wait for `secs` of system time without blocking the event loop; never ends early."""
    await _current.get().asleep(secs)


def pause() -> None:
    """Stop time."""
    _current.get().pause()


def resume() -> None:
    """Let time go on from where it stopped."""
    _current.get().resume()


def is_paused() -> bool:
    """Whether time stands still."""
    return _current.get().is_paused()


def set_time_scale(time_scale: float) -> None:
    """Let `time_scale` seconds of system time pass per real second from now on."""
    _current.get().set_time_scale(time_scale)


def get_time_scale() -> float:
    """System seconds per real second while time is not paused."""
    return _current.get().get_time_scale()


def state_dict() -> dict[str, float]:
    """The present readings, for `load_state_dict`."""
    return _current.get().state_dict()


def load_state_dict(state_dict: Mapping[str, float]) -> None:
    """Take time back, or forward, to when `state_dict` was called."""
    _current.get().load_state_dict(state_dict)
