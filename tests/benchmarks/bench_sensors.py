"""Ten async sensors of 20 ms each in one dict: how long one reading of all takes."""

from __future__ import annotations

import asyncio
from time import perf_counter

from systems import running
from table import OURS, Benchmark, Row, at_most, compared_with

READINGS = 50


def ours() -> dict[str, float]:
    return asyncio.run(measure())


async def measure() -> dict[str, float]:
    from pamiq_async import Agent, Interaction, ModularEnvironment, Sensor
    from pamiq_async.interaction import Actuator

    is_over = asyncio.Event()
    times = [perf_counter()]

    class Slow(Sensor[int]):
        async def read(self) -> int:
            await asyncio.sleep(0.02)
            return 0

    class Still(Agent[dict[str, int], None]):
        async def step(self, observation: dict[str, int]) -> None:
            times.append(perf_counter())
            if len(times) > READINGS:
                is_over.set()

    class Nowhere(Actuator[None]):
        async def operate(self, action: None) -> None: ...

    environment = ModularEnvironment.from_dict({str(number): Slow() for number in range(10)}, {"no": Nowhere()})
    environment.actuator = Nowhere()
    async with running(Interaction(Still(), environment)):
        await is_over.wait()
    return {"reading": 1e3 * (times[READINGS] - times[1]) / (READINGS - 1)}


def in_sequence() -> dict[str, float]:
    async def read_all() -> float:
        begun = perf_counter()
        for _ in range(5):
            for _ in range(10):
                await asyncio.sleep(0.02)
        return perf_counter() - begun

    return {"reading": 1e3 * asyncio.run(read_all()) / 5}


BENCHMARK = Benchmark(
    {OURS: ours, "one_by_one": in_sequence},
    [
        Row("16", "ten async sensors of 20 ms in one dict: a reading", "reading", "ms", [at_most(25)]),
        Row(
            "16",
            "the same, against one after the other",
            "reading",
            "ms",
            [compared_with("one_by_one", label="one after the other")],
        ),
    ],
)

if __name__ == "__main__":
    BENCHMARK.main()
