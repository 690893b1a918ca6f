"""A replay buffer of 100,000 steps of 64 float32: drawing a batch from it, and adding to it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
from table import OURS, Benchmark, Row, at_most, compared_with

STEPS = 100_000
SIZE = 64
BATCH = 256
LENGTH = 16


def steps() -> list[np.ndarray]:
    return list(np.random.default_rng(0).normal(size=(STEPS, SIZE)).astype(np.float32))


def ours() -> dict[str, float]:
    from pamiq_async.data import DataUser
    from pamiq_async.data.impls import RingBuffer

    buffer = RingBuffer({"observation": (SIZE, "float32")}, STEPS)
    user, items = DataUser(buffer), [{"observation": step} for step in steps()]
    moving = []
    for _ in range(5):  # the first one makes the kernel give the memory
        for item in items:
            user.collector.collect(item)
        moving.append(seconds(user.update))
    buffer.add_batch({"observation": np.stack(steps())})
    return {
        "add": 1e6 * least(lambda: [buffer.add(item) for item in items[:1000]], 50) / 1000,
        "move": 1e6 * min(moving) / STEPS,
        "batch": 1e6 * least(lambda: buffer.add_batch({"observation": ROWS}), 500) / len(ROWS),
        "sample": 1e6 * least(lambda: buffer.sample(BATCH), 500),
        "sequences": 1e6 * least(lambda: buffer.sample_sequences(BATCH, LENGTH), 100),
    }


def pamiq_core() -> dict[str, float]:
    from pamiq_core.data.impls import DictSequentialBuffer

    buffer = DictSequentialBuffer(["observation"], STEPS)
    for step in steps():
        buffer.add({"observation": step})

    def sample() -> Any:
        data = buffer.get_data()["observation"]
        return np.stack(random.choices(data, k=BATCH))

    def sequences() -> Any:
        data = buffer.get_data()["observation"]
        return np.stack([data[i : i + LENGTH] for i in random.choices(range(STEPS - LENGTH), k=BATCH)])

    return {"sample": 1e6 * least(sample, 20), "sequences": 1e6 * least(sequences, 20)}


def cpprb() -> dict[str, float]:
    from cpprb import ReplayBuffer

    buffer = ReplayBuffer(STEPS, {"observation": {"shape": SIZE, "dtype": np.float32}})
    rows = steps()
    for _ in range(2):
        for step in rows:
            buffer.add(observation=step)
    return {
        "add": 1e6 * least(lambda: [buffer.add(observation=step) for step in rows[:1000]], 20) / 1000,
        "sample": 1e6 * least(lambda: buffer.sample(BATCH), 500),
    }


class Checking:
    """The least that a method in Python can do to check a row of one known field and write it."""

    def __init__(self, column: np.ndarray) -> None:
        self.column, self.place, self.dtype = column, 0, column.dtype

    def add(self, item: dict[str, np.ndarray]) -> None:
        value = item["observation"]
        if len(item) != 1 or type(value) is not np.ndarray or value.dtype is not self.dtype or value.shape != (SIZE,):
            raise ValueError(value)
        self.column[self.place] = value
        self.place = (self.place + 1) % STEPS


def limit() -> dict[str, float]:
    column, rows = np.ones((STEPS, SIZE), np.float32), steps()

    begins = itertools.cycle(range(0, STEPS, 1000))  # all memory in turn, as a ring does

    def add() -> None:
        for place, step in enumerate(rows[:1000], next(begins)):
            column[place] = step

    checking = Checking(column)
    items = [{"observation": step} for step in rows[:1000]]

    def add_checked() -> None:
        for item in items:
            checking.add(item)

    def move() -> None:
        for place, step in enumerate(rows):
            column[place] = step

    def batch() -> None:
        begin = next(begins)
        column[begin : begin + 1000] = ROWS

    return {
        "add": 1e6 * least(add, 50) / 1000,
        "checked": 1e6 * least(add_checked, 50) / 1000,
        "move": 1e6 * least(move, 5) / STEPS,
        "batch": 1e6 * least(batch, 500) / len(ROWS),
        "sample": 1e6 * least(lambda: column.take(np.random.randint(0, STEPS, BATCH), axis=0), 500),
    }


ROWS = np.ones((1000, SIZE), np.float32)


def seconds(call: Callable[[], object]) -> float:
    begun = perf_counter()
    call()
    return perf_counter() - begun


def least(call: Callable[[], object], times: int) -> float:
    return min(seconds(call) for _ in range(times))


BENCHMARK = Benchmark(
    {OURS: ours, "pamiq_core": pamiq_core, "cpprb": cpprb, "limit": limit},
    [
        Row(
            "15",
            "`RingBuffer`, 100,000 steps of 64 float32: sample 256",
            "sample",
            "µs",
            [
                at_most(1 / 500, "pamiq_core", label="pamiq-core, copying all,"),
                at_most(1, "cpprb"),
                compared_with("limit", label="NumPy's `take`"),
            ],
        ),
        Row(
            "15",
            "the same: sample 256 sequences of 16",
            "sequences",
            "µs",
            [compared_with("pamiq_core", label="pamiq-core, copying all,")],
        ),
        Row(
            "15",
            "the same: `add` one",
            "add",
            "µs",
            [
                at_most(1.5, "limit", label="a NumPy row write"),
                compared_with("limit", "checked", "the same in a method, with a check"),
            ],
        ),
        Row("15", "the same: move one that was collected", "move", "µs", [compared_with("limit", label="row writes")]),
        Row(
            "15", "the same: `add_batch` of 1000, each", "batch", "µs", [compared_with("limit", label="a slice write")]
        ),
    ],
)

if __name__ == "__main__":
    BENCHMARK.main()
