"""One call of a function that does nothing, from the loop to a worker thread and back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from queue import SimpleQueue
from time import perf_counter

from table import OURS, Benchmark, Row, at_most, compared_with

CALLS = 20_000


def nothing() -> None: ...


async def time_of(call: Callable[[], Awaitable[None]]) -> dict[str, float]:
    for _ in range(1000):
        await call()
    begun = perf_counter()
    for _ in range(CALLS):
        await call()
    return {"hop": 1e6 * (perf_counter() - begun) / CALLS}


def ours() -> dict[str, float]:
    from pamiq_async.hooks import Lane

    async def measure() -> dict[str, float]:
        lane = Lane("measured")
        lane.start()
        try:
            return await time_of(lambda: lane.run(nothing))
        finally:
            await lane.close()

    return asyncio.run(measure())


def executor() -> dict[str, float]:
    async def measure() -> dict[str, float]:
        loop = asyncio.get_running_loop()
        return await time_of(lambda: loop.run_in_executor(None, nothing))

    return asyncio.run(measure())


def two_threads() -> dict[str, float]:
    """Waking another thread and being woken by it, without any loop."""
    there: SimpleQueue[bool] = SimpleQueue()
    back: SimpleQueue[bool] = SimpleQueue()

    def answer() -> None:
        while there.get():
            back.put(True)

    thread = threading.Thread(target=answer)
    thread.start()
    begun = perf_counter()
    for _ in range(CALLS):
        there.put(True)
        back.get()
    took = perf_counter() - begun
    there.put(False)
    thread.join()
    return {"hop": 1e6 * took / CALLS}


BENCHMARK = Benchmark(
    {OURS: ours, "run_in_executor": executor, "two threads": two_threads},
    [
        Row(
            "9",
            "one call through a lane and back",
            "hop",
            "µs",
            [
                at_most(0.5, "run_in_executor"),
                compared_with("two threads", label="two threads that wake each other, without a loop"),
            ],
        )
    ],
)

if __name__ == "__main__":
    BENCHMARK.main()
