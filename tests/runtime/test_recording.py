from __future__ import annotations

import math
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pamiq_async import SystemStatus
from pamiq_async.runtime.recording import DurationRecorder, Histogram, LagRecorder, Recorder, TrainingRecorder
from pamiq_async.runtime.statistics import BufferFill, Statistics, TrainerTimes
from pamiq_async.testing import ManualClock

durations = st.lists(st.floats(1e-9, 1e5), min_size=1)


def histogram(*seconds: float) -> Histogram:
    taken = Histogram()
    taken.take(list(seconds))
    return taken


# --- Durations --------------------------------------------------------------------------------------------


def test_of_no_durations_nothing_is_known() -> None:
    empty = histogram()
    assert empty.count == 0
    assert all(math.isnan(value) for value in (empty.mean, empty.max, empty.quantile(0.5)))


@given(st.floats(0.0, 1e5))
def test_of_one_duration_all_is_known(seconds: float) -> None:
    one = histogram(seconds)
    assert (one.count, one.mean, one.max, one.quantile(0.5), one.quantile(0.99)) == (1, *[seconds] * 4)


@given(durations, st.sampled_from([0.0, 0.5, 0.99, 1.0]))
def test_a_quantile_is_within_2_2_percent(seconds: list[float], q: float) -> None:
    exact = sorted(seconds)[math.floor(q * (len(seconds) - 1))]
    assert histogram(*seconds).quantile(q) == pytest.approx(exact, rel=0.022)


@given(durations)
def test_mean_and_maximum_are_exact(seconds: list[float]) -> None:
    taken = histogram(*seconds)
    assert taken.mean == pytest.approx(sum(seconds) / len(seconds))
    assert taken.max == max(seconds)


@given(durations, durations)
def test_merged_is_what_one_would_be_that_had_taken_in_both(first: list[float], second: list[float]) -> None:
    merged, together = histogram(*first).merged(histogram(*second)), histogram(*first, *second)
    assert (merged.count, merged.max, merged.quantile(0.5)) == (together.count, together.max, together.quantile(0.5))
    assert merged.total == pytest.approx(together.total)


def test_however_many_durations_there_were_a_histogram_stays_small() -> None:
    taken = histogram(*(1e-6 * 1.001**n for n in range(10_000)))
    assert len(taken._bins) < 250


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
    """A loop of which a test says how late it is."""

    now = 100.0

    def __init__(self) -> None:
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Any, *args: Any) -> SimpleNamespace:
        self.timers.append((self.now + delay, lambda: callback(*args)))
        return SimpleNamespace(cancel=self.timers.clear)

    def run_timer(self, late: float) -> None:
        due, callback = self.timers.pop()
        self.now = due + late
        callback()


def test_lag_is_how_late_a_timer_was() -> None:
    loop: Any = FakeLoop()
    lag = LagRecorder()
    lag.start(loop)
    for late in (0.0, 3.0, 1.0, -0.001):  # uvloop may be early
        loop.run_timer(late)
    assert lag.recent().max == pytest.approx(3.0)
    assert lag.recent().quantile(0.0) == pytest.approx(0.0, abs=1e-8)
    assert lag.recent().count == 4


def test_lag_is_not_looked_at_after_the_end() -> None:
    loop: Any = FakeLoop()
    lag = LagRecorder()
    lag.start(loop)
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
