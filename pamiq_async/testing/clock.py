"""Time that passes when a test says so."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from typing_extensions import override

from ..time import TimeController, use_time_controller


class ManualClock(TimeController):
    """A clock for which no time passes but by `advance`. Pausing and scaling it work as ever.

    Within ``with ManualClock() as clock:``, and in tasks and threads started there, the functions of `pamiq_async.time`
    mean it, and so do all components that are used there; fetch there, too, what was collected. A running system has a
    clock of its own; for that, see `run_steps`.

    Args:
        start: what `time()` and `perf_counter()` say at first, in seconds.
    """

    _REMEMBERED = 100_000  # each advance begins a piece

    def __init__(self, start: float = 0.0) -> None:
        super().__init__()
        self._deadlines: list[float] = []  # of those who wait; changed with `_changed` held
        self._watchers: list[tuple[int, Callable[[], object]]] = []  # likewise
        self._use: contextlib.AbstractContextManager[TimeController] | None = None
        # With a rate of 0 for good, a reading is what was set last.
        self._anchor = self._anchor._replace(system=start, rate=0.0, epoch=0.0)

    def __enter__(self) -> Self:
        self._use = use_time_controller(self)
        self._use.__enter__()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._use is not None:
            self._use.__exit__(exc_type, exc, traceback)

    def advance(self, secs: float) -> None:
        """Let `secs` real seconds pass at once: `secs` times the scale of system time, none while paused.

        Raises:
            ValueError: `secs` is negative or not finite.
        """
        if not 0 <= secs < math.inf:
            raise ValueError(f"can't advance by {secs!r} seconds; it must be a finite number, at least 0")
        with self._changed:
            if not self._paused:
                self._set(self._anchor.system + secs * self._scale)
        self.wake()

    def advance_to_next(self) -> float:
        """Go to the earliest time for which anyone waits; returns by how many seconds of system time.

        Raises:
            RuntimeError: nobody waits, or time is paused.
        """
        with self._changed:
            ahead = [deadline for deadline in self._deadlines if deadline > self._anchor.system + _TOLERANCE]
            if self._paused or not ahead:
                raise RuntimeError("time is paused" if self._paused else "nobody waits on this clock")
            step = min(ahead) - self._anchor.system
            self._set(min(ahead))
        self.wake()
        return step

    async def wait_for_sleepers(self, count: int = 1) -> None:
        """Wait until `count` tasks and threads sleep on this clock, so that advancing it will reach them."""
        loop = asyncio.get_running_loop()
        enough = asyncio.Event()
        watcher = (count, functools.partial(loop.call_soon_threadsafe, enough.set))
        with self._changed:
            if self._sleeper_count() >= count:
                return
            self._watchers.append(watcher)
        try:
            await enough.wait()
        finally:
            with self._changed:
                self._watchers.remove(watcher)

    @override
    def wait_until(self, deadline: float, interrupted: Callable[[], bool] = lambda: False) -> bool:
        with self._sleeping(deadline):
            return super().wait_until(deadline, interrupted)

    @override
    async def await_until(self, deadline: float, interrupted: Callable[[], bool] = lambda: False) -> bool:
        with self._sleeping(deadline):
            return await super().await_until(deadline, interrupted)

    @override
    def _change(self, *, scale: float | None = None, paused: bool | None = None) -> None:
        with self._changed:
            self._scale = self._scale if scale is None else float(scale)
            self._paused = self._paused if paused is None else paused
        self.wake()

    @override
    def _real_seconds_until(self, deadline: float) -> float | None:
        return 0.0 if self._anchor.system + _TOLERANCE >= deadline else None

    def _set(self, system: float) -> None:
        """Say this from now on, with `_changed` held."""
        self._begin(self._anchor._replace(real=time.perf_counter(), system=system))

    @contextlib.contextmanager
    def _sleeping(self, deadline: float) -> Iterator[None]:
        with self._changed:
            self._deadlines.append(deadline)
            for count, call in self._watchers:
                if self._sleeper_count() >= count:
                    call()
        try:
            yield
        finally:
            with self._changed:
                self._deadlines.remove(deadline)

    def _sleeper_count(self) -> int:
        return sum(self._anchor.system + _TOLERANCE < deadline < math.inf for deadline in self._deadlines)


_TOLERANCE = 1e-9
"""Seconds that a sum of steps may fall short of a deadline by rounding."""
