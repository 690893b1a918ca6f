from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pamiq_async import IntervalAdjustor, SleepIntervalAdjustor, nonblocking, time
from pamiq_async.roles import Role

# The clock goes on from one example to the next, which does not matter to any of them.
any_clock = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_steps_start_an_interval_apart(clock: Any) -> None:
    adjustor = SleepIntervalAdjustor(0.5)
    start = adjustor.reset()

    starts = []
    for _ in range(3):
        clock.now += 0.2  # the step
        adjustor.adjust()
        starts.append(clock.now - start)

    assert starts == [0.5, 1.0, 1.5]


def test_lateness_of_one_step_does_not_shift_the_next(clock: Any) -> None:
    adjustor = SleepIntervalAdjustor(1.0)
    start = adjustor.reset()

    starts = []
    for duration in (0.1, 1.75, 0.1, 0.1):
        clock.now += duration
        adjustor.adjust()
        starts.append(clock.now - start)

    assert starts == [1.0, 2.75, 3.0, 4.0]


@pytest.mark.parametrize(("late", "next_start"), [(2.75, 3.0), (3.0, 4.0), (3.75, 4.75), (60.0, 61.0)])
def test_after_a_stall_of_three_periods_the_schedule_starts_anew(late: float, next_start: float, clock: Any) -> None:
    adjustor = SleepIntervalAdjustor(1.0)
    start = adjustor.reset()
    due = 1.0
    clock.now += due + late

    adjustor.adjust()  # at once
    assert clock.now == start + due + late
    while clock.now - start <= due + late:
        adjustor.adjust()

    assert clock.now - start == due + next_start


@pytest.mark.parametrize("scale", [1.0, 4.0])
@pytest.mark.parametrize(("late_ms", "is_stall"), [(5, False), (19, False), (21, True), (300, True)])
def test_at_short_intervals_a_stall_also_lasts_twenty_real_milliseconds(
    late_ms: int, is_stall: bool, scale: float, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "get_time_scale", lambda: scale)
    adjustor = SleepIntervalAdjustor(0.001)
    start = adjustor.reset()
    clock.now += 0.001 + scale * late_ms / 1000

    adjustor.adjust()  # at once

    assert adjustor.deadline - start == pytest.approx(0.001 + scale * late_ms / 1000 + 0.001 if is_stall else 0.002)


def test_the_offset_is_taken_off_each_interval(clock: Any) -> None:
    adjustor = SleepIntervalAdjustor(1.0, offset=0.25)
    start = adjustor.reset()

    starts = []
    for _ in range(3):
        adjustor.adjust()
        starts.append(clock.now - start)

    assert starts == [0.75, 1.5, 2.25]


def test_adjust_returns_the_time_since_the_step_before(clock: Any) -> None:
    adjustor = SleepIntervalAdjustor(1.0)
    adjustor.reset()

    assert adjustor.adjust() == 1.0
    clock.now += 1.5
    assert adjustor.adjust() == 1.5
    assert adjustor.adjust() == 0.5


def test_reset_starts_the_schedule_now(clock: Any) -> None:
    adjustor = SleepIntervalAdjustor(1.0)
    adjustor.reset()
    clock.now += 0.5

    assert adjustor.reset() == clock.now
    assert adjustor.deadline == clock.now + 1.0


def test_without_a_reset_the_first_step_is_not_waited_for(clock: Any) -> None:
    adjustor = SleepIntervalAdjustor(1.0)
    before = clock.now

    assert adjustor.deadline == -math.inf
    assert adjustor.adjust() == math.inf
    assert clock.now == before
    assert adjustor.adjust() == 1.0


@any_clock
@given(
    interval=st.floats(1e-4, 1e3),
    share=st.floats(0, 0.9),
    durations=st.lists(st.floats(0, 0.999), min_size=1, max_size=30),
)
def test_the_mean_rate_is_exact_while_steps_are_shorter_than_a_period(
    interval: float, share: float, durations: list[float], clock: Any
) -> None:
    adjustor = SleepIntervalAdjustor(interval, offset=share * interval)
    period = interval - share * interval
    start = adjustor.reset()

    for duration in durations:
        clock.now += duration * period
        adjustor.adjust()

    assert clock.now - start == pytest.approx(len(durations) * period)


@any_clock
@given(stalls=st.lists(st.floats(0, 10), min_size=1, max_size=30))
def test_the_schedule_is_never_more_than_three_periods_behind(stalls: list[float], clock: Any) -> None:
    adjustor = SleepIntervalAdjustor(1.0)
    adjustor.reset()

    for stall in stalls:
        clock.now += stall
        adjustor.adjust()

        assert adjustor.deadline > clock.now - 2.0


@pytest.mark.parametrize(
    ("durations", "overruns"),
    [
        ([], 0),
        ([0.5, 1.0, 0.99], 0),
        ([0.5, 1.5, 0.25], 1),
        ([1.5, 0.75, 0.5], 2),  # the second began late and so was not done in time either
        ([7.0, 0.5], 1),  # a stall is one
    ],
)
def test_an_overrun_is_a_step_that_still_runs_when_the_next_is_due(
    durations: list[float], overruns: int, clock: Any
) -> None:
    adjustor = SleepIntervalAdjustor(1.0)
    adjustor.reset()

    for duration in durations:
        clock.now += duration
        adjustor.adjust()

    assert adjustor.overruns == overruns


def test_what_comes_between_a_step_and_the_wait_is_no_overrun(clock: Any) -> None:
    adjustor = SleepIntervalAdjustor(1.0)
    adjustor.reset()

    clock.now += 0.5
    adjustor.begin_wait()
    clock.now += 5.0
    adjustor.adjust()
    assert adjustor.overruns == 0

    clock.now += 1.5
    adjustor.adjust()
    assert adjustor.overruns == 1


def test_a_reset_ends_a_wait(clock: Any) -> None:
    adjustor = SleepIntervalAdjustor(1.0)
    adjustor.begin_wait()
    adjustor.reset()

    clock.now += 1.5
    adjustor.adjust()
    assert adjustor.overruns == 1


def test_without_a_schedule_there_are_no_overruns(clock: Any) -> None:
    adjustor = SleepIntervalAdjustor(1.0)
    adjustor.adjust()
    assert adjustor.overruns == 0


class Napping(IntervalAdjustor):
    """Sleeps a fixed time, whatever is due."""

    def adjust_impl(self) -> None:
        time.sleep(0.25)


def test_a_custom_wait(clock: Any) -> None:
    adjustor = Napping(1.0)
    adjustor.reset()

    assert [adjustor.adjust() for _ in range(3)] == [0.25, 0.25, 0.25]


class AsyncNapping(IntervalAdjustor):
    async def adjust_impl(self) -> None:  # type: ignore[override]
        await time.asleep(0.25)


class ReadyAtOnce(IntervalAdjustor):
    @nonblocking
    def adjust_impl(self) -> None:
        pass


class AsyncSleep(SleepIntervalAdjustor):
    async def adjust_impl(self) -> None:  # type: ignore[override]
        await time.asleep(0.125)


@pytest.mark.parametrize(
    ("adjustor", "waited"),
    [
        (SleepIntervalAdjustor(1.0), 1.0),
        (Napping(1.0), 0.25),
        (AsyncNapping(1.0), 0.25),
        (ReadyAtOnce(1.0), 0.0),
        (AsyncSleep(1.0), 0.125),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_adjust_and_its_twin_do_the_same(adjustor: IntervalAdjustor, waited: float, role: Role) -> None:
    adjustor.reset()
    assert await role.call(adjustor.adjust) == waited  # on the lane

    adjustor.reset()
    assert await role.call(adjustor.aadjust) == waited


@pytest.mark.parametrize("adjustor", [SleepIntervalAdjustor(1.0), AsyncNapping(1.0)])
async def test_the_twin_counts_overruns(adjustor: IntervalAdjustor, role: Role, clock: Any) -> None:
    adjustor.reset()
    clock.now += 1.5
    await role.call(adjustor.aadjust)
    assert adjustor.overruns == 1


async def test_the_twin_works_outside_of_a_system(clock: Any) -> None:
    adjustor = SleepIntervalAdjustor(1.0)
    adjustor.reset()

    assert await adjustor.aadjust() == 1.0


def test_an_async_wait_is_refused_in_plain_code(clock: Any) -> None:
    with pytest.raises(TypeError, match=r"AsyncNapping\.adjust_impl is async def"):
        AsyncNapping(1.0).adjust()


@pytest.mark.parametrize("interval", [0, -1.0, math.nan, math.inf])
def test_an_interval_must_be_positive_and_finite(interval: float) -> None:
    with pytest.raises(ValueError, match=f"interval is {interval!r}; it must be a positive number of seconds"):
        SleepIntervalAdjustor(interval)


@pytest.mark.parametrize("offset", [-0.1, 1.0, 2.0, math.nan])
def test_an_offset_must_leave_something_of_the_interval(offset: float) -> None:
    with pytest.raises(ValueError, match=rf"offset is {offset!r}; .* less than the interval, 1\.0"):
        SleepIntervalAdjustor(1.0, offset)
