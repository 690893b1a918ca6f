"""Clocks, on a real time that the tests drive."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import json
import math
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pamiq_async import time
from pamiq_async.hooks import Lane
from pamiq_async.time import TimeController, is_in_task_of, use_time_controller

SECONDS = st.floats(0, 1e6)
SCALES = st.floats(1e-3, 1e3)


class RealTime:
    """Stands in for the standard library's `time`; moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.on_read: Callable[[], object] = lambda: None

    def perf_counter(self) -> float:
        self.on_read()
        return self.now

    def time(self) -> float:
        return 1e9 + self.now


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> RealTime:
    fake = RealTime()
    monkeypatch.setattr(time, "_real", fake)
    return fake


@pytest.fixture
def clock(real: RealTime) -> TimeController:
    return TimeController()


class Reads:
    """Lets tests wait until a sleeper has looked at the clock so many times more."""

    def __init__(self, real: RealTime) -> None:
        self._count = itertools.count(1)
        self._expected = 0
        self._reached = threading.Event()
        real.on_read = self._read

    def _read(self) -> None:
        if next(self._count) == self._expected:
            self._reached.set()

    def expect(self, count: int) -> None:
        self._count, self._expected = itertools.count(1), count
        self._reached.clear()

    def wait(self) -> None:
        assert self._reached.wait(20)


class Sleeper:
    """A thread that blocks in a call."""

    def __init__(self, call: Callable[..., Any], *args: Any) -> None:
        self.result: Any = None
        self._thread = threading.Thread(target=self._main, args=(call, *args))
        self._thread.start()

    def _main(self, call: Callable[..., Any], *args: Any) -> None:
        self.result = call(*args)

    @property
    def is_asleep(self) -> bool:
        return self._thread.is_alive()

    def join(self, timeout: float = 20) -> None:
        self._thread.join(timeout)
        assert timeout < 20 or not self.is_asleep


# --- Reading --------------------------------------------------------------------------------------


def test_it_begins_at_real_time(real: RealTime, clock: TimeController) -> None:
    assert clock.time() == pytest.approx(real.time())
    assert clock.perf_counter() == clock.monotonic() == real.now
    assert clock.get_time_scale() == 1.0
    assert not clock.is_paused()


def test_scaled_time_runs_at_its_scale(real: RealTime, clock: TimeController) -> None:
    clock.set_time_scale(10)
    real.now += 2
    assert clock.perf_counter() == 1020
    assert clock.time() == pytest.approx(1e9 + 1020)


def test_paused_time_stands_still_and_goes_on_without_a_jump(real: RealTime, clock: TimeController) -> None:
    clock.pause()
    real.now += 5
    assert clock.is_paused()
    assert clock.perf_counter() == 1000
    clock.resume()
    assert clock.perf_counter() == 1000
    real.now += 3
    assert clock.perf_counter() == 1003


def test_pausing_twice_and_resuming_twice_change_nothing(real: RealTime, clock: TimeController) -> None:
    clock.resume()
    clock.pause()
    real.now += 1
    clock.pause()
    clock.resume()
    clock.resume()
    real.now += 1
    assert clock.perf_counter() == 1001


def test_a_scale_set_while_paused_holds_after_resume(real: RealTime, clock: TimeController) -> None:
    clock.pause()
    clock.set_time_scale(4)
    real.now += 1
    assert clock.get_time_scale() == 4
    assert clock.perf_counter() == 1000
    clock.resume()
    real.now += 1
    assert clock.perf_counter() == 1004


@pytest.mark.parametrize("scale", [0, -1, math.inf, math.nan])
def test_a_scale_that_is_not_positive_and_finite_is_refused(clock: TimeController, scale: float) -> None:
    with pytest.raises(ValueError, match=f"time_scale is {scale!r}; it must be a positive finite number"):
        clock.set_time_scale(scale)
    assert clock.get_time_scale() == 1


OPERATIONS = st.one_of(
    st.tuples(st.just("wait"), SECONDS),
    st.tuples(st.just("scale"), SCALES),
    st.tuples(st.just("load"), st.fixed_dictionaries({"time": SECONDS, "perf_counter": SECONDS})),
    st.tuples(st.sampled_from(["pause", "resume"]), st.none()),
)


@settings(deadline=None)
@given(st.lists(OPERATIONS, max_size=30))
def test_any_history_keeps_time_continuous_and_at_the_right_rate(history: list[tuple[str, Any]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        real = RealTime()
        patch.setattr(time, "_real", real)
        clock = TimeController()
        rate, paused = 1.0, False
        for operation, argument in history:
            before, epoch = clock.perf_counter(), clock.time() - clock.perf_counter()
            match operation:
                case "wait":
                    real.now += argument
                    # As exact as the subtraction of two readings of real time can be.
                    expected = pytest.approx(before + (0 if paused else rate * argument), rel=1e-9, abs=1e-4)
                case "scale":
                    rate, expected = argument, before
                    clock.set_time_scale(argument)
                case "load":
                    expected, epoch = argument["perf_counter"], argument["time"] - argument["perf_counter"]
                    clock.load_state_dict(argument)
                case _:
                    paused, expected = operation == "pause", before
                    getattr(clock, operation)()
            assert clock.perf_counter() == expected
            assert clock.time() == pytest.approx(clock.perf_counter() + epoch, rel=1e-9)
            assert clock.perf_counter() >= before or operation == "load"
            assert (clock.is_paused(), clock.get_time_scale()) == (paused, rate)


def test_a_reading_that_a_change_overtakes_is_not_ahead_of_later_ones(real: RealTime, clock: TimeController) -> None:
    clock.set_time_scale(1000)

    def pause_while_reading() -> None:
        real.on_read = lambda: None
        clock.pause()
        real.now += 1  # the reader gets its real time late, with the rate from before the pause

    real.on_read = pause_while_reading
    reading = clock.perf_counter()
    assert reading == clock.perf_counter() == 1000


def test_a_reading_during_a_change_waits_for_it(real: RealTime, clock: TimeController) -> None:
    clock.set_time_scale(1000)
    readings: list[float] = []
    readers: list[Sleeper] = []

    def read_in_another_thread() -> float:  # while pause() makes its anchor
        del real.perf_counter  # type: ignore[attr-defined]
        began = real.now
        real.now += 1
        readers.append(Sleeper(lambda: readings.append(clock.perf_counter())))
        readers[0].join(0.05)  # a reader that did not wait would have ended by then
        return began

    real.perf_counter = read_in_another_thread  # type: ignore[method-assign]
    clock.pause()
    readers[0].join()
    assert readings == [clock.perf_counter()]


# --- Saving ---------------------------------------------------------------------------------------


def test_a_loaded_state_takes_time_back(real: RealTime, clock: TimeController) -> None:
    state = clock.state_dict()
    real.now += 50
    clock.load_state_dict(state)
    assert clock.state_dict() == pytest.approx(state)
    real.now += 1
    assert clock.perf_counter() == state["perf_counter"] + 1
    assert clock.time() == pytest.approx(state["time"] + 1)


def test_a_state_loaded_while_paused_stands_still(real: RealTime, clock: TimeController) -> None:
    clock.pause()
    clock.load_state_dict({"time": 7.0, "perf_counter": 3.0})
    real.now += 1
    assert (clock.time(), clock.perf_counter()) == (7, 3)


def test_a_clock_is_saved_into_a_file_and_loaded_from_it(real: RealTime, clock: TimeController, tmp_path: Path) -> None:
    clock.save_state(tmp_path / "time")
    assert json.loads((tmp_path / "time.json").read_text()) == clock.state_dict()
    real.now += 9
    clock.load_state(tmp_path / "time")
    assert clock.perf_counter() == 1000


@pytest.mark.parametrize(
    "state",
    [{}, {"time": 1.0}, {"time": "1", "perf_counter": 1.0}, {"time": 1.0, "perf_counter": math.nan}],
)
def test_what_is_no_state_is_refused_and_changes_nothing(clock: TimeController, state: dict[str, Any]) -> None:
    before = clock.state_dict()
    with pytest.raises(ValueError, match="not the state of a clock"):
        clock.load_state_dict(state)
    assert clock.state_dict() == before


# --- sleep ----------------------------------------------------------------------------------------


def test_sleep_lasts_as_long_as_asked_in_system_time(real: RealTime, clock: TimeController) -> None:
    clock.set_time_scale(10)
    reads = Reads(real)
    reads.expect(2)  # for its deadline, and before it falls asleep
    sleeper = Sleeper(clock.sleep, 100)
    reads.wait()
    reads.expect(1)
    real.now += 9.999
    clock.wake()
    reads.wait()
    assert sleeper.is_asleep
    real.now += 0.001
    clock.wake()
    sleeper.join()


def test_a_sleep_that_time_is_paused_in_goes_on_after_resume(real: RealTime, clock: TimeController) -> None:
    reads = Reads(real)
    reads.expect(2)
    sleeper = Sleeper(clock.sleep, 10)
    reads.wait()
    real.now += 4
    clock.pause()
    reads.expect(1)
    real.now += 1000
    clock.wake()
    reads.wait()
    assert sleeper.is_asleep
    clock.resume()
    real.now += 6
    clock.wake()
    sleeper.join()


def test_a_sleep_begun_while_paused_waits(real: RealTime, clock: TimeController) -> None:
    clock.pause()
    reads = Reads(real)
    reads.expect(2)
    sleeper = Sleeper(clock.sleep, 1)
    reads.wait()
    reads.expect(1)
    real.now += 100
    clock.wake()
    reads.wait()
    assert sleeper.is_asleep
    clock.resume()
    real.now += 1
    clock.wake()
    sleeper.join()


def test_a_change_of_scale_ends_a_sleep_at_the_new_time(real: RealTime, clock: TimeController) -> None:
    reads = Reads(real)
    reads.expect(2)
    sleeper = Sleeper(clock.sleep, 1e6)
    reads.wait()
    clock.set_time_scale(1e6)
    real.now += 1
    clock.wake()
    sleeper.join()


def test_sleep_ends_by_itself_when_its_time_has_come() -> None:
    clock = TimeController()
    clock.set_time_scale(1e6)
    start = clock.perf_counter()
    clock.sleep(5000)
    assert clock.perf_counter() - start >= 5000


def test_sleeping_for_no_time_returns_even_while_paused(clock: TimeController) -> None:
    clock.pause()
    clock.sleep(0)


@pytest.mark.parametrize("secs", [-1, -math.inf, math.nan])
async def test_a_length_that_is_no_duration_is_refused(clock: TimeController, secs: float) -> None:
    with pytest.raises(ValueError, match="the length must be 0 or more"):
        await asyncio.to_thread(clock.sleep, secs)
    with pytest.raises(ValueError, match="the length must be 0 or more"):
        await clock.asleep(secs)


async def test_sleep_on_a_running_loop_raises_and_names_asleep(clock: TimeController) -> None:
    with pytest.raises(RuntimeError, match=r"use 'await time\.asleep"):
        clock.sleep(0)


# --- asleep ---------------------------------------------------------------------------------------


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


@pytest.fixture
async def asleep(clock: TimeController) -> Callable[[float], Any]:
    """Starts an `asleep`, and returns its task once that waits."""

    async def start(secs: float) -> asyncio.Task[None]:
        task = asyncio.create_task(clock.asleep(secs))
        await until(lambda: bool(clock._listeners))
        return task

    return start


async def looked_again(clock: TimeController) -> None:
    """Wake a task that waits for the clock, and wait until it waits again, or is done."""
    before = set(clock._listeners)
    clock.wake()
    await until(lambda: not clock._listeners & before)
    await asyncio.sleep(0)


async def test_asleep_lasts_as_long_as_asked_in_system_time(real: RealTime, clock: TimeController, asleep: Any) -> None:
    clock.set_time_scale(10)
    task = await asleep(100_000)
    real.now += 9_999
    await looked_again(clock)
    assert not task.done()
    real.now += 1
    clock.wake()
    await task


async def test_asleep_never_ends_early(real: RealTime, asleep: Any) -> None:
    looks = Reads(real)
    task = await asleep(0.001)
    looks.expect(3)  # the loop's timer is over again and again, but the clock's time has not come
    await asyncio.to_thread(looks.wait)
    assert not task.done()
    real.now += 0.001
    await task


async def test_an_asleep_that_time_is_paused_in_goes_on_after_resume(
    real: RealTime, clock: TimeController, asleep: Any
) -> None:
    task = await asleep(1000)
    real.now += 400
    clock.pause()
    real.now += 1e6
    await looked_again(clock)
    assert not task.done()
    clock.resume()
    await looked_again(clock)
    assert not task.done()
    real.now += 600
    clock.wake()
    await task


async def test_an_asleep_begun_while_paused_waits(real: RealTime, clock: TimeController, asleep: Any) -> None:
    clock.pause()
    task = await asleep(1)
    real.now += 1e6
    await looked_again(clock)
    assert not task.done()
    clock.resume()
    real.now += 1
    clock.wake()
    await task


async def test_asleep_ends_by_itself_when_its_time_has_come() -> None:
    clock = TimeController()
    clock.set_time_scale(1e6)
    start = clock.perf_counter()
    await clock.asleep(5000)
    assert clock.perf_counter() - start >= 5000


async def test_an_endless_asleep_sets_no_timer_and_can_be_cancelled(clock: TimeController, asleep: Any) -> None:
    task = await asleep(math.inf)
    await looked_again(clock)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not clock._listeners


@pytest.mark.parametrize("secs", [0, 1e-300])
async def test_asleep_gives_others_their_turn_however_short_it_is(clock: TimeController, secs: float) -> None:
    turns: list[str] = []
    asyncio.get_running_loop().call_soon(turns.append, "another's")
    await clock.asleep(secs)
    assert turns == ["another's"]


async def test_a_change_in_another_thread_reaches_an_asleep(real: RealTime, clock: TimeController, asleep: Any) -> None:
    clock.pause()
    task = await asleep(1e-9)
    await asyncio.to_thread(clock.resume)
    real.now += 1
    clock.wake()
    await task


# --- Waiting until, or until interrupted ----------------------------------------------------------


def test_wait_until_tells_whether_it_was_interrupted(real: RealTime, clock: TimeController) -> None:
    interrupted = threading.Event()
    reads = Reads(real)
    reads.expect(1)
    sleeper = Sleeper(clock.wait_until, 2000.0, interrupted.is_set)
    reads.wait()
    interrupted.set()
    clock.wake()
    sleeper.join()
    assert sleeper.result is False
    assert clock.wait_until(1000.0) is True


async def test_await_until_tells_whether_it_was_interrupted(clock: TimeController) -> None:
    interrupted: list[bool] = []
    task = asyncio.create_task(clock.await_until(2000.0, lambda: bool(interrupted)))
    await until(lambda: bool(clock._listeners))
    interrupted.append(True)
    clock.wake()
    assert await task is False
    assert await clock.await_until(1000.0) is True


def test_an_interruption_counts_before_a_deadline_that_has_passed(clock: TimeController) -> None:
    assert clock.wait_until(0.0, lambda: True) is False


async def test_await_until_does_not_miss_an_interruption_while_it_begins_to_listen(clock: TimeController) -> None:
    answers = iter([False, True])
    assert await clock.await_until(2000.0, lambda: next(answers)) is False


async def test_many_can_wait_on_one_clock(real: RealTime, clock: TimeController) -> None:
    tasks = [asyncio.create_task(clock.asleep(secs)) for secs in (100, 200)]
    await until(lambda: len(clock._listeners) == 2)
    real.now += 100
    clock.wake()
    await tasks[0]
    assert not tasks[1].done()
    real.now += 100
    clock.wake()
    await tasks[1]


def test_a_loop_that_was_closed_while_something_slept_on_it_does_not_disturb_the_clock(clock: TimeController) -> None:
    async def begin() -> Iterator[Any]:
        waiting = clock.await_until(2000.0).__await__()
        next(waiting)
        return waiting

    waiting = asyncio.run(begin())
    assert clock._listeners
    clock.pause()
    assert clock.is_paused()
    waiting.close()


# --- Which clock the functions mean ---------------------------------------------------------------


@pytest.fixture
def two_clocks(real: RealTime) -> tuple[TimeController, TimeController]:
    slow, fast = TimeController(), TimeController()
    fast.set_time_scale(100)
    real.now += 1
    return slow, fast


@pytest.fixture
def process_clock() -> Iterator[TimeController]:
    """The real one; put right again afterwards."""
    clock = time.get_global_time_controller()
    yield clock
    clock.resume()
    clock.set_time_scale(1)


def test_the_functions_mean_the_clock_of_their_context(two_clocks: tuple[TimeController, TimeController]) -> None:
    slow, fast = two_clocks
    outside = time.get_global_time_controller()
    with use_time_controller(slow):
        assert time.get_global_time_controller() is slow
        with use_time_controller(fast) as entered:
            assert entered is time.get_global_time_controller() is fast
            assert time.perf_counter() == time.monotonic() == 1100
        assert time.perf_counter() == 1001
    assert time.get_global_time_controller() is outside


async def test_tasks_with_different_clocks_run_side_by_side(two_clocks: tuple[TimeController, TimeController]) -> None:
    async def read_twice(clock: TimeController) -> tuple[float, float]:
        with use_time_controller(clock):
            first = time.perf_counter()
            await asyncio.sleep(0)
            return first, await asyncio.create_task(read())

    async def read() -> float:
        return time.perf_counter()

    slow, fast = two_clocks
    assert await asyncio.gather(read_twice(slow), read_twice(fast)) == [(1001, 1001), (1100, 1100)]


async def test_lanes_and_workers_started_within_a_context_find_its_clock(
    two_clocks: tuple[TimeController, TimeController],
) -> None:
    lanes = []
    for clock in two_clocks:
        with use_time_controller(clock):
            lanes.append(Lane("pamiq-test"))
            lanes[-1].start()
            assert await asyncio.to_thread(time.get_global_time_controller) is clock
    assert [await lane.run(time.get_global_time_controller) for lane in lanes] == list(two_clocks)
    for lane in lanes:
        await lane.close()


def test_elsewhere_there_is_one_clock_for_the_process(process_clock: TimeController) -> None:
    assert contextvars.Context().run(time.get_global_time_controller) is process_clock
    assert Sleeper(time.get_global_time_controller)  # joined by the leak check
    time.pause()
    assert process_clock.is_paused()


def test_the_functions_do_what_the_clocks_methods_do(real: RealTime, clock: TimeController) -> None:
    with use_time_controller(clock):
        time.set_time_scale(2)
        assert time.get_time_scale() == 2
        real.now += 1
        assert time.time() == clock.time()
        state = time.state_dict()
        assert state == clock.state_dict()
        time.pause()
        assert time.is_paused()
        time.resume()
        assert not time.is_paused()
        real.now += 1
        time.load_state_dict(state)
        assert clock.state_dict() == pytest.approx(state)
        time.sleep(0)
        asyncio.run(time.asleep(0))


def test_fixed_time_is_never_scaled_or_paused(process_clock: TimeController) -> None:
    process_clock.pause()
    before = time.fixed_time()
    time.fixed_sleep(0.001)
    assert time.fixed_time() > before


# --- Waking a loop --------------------------------------------------------------------------------


def test_what_a_signal_handler_changes_reaches_who_waits() -> None:
    """It is called on the loop's thread while the loop waits for events, and goes on to wait afterwards."""
    clock, main_thread = TimeController(), threading.get_ident()
    clock.pause()

    def interrupt_the_wait() -> None:
        while sys._current_frames()[main_thread].f_code.co_name != "select":
            pass
        signal.pthread_kill(main_thread, signal.SIGUSR1)

    async def main() -> None:
        sleeping = asyncio.create_task(clock.asleep(1e-6))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        interrupting = threading.Thread(target=interrupt_the_wait)
        interrupting.start()
        await sleeping

    before = signal.signal(signal.SIGUSR1, lambda *_: clock.resume())
    try:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(main())
    finally:
        signal.signal(signal.SIGUSR1, before)


async def test_a_loop_need_not_be_woken_by_its_own_tasks_alone() -> None:
    loop, found = asyncio.get_running_loop(), asyncio.Event()
    answers: list[bool] = []

    def ask() -> None:
        answers.append(is_in_task_of(loop))
        found.set()

    async def elsewhere() -> None:
        ask()

    ask()
    found.clear()
    loop.call_soon(ask)  # as from a signal handler: no task runs
    await found.wait()
    await asyncio.to_thread(ask)
    await asyncio.to_thread(asyncio.run, elsewhere())
    assert answers == [True, False, False, False]
