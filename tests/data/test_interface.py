from __future__ import annotations

import threading
import weakref
from collections import UserDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pamiq_async.data import DataBuffer, DataCollector, DataUser
from pamiq_async.data.impls import DictSequentialBuffer, SequentialBuffer
from pamiq_async.exceptions import InvalidState
from pamiq_async.state_persistence import codec
from pamiq_async.testing import create_mock_buffer
from pamiq_async.time import TimeController, use_time_controller


def items(collector: DataCollector[Any]) -> list[Any]:
    return collector.fetch()[0]


# --- Collecting -------------------------------------------------------------------------------------------


def test_items_are_fetched_in_order_with_their_system_times(clock: Any) -> None:
    collector = DataCollector[str](None)
    for now, item in [(10.0, "a"), (11.5, "b"), (11.5, "c")]:
        clock.set(now)
        collector.collect(item)
    clock.set(99)
    items, times = collector.fetch()
    assert list(zip(items, times, strict=True)) == [("a", 10.0), ("b", 11.5), ("c", 11.5)]


def test_items_are_fetched_once() -> None:
    collector = DataCollector[str](None)
    collector.collect("a")
    assert len(collector) == 1
    collector.fetch()
    assert items(collector) == []
    assert len(collector) == 0


def test_an_item_too_many_that_is_just_being_collected_counts_as_dropped() -> None:
    collector = DataCollector[int](2)
    collector.collect(1)
    collector.collect(2)
    collector._readings.append(0.0)
    collector._items.append(3)  # as another thread has that comes to drop the oldest next
    assert len(collector) == 2
    assert items(collector) == [2, 3]
    collector._attend()
    assert items(collector) == []


def test_a_dropped_item_is_let_go_of() -> None:
    class Frame: ...

    collector, frames = DataCollector[Frame](2), [Frame() for _ in range(5)]
    alive = [weakref.ref(frame) for frame in frames]
    for _ in range(5):
        collector.collect(frames.pop(0))
    assert [ref() is not None for ref in alive] == [False, False, False, True, True]
    assert len(collector._items) <= 5


@given(st.integers(1, 5), st.lists(st.integers() | st.none()))
def test_of_a_full_queue_the_oldest_are_dropped(max_queue_size: int, steps: list[int | None]) -> None:
    collector = DataCollector[int](max_queue_size)
    model: list[int] = []
    for step in steps:  # None fetches
        if step is None:
            assert items(collector) == model
            model = []
        else:
            collector.collect(step)
            model = [*model, step][-max_queue_size:]
        assert len(collector) == len(model)
    assert items(collector) == model


@pytest.mark.parametrize("kind", [dict, UserDict, MappingProxyType])
def test_the_owner_of_a_mapping_may_reuse_it(kind: Any) -> None:
    collector, inner = DataCollector[Any](None), [1]
    original = {"value": 1, "shared": inner}
    collector.collect(kind(original))
    original["value"] = 2
    (collected,) = items(collector)
    assert collected == {"value": 1, "shared": [1]}
    assert collected["shared"] is inner  # the copy is shallow


def test_a_user_dict_that_is_reused_is_copied() -> None:
    collector, original = DataCollector[Any](None), UserDict(value=1)
    collector.collect(original)
    original["value"] = 2
    assert items(collector) == [{"value": 1}]


def test_other_items_are_kept_as_they_are() -> None:
    collector, original = DataCollector[Any](None), [1]
    collector.collect(original)
    assert items(collector)[0] is original


def test_nothing_is_lost_between_a_thread_that_collects_and_one_that_fetches() -> None:
    collector = DataCollector[int](None)
    count = 20_000
    start = threading.Barrier(2)

    def collect() -> None:
        start.wait()
        for item in range(count):
            collector.collect(item)

    def fetch() -> list[int]:
        start.wait()
        fetched: list[int] = []
        while len(fetched) < count:
            fetched += items(collector)
        return fetched

    with ThreadPoolExecutor(2) as threads:
        collecting, fetching = threads.submit(collect), threads.submit(fetch)
        collecting.result()
        assert fetching.result() == list(range(count))


def test_fetching_from_a_full_queue_while_another_thread_collects_is_safe() -> None:
    collector = DataCollector[int](3)
    is_over = threading.Event()

    def collect() -> None:
        for item in range(20_000):
            collector.collect(item)
        is_over.set()

    fetched: list[int] = []
    with ThreadPoolExecutor(1) as threads:
        collecting = threads.submit(collect)
        while not is_over.is_set():
            fetched += items(collector)
        collecting.result()
    fetched += items(collector)
    assert fetched == sorted(set(fetched))
    assert fetched[-1] == 19_999


# --- Being told when items wait ---------------------------------------------------------------------------


class Bell:
    def __init__(self) -> None:
        self.rings = 0

    def __call__(self) -> None:
        self.rings += 1


@pytest.fixture
def bell() -> Bell:
    return Bell()


def test_it_tells_once_when_enough_items_wait(bell: Bell) -> None:
    collector = DataCollector[int](None)
    collector.notify(3, bell)
    rings = []
    for item in range(6):
        collector.collect(item)
        rings.append(bell.rings)
    assert rings == [0, 0, 1, 1, 1, 1]


def test_it_tells_at_once_when_they_wait_already(bell: Bell) -> None:
    collector = DataCollector[int](None)
    collector.collect(1)
    collector.collect(2)
    collector.notify(2, bell)
    assert bell.rings == 1
    collector.collect(3)
    assert bell.rings == 1


@pytest.mark.parametrize("count", [0, -3])
def test_no_items_are_always_there(bell: Bell, count: int) -> None:
    DataCollector[int](None).notify(count, bell)
    assert bell.rings == 1


def test_more_than_can_wait_means_a_full_queue(bell: Bell) -> None:
    collector = DataCollector[int](2)
    collector.notify(100, bell)
    collector.collect(1)
    assert bell.rings == 0
    collector.collect(2)
    assert bell.rings == 1


def test_of_two_thresholds_the_smaller_counts() -> None:
    for first, second in [(2, 4), (4, 2)]:
        collector, bells = DataCollector[int](None), {2: Bell(), 4: Bell()}
        collector.notify(first, bells[first])
        collector.notify(second, bells[second])
        for item in range(6):
            collector.collect(item)
        assert (bells[2].rings, bells[4].rings) == (1, 0)


def test_it_can_be_asked_again_while_it_tells() -> None:
    collector = DataCollector[int](None)
    lengths: list[int] = []

    def again() -> None:
        lengths.append(len(collector))
        if len(lengths) < 3:
            collector.notify(len(collector) + 2, again)

    collector.notify(2, again)
    for item in range(10):
        collector.collect(item)
    assert lengths == [2, 4, 6]


def test_fetched_items_do_not_count(bell: Bell) -> None:
    collector = DataCollector[int](None)
    collector.notify(2, bell)
    collector.collect(1)
    collector.fetch()
    collector.collect(2)
    assert bell.rings == 0
    collector.collect(3)
    assert bell.rings == 1


def test_a_waiter_that_another_thread_called_meanwhile_is_not_called_again(bell: Bell) -> None:
    collector = DataCollector[int](None)
    collector.notify(1, bell)
    waiter = collector._waiter
    assert waiter is not None
    collector.collect(1)  # calls it
    collector._call(waiter)  # as a thread would that saw it just before
    assert bell.rings == 1


def test_no_wake_up_is_lost_between_two_threads() -> None:
    collector = DataCollector[int](None)
    count = 2_000
    fetched = 0
    woken = threading.Semaphore(0)

    def collect() -> None:
        for item in range(count):
            collector.collect(item)

    with ThreadPoolExecutor(1) as threads:
        collecting = threads.submit(collect)
        while fetched < count:
            collector.notify(1, woken.release)
            assert woken.acquire(timeout=20), f"asleep after {fetched} of {count} items, {len(collector)} wait"
            fetched += len(items(collector))
        collecting.result()
    assert fetched == count


# --- Using ------------------------------------------------------------------------------------------------


class Doubling(SequentialBuffer[int]):
    """A user's buffer with an `add` of its own."""

    def add(self, data: int) -> None:
        super().add(2 * data)


def user_of(buffer: DataBuffer[Any, Any], *collected: Any) -> DataUser[Any]:
    user = DataUser(buffer)
    for item in collected:
        user.collector.collect(item)
    return user


def test_updating_moves_what_was_collected_into_the_buffer() -> None:
    user = user_of(SequentialBuffer(3), 1, 2)
    assert (len(user), user.waiting_count, user.added_count) == (0, 2, 0)
    user.update()
    assert (len(user), user.waiting_count, user.added_count, user.known_size) == (2, 0, 2, 2)


def test_data_are_given_with_what_was_collected_up_to_now() -> None:
    user = user_of(SequentialBuffer(3), 1, 2)
    assert user.get_data() == [1, 2]
    user.collector.collect(3)
    assert user.get_data() == [1, 2, 3]


def test_every_item_goes_through_add() -> None:
    assert user_of(Doubling(3), 1, 2).get_data() == [2, 4]


class Logging:
    """A mixin of a user's with an `add`, and no idea of `add_many`."""

    def add(self, data: int) -> None:
        super().add(-data)  # type: ignore[misc]


class LoggingBuffer(Logging, SequentialBuffer[int]): ...


class Batching(Doubling):
    """Knows again how to take several."""

    def add_many(self, items: Sequence[int]) -> None:
        SequentialBuffer.add_many(self, [3 * item for item in items])


def test_every_item_goes_through_the_add_of_a_mixin() -> None:
    assert user_of(LoggingBuffer(3), 1, 2).get_data() == [-1, -2]


def test_items_are_moved_at_once_where_the_buffer_says_how() -> None:
    assert user_of(Batching(3), 1, 2).get_data() == [3, 6]


def test_a_mock_of_a_buffer_sees_every_item_in_add() -> None:
    buffer = create_mock_buffer(5)
    user_of(buffer, 1, 2).update()
    assert [call.args for call in buffer.add.call_args_list] == [(1,), (2,)]


class Picky(SequentialBuffer[Any]):
    def check_item(self, data: Any) -> None:
        if data == {"bad": 1} or data == "bad":
            raise ValueError(f"{data!r} is bad")


@pytest.mark.parametrize("bad", ["bad", {"bad": 1}, MappingProxyType({"bad": 1})])
def test_what_the_buffer_would_refuse_is_refused_when_it_is_collected(bad: Any) -> None:
    user = user_of(Picky(3), "good", {"good": 1}, "good")
    with pytest.raises(ValueError, match="is bad"):
        user.collector.collect(bad)
    assert user.get_data() == ["good", {"good": 1}, "good"]


def test_the_buffer_itself_can_be_had() -> None:
    buffer = SequentialBuffer[int](3)
    assert DataUser(buffer).buffer is buffer


def test_data_come_in_the_buffers_own_form() -> None:
    user = user_of(DictSequentialBuffer(["a"], 3), {"a": 1}, {"a": 2})
    assert user.get_data() == {"a": [1, 2]}


def test_the_collector_is_bounded_by_the_buffers_queue_size() -> None:
    assert user_of(SequentialBuffer(2), 1, 2, 3).get_data() == [2, 3]


def test_clearing_forgets_what_is_in_the_buffer_and_what_waits(clock: Any) -> None:
    user = user_of(SequentialBuffer(5), 1, 2)
    user.update()
    user.collector.collect(3)
    user.clear()
    assert user.get_data() == []
    assert (len(user), user.known_size, user.waiting_count) == (0, 0, 0)
    assert user.count_data_added_since(-1) == 0
    assert user.added_count == 3  # those that were forgotten came, too


# --- Counting what is new ---------------------------------------------------------------------------------


def test_what_was_collected_after_a_time_is_counted(clock: Any) -> None:
    user = user_of(SequentialBuffer(10))
    for now in [1, 2, 2, 3]:
        clock.set(now)
        user.collector.collect(now)
    assert user.count_data_added_since(0) == 0  # not moved yet
    user.update()
    assert [user.count_data_added_since(t) for t in (0, 1, 1.5, 2, 3, 4)] == [4, 3, 3, 1, 0, 0]


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.floats(0, 5), st.booleans()), max_size=40),
    st.floats(0, 100),
)
def test_of_a_bounded_queue_the_last_are_counted(max_size: int, steps: list[tuple[float, bool]], since: float) -> None:
    clock = TimeController()
    clock.pause()
    user = user_of(SequentialBuffer(max_size))
    waiting: list[float] = []
    moved: list[float] = []
    now = 0.0
    with use_time_controller(clock):
        for wait, updates in steps:
            now += wait
            clock.load_state_dict({"time": now, "perf_counter": now})
            user.collector.collect(None)
            waiting = [*waiting, now][-max_size:]
            if updates:
                user.update()
                moved += waiting
                waiting = []
    assert user.count_data_added_since(since) == sum(t > since for t in moved[-max_size:])
    assert user.added_count == len(moved)


def test_counting_takes_bounded_memory() -> None:
    user = user_of(SequentialBuffer(10))
    for _ in range(1000):
        user.collector.collect(None)
        user.update()
    assert len(user._timestamps) <= 20
    assert user.count_data_added_since(0) == 10


def test_an_unbounded_queue_remembers_all() -> None:
    class Unbounded(SequentialBuffer[int]):
        @property
        def max_queue_size(self) -> None:
            return None

    user = user_of(Unbounded(1), *range(100))
    user.update()
    assert user.count_data_added_since(0) == 100


# --- States -----------------------------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "experience"


def test_a_state_comes_back_with_what_waited(clock: Any, state: Path) -> None:
    saved, loaded = user_of(SequentialBuffer(10)), user_of(SequentialBuffer(10))
    for now in [1, 2, 3]:
        clock.set(now)
        saved.collector.collect(now)
    saved.save_state(state)
    loaded.load_state(state)
    assert loaded.get_data() == [1, 2, 3]
    assert loaded.count_data_added_since(1) == 2
    assert (loaded.added_count, loaded.known_size) == (3, 3)


def test_what_waits_may_be_saved_as_such(clock: Any, state: Path) -> None:
    saved, loaded = user_of(SequentialBuffer(10)), user_of(SequentialBuffer(10))
    saved.keeps_waiting_items = True
    for now in [1, 2]:
        clock.set(now)
        saved.collector.collect(now)
    saved.save_state(state)
    loaded.load_state(state)
    assert (loaded.waiting_count, len(loaded)) == (2, 0)
    clock.set(3)
    loaded.collector.collect(3)
    assert loaded.get_data() == [1, 2, 3]
    assert [loaded.count_data_added_since(t) for t in (0, 1, 2, 3)] == [3, 2, 1, 0]


@pytest.mark.parametrize(
    "waiting",
    [{"items": [1]}, {"items": [1], "times": []}, {"items": [1], "times": ["now"]}, {"items": (1,), "times": [1.0]}],
)
def test_what_waits_must_have_times(state: Path, waiting: Any) -> None:
    user_of(SequentialBuffer(10), 1).save_state(state)
    codec.save(waiting, state / "waiting")
    loaded = user_of(SequentialBuffer(10))
    with pytest.raises(InvalidState, match="not what a data user saved: what waits"):
        loaded.load_state(state)
    assert (loaded.get_data(), loaded.added_count) == ([], 0)


def test_a_state_is_a_directory_of_data(state: Path) -> None:
    user_of(SequentialBuffer(10), 1).save_state(state)
    assert sorted(file.name for file in state.iterdir()) == ["buffer.msgpack", "user.msgpack"]


def test_a_buffer_of_the_users_own_saves_as_it_likes(state: Path) -> None:
    class Tally(DataBuffer[int, int]):
        sum = 0

        def add(self, data: int) -> None:
            self.sum += data

        def get_data(self) -> int:
            return self.sum

        def __len__(self) -> int:
            return self.sum

        def save_state(self, path: Path) -> None:
            path.mkdir()
            (path / "sum.txt").write_text(str(self.sum))

        def load_state(self, path: Path) -> None:
            self.sum = int((path / "sum.txt").read_text())

    user_of(Tally(5), 3, 4).save_state(state)
    loaded = DataUser(Tally(5))
    loaded.load_state(state)
    assert loaded.get_data() == 7
