"""Taking in what happens in a system, at little cost to what happens; `statistics` gives it names."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Callable

import attrs

from ..lifecycle import SystemStatus
from ..time import TimeController
from .histogram import Histogram
from .statistics import BufferFill, IntervalStatistics, LoopLag, Statistics, StepTimes, TrainerTimes, as_log_line
from .wiring import Components

logger = logging.getLogger(__name__)

LAG_INTERVAL = 0.25
"""Real seconds between two looks at how late the loop is, on average."""


# --- Durations --------------------------------------------------------------------------------------------


class DurationRecorder:
    """Takes in durations on one thread; read, and told that an interval is over, on any other.

    Attributes:
        add: takes a duration in, as cheaply as can be; whoever does must `sort_in` once in a while.
    """

    def __init__(self) -> None:
        self._waiting: list[float] = []
        self.add = self._waiting.append
        self._before = Histogram()  # the intervals that are over
        self._last: Histogram | None = None  # the last of them
        self._present = Histogram()
        self._moving = threading.Lock()  # guards that a duration is either waiting or in a histogram

    def sort_in(self) -> None:
        """Sort what was added into bins, so that it takes no more space; a few hundred together cost least."""
        with self._moving:
            self._sort_in()

    def since_start(self) -> Histogram:
        """All durations up to now."""
        with self._moving:
            self._sort_in()
            return self._before.merged(self._present)

    def recent(self) -> Histogram:
        """Those of the last interval; before the first is over, those up to now."""
        with self._moving:
            self._sort_in()
            return Histogram().merged(self._present if self._last is None else self._last)

    def next_interval(self) -> None:
        """An interval is over."""
        with self._moving:
            self._sort_in()
            self._last, self._present = self._present, Histogram()
            self._before = self._before.merged(self._last)

    def _sort_in(self) -> None:
        count = len(self._waiting)  # more may come meanwhile
        batch = self._waiting[:count]
        del self._waiting[:count]
        self._present.take(batch)


class LagRecorder(DurationRecorder):
    """Looks now and then how late a loop is with a timer.

    When looks are due does not depend on how late they were, or all would fall on the moments after the loop was held.
    It is irregular, or they could keep step with what holds the loop at regular intervals.
    """

    def __init__(self) -> None:
        super().__init__()
        self._timer: asyncio.TimerHandle | None = None
        self._random = random.Random(0)  # of its own: the global one may be part of what a system saves
        self._due = 0.0

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to look, on the loop's thread."""
        self._due = loop.time() + self._gap()
        self._timer = loop.call_at(self._due, self._look, loop)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = max(loop.time(), self._due)  # timers of uvloop may be early
        while self._due <= now:  # all looks that fell due while the loop was held are late
            self.add(now - self._due)
            self._due += self._gap()
        self.sort_in()
        self._timer = loop.call_at(self._due, self._look, loop)

    def _gap(self) -> float:
        return LAG_INTERVAL * self._random.uniform(0.5, 1.5)


# --- Trainings --------------------------------------------------------------------------------------------


class TrainingRecorder:
    """Takes in training times, by trainer."""

    def __init__(self, names: list[str]) -> None:
        self._times = dict.fromkeys(names, TrainerTimes(0, 0.0))

    def add(self, name: str, seconds: float) -> None:
        """A training took so long."""
        before = self._times[name]
        self._times[name] = TrainerTimes(before.count + 1, before.total + seconds)

    def times(self) -> dict[str, TrainerTimes]:
        """The figures up to now."""
        return dict(self._times)


# --- A system ---------------------------------------------------------------------------------------------


@attrs.frozen
class _Mark:
    """What had been counted by a moment in system time."""

    time: float
    overruns: int
    trainings: dict[str, TrainerTimes]


class Recorder:
    """Takes in what a system wants to know about its running, and tells it by intervals, too.

    Args:
        overruns: how many there were up to now.
    """

    def __init__(self, clock: TimeController, components: Components, overruns: Callable[[], int]) -> None:
        self.steps = DurationRecorder()
        self.trainings = TrainingRecorder(list(components.trainers))
        self._clock = clock
        self._data = components.data
        self._overruns = overruns
        self._loop_lag = LagRecorder()
        self._began = self._interval_began = _Mark(0.0, 0, self.trainings.times())
        self._interval_ended: _Mark | None = None  # of the last one that is over
        self._ended: _Mark | None = self._began  # a system that has not begun has no uptime either

    def begin(self) -> None:
        """The system begins to act."""
        self._ended = None
        self._began = self._interval_began = self._now()
        self._loop_lag.start(asyncio.get_running_loop())

    def end(self) -> None:
        """The system acts no more; its figures stand still from now on."""
        self._ended = self._now()
        self._loop_lag.stop()

    def log_interval(self) -> None:
        """An interval is over: tell of it, and begin the next."""
        self._interval_began, self._interval_ended = self._interval_ended or self._interval_began, self._now()
        self.steps.next_interval()
        self._loop_lag.next_interval()
        logger.info("%s", as_log_line(self._recent(self._interval_ended)))

    def statistics(self, status: SystemStatus, states_saved: int) -> Statistics:
        """The figures up to now."""
        now = self._now()
        total = self._between(self._began, now, self.steps.since_start())
        lag = self._loop_lag.recent()
        return Statistics(
            status=status,
            uptime=total.seconds,
            steps=total.step_times.count,
            step_rate=total.step_rate,
            step_times=total.step_times,
            recent=self._recent(now),
            overruns=total.overruns,
            trainings=total.trainings,
            buffers={
                name: BufferFill(user.known_size, user.added_count, user.added_count + user.waiting_count)
                for name, user in self._data.items()
            },
            states_saved=states_saved,
            loop_lag=LoopLag(lag.quantile(0.5), lag.quantile(0.99), lag.max),
        )

    def _recent(self, now: _Mark) -> IntervalStatistics:
        return self._between(self._interval_began, self._interval_ended or now, self.steps.recent())

    def _between(self, start: _Mark, end: _Mark, steps: Histogram) -> IntervalStatistics:
        seconds = end.time - start.time
        return IntervalStatistics(
            seconds=seconds,
            step_rate=steps.count / seconds if seconds else 0.0,
            step_times=StepTimes(steps.count, steps.mean, steps.quantile(0.5), steps.quantile(0.99), steps.max),
            overruns=end.overruns - start.overruns,
            trainings={
                name: TrainerTimes(times.count - before.count, times.total - before.total)
                for (name, times), before in zip(end.trainings.items(), start.trainings.values(), strict=True)
            },
        )

    def _now(self) -> _Mark:
        return self._ended or _Mark(self._clock.perf_counter(), self._overruns(), self.trainings.times())
