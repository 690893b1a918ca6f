"""How costs grow with the number of trainers, buffers and child agents, and with the size of a state.

    python tests/benchmarks/scaling.py

measures this package alone and draws four plots into docs/images/scaling.svg; needs matplotlib and NumPy.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from systems import clocked, environment, running

import pamiq_async
from pamiq_async import Agent, FixedIntervalInteraction, Interaction, Trainer, TrainingModel
from pamiq_async.data.impls import SequentialBuffer
from pamiq_async.state_persistence import write_later

PICTURE = Path(__file__).parent.parent.parent / "docs" / "images" / "scaling.svg"
COUNTS = [1, 2, 4, 8, 16, 32, 64]
MEGABYTES = [1, 4, 16, 64, 256]
SECONDS = 0.5
INTERVAL = 0.01


class Waiting(Trainer):
    """Asked for data that never come."""

    def __init__(self) -> None:
        super().__init__("0", min_buffer_size=10**9)

    def train(self) -> None: ...


class Parent(Agent[Any, Any]):
    """Has each child take its step, and collects what it saw for each buffer."""

    def __init__(self, children: int, buffers: int) -> None:
        super().__init__({str(number): Parent(0, 0) for number in range(children)})
        self.buffers = [str(number) for number in range(buffers)]

    def on_data_collectors_attached(self) -> None:
        self.collectors = [self.get_data_collector(name) for name in self.buffers]

    def step(self, observation: Any) -> Any:
        for agent in self._agents.values():
            agent.step(observation)
        for collector in self.collectors:
            collector.collect(observation)
        return observation


class Weights(TrainingModel[Any]):
    """So many megabytes that are saved while the agent acts."""

    def __init__(self, megabytes: int) -> None:
        super().__init__(has_inference_model=False)
        self.weights = np.ones(megabytes * 250_000, np.float32)

    def _create_inference_model(self) -> Any: ...

    def forward(self) -> None: ...

    def sync_impl(self, inference_model: Any) -> None: ...

    def save_state(self, path: Path) -> None:
        write_later(lambda: np.save(path, self.weights))


async def step_cost(trainers: int = 0, buffers: int = 0, children: int = 0) -> float:
    """Microseconds a step."""
    counting = environment(pamiq_async)
    data = {str(number): SequentialBuffer(1000) for number in range(max(buffers, 1))}
    learning = {str(number): Waiting() for number in range(trainers)}
    async with running(Interaction(Parent(children, buffers), counting), data=data, trainers=learning):
        await asyncio.sleep(0.1)
        before, begun = counting.count, perf_counter()
        await asyncio.sleep(SECONDS)
        return 1e6 * (perf_counter() - begun) / (counting.count - before)


async def saving(megabytes: int) -> tuple[float, float]:
    """Milliseconds that acting stood still beyond its interval, and that the whole save took."""
    clock = clocked(pamiq_async)
    interaction = FixedIntervalInteraction.with_sleep_adjustor(Parent(0, 0), clock, INTERVAL)
    async with running(interaction, models={"weights": Weights(megabytes)}) as system:
        await asyncio.sleep(0.2)
        begun = perf_counter()
        await system.save_state()
        took = perf_counter() - begun
        await asyncio.sleep(2 * INTERVAL)
        times = [moment for moment in clock.times if moment > begun - 2 * INTERVAL]
    return 1e3 * max(after - before - INTERVAL for before, after in itertools.pairwise(times)), 1e3 * took


class Plot(NamedTuple):
    title: str
    x: str
    y: str
    at: list[int]
    curves: Mapping[str, list[float]]


def measure() -> list[Plot]:
    def steps(of: Callable[[int], Any]) -> dict[str, list[float]]:
        return {"a step": [min(asyncio.run(of(count)) for _ in range(3)) for count in COUNTS]}

    saves = [min(asyncio.run(saving(size)) for _ in range(3)) for size in MEGABYTES]
    return [
        Plot("Trainers that wait", "trainers", "µs", COUNTS, steps(lambda count: step_cost(trainers=count))),
        Plot("Buffers, an item each a step", "buffers", "µs", COUNTS, steps(lambda count: step_cost(buffers=count))),
        Plot("Child agents that are stepped", "child agents", "µs", COUNTS, steps(lambda n: step_cost(children=n))),
        Plot(
            "Saving a state",
            "MB",
            "ms",
            MEGABYTES,
            {"acting stands still": [still for still, _ in saves], "the whole save": [took for _, took in saves]},
        ),
    ]


def draw(plots: list[Plot]) -> None:
    matplotlib.rcParams["svg.hashsalt"] = "scaling"  # the same picture for the same figures
    figure, axes = plt.subplots(2, 2, figsize=(9, 6.5), layout="constrained")
    for axis, plot in zip(axes.flat, plots, strict=True):
        for name, values in plot.curves.items():
            axis.plot(plot.at, values, marker="o", label=name)
        axis.set(title=plot.title, xlabel=plot.x, ylabel=plot.y, xscale="log", ylim=0)
        axis.set_xticks(plot.at, [str(count) for count in plot.at])
        axis.minorticks_off()
        axis.legend()
        axis.grid(alpha=0.3)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, metadata={"Date": None})


if __name__ == "__main__":
    plots = measure()
    for plot in plots:
        print(plot.title)
        for name, values in plot.curves.items():
            print(
                f"  {name}:",
                ", ".join(f"{at} {plot.x}: {value:.3g} {plot.y}" for at, value in zip(plot.at, values, strict=True)),
            )
    draw(plots)
