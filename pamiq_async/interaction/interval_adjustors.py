"""Keeping steps at a fixed interval."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable

from typing_extensions import override

from .. import time
from ..hooks import acall, pass_on
from ..roles import apace_until, pace_until

STALL_PERIODS = 3

STALL_SECONDS = 0.02
"""Real seconds; for less, an operating system keeps a thread waiting for a core any time."""


class IntervalAdjustor(ABC):
    """Waits between steps such that they start `interval - offset` seconds of system time apart.

    Steps are due at absolute times: a late step does not shift those after it, so the mean rate is exact. After a
    stall of three periods or more, and of 20 ms, the schedule starts anew; it does not race to catch up.

    Args:
        interval: seconds between the starts of two steps.
        offset: seconds to take off each interval, for what an `adjust_impl` is known to lose.

    Raises:
        ValueError: `interval` is not positive and finite, or `offset` is not in 0..interval.
    """

    def __init__(self, interval: float, offset: float = 0.0) -> None:
        if not (math.isfinite(interval) and interval > 0):
            raise ValueError(f"interval is {interval!r}; it must be a positive number of seconds")
        if not 0 <= offset < interval:
            raise ValueError(f"offset is {offset!r}; it must be at least 0 and less than the interval, {interval!r}")
        self.interval = interval
        self.offset = offset
        self.overruns = 0
        """How often the next step was due already when the wait for it began."""
        self._is_waiting = False
        self._deadline = -math.inf
        self._last_start = -math.inf

    @property
    def deadline(self) -> float:
        """When the next step is due, in system `perf_counter()` seconds; -inf before the first `reset`."""
        return self._deadline

    def reset(self) -> float:
        """Start the schedule now; returns the present system `perf_counter()` in seconds."""
        now = time.perf_counter()
        self._is_waiting = False
        self._last_start = now
        self._deadline = now + self.interval - self.offset
        return now

    @abstractmethod
    def adjust_impl(self) -> Awaitable[None] | None:
        """Wait until `deadline`; `def` or `async def`."""

    def adjust(self) -> float:
        """Wait until the next step is due; returns the seconds since the one before."""
        self.begin_wait()
        pass_on(self.adjust_impl)
        return self._advance()

    async def aadjust(self) -> float:
        """`adjust` for coroutines."""
        self.begin_wait()
        await acall(self.adjust_impl)
        return self._advance()

    def begin_wait(self) -> None:
        """The step has ended. `adjust` says so itself; whoever does something else in between calls this first.

        A wait that a pause cut short begins once, however often it is taken up again.
        """
        if not self._is_waiting and -math.inf < self._deadline < time.perf_counter():
            self.overruns += 1
        self._is_waiting = True

    def _advance(self) -> float:
        self._is_waiting = False
        now = time.perf_counter()
        since_last, self._last_start = now - self._last_start, now
        period = self.interval - self.offset
        late = now - self._deadline
        self._deadline += period
        if late >= max(STALL_PERIODS * period, STALL_SECONDS * time.get_time_scale()):  # also when it was never reset
            self._deadline = now + period
        return since_last


class SleepIntervalAdjustor(IntervalAdjustor):
    """Sleeps until the next step is due; a pause or shutdown cuts the sleep short."""

    @override
    def adjust_impl(self) -> Awaitable[None] | None:
        pace_until(self._deadline)
        return None

    @override
    async def aadjust(self) -> float:
        if type(self).adjust_impl is not SleepIntervalAdjustor.adjust_impl:
            return await super().aadjust()
        self.begin_wait()
        await apace_until(self._deadline)
        return self._advance()
