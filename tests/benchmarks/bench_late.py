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


def with_uvloop() -> dict[str, float]:
    import uvloop

    return uvloop.run(of_an_agent())


async def of_an_agent() -> dict[str, float]:
    from pamiq_async import Agent, Environment, FixedIntervalInteraction

    class Still(Agent[None, None]):
        async def step(self, observation: None) -> None: ...

    class Clocked(Environment[None, None]):
        def __init__(self) -> None:
            super().__init__()
            self.late: list[float] = []
            self.due: float | None = None  # the first step sets the schedule
            self.is_over = asyncio.Event()

        async def observe(self) -> None:
            if self.due is not None:
                self.late.append(perf_counter() - self.due)
            self.due = interaction.adjustor.deadline
            if len(self.late) == STEPS:
                self.is_over.set()

        async def affect(self, action: None) -> None: ...

    clocked = Clocked()
    interaction = FixedIntervalInteraction.with_sleep_adjustor(Still(), clocked, INTERVAL)
    async with running(interaction):
        await clocked.is_over.wait()
    return figures(clocked.late[:STEPS])


def asyncio_sleep() -> dict[str, float]:
    async def steps() -> list[float]:
        late: list[float] = []
        due = perf_counter() + INTERVAL
        while len(late) < STEPS:
            await asyncio.sleep(due - perf_counter())
            late.append(perf_counter() - due)
            due += INTERVAL
            if perf_counter() > due + 2 * INTERVAL:  # the same rule after a stall
                due = perf_counter() + INTERVAL
        return late

    return figures(asyncio.run(steps()))


def figures(late: list[float]) -> dict[str, float]:
    """Of seconds."""
    return {"p50": 1e3 * quantile(late, 0.5), "p99": 1e3 * quantile(late, 0.99), "earliest": 1e3 * min(late)}


BENCHMARK = Benchmark(
    {OURS: ours, "asyncio.sleep": asyncio_sleep, "uvloop": with_uvloop},
    [
        Row("7", "async agent, 100 Hz: lateness, p99", "p99", "ms", [at_most(0.25, "asyncio.sleep")]),
        Row("7", "the same, the least (below 0 would be early)", "earliest", "ms", [at_least(0)]),
    ],
)

if __name__ == "__main__":
    BENCHMARK.main()
