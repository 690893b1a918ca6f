"""How long acting is held up while a PyTorch model is published again and again, and how long publishing takes.

An agent infers without a pause with a model of 420 MB, of which each call touches a little: what is measured is how
long it waits, from the call until the module begins. "Nothing published" is the same system without a trainer, and in
"as much copied" a trainer copies as many bytes that are nobody's. That is what the machine adds by itself: if
its cores have other things to do, its scheduler takes the agent's away for as long as it likes. "The swap" is how long
the lock is held for which agents wait.

Publishing 420 MB is copying 420 MB, by any way that leaves both sides a whole model: the limit is that copy alone, made
while nobody acts.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch
from systems import environment, load, run_for
from table import OURS, Benchmark, Row, at_most, compared_with, quantile
from torch import nn
from torch_systems import Exchanged, Rebuilding, Training, small_layers

from pamiq_async import Agent
from pamiq_async.torch import TorchTrainingModel
from pamiq_async.torch.versions import VersionLock

MEGABYTES, LAYERS = 420, 26
SECONDS = 8.0
WARM_UP = 1.0


class Large(nn.Module):
    """So many bytes of parameters. It writes down when it begins to compute."""

    began = 0.0

    def __init__(self) -> None:
        super().__init__()
        width = int((MEGABYTES * 1e6 / 4 / LAYERS) ** 0.5)
        self.layers = nn.ModuleList([nn.Linear(width, width) for _ in range(LAYERS)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        Large.began = perf_counter()
        for layer in self.layers:
            x = x + layer.weight[:8, :8].sum() + layer.bias[:8]  # type: ignore[index]
        return x


class Acting(Agent[Any, Any]):
    def __init__(self) -> None:
        super().__init__()
        self.waits: list[tuple[float, float]] = []  # when, and how long

    def on_inference_models_attached(self) -> None:
        self.net = self.get_inference_model("net")
        self.x = torch.zeros(8)

    def step(self, observation: Any) -> None:
        start = perf_counter()
        self.net(self.x)
        self.waits.append((start, Large.began - start))


class Timed(VersionLock):
    """Writes down how long each change held the lock."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[float] = []

    def change(self, function: Callable[[], object]) -> None:
        def timed() -> None:
            start = perf_counter()
            function()
            self.held.append(perf_counter() - start)

        super().change(timed)


def nothing(module: nn.Module, optimizer: object) -> None: ...


def acting_with(model: Any, trainer: Any) -> dict[str, float]:
    agent = Acting()
    core = load("pamiq_async")
    run_for(core, WARM_UP + SECONDS, core.Interaction(agent, environment(core)), {"net": model}, {}, trainer)
    waits = [1e3 * wait for when, wait in agent.waits if when > agent.waits[0][0] + WARM_UP]
    return {"held up p99.9": quantile(waits, 0.999), "held up max": max(waits)}


def small(model: Any, trainer: Any) -> dict[str, float]:
    core = load("pamiq_async")
    still = core.FixedIntervalInteraction.with_sleep_adjustor(Still(), environment(core), 0.1)
    run_for(core, 2.0, still, {"net": model}, {}, {"trainer": trainer})
    return {"small": 1e3 * statistics.median(trainer.publishing)}


class Still(Agent[Any, Any]):
    def step(self, observation: Any) -> None: ...


def ours() -> dict[str, float]:
    model, trainer = TorchTrainingModel(Large()), Training(nothing)
    acting, lock = model.inference_model, Timed()
    acting._lock = acting._publisher._lock = lock
    return {
        **acting_with(model, {"trainer": trainer}),
        "sync": 1e3 * statistics.median(trainer.publishing),
        "swap": 1e3 * quantile(lock.held, 0.99),
        **small(TorchTrainingModel(small_layers()), Training(nothing)),
    }


def nothing_published() -> dict[str, float]:
    return acting_with(TorchTrainingModel(Large()), {})


def as_much_copied() -> dict[str, float]:
    class Copying(load("pamiq_async").Trainer):  # type: ignore[misc]
        new, old = list(Large().parameters()), list(Large().parameters())

        def train(self) -> None:
            with torch.no_grad():
                torch._foreach_copy_(self.old, self.new)

    return acting_with(TorchTrainingModel(Large()), {"trainer": Copying()})


def one_copy() -> dict[str, float]:
    """What no publishing can be faster than: one side's parameters written over with the other's."""
    new, old = list(Large().parameters()), list(Large().parameters())
    took = []
    with torch.no_grad():
        for _ in range(50):
            start = perf_counter()
            torch._foreach_copy_(old, new)
            took.append(perf_counter() - start)
    return {"sync": 1e3 * statistics.median(took)}


def exchange() -> dict[str, float]:
    trainer = Rebuilding(nothing)
    return {
        **acting_with(Exchanged(Large()), {"trainer": trainer}),
        "sync": 1e3 * statistics.median(trainer.publishing),
        **small(Exchanged(small_layers()), Rebuilding(nothing)),
    }


RESTATED = "pamiq-core's procedure, restated"

BENCHMARK = Benchmark(
    {
        OURS: ours,
        "nothing published": nothing_published,
        "copying": as_much_copied,
        "exchange": exchange,
        "limit": one_copy,
    },
    [
        Row("17", "publishing 420 MB: inference held up, p99.9", "held up p99.9", "ms", [at_most(1)]),
        Row(
            "17",
            "the same, max",
            "held up max",
            "ms",
            [
                at_most(1),
                compared_with("copying", label="as much copied, nothing published"),
                compared_with("nothing published", label="no trainer"),
            ],
        ),
        Row("17", "the swap, for which inference waits, p99", "swap", "ms", []),
        Row(
            "17",
            "publishing 420 MB, the whole sync",
            "sync",
            "ms",
            [at_most(0.8, "exchange", label=RESTATED), compared_with("limit", label="one copy")],
        ),
        Row("17", "publishing 100 small layers", "small", "ms", [at_most(0.05, "exchange", label=RESTATED)]),
    ],
    needs_torch=True,
)

if __name__ == "__main__":
    BENCHMARK.main()
