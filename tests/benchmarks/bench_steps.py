"""Steps per second of an interaction whose hooks do nothing, on a worker thread and on the loop."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from time import perf_counter
from typing import Any

from systems import agent, environment, load, loop_lag, run_for, running
from table import OURS, Benchmark, Row, at_least, at_most, quantile

SECONDS = 3.0


def of_a_package(package: str) -> Callable[[], dict[str, float]]:
    def measure() -> dict[str, float]:
        core = load(package)
        counting = environment(core)
        run_for(core, SECONDS, core.Interaction(agent(core), counting))
        return {"def": counting.count / SECONDS}

    return measure


def ours() -> dict[str, float]:
    on_loop, lag = asyncio.run(all_async())
    return {
        **of_a_package("pamiq_async")(),
        "async def": on_loop,
        "loop lag p99": lag,
        "mixed": asyncio.run(mixed()),
    }


def with_uvloop() -> dict[str, float]:
    import uvloop

    on_loop, lag = uvloop.run(all_async())
    return {"async def": on_loop, "loop lag p99": lag, "mixed": uvloop.run(mixed())}


async def all_async() -> tuple[float, float]:
    from pamiq_async import Agent, Environment, Interaction

    class Still(Agent[int, int]):
        async def step(self, observation: int) -> int:
            return observation

    class Counting(Environment[int, int]):
        count = 0

        async def observe(self) -> int:
            self.count += 1
            return self.count

        async def affect(self, action: int) -> None: ...

    counting = Counting()
    async with running(Interaction(Still(), counting)):
        before = counting.count
        lags = await loop_lag(SECONDS)
        return (counting.count - before) / SECONDS, 1e3 * quantile(lags, 0.99)


async def mixed() -> float:
    """The environment observes on the loop; the rest, two `def` hooks, shares one trip to the thread."""
    from pamiq_async import Agent, Environment, Interaction

    class Still(Agent[int, int]):
        def step(self, observation: int) -> int:
            return observation

    class Counting(Environment[int, int]):
        count = 0

        async def observe(self) -> int:
            self.count += 1
            return self.count

        def affect(self, action: int) -> None: ...

    counting = Counting()
    async with running(Interaction(Still(), counting)):
        before = counting.count
        await asyncio.sleep(SECONDS)
        return (counting.count - before) / SECONDS


def limit() -> dict[str, float]:
    core = load("pamiq_async")
    still, counting = agent(core), environment(core)
    observe, step, affect = counting.observe, still.step, counting.affect
    begun = perf_counter()
    while perf_counter() < begun + SECONDS:
        for _ in range(1000):
            affect(step(observe()))
    return {"def": counting.count / (perf_counter() - begun), "mixed": asyncio.run(bare_hops())}


async def bare_hops() -> float:
    """A coroutine and one trip to a thread that waits at a queue, again and again."""
    loop = asyncio.get_running_loop()
    jobs: queue.SimpleQueue[tuple[asyncio.Future[int], int] | None] = queue.SimpleQueue()

    def settle(future: asyncio.Future[int], result: int) -> None:
        future.set_result(result)

    def work() -> None:
        while (job := jobs.get()) is not None:
            future, observation = job
            affect(step(observation))
            loop.call_soon_threadsafe(settle, future, observation)

    def step(observation: int) -> int:
        return observation

    def affect(action: Any) -> None: ...

    async def observe() -> int:
        return 0

    thread = threading.Thread(target=work)
    thread.start()
    count, begun = 0, perf_counter()
    while perf_counter() < begun + SECONDS:
        future = loop.create_future()
        jobs.put((future, await observe()))
        await future
        count += 1
    jobs.put(None)
    thread.join()
    return count / (perf_counter() - begun)


BENCHMARK = Benchmark(
    {OURS: ours, "pamiq_core": of_a_package("pamiq_core"), "limit": limit, "uvloop": with_uvloop},
    [
        Row(
            "1",
            "steps, hooks that do nothing, all `def`",
            "def",
            "/s",
            [at_least(60, "pamiq_core"), at_least(0.3, "limit", label="a bare loop")],
        ),
        Row("2", "the same, all `async def`", "async def", "/s", [at_least(40, "pamiq_core", "def")]),
        Row("2", "the host's loop lag meanwhile, p99", "loop lag p99", "ms", [at_most(3)]),
        Row("3", "the same, mixed", "mixed", "/s", [at_least(0.8, "limit", label="one bare hop a step")]),
    ],
)

if __name__ == "__main__":
    BENCHMARK.main()
