"""A clock that tests drive."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pamiq_async import FixedIntervalInteraction, time
from pamiq_async.testing import ManualClock
from pamiq_async.utils.schedulers import TimeIntervalScheduler
from tests.fakes import Log, fake_interaction


def test_no_time_passes_by_itself() -> None:
    with ManualClock() as clock:
        assert (time.time(), time.perf_counter(), time.monotonic()) == (0, 0, 0)
        clock.advance(1.5)
        assert (time.time(), time.perf_counter(), time.monotonic()) == (1.5, 1.5, 1.5)


def test_it_may_start_anywhere() -> None:
    clock = ManualClock(100.0)
    clock.advance(1)
    assert clock.time() == clock.perf_counter() == 101


def test_it_is_meant_within_its_block_alone() -> None:
    with ManualClock(-5.0):
        pass
    assert time.perf_counter() != -5.0


def test_a_pause_and_a_scale_hold_for_what_is_advanced() -> None:
    clock = ManualClock()
    clock.set_time_scale(3)
    clock.advance(2)
    clock.pause()
    assert clock.is_paused()
    clock.advance(100)
    clock.resume()
    clock.advance(1)
    assert clock.perf_counter() == 9


def test_its_state_comes_back() -> None:
    clock = ManualClock()
    clock.advance(7)
    state = clock.state_dict()
    clock.advance(1)
    clock.load_state_dict(state)
    assert clock.perf_counter() == 7
    clock.advance(1)
    assert clock.perf_counter() == 8


@pytest.mark.parametrize("secs", [-1.0, math.nan, math.inf])
def test_time_advances_by_finite_steps_alone(secs: float) -> None:
    with pytest.raises(ValueError, match="can't advance by"):
        ManualClock().advance(secs)


async def sleeping(sleep: str) -> Coroutine[Any, Any, None]:
    return time.asleep(10) if sleep == "asleep" else asyncio.to_thread(time.sleep, 10)


@pytest.mark.parametrize("sleep", ["asleep", "sleep"])
async def test_a_sleeper_wakes_when_its_time_has_come(sleep: str) -> None:
    with ManualClock() as clock:
        task = asyncio.create_task(await sleeping(sleep))
        await clock.wait_for_sleepers()
        clock.advance(9)
        await asyncio.sleep(0.01)
        assert not task.done()
        clock.advance(1)
        await task


@pytest.mark.parametrize("sleep", ["asleep", "sleep"])
async def test_the_clock_can_go_to_whatever_is_next(sleep: str) -> None:
    with ManualClock() as clock:
        clock.advance(1)
        task = asyncio.create_task(await sleeping(sleep))
        longer = asyncio.create_task(time.asleep(12))
        await clock.wait_for_sleepers(2)
        assert clock.advance_to_next() == 10
        await task
        assert clock.advance_to_next() == 2
        await longer
        with pytest.raises(RuntimeError, match="nobody waits"):
            clock.advance_to_next()


async def test_while_paused_the_clock_goes_nowhere() -> None:
    with ManualClock() as clock:
        clock.pause()
        task = asyncio.create_task(time.asleep(1))
        await clock.wait_for_sleepers()
        with pytest.raises(RuntimeError, match="time is paused"):
            clock.advance_to_next()
        clock.resume()
        clock.advance_to_next()
        await task


@given(st.lists(st.floats(0.001, 10), min_size=1, max_size=30))
def test_a_sleep_ends_after_as_many_small_steps_as_it_is_long(steps: list[float]) -> None:
    clock = ManualClock()
    deadline = math.fsum(steps)
    for step in steps:
        clock.advance(step)
    assert clock.wait_until(deadline)


def test_a_scheduler_can_be_driven() -> None:
    calls: list[float] = []
    with ManualClock() as clock:
        scheduler = TimeIntervalScheduler(5.0, lambda: calls.append(clock.time()))
        for _ in range(11):
            clock.advance(1)
            scheduler.update()
    assert calls == [5, 10]


async def test_an_interaction_can_be_driven_step_by_step() -> None:
    log = Log()
    with ManualClock() as clock:
        interaction = fake_interaction(log, interval=0.5)
        assert isinstance(interaction, FixedIntervalInteraction)
        interaction.setup()

        async def three_steps() -> None:
            for _ in range(3):
                await interaction.astep()

        steps = asyncio.create_task(three_steps())
        for count in (1, 2, 3):
            await clock.wait_for_sleepers()
            assert log.count("agent.step") == count
            clock.advance_to_next()
            while clock.perf_counter() >= 0.5 * count and log.count("agent.step") == count and not steps.done():
                await asyncio.sleep(0)
        await steps
        assert clock.perf_counter() == 1.5
