from __future__ import annotations

import math
import random
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from pamiq_async import SystemStatus
from pamiq_async.runtime.recording import DurationRecorder, LagRecorder, Recorder, TrainingRecorder
from pamiq_async.runtime.statistics import BufferFill, Statistics, TrainerTimes
from pamiq_async.testing import ManualClock

# --- Durations --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sorted_in", [True, False])
def test_a_recorder_knows_all_and_the_last_interval(sorted_in: bool) -> None:
    recorder = DurationRecorder()
    for interval in ([1.0, 2.0], [4.0], [8.0]):
        for seconds in interval:
            recorder.add(seconds)
        if sorted_in:
            recorder.sort_in()
        if interval != [8.0]:
            recorder.next_interval()
    assert (recorder.since_start().count, recorder.since_start().total) == (4, 15.0)
    assert (recorder.recent().count, recorder.recent().total) == (1, 4.0)


def test_the_first_interval_counts_up_to_now() -> None:
    recorder = DurationRecorder()
    recorder.add(1.0)
    assert recorder.recent().count == 1
    recorder.add(2.0)
    assert recorder.recent().count == 2


def test_what_was_read_does_not_change_with_what_comes() -> None:
    recorder = DurationRecorder()
    recorder.add(1.0)
    before = recorder.recent(), recorder.since_start()
    recorder.add(2.0)
    recorder.sort_in()
    assert [read.count for read in before] == [1, 1]


def test_nothing_is_lost_when_another_thread_adds_while_one_reads() -> None:
    recorder, total = DurationRecorder(), 50_000
    counts = []

    def add() -> None:
        for n in range(total):
            recorder.add(1.0)
            if n % 100 == 0:
                recorder.sort_in()

    thread = threading.Thread(target=add)
    thread.start()
    while thread.is_alive():
        counts.append(recorder.since_start().count)
        recorder.next_interval()
    thread.join()
    assert counts == sorted(counts)
    assert recorder.since_start().count == total


class FakeLoop:
    """A loop that is held for the first `hold` of every `period` seconds."""

    def __init__(self, period: float, hold: float) -> None:
        self.period, self.hold = period, hold
        self.now = self.began = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Any, *args: Any) -> SimpleNamespace:
        self.timers.append((when, lambda: callback(*args)))
        return SimpleNamespace(cancel=self.timers.clear)

    def run_timer(self) -> None:
        due, callback = self.timers.pop()
        period_began = due - (due - self.began) % self.period
        self.now = max(due, period_began + self.hold)
        callback()

    def lag(self, seconds: float) -> LagRecorder:
        """What is seen of its lag in so many seconds."""
        lag = LagRecorder()
        lag.start(self)  # type: ignore[arg-type]
        while self.now < self.began + seconds:
            self.run_timer()
        return lag


def test_a_loop_that_is_never_held_has_no_lag() -> None:
    assert FakeLoop(period=1.0, hold=0.0).lag(10.0).recent().max == 0.0


@pytest.mark.parametrize("period", [0.13, 0.125, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_lag_is_seen_whatever_holds_the_loop_at_regular_intervals(period: float, share: float) -> None:
    seen = FakeLoop(period, hold=share * period).lag(600.0).recent()
    assert seen.max == pytest.approx(share * period, rel=0.1)
    assert seen.mean == pytest.approx(share * share * period / 2, rel=0.2)  # of a moment within a period


def test_a_long_hold_makes_all_looks_late_that_were_due_in_it() -> None:
    seen = FakeLoop(period=1000.0, hold=100.0).lag(1.0).recent()
    assert seen.count == pytest.approx(400, rel=0.1)
    assert seen.quantile(0.5) == pytest.approx(50.0, rel=0.1)


def test_a_timer_that_is_early_is_not_late() -> None:
    lag, loop = LagRecorder(), FakeLoop(period=1.0, hold=0.0)
    lag.start(loop)  # type: ignore[arg-type]
    [(_, look)] = loop.timers
    look()  # uvloop may do so
    assert (lag.recent().count, lag.recent().max) == (1, 0.0)


def test_looks_leave_the_global_random_numbers_alone() -> None:
    before = random.getstate()
    FakeLoop(period=1.0, hold=0.5).lag(10.0)
    assert random.getstate() == before


def test_lag_is_not_looked_at_after_the_end() -> None:
    lag, loop = LagRecorder(), FakeLoop(period=1.0, hold=0.0)
    lag.start(loop)  # type: ignore[arg-type]
    lag.stop()
    assert not loop.timers


# --- Trainings --------------------------------------------------------------------------------------------


def test_trainings_are_counted_by_trainer() -> None:
    recorder = TrainingRecorder(["a", "b"])
    recorder.add("a", 1.0)
    recorder.add("a", 2.0)
    assert recorder.times() == {"a": TrainerTimes(2, 3.0), "b": TrainerTimes(0, 0.0)}


# --- A system ---------------------------------------------------------------------------------------------


class Acting:
    """A recorder with all that it asks, of a system that does what a test says."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.overruns = 7  # from a life before this one
        data = {"buffer": SimpleNamespace(known_size=1, added_count=2, waiting_count=3)}
        components: Any = SimpleNamespace(trainers=["t"], data=data)
        self.recorder = Recorder(self.clock, components, lambda: self.overruns)

    def act(self, seconds: float, steps: int = 0, overruns: int = 0, trainings: int = 0) -> None:
        for _ in range(steps):
            self.recorder.steps.add(0.5)
        for _ in range(trainings):
            self.recorder.trainings.add("t", 2.0)
        self.overruns += overruns
        self.clock.advance(seconds)

    def now(self) -> Statistics:
        return self.recorder.statistics(SystemStatus.ACTIVE, states_saved=1)


@pytest.fixture
async def acting() -> Any:
    acting = Acting()
    acting.recorder.begin()
    yield acting
    acting.recorder.end()


def test_a_system_that_has_not_begun_has_no_uptime() -> None:
    acting = Acting()
    acting.clock.advance(5.0)
    assert (acting.now().uptime, acting.now().step_rate, acting.now().overruns) == (0.0, 0.0, 0)


async def test_figures_since_the_start(acting: Acting) -> None:
    acting.act(10.0, steps=20, overruns=3, trainings=1)
    now = acting.now()
    assert (now.uptime, now.steps, now.step_rate, now.overruns) == (10.0, 20, 2.0, 3)
    assert now.trainings == {"t": TrainerTimes(1, 2.0)}
    assert now.buffers == {"buffer": BufferFill(size=1, added=2, collected=5)}
    assert now.states_saved == 1


async def test_before_the_first_interval_is_over_recent_is_what_there_is_of_it(acting: Acting) -> None:
    acting.act(10.0, steps=20, overruns=3)
    now = acting.now()
    assert (now.recent.seconds, now.recent.step_rate, now.recent.overruns) == (10.0, 2.0, 3)
    assert now.recent.step_times == now.step_times


async def test_recent_is_the_last_whole_interval(acting: Acting) -> None:
    acting.act(60.0, steps=60, trainings=1)
    acting.recorder.log_interval()
    acting.act(60.0, steps=120, overruns=2, trainings=3)
    acting.recorder.log_interval()
    acting.act(30.0, steps=1, overruns=1, trainings=1)
    recent = acting.now().recent
    assert (recent.seconds, recent.step_times.count, recent.step_rate, recent.overruns) == (60.0, 120, 2.0, 2)
    assert recent.trainings == {"t": TrainerTimes(3, 6.0)}


@pytest.mark.parametrize("steps", [0, 1])
async def test_an_interval_may_have_one_step_or_none(acting: Acting, steps: int) -> None:
    acting.act(60.0, steps=5)
    acting.recorder.log_interval()
    acting.act(60.0, steps=steps)
    acting.recorder.log_interval()
    times = acting.now().recent.step_times
    assert (times.count, times.max == 0.5, math.isnan(times.mean)) == (steps, steps == 1, steps == 0)


async def test_an_interval_that_took_no_time_has_no_rate(acting: Acting) -> None:
    acting.act(0.0, steps=5)
    assert acting.now().recent.step_rate == 0.0


async def test_a_pause_is_no_uptime(acting: Acting) -> None:
    acting.clock.pause()
    acting.clock.advance(5.0)
    acting.clock.resume()
    acting.clock.advance(1.0)
    assert acting.now().uptime == 1.0


async def test_after_the_end_figures_stand_still(acting: Acting) -> None:
    acting.act(10.0, steps=20)
    acting.recorder.end()
    acting.act(10.0)
    assert (acting.now().uptime, acting.now().step_rate, acting.now().recent.seconds) == (10.0, 2.0, 10.0)
