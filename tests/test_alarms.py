"""Alarms, on the timers of the machine: none of these tests asks how late one rings."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from pamiq_async import alarms as module
from pamiq_async.alarms import alarms

FAR = 3600.0


async def open_timers() -> int:
    def count() -> Iterator[bool]:
        for descriptor in Path("/proc/self/fd").glob("*"):
            with contextlib.suppress(FileNotFoundError):  # that of the listing itself
                yield "timerfd" in os.readlink(descriptor)

    return await asyncio.to_thread(lambda: sum(count()))


async def rung(seconds: float) -> float:
    """Wait for an alarm; gives the time at which it rang."""
    ringing = asyncio.get_running_loop().create_future()
    alarms().set(seconds, lambda: ringing.set_result(perf_counter()))
    time: float = await ringing
    return time


@pytest.fixture
def no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise OSError("too many open files")

    monkeypatch.setattr(module, "_create_timer", fail)


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1e-4, 0.0123])
async def test_an_alarm_never_rings_early(seconds: float) -> None:
    begun = perf_counter()

    assert await rung(seconds) >= begun + seconds


async def test_an_alarm_in_the_past_rings() -> None:
    await rung(-1.0)


async def test_alarms_ring_in_the_order_of_their_times_whenever_they_were_set() -> None:
    rang: list[int] = []
    last = asyncio.Event()

    alarms().set(0.003, last.set)
    for number in (2, 0, 1):
        alarms().set(0.001 * number, lambda number=number: rang.append(number))  # type: ignore[misc]
    await last.wait()

    assert rang == [0, 1, 2]


async def test_alarms_of_one_moment_ring_in_the_order_in_which_they_were_set(monkeypatch: pytest.MonkeyPatch) -> None:
    now = perf_counter()
    rang: list[int] = []
    last = asyncio.Event()
    with monkeypatch.context() as standing_still:
        standing_still.setattr(module, "perf_counter", lambda: now)
        for number in range(20):
            alarms().set(0.001, lambda number=number: rang.append(number))  # type: ignore[misc]
        alarms().set(0.001, last.set)

    await last.wait()

    assert rang == list(range(20))


@pytest.mark.parametrize("called_off", range(3))
async def test_an_alarm_that_was_called_off_does_not_ring(called_off: int) -> None:
    rang: list[int] = []
    last = asyncio.Event()
    call_offs = [alarms().set(0.001 * n, lambda n=n: rang.append(n)) for n in range(3)]  # type: ignore[misc]
    alarms().set(0.003, last.set)

    call_offs[called_off]()
    await last.wait()

    assert rang == [n for n in range(3) if n != called_off]


async def test_calling_off_what_has_rung_changes_nothing() -> None:
    ringing = asyncio.Event()
    call_off = alarms().set(0.0, ringing.set)
    await ringing.wait()

    call_off()


async def test_an_alarm_that_sets_the_next_one_is_followed_by_it() -> None:
    last = asyncio.Event()

    alarms().set(0.0, lambda: alarms().set(0.0, last.set))

    await last.wait()


@pytest.mark.parametrize("seconds", [1e6, 1e12, 1e300])
async def test_an_alarm_may_be_far_away(seconds: float) -> None:
    call_off = alarms().set(seconds, lambda: pytest.fail("rang"))

    await rung(0.0)

    call_off()


async def test_a_timer_that_is_over_before_its_alarm_is_due_is_set_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LONGEST", 0.001)
    begun = perf_counter()

    assert await rung(0.005) >= begun + 0.005


async def test_a_loop_has_its_own() -> None:
    async def of_this_loop() -> Any:
        return alarms()

    own = alarms()
    other = await asyncio.to_thread(asyncio.run, of_this_loop())

    assert alarms() is own is not other


def test_a_loop_after_another_on_the_same_thread_has_its_own() -> None:
    for _ in range(2):
        asyncio.run(rung(0.0))


# --- What is open ---------------------------------------------------------------------------------------

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="timerfd is Linux's")


@on_linux
async def test_the_timer_is_open_while_there_are_alarms() -> None:
    call_offs = [alarms().set(FAR, lambda: None) for _ in range(10)]
    assert await open_timers() == 1

    for call_off in call_offs:
        call_off()

    assert await open_timers() == 0


@on_linux
async def test_the_timer_is_closed_once_the_last_alarm_has_rung() -> None:
    await rung(0.0)

    assert await open_timers() == 0


@on_linux
async def test_the_timer_is_kept_open_for_those_who_will_need_it_again() -> None:
    with alarms().kept_open():
        assert await open_timers() == 0  # nobody has needed it yet
        with alarms().kept_open():
            await rung(0.0)
        assert await open_timers() == 1
        await rung(0.0)

    assert await open_timers() == 0


@on_linux
async def test_a_timer_that_is_kept_open_stays_open_for_alarms_left() -> None:
    with alarms().kept_open():
        call_off = alarms().set(FAR, lambda: None)
    assert await open_timers() == 1

    call_off()

    assert await open_timers() == 0


@pytest.mark.usefixtures("no_timer")
async def test_without_a_file_descriptor_for_a_timer_the_loops_own_do() -> None:
    await rung(0.001)


@pytest.mark.usefixtures("no_timer")
async def test_an_alarm_of_the_loops_own_can_be_called_off() -> None:
    call_off = alarms().set(0.0, lambda: pytest.fail("rang"))

    call_off()

    await rung(0.0)


@on_linux
async def test_a_loop_that_takes_no_readers_has_its_own_timers_and_nothing_stays_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def add_reader(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", add_reader)

    await rung(0.0)

    assert await open_timers() == 0
