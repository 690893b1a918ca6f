"""Collecting an item, moving it into a buffer, counting those that are new, and taking a buffer's columns out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import perf_counter

from systems import load
from table import OURS, Benchmark, Row, at_most, compared_with

ITEMS = 100_000
KEYS = ["observation", "action", "reward", "done"]


def of_a_package(package: str) -> Callable[[], dict[str, float]]:
    def measure() -> dict[str, float]:
        core = load(package)
        impls = core.data.impls
        collecting, moving = [], []
        for _ in range(5):
            user = core.DataUser(impls.SequentialBuffer(ITEMS))
            collect = user._collector.collect
            begun = perf_counter()
            for number in range(ITEMS // 2):
                collect(number)
            middle = core.time.time()
            for number in range(ITEMS // 2):
                collect(number)
            collecting.append(perf_counter() - begun)
            begun = perf_counter()
            user.update()
            moving.append(perf_counter() - begun)
        counting = repeated(lambda: user.count_data_added_since(middle))

        rows = impls.DictSequentialBuffer(KEYS, ITEMS)
        for number in range(ITEMS):
            rows.add(dict.fromkeys(KEYS, number))
        columns = repeated(rows.get_data)
        return {
            "collect": 1e6 * min(collecting) / ITEMS,
            "move": 1e6 * min(moving) / ITEMS,
            "count": 1e6 * counting,
            "columns": 1e3 * columns,
        }

    return measure


def limit() -> dict[str, float]:
    """The least that each takes in Python."""
    queue: deque[tuple[int, float]] = deque(maxlen=ITEMS)

    def collect(number: int) -> None:
        queue.append((number, perf_counter()))

    def collect_all() -> None:
        queue.clear()
        for number in range(ITEMS):
            collect(number)

    items: deque[int] = deque(maxlen=ITEMS)
    numbers = list(range(ITEMS))
    collecting, moving = repeated(collect_all, 5), repeated(lambda: items.extend(numbers), 5)
    columns = [items.copy() for _ in KEYS]
    copying = repeated(lambda: [list(column) for column in columns])
    return {"collect": 1e6 * collecting / ITEMS, "move": 1e6 * moving / ITEMS, "columns": 1e3 * copying}


def repeated(call: Callable[[], object], times: int = 20) -> float:
    """The least of several times, in seconds."""
    took = []
    for _ in range(times):
        begun = perf_counter()
        call()
        took.append(perf_counter() - begun)
    return min(took)


BENCHMARK = Benchmark(
    {OURS: of_a_package("pamiq_async"), "pamiq_core": of_a_package("pamiq_core"), "limit": limit},
    [
        Row(
            "13",
            "`collect` one item",
            "collect",
            "µs",
            [at_most(1 / 5, "pamiq_core"), compared_with("limit", label="append and clock")],
        ),
        Row("13", "move an item into a buffer", "move", "µs", [at_most(1 / 5, "pamiq_core")]),
        Row(
            "13",
            "`count_data_added_since`, the last half of 100,000 items",
            "count",
            "µs",
            [at_most(1 / 100, "pamiq_core")],
        ),
        Row("14", "`get_data` of 100,000 items with four keys", "columns", "ms", [at_most(1 / 3, "pamiq_core")]),
    ],
)

if __name__ == "__main__":
    BENCHMARK.main()
