from __future__ import annotations

import asyncio
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pamiq_async import Agent, EndOfInteraction, Environment, FixedIntervalInteraction, Trainer, launch, time
from pamiq_async.data import DataCollector
from pamiq_async.data.impls import SequentialBuffer
from pamiq_async.data.timestamps import AS_IT_IS, Timestamps
from pamiq_async.testing import ManualClock
from pamiq_async.time import TimeController, use_time_controller

ascending = st.lists(st.floats(-1e9, 1e9), max_size=20).map(sorted)


@given(ascending, st.floats(-1e9, 1e9))
def test_those_after_a_time_are_counted(times: list[float], since: float) -> None:
    timestamps = Timestamps([(AS_IT_IS, times)])
    assert list(timestamps) == times
    assert len(timestamps) == len(times)
    assert timestamps.count_after(since) == sum(time > since for time in times)


@given(st.lists(ascending, max_size=4), st.integers(0, 30), st.floats(-1e9, 1e9))
def test_the_last_are_kept_over_all_pieces(pieces: list[list[float]], count: int, since: float) -> None:
    """Each piece has an anchor of its own, by which its times are later than those of the pieces before."""
    timestamps, model = Timestamps(), list[float]()
    for number, times in enumerate(pieces):
        anchor = AS_IT_IS._replace(epoch=number * 4e9)
        timestamps.extend(Timestamps([(anchor, times.copy())]))
        model += [number * 4e9 + time for time in times]
    timestamps.keep_last(count)
    model = model[-count:] if count else []
    assert list(timestamps) == model
    assert len(timestamps) == len(model)
    assert timestamps.count_after(since) == sum(time > since for time in model)


def test_times_by_the_same_anchor_are_one_piece() -> None:
    timestamps = Timestamps([(AS_IT_IS, [1.0])])
    timestamps.extend(Timestamps([(AS_IT_IS, [2.0]), (AS_IT_IS, [])]))
    assert timestamps._pieces == [(AS_IT_IS, [1.0, 2.0])]


Step = tuple[str, float]
clock_steps = st.sampled_from(["collect", "collect", "fetch", "look", "put back", "set", "pause", "resume", "scale"])


@given(st.integers(1, 4) | st.none(), st.lists(st.tuples(clock_steps, st.floats(0.1, 10)), max_size=40))
def test_an_item_keeps_the_time_that_the_clock_showed_whatever_the_clock_does_later(
    limit: int | None, steps: list[Step]
) -> None:
    clock, collector = TimeController(), DataCollector[int](limit)
    model: list[tuple[int, tuple[float, float]]] = []  # with the times just before and after
    now = 1.0

    def check(found: tuple[list[int], Timestamps]) -> None:
        items, times = found[0], list(found[1])
        assert items == [item for item, _ in model]
        assert len(times) == len(items)
        assert all(before <= time <= after for time, (_, (before, after)) in zip(times, model, strict=True))

    with use_time_controller(clock):
        for number, (kind, value) in enumerate(steps):
            if kind == "collect":
                before = clock.time()
                collector.collect(number)
                model.append((number, (before, clock.time())))
            elif kind == "put back":
                collector.put_back([number], [value])
                model.append((number, (value, value)))
            elif kind == "fetch":
                check(collector.fetch())
                model = []
            elif kind == "look":
                check(collector.waiting())
            elif kind == "set":
                now += value
                clock.load_state_dict({"time": now, "perf_counter": now})
            elif kind == "scale":
                clock.set_time_scale(value)
            else:
                (clock.pause if kind == "pause" else clock.resume)()
            if limit is not None:
                model = model[-limit:]
            assert len(collector) == len(model)
        check(collector.fetch())


def test_items_of_an_agent_and_a_clock_that_a_test_moves() -> None:
    collector = DataCollector[str](None)
    with ManualClock(100.0) as clock:
        for number in range(12_000):  # more pieces of time than a clock of the machine remembers
            collector.collect(str(number))
            clock.advance(2.0)
        times = list(collector.fetch()[1])
    assert times == [100.0 + 2.0 * number for number in range(12_000)]


def test_of_very_many_changes_the_last_are_remembered() -> None:
    clock, collector = TimeController(), DataCollector[str](None)
    with use_time_controller(clock):
        collector.collect("before all that is remembered")
        for _ in range(6000):
            clock.pause()
            clock.resume()
        before = clock.time()
        collector.collect("after")
        first, last = collector.fetch()[1]
    assert len(clock._past) == 10_000
    assert first <= before <= last <= clock.time()


def test_changes_that_change_nothing_are_not_remembered() -> None:
    clock = TimeController()
    clock.resume()
    clock.set_time_scale(1.0)
    clock.pause()
    clock.pause()
    clock.set_time_scale(2.0)  # from when it goes on
    assert len(clock._past) == 1


async def test_items_have_the_systems_time_whoever_fetches_them(tmp_path: Path) -> None:
    """Also on a thread that knows nothing of the system."""
    seen: list[tuple[float, float]] = []
    found: list[float] = []

    class Collecting(Agent[int, int]):
        def on_data_collectors_attached(self) -> None:
            self.items = self.get_data_collector("items")

        def step(self, observation: int) -> int:
            before = time.time()
            self.items.collect(observation)
            seen.append((before, time.time()))
            return observation

    class Still(Environment[int, int]):
        def observe(self) -> int:
            return 0

        def affect(self, action: int) -> None: ...

    class Fetching(Trainer):
        async def train(self) -> None:
            user = self.get_data_user("items")
            await asyncio.get_running_loop().run_in_executor(None, user.update)
            found.extend(user._timestamps)
            raise EndOfInteraction

    interaction = FixedIntervalInteraction.with_sleep_adjustor(Collecting(), Still(), 1.0)
    data, trainers = {"items": SequentialBuffer[int](100)}, {"fetching": Fetching("items", min_buffer_size=20)}
    config = {"states_dir": tmp_path, "web_api_address": None, "time_scale": 1000.0}
    await launch(interaction, {}, data, trainers, config)
    assert len(found) >= 20
    assert all(before <= found_time <= after for (before, after), found_time in zip(seen, found, strict=False))
