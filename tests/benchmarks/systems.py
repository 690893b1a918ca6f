"""Systems of either package to measure, made of the same components.

Each component is a plain class over the base classes of `core`, which is pamiq_async or pamiq_core; what is measured is
seen from outside: steps are counted, and moments taken, by the environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
import math
import os
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

# Before NumPy is imported: trainers have one core, in either package.
os.environ["OPENBLAS_NUM_THREADS"] = "1"


def load(package: str) -> ModuleType:
    """Import the package with its buffers."""
    importlib.import_module(f"{package}.data.impls")
    return importlib.import_module(package)


def agent(core: ModuleType, step: Callable[[Any], Any] | None = None) -> Any:
    """An agent that does nothing, or what `step` does."""

    class Still(core.Agent):  # type: ignore[name-defined,misc]
        def step(self, observation: Any) -> Any:
            return observation if step is None else step(observation)

    return Still()


def environment(core: ModuleType) -> Any:
    """An environment that counts the steps."""

    class Counting(core.Environment):  # type: ignore[name-defined,misc]
        count = 0

        def observe(self) -> int:
            self.count += 1
            return self.count

        def affect(self, action: Any) -> None: ...

    return Counting()


def clocked(core: ModuleType) -> Any:
    """An environment that writes down when each step begins, by `time.perf_counter`."""

    class Clocked(core.Environment):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.times: list[float] = []

        def observe(self) -> int:
            self.times.append(time.perf_counter())
            return len(self.times)

        def affect(self, action: Any) -> None: ...

    return Clocked()


def trainer(core: ModuleType, train: Callable[[], None]) -> Any:
    """A trainer that is always trainable."""

    class Busy(core.Trainer):  # type: ignore[name-defined,misc]
        def train(self) -> None:
            train()

    return Busy()


def run_for(
    core: ModuleType,
    seconds: float,
    interaction: Any,
    models: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    trainers: Mapping[str, Any] | None = None,
    meanwhile: Callable[[], None] | None = None,
    **config: Any,
) -> None:
    """Run a system from start to end; `meanwhile` runs on a thread beside it."""
    watcher = threading.Thread(target=meanwhile) if meanwhile is not None else None
    with tempfile.TemporaryDirectory() as states:
        fields = {"states_dir": states, "max_uptime": seconds, "web_api_address": None, **config}
        if watcher is not None:
            watcher.start()
        starting = core.launch(interaction, models or {}, data or {}, trainers or {}, fields)
        if starting is not None:
            asyncio.run(starting)
        if watcher is not None:
            watcher.join()


@contextlib.asynccontextmanager
async def running(
    interaction: Any,
    models: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    trainers: Mapping[str, Any] | None = None,
    **config: Any,
) -> AsyncIterator[Any]:
    """A running system of ours within somebody's loop."""
    from pamiq_async import start

    with tempfile.TemporaryDirectory() as states:
        fields = {"states_dir": states, "web_api_address": None, **config}
        async with start(interaction, models or {}, data or {}, trainers or {}, fields) as system:
            yield system


async def loop_lag(seconds: float, interval: float = 0.005) -> list[float]:
    """How late the loop came back from sleeps, in seconds, among them what asyncio's timer rounds up."""
    lags = []
    end = time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        await asyncio.sleep(interval)
        lags.append(time.perf_counter() - begun - interval)
    return lags


def python_training() -> Callable[[], None]:
    """A batch of about 10 ms that holds the interpreter all the time."""

    def train() -> None:
        end = time.perf_counter() + 0.01
        value = 0.0
        while time.perf_counter() < end:
            for number in range(100):
                value += math.sqrt(number)

    return train


def numpy_training(between: Callable[[], None] = lambda: None, size: int = 400) -> Callable[[], None]:
    """A batch of about 10 ms on one core that leaves the interpreter to others most of the time, as PyTorch does.

    Args:
        between: called between two products of matrices.
        size: of the matrices; a product of 250 takes a millisecond, one of 400 a few.
    """
    import numpy as np

    matrix = np.random.default_rng(0).normal(size=(size, size))

    def train() -> None:
        end = time.perf_counter() + 0.01
        while time.perf_counter() < end:
            np.dot(matrix, matrix)
            between()

    return train


def deadlines(times: list[float], interval: float) -> Iterator[float]:
    """How much each interval between two steps differs from what it should be, in seconds."""
    for before, after in itertools.pairwise(times):
        yield abs(after - before - interval)
