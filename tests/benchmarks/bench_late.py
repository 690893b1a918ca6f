"""How late an agent that runs on the loop begins its steps, at 100 Hz, by the deadlines that it should meet."""

from __future__ import annotations

import asyncio
from time import perf_counter

from systems import running
from table import OURS, Benchmark, Row, at_least, at_most, quantile

STEPS = 500
INTERVAL = 0.01


def ours() -> dict[str, float]:
    return asyncio.run(of_an_agent())


async def of_an_agent() -> dict[str, float]:
    from pamiq_async import Agent, Environment, FixedIntervalInteraction

    class Still(Agent[None, None]):
        async def step(self, observation: None) -> None: ...

    class Clocked(Environment[None, None]):
        def __init__(self) -> None:
            super().__init__()
            self.times: list[float] = []
            self.is_over = asyncio.Event()

        async def observe(self) -> None:
            self.times.append(perf_counter())
            if len(self.times) == STEPS:
                self.is_over.set()

        async def affect(self, action: None) -> None: ...

    clocked = Clocked()
    async with running(FixedIntervalInteraction.with_sleep_adjustor(Still(), clocked, INTERVAL)):
        await clocked.is_over.wait()
    return figures(clocked.times[:STEPS])


def asyncio_sleep() -> dict[str, float]:
    async def steps() -> list[float]:
        times = [perf_counter()]
        while len(times) < STEPS:
            await asyncio.sleep(times[0] + len(times) * INTERVAL - perf_counter())
            times.append(perf_counter())
        return times

    return figures(asyncio.run(steps()))


def figures(times: list[float]) -> dict[str, float]:
    """The first step sets the schedule; what it was late itself can't be seen."""
    late = [1e3 * (moment - times[0] - number * INTERVAL) for number, moment in enumerate(times)]
    return {"p50": quantile(late, 0.5), "p99": quantile(late, 0.99), "earliest": min(late)}


BENCHMARK = Benchmark(
    {OURS: ours, "asyncio.sleep": asyncio_sleep},
    [
        Row("7", "async agent, 100 Hz: lateness, p99", "p99", "ms", [at_most(0.25, "asyncio.sleep")]),
        Row("7", "the same, the least (below 0 would be early)", "earliest", "ms", [at_least(0)]),
    ],
)

if __name__ == "__main__":
    BENCHMARK.main()
