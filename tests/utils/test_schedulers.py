"""Callbacks now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pamiq_async import time
from pamiq_async.time import TimeController, use_time_controller
from pamiq_async.utils.schedulers import Scheduler, StepIntervalScheduler, TimeIntervalScheduler


@pytest.fixture
def clock() -> Iterator[TimeController]:
    """Stands still; tests move it by loading."""
    clock = TimeController()
    clock.pause()
    clock.load_state_dict({"time": 100.0, "perf_counter": 0.0})
    with use_time_controller(clock):
        yield clock


def move_to(clock: TimeController, now: float) -> None:
    clock.load_state_dict({"time": now, "perf_counter": now})


class AlwaysDue(Scheduler):
    def is_available(self) -> bool:
        return True


class NeverDue(Scheduler):
    def is_available(self) -> bool:
        return False


# --- Callbacks ------------------------------------------------------------------------------------


def test_callbacks_are_called_in_order() -> None:
    calls: list[str] = []
    scheduler = AlwaysDue([lambda: calls.append("first"), lambda: calls.append("second")])
    scheduler.register_callback(lambda: calls.append("third"))
    scheduler.update()
    assert calls == ["first", "second", "third"]


def test_callbacks_that_are_not_due_are_not_called() -> None:
    NeverDue(lambda: pytest.fail("it is not due")).update()


def test_one_callable_will_do_for_callbacks() -> None:
    calls: list[str] = []
    AlwaysDue(lambda: calls.append("it")).update()
    assert calls == ["it"]


def test_without_callbacks_nothing_happens() -> None:
    AlwaysDue().update()


def test_a_list_of_callbacks_is_copied() -> None:
    callbacks: list[Callable[[], object]] = []
    scheduler = AlwaysDue(callbacks)
    callbacks.append(lambda: pytest.fail("it was never registered"))
    scheduler.update()


def test_a_removed_callback_is_not_called_any_more() -> None:
    def callback() -> None:
        pytest.fail("it was removed")

    scheduler = AlwaysDue(callback)
    scheduler.remove_callback(callback)
    scheduler.update()


def test_removing_a_callback_that_is_not_there_says_so() -> None:
    with pytest.raises(ValueError, match="is not registered; there are 1 others"):
        AlwaysDue(print).remove_callback(len)


def test_a_callback_may_remove_itself() -> None:
    calls: list[str] = []

    def once() -> None:
        calls.append("once")
        scheduler.remove_callback(once)

    scheduler = AlwaysDue([once, lambda: calls.append("always")])
    scheduler.update()
    scheduler.update()
    assert calls == ["once", "always", "always"]


def test_a_scheduler_that_does_not_say_when_it_is_due_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="is_available"):
        Scheduler()  # type: ignore[abstract]


# --- Every so many seconds ------------------------------------------------------------------------


def test_it_is_due_after_each_interval_of_system_time(clock: TimeController) -> None:
    calls: list[float] = []
    scheduler = TimeIntervalScheduler(10, lambda: calls.append(time.time()))
    for now in (109, 110, 111, 119, 125, 134, 135):
        move_to(clock, now)
        scheduler.update()
    assert calls == [110, 125, 135]


def test_the_interval_counts_from_the_end_of_the_callbacks(clock: TimeController) -> None:
    scheduler = TimeIntervalScheduler(10, lambda: move_to(clock, 150))
    move_to(clock, 110)
    scheduler.update()
    move_to(clock, 159)
    assert not scheduler.is_available()
    move_to(clock, 160)
    assert scheduler.is_available()


def test_after_time_went_back_the_interval_begins_anew(clock: TimeController) -> None:
    scheduler = TimeIntervalScheduler(10)
    move_to(clock, 5)  # a state from long ago was loaded
    assert not scheduler.is_available()
    move_to(clock, 14)
    assert not scheduler.is_available()
    move_to(clock, 15)
    assert scheduler.is_available()


@pytest.mark.parametrize("interval", [0, -1, float("nan")])
def test_an_interval_that_is_not_positive_is_refused(interval: float) -> None:
    with pytest.raises(ValueError, match="must be a positive number of seconds"):
        TimeIntervalScheduler(interval)


# --- Every so many steps --------------------------------------------------------------------------


@pytest.mark.parametrize(("interval", "expected"), [(1, [1, 2, 3, 4, 5, 6, 7]), (3, [3, 6])])
def test_it_is_due_at_every_nth_step(interval: int, expected: list[int]) -> None:
    calls: list[int] = []
    step = 0
    scheduler = StepIntervalScheduler(interval, lambda: calls.append(step))
    for step in range(1, 8):  # noqa: B007  (the callback reads it)
        scheduler.update()
    assert calls == expected


@pytest.mark.parametrize("interval", [0, -1, 1.5, True, "2"])
def test_steps_that_are_no_positive_whole_number_are_refused(interval: Any) -> None:
    with pytest.raises(ValueError, match="must be a positive number of steps"):
        StepIntervalScheduler(interval)
