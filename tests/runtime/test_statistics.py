from __future__ import annotations

import math
import threading

import pytest

from pamiq_async.runtime.statistics import RECENT_STEPS, StepRecorder, TrainerTimes, TrainingRecorder


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
