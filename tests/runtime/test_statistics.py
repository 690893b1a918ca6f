from __future__ import annotations

import math
import threading

import pytest

from pamiq_async import SystemStatus
from pamiq_async.runtime.statistics import (
    RECENT_STEPS,
    BufferFill,
    Statistics,
    StepRecorder,
    TrainerTimes,
    TrainingRecorder,
    as_html,
    as_log_line,
    as_rows,
)


def test_before_the_first_step_there_are_no_times() -> None:
    times = StepRecorder().times()
    assert times.count == 0
    assert all(math.isnan(value) for value in (times.mean, times.p50, times.p99, times.max))


def test_one_step_is_enough() -> None:
    recorder = StepRecorder()
    recorder.add(0.5)
    times = recorder.times()
    assert (times.count, times.mean, times.p50, times.p99, times.max) == (1, 0.5, 0.5, 0.5, 0.5)


def test_mean_and_max_are_of_all_steps_and_quantiles_of_the_last() -> None:
    recorder = StepRecorder()
    recorder.add(1000.0)
    for _ in range(RECENT_STEPS):
        recorder.add(1.0)
    times = recorder.times()
    assert (times.count, times.p99, times.max) == (RECENT_STEPS + 1, 1.0, 1000.0)
    assert times.mean == pytest.approx((1000 + RECENT_STEPS) / (RECENT_STEPS + 1))


def test_quantiles_are_in_order() -> None:
    recorder = StepRecorder()
    for value in range(101):
        recorder.add(float(value))
    times = recorder.times()
    assert (times.p50, times.p99, times.max) == (50.0, 99.0, 100.0)


def test_it_can_be_read_while_another_thread_adds() -> None:
    recorder, stop = StepRecorder(), threading.Event()

    def add() -> None:
        while not stop.is_set():
            recorder.add(1.0)

    thread = threading.Thread(target=add)
    thread.start()
    try:
        for _ in range(50):
            assert recorder.times().max in (1.0,) or recorder.count == 0
    finally:
        stop.set()
        thread.join()


def test_trainings_are_counted_by_trainer() -> None:
    recorder = TrainingRecorder(["a", "b"])
    recorder.add("a", 1.0)
    recorder.add("a", 2.0)
    assert recorder.times() == {"a": TrainerTimes(2, 3.0), "b": TrainerTimes(0, 0.0)}


def figures(**trainings: TrainerTimes) -> Statistics:
    recorder = StepRecorder()
    recorder.add(0.5)
    fills = {"<steps>": BufferFill(size=3, added=5)}
    return Statistics(SystemStatus.ACTIVE, 2.0, 0.5, recorder.times(), trainings, fills, states_saved=1)


def test_a_log_line_tells_of_steps_and_trainings() -> None:
    assert as_log_line(figures()).startswith("1 steps, 0.5/s; a step took 500.000 ms on average")
    assert as_log_line(figures()).endswith("trainings: none")
    assert as_log_line(figures(a=TrainerTimes(2, 1.0), b=TrainerTimes(0, 0.0))).endswith("trainings: a 2, b 0")


def test_a_table_has_a_row_for_each_figure_and_escapes_names() -> None:
    table = as_html(as_rows(figures(a=TrainerTimes(2, 1.0))))
    assert "<tr><th>status</th><td>active</td></tr>" in table
    assert "<tr><th>trainings of a</th><td>2</td></tr>" in table
    assert "<tr><th>items in &lt;steps&gt;</th><td>3</td></tr>" in table
