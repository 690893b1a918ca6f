"""Buffers, and the way of data into them."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.compatibility.probing import Group, accepted, attempt, files_in, own_time

probe = Group("Data")

Pamiq = ModuleType


def filled(buffer: Any, count: int) -> Any:
    for number in range(count):
        buffer.add(number)
    return buffer


def user_of(pamiq: Pamiq, buffer: Any) -> tuple[Any, Any]:
    users = pamiq.data.DataUsersDict.from_data_buffers({"items": buffer})
    return users["items"], users.data_collectors_dict.acquire("items")


def list_buffer(pamiq: Pamiq, *args: Any) -> Any:
    class ListBuffer(pamiq.DataBuffer):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.items: list[Any] = []

        def add(self, data: Any) -> None:
            self.items.append(data)

        def get_data(self) -> list[Any]:
            return self.items

        def __len__(self) -> int:
            return len(self.items)

    return ListBuffer(*args)


# --- Buffers --------------------------------------------------------------------------------------


@probe("DataBuffer", "DataBuffer.max_queue_size", "DataBuffer.add", "DataBuffer.get_data")
def own_buffer(pamiq: Pamiq) -> Any:
    """a buffer of one's own; a negative size; without abstract methods"""
    user, collector = user_of(pamiq, list_buffer(pamiq, 3))
    collector.collect("a")
    return (
        user.get_data(),
        len(user),
        list_buffer(pamiq, 3).max_queue_size,
        attempt(list_buffer, pamiq, -1),
        attempt(pamiq.DataBuffer, 3),
    )


@probe("DataBuffer")
def unbounded_queue(pamiq: Pamiq) -> Any:
    """a queue without bound warns"""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        size = list_buffer(pamiq).max_queue_size
    return size, [warning.category.__name__ for warning in caught]


@probe(*[f"data.impls.SequentialBuffer{m}" for m in ("", ".add", ".get_data", ".max_size")])
def sequential(pamiq: Pamiq) -> Any:
    """keeps the newest, in order; what it gives out is a copy"""
    buffer = filled(pamiq.data.impls.SequentialBuffer(3), 5)
    buffer.get_data().clear()
    return buffer.get_data(), len(buffer), buffer.max_size, buffer.max_queue_size


@probe("data.impls.SequentialBuffer.save_state", "data.impls.SequentialBuffer.load_state")
def sequential_state(pamiq: Pamiq, path: Path) -> Any:
    """loaded by a buffer of the same size, and by a smaller one"""
    filled(pamiq.data.impls.SequentialBuffer(4), 6).save_state(path / "buffer")
    loaded = [pamiq.data.impls.SequentialBuffer(size) for size in (4, 2)]
    for buffer in loaded:
        buffer.load_state(path / "buffer")
    return [buffer.get_data() for buffer in loaded], files_in(path)


@probe(
    *[f"data.impls.{kind}.save_state" for kind in ("SequentialBuffer", "RandomReplacementBuffer")],
    differs="states are data: loading them runs no code",
    guide="| format |",
)
def format_of_buffers(pamiq: Pamiq, path: Path) -> Any:
    """format of a buffer's file"""
    filled(pamiq.data.impls.SequentialBuffer(4), 6).save_state(path / "buffer")
    return [file.suffix for file in path.iterdir()]


@probe("data.impls.SequentialBuffer", differs="is refused, with the reason", guide="| a buffer of size 0 |")
def no_room(pamiq: Pamiq) -> Any:
    """a buffer of size 0"""
    return accepted(pamiq.data.impls.SequentialBuffer, 0)


@probe(*[f"data.impls.RandomReplacementBuffer{m}" for m in ("", ".add", ".get_data", ".is_full", ".max_size")])
def replacement_with_a_seed(pamiq: Pamiq) -> Any:
    """100 items into 8 places with the same seed"""
    random.seed(42)
    buffer = pamiq.data.impls.RandomReplacementBuffer(8, replace_probability=0.5)
    full = [(buffer.add(number), buffer.is_full)[1] for number in range(100)].index(True)
    return buffer.get_data(), full, len(buffer), buffer.max_size, buffer.max_queue_size


@probe("data.impls.RandomReplacementBuffer.compute_replace_probability_from_expected_survival_length")
def survival_length(pamiq: Pamiq) -> Any:
    """the formula, clamped; and the bound of the queue that comes of it"""
    buffer = pamiq.data.impls.RandomReplacementBuffer
    formula = buffer.compute_replace_probability_from_expected_survival_length
    values = [round(formula(size, length), 12) for size, length in [(100, 1000), (8, 5), (1, 10**6), (1000, 50000)]]
    return values, buffer(100, expected_survival_length=1000).max_queue_size, buffer(100, None, 5).max_queue_size


@probe("data.impls.RandomReplacementBuffer")
def replacement_arguments(pamiq: Pamiq) -> Any:
    """both ways at once; a probability that is none; the default"""
    make = pamiq.data.impls.RandomReplacementBuffer
    return attempt(make, 3, 0.5, 10), attempt(make, 3, 1.5), attempt(make, 3, -0.1), make(3).max_queue_size


@probe("data.impls.RandomReplacementBuffer", differs="0 is legal: nothing is replaced", guide="replace_probability=0.0")
def never_replace(pamiq: Pamiq) -> Any:
    """a replacement probability of 0"""
    return attempt(lambda: filled(pamiq.data.impls.RandomReplacementBuffer(3, 0.0), 9).get_data())


@probe("data.impls.RandomReplacementBuffer.save_state", "data.impls.RandomReplacementBuffer.load_state")
def replacement_state(pamiq: Pamiq, path: Path) -> Any:
    """loaded by a buffer of the same size, and by a smaller one"""
    filled(pamiq.data.impls.RandomReplacementBuffer(4), 4).save_state(path / "buffer")
    loaded = [pamiq.data.impls.RandomReplacementBuffer(size) for size in (4, 2)]
    for buffer in loaded:
        buffer.load_state(path / "buffer")
    return [(buffer.get_data(), buffer.is_full) for buffer in loaded]


DICT_BUFFERS = ("DictSequentialBuffer", "DictRandomReplacementBuffer")


@probe(*[f"data.impls.{kind}{m}" for kind in DICT_BUFFERS for m in ("", ".add", ".get_data", ".keys", ".max_size")])
def dict_buffers(pamiq: Pamiq) -> Any:
    """rows in, columns out; wrong keys; the keys are a copy"""
    answers: list[Any] = []
    for kind in DICT_BUFFERS:
        buffer = getattr(pamiq.data.impls, kind)(["x", "y"], 3)
        for number in range(3):
            buffer.add({"x": number, "y": -number})
        buffer.keys.clear()
        columns = buffer.get_data()
        answers.append([columns["x"], columns["y"], sorted(buffer.keys), type(buffer.keys).__name__, len(buffer)])
        answers.append([attempt(buffer.add, {"x": 1}), attempt(buffer.add, {"x": 1, "y": 2, "z": 3}), buffer.max_size])
    return answers


@probe(*[f"data.impls.{kind}" for kind in DICT_BUFFERS])
def dict_buffer_states(pamiq: Pamiq, path: Path) -> Any:
    """saved, and loaded by another"""
    answers = []
    for kind in DICT_BUFFERS:
        saved, loaded = (getattr(pamiq.data.impls, kind)(keys=["x"], max_size=3) for _ in range(2))
        saved.add({"x": 1})
        saved.save_state(path / kind)
        loaded.load_state(path / kind)
        answers.append(loaded.get_data())
    return answers


# --- Collecting and using -------------------------------------------------------------------------


@probe("DataCollector", "DataCollector.collect", "DataUser", "DataUser.update", "DataUser.get_data")
def collecting(pamiq: Pamiq) -> Any:
    """what was collected arrives with the next update, in order; `get_data` updates first"""
    user, collector = user_of(pamiq, pamiq.data.impls.SequentialBuffer(3))
    collector.collect(1)
    before = len(user)
    user.update()
    collector.collect(data=2)
    return before, len(user), user.get_data()


@probe("DataCollector.collect")
def a_full_queue(pamiq: Pamiq) -> Any:
    """more than the queue holds: the oldest give way"""
    user, collector = user_of(pamiq, pamiq.data.impls.SequentialBuffer(2))
    for number in range(5):
        collector.collect(number)
    return user.get_data()


@probe("DataCollector.collect", differs="a mapping is copied when collected", guide="| `collect` with a dict")
def reused_dict(pamiq: Pamiq) -> Any:
    """a dict that is changed after it was collected"""
    user, collector = user_of(pamiq, pamiq.data.impls.DictSequentialBuffer(["x"], 3))
    row = {}
    for number in range(3):
        row["x"] = number
        collector.collect(row)
    return user.get_data()


@probe("DataUser.count_data_added_since")
def counting(pamiq: Pamiq) -> Any:
    """how many arrived since before, between and after; with -inf"""
    user, collector = user_of(pamiq, pamiq.data.impls.SequentialBuffer(9))
    with own_time(pamiq) as time:
        time.set_time_scale(1000.0)
        moments = [time.time()]
        for number in range(4):
            time.fixed_sleep(0.0005)
            collector.collect(number)
            time.fixed_sleep(0.0005)
            moments.append(time.time())
        user.update()
        return [user.count_data_added_since(moment) for moment in [float("-inf"), *moments]]


@probe("DataUser.save_state", "DataUser.load_state", "data.DataUsersDict.save_state", "data.DataUsersDict.load_state")
def users_state(pamiq: Pamiq, path: Path) -> Any:
    """what waits in the queue is saved, too; the times come back"""
    with own_time(pamiq) as time:
        began = time.time() - 1
        saved = pamiq.data.DataUsersDict.from_data_buffers(items=pamiq.data.impls.SequentialBuffer(3))
        saved.data_collectors_dict.acquire("items").collect("a")
        saved.save_state(path / "data")
        loaded = pamiq.data.DataUsersDict.from_data_buffers(items=pamiq.data.impls.SequentialBuffer(3))
        loaded.load_state(path / "data")
        user = loaded["items"]
        return user.get_data(), user.count_data_added_since(began), user.count_data_added_since(time.time())


@probe("data.DataUsersDict", "data.DataUsersDict.from_data_buffers", "data.DataUsersDict.data_collectors_dict")
def users_dict(pamiq: Pamiq) -> Any:
    """from a mapping and keywords; the collectors bear the same names; an unknown name"""
    buffer = pamiq.data.impls.SequentialBuffer
    users = pamiq.data.DataUsersDict.from_data_buffers({"a": buffer(1)}, b=buffer(1))
    added = pamiq.data.DataUsersDict()
    added["c"] = pamiq.DataUser(buffer(1))
    return (
        sorted(users),
        sorted(users.data_collectors_dict),
        list(added.data_collectors_dict),
        attempt(lambda: users["x"]),
    )


@probe("data.DataCollectorsDict")
def collectors_dict(pamiq: Pamiq) -> Any:
    """made of collectors; `acquire` gives one of them"""
    collector = pamiq.DataCollector(3)
    return pamiq.data.DataCollectorsDict({"a": collector}).acquire(collector_name="a") is collector


@probe("data", "data.impls", "data.buffer", "data.container", "data.interface")
def modules(pamiq: Pamiq) -> Any:
    """the same classes by their modules' names"""
    return [
        pamiq.data.DataBuffer is pamiq.DataBuffer,
        pamiq.data.buffer.DataBuffer is pamiq.DataBuffer,
        pamiq.data.container.DataUsersDict is pamiq.data.DataUsersDict,
        pamiq.data.interface.DataUser is pamiq.DataUser,
    ]
