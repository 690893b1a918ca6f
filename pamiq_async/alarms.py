"""Waking coroutines within tens of microseconds, where an event loop's own timers round up to a millisecond.

asyncio waits for events in whole milliseconds; uvloop counts in them, so that its timers may be early, too. A timer
of the Linux kernel that is waited for as sockets are (timerfd) has no such grain.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import math
import os
import sys
import threading
from bisect import bisect_right, insort
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any, NamedTuple

_LONGEST = 86_400.0  # seconds to set a timer for; one that rings before anything is due is set again

_this_thread = threading.local()  # .alarms: those of the loop that it ran last


def alarms() -> Alarms:
    """Those of the running loop."""
    loop = asyncio.get_running_loop()
    found: Alarms | None = getattr(_this_thread, "alarms", None)
    if found is None or found.loop is not loop:
        found = _this_thread.alarms = Alarms(loop)
    return found


class _Alarm(NamedTuple):
    when: float  # by perf_counter
    number: int  # those of one moment ring in the order in which they were set
    ring: Callable[[], object]


class Alarms:
    """What a loop is to call at given times, to be used on its thread. The timer is open while set, or kept open."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._pending: list[_Alarm] = []  # in order
        self._count = 0
        self._keepers = 0
        self._timer: int | None = None  # its file descriptor

    def set(self, seconds: float, ring: Callable[[], object]) -> Callable[[], object]:
        """Have `ring` called once so many real seconds have passed; returns what calls that off.

        Without a timer, be it for lack of file descriptors, a timer of the loop's own has to do.
        """
        if not self._opens():
            return self.loop.call_later(seconds, ring).cancel
        self._count += 1
        alarm = _Alarm(perf_counter() + seconds, self._count, ring)
        insort(self._pending, alarm)
        if self._pending[0] is alarm:
            self._arm()
        return functools.partial(self._call_off, alarm)

    @contextlib.contextmanager
    def kept_open(self) -> Iterator[None]:
        """Within the block the timer, once open, stays so, for somebody who sets one alarm after another."""
        self._keepers += 1
        try:
            yield
        finally:
            self._keepers -= 1
            self._arm()

    def _opens(self) -> bool:
        if self._timer is None and sys.platform == "linux":
            try:
                self._timer = _create_timer()
                self.loop.add_reader(self._timer, self._ring)
            except (OSError, NotImplementedError):
                self._close()
        return self._timer is not None

    def _close(self) -> None:
        if self._timer is not None:
            os.close(self._timer)
            self._timer = None

    def _ring(self) -> None:
        due = bisect_right(self._pending, perf_counter(), key=lambda alarm: alarm.when)
        ringing, self._pending = self._pending[:due], self._pending[due:]
        self._arm()
        for alarm in ringing:
            alarm.ring()

    def _call_off(self, alarm: _Alarm) -> None:
        if alarm in self._pending:
            is_next = self._pending[0] is alarm
            self._pending.remove(alarm)
            if is_next:
                self._arm()

    def _arm(self) -> None:
        """Set the timer for the first alarm; it has not rung since."""
        if self._timer is None:
            return
        if self._pending:
            _set_timer(self._timer, min(self._pending[0].when, perf_counter() + _LONGEST))
        elif self._keepers:
            _set_timer(self._timer, 0.0)
        else:
            self.loop.remove_reader(self._timer)
            self._close()


# --- timerfd, which Python's os module has from 3.13 on ---------------------------------------------------

# As a PyDLL, calls keep the interpreter: whoever lets it go beside a thread that computes waits to get it back.
_libc: Any = ctypes.PyDLL(None, use_errno=True) if sys.platform == "linux" else None
_TwoTimes = ctypes.c_long * 4  # struct itimerspec: interval and value, each in seconds and nanoseconds


def _create_timer() -> int:
    timer: int = _libc.timerfd_create(1, os.O_NONBLOCK | os.O_CLOEXEC)  # CLOCK_MONOTONIC, which perf_counter reads
    if timer < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create failed")
    return timer


def _set_timer(timer: int, when: float) -> None:
    """Have it ring at `when`; 0: never."""
    seconds, nanoseconds = divmod(math.ceil(when * 1e9), 10**9)
    if _libc.timerfd_settime(timer, 1, _TwoTimes(0, 0, seconds, nanoseconds), None) < 0:  # 1: an absolute time
        raise OSError(ctypes.get_errno(), "timerfd_settime failed")
