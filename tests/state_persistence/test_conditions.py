from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from pamiq_async.hooks import Kind, kind_of
from pamiq_async.state_persistence import PeriodicSaveCondition
from pamiq_async.time import TimeController, use_time_controller


@pytest.fixture
def clock() -> Iterator[TimeController]:
    """A clock that stands at 100 s until a test sets it."""
    controller = TimeController()
    controller.pause()
    set_to(controller, 100)
    with use_time_controller(controller):
        yield controller


def set_to(clock: TimeController, seconds: float) -> None:
    clock.load_state_dict({"time": seconds, "perf_counter": seconds})


def test_it_is_true_once_per_interval_from_the_first_call_on(clock: TimeController) -> None:
    condition = PeriodicSaveCondition(10)
    answers = {}
    for now in [100, 109, 110, 111, 119, 120, 129.5, 131, 140, 141]:
        set_to(clock, now)
        answers[now] = condition()
    assert [now for now, answer in answers.items() if answer] == [110, 120, 131, 141]


def test_the_time_before_the_first_call_does_not_count(clock: TimeController) -> None:
    condition = PeriodicSaveCondition(10)
    set_to(clock, 1000)
    assert not condition()


def test_a_clock_that_was_set_back_starts_the_interval_anew(clock: TimeController) -> None:
    condition = PeriodicSaveCondition(10)
    condition()
    set_to(clock, 5)
    assert not condition()
    set_to(clock, 15)
    assert condition()


def test_an_infinite_interval_never_ends(clock: TimeController) -> None:
    condition = PeriodicSaveCondition(math.inf)
    condition()
    set_to(clock, 1e12)
    assert not condition()


@pytest.mark.parametrize("interval", [0, -1, math.nan])
def test_an_interval_must_be_positive(interval: float) -> None:
    with pytest.raises(ValueError, match=r"interval is .* positive"):
        PeriodicSaveCondition(interval)


def test_it_may_be_asked_on_the_loop() -> None:
    assert kind_of(PeriodicSaveCondition(1).__call__) is Kind.INLINE
