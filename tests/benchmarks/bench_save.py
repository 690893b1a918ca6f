"""How long acting stands still, at 100 Hz, while 420 MB of models and a buffer of 100,000 items are saved.

The models are NumPy arrays that save themselves by `numpy.save`; here within `write_later`, which pamiq-core has not.
The limit is writing as many bytes to one file, and syncing it.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, sleep
from types import ModuleType
from typing import Any

import numpy as np
from control import connect
from systems import agent, clocked, load, loop_lag, run_for, running
from table import OURS, Benchmark, Row, at_most, compared_with

PORT = 18322
INTERVAL = 0.01
MODELS, BYTES_EACH = 6, 70_000_000
ITEMS = 100_000


def models(core: ModuleType, write: Callable[[Callable[[], object]], object]) -> dict[str, Any]:
    """Models of which training holds the weights, and acting does not need them."""

    class Weights(core.TrainingModel):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__(has_inference_model=False)
            self.weights = np.ones(BYTES_EACH // 4, np.float32)

        def _create_inference_model(self) -> Any: ...

        def forward(self) -> None: ...

        def sync_impl(self, inference_model: Any) -> None: ...

        def save_state(self, path: Path) -> None:
            write(lambda: np.save(path, self.weights))

        def load_state(self, path: Path) -> None:
            raise NotImplementedError("it is only saved here")

    return {str(number): Weights() for number in range(MODELS)}


def buffer(core: ModuleType) -> Any:
    """A full buffer: observations of 16 numbers with an action and a reward."""
    full = core.data.impls.SequentialBuffer(ITEMS)
    observations = np.random.default_rng(0).normal(size=(ITEMS, 16)).astype(np.float32)
    for number in range(ITEMS):
        full.add({"observation": observations[number], "action": number % 4, "reward": 1.0})
    return full


def standing_still(times: list[float]) -> float:
    """The largest gap between two steps beyond the interval, in milliseconds."""
    return 1e3 * max(after - before - INTERVAL for before, after in itertools.pairwise(times))


def pamiq_core() -> dict[str, float]:
    core = load("pamiq_core")
    clock = clocked(core)
    took: list[float] = []

    def save() -> None:
        connection = connect(PORT)
        sleep(1)
        took.append(perf_counter())
        connection.call("POST", "/api/save-state")

    interaction = core.FixedIntervalInteraction.with_sleep_adjustor(agent(core), clock, INTERVAL)
    everything = models(core, lambda write: write())
    run_for(
        core,
        15,
        interaction,
        everything,
        {"data": buffer(core)},
        meanwhile=save,
        web_api_address=("localhost", PORT),
    )
    times = [moment for moment in clock.times if moment > took[0] - 2 * INTERVAL]
    return {"stands still": standing_still(times)}


def ours() -> dict[str, float]:
    return asyncio.run(save_ours())


async def save_ours() -> dict[str, float]:
    from pamiq_async.state_persistence import write_later

    core = load("pamiq_async")
    clock = clocked(core)
    interaction = core.FixedIntervalInteraction.with_sleep_adjustor(agent(core), clock, INTERVAL)
    everything, data = models(core, write_later), {"data": buffer(core)}
    async with running(interaction, models=everything, data=data) as system:
        await asyncio.sleep(1.5)
        before, begun = peak_memory(), perf_counter()
        lag = asyncio.create_task(loop_lag(3.0))
        path = await system.save_state()
        took = perf_counter() - begun
        lags = await lag
        size = await asyncio.to_thread(lambda: sum(f.stat().st_size for f in path.rglob("*") if f.is_file()))
        times = [moment for moment in clock.times if moment > begun - 2 * INTERVAL]
    return {
        "stands still": standing_still(times),
        "loop lag": 1e3 * max(lags),
        "save": took,
        "memory": peak_memory() - before,
        "bytes": size / 1e6,
    }


def bare() -> dict[str, float]:
    content = np.ones(MODELS * BYTES_EACH, np.uint8).data
    with tempfile.TemporaryDirectory() as directory:
        begun = perf_counter()
        with Path(directory, "file").open("wb") as file:
            file.write(content)
            os.fsync(file.fileno())
        return {"save": perf_counter() - begun, "bytes": len(content) / 1e6}


def peak_memory() -> float:
    """The most that this process ever had in memory, in megabytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


BENCHMARK = Benchmark(
    {OURS: ours, "pamiq_core": pamiq_core, "limit": bare},
    [
        Row(
            "save",
            "acting stands still while 420 MB and 100,000 items are saved",
            "stands still",
            "ms",
            [at_most(0.05, "pamiq_core"), at_most(50)],
        ),
        Row("save", "the host's loop lag meanwhile, max", "loop lag", "ms", []),
        Row("save", "the whole save", "save", "s", [compared_with("limit", label="one write and fsync")]),
        Row("save", "its size", "bytes", "MB", [compared_with("limit", label="the models alone")]),
        Row("save", "memory that it takes at its peak", "memory", "MB", []),
    ],
)

if __name__ == "__main__":
    BENCHMARK.main()
