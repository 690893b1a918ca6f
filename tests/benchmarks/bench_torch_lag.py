"""How late the host's handlers are beside an agent at 100 Hz, a trainer, and saves of a model of 200 MB every 2 s.

The trainer is PyTorch's, or computes in pure Python. Lags are those of `asyncio.sleep`, whose timer rounds up to a
millisecond. The bare loop runs nothing beside a thread that trains the same: what is left there are the kernel's
scheduler and the interpreter's lock. "The first training" is the first seconds from when a system is active. PyTorch is
loaded in full when a process makes its first optimizer, and `TorchTrainer` sees to that before; "not warmed up" is
without it.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import torch
from systems import agent, environment, loop_lag, python_training, running, trainer
from table import OURS, Benchmark, Row, at_most, compared_with, quantile
from torch import nn
from torch_systems import Training, batch, mlp

import pamiq_async
import pamiq_async.torch.trainer
from pamiq_async import LaunchConfig
from pamiq_async.runtime.interpreter import switch_interval
from pamiq_async.torch import TorchTrainingModel
from pamiq_async.torch.warming import prepare_thread

SECONDS = 10.0
FIRST_SECONDS = 4.0
INTERVAL = 0.01


def heavy() -> TorchTrainingModel[nn.Module]:
    """200 MB that are saved, and neither trained nor published."""
    parameters = nn.ParameterList([nn.Parameter(torch.ones(2_000_000)) for _ in range(25)])  # 8 MB each
    return TorchTrainingModel(parameters, has_inference_model=False)


def interaction() -> Any:
    return pamiq_async.FixedIntervalInteraction.with_sleep_adjustor(
        agent(pamiq_async), environment(pamiq_async), INTERVAL
    )


async def first_training() -> float:
    async with running(interaction(), {"net": TorchTrainingModel(mlp())}, {}, {"trainer": Training(batch())}):
        return 1e3 * max(await loop_lag(FIRST_SECONDS))


async def with_saves(trainers: dict[str, Any]) -> float:
    models = {"net": TorchTrainingModel(mlp()), "heavy": heavy()}
    async with running(interaction(), models, {}, trainers, save_state_interval=2.0, max_keep_states=2):
        await asyncio.sleep(1.0)
        lags = await loop_lag(SECONDS)
    return 1e3 * quantile(lags, 0.99)


async def beside_a_thread() -> float:
    """A loop that does nothing else, in a process in which a thread trains."""
    is_over, module, train = threading.Event(), mlp(), batch()
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-5)

    def trains_on() -> None:
        prepare_thread()
        while not is_over.is_set():
            train(module, optimizer)

    thread = threading.Thread(target=trains_on)
    with switch_interval(LaunchConfig().switch_interval):
        thread.start()
        lags = await loop_lag(SECONDS)
        is_over.set()
        await asyncio.to_thread(thread.join)
    return 1e3 * quantile(lags, 0.99)


def ours() -> dict[str, float]:
    return {
        "first": asyncio.run(first_training()),
        "torch": asyncio.run(with_saves({"trainer": Training(batch())})),
        "python": asyncio.run(with_saves({"trainer": trainer(pamiq_async, python_training())})),
    }


def not_warmed_up() -> dict[str, float]:
    pamiq_async.torch.trainer.warm_up = lambda: None
    return {"first": asyncio.run(first_training())}


def limit() -> dict[str, float]:
    return {"torch": asyncio.run(beside_a_thread())}


WHAT = "the host's loop lag p99, agent at 100 Hz, 200 MB saved every 2 s, "
BARE = "a bare loop beside a bare thread that trains"

BENCHMARK = Benchmark(
    {OURS: ours, "not warmed up": not_warmed_up, "limit": limit},
    [
        Row("12", f"{WHAT}PyTorch trainer", "torch", "ms", [at_most(5), compared_with("limit", label=BARE)]),
        Row("12", f"{WHAT}pure-Python trainer", "python", "ms", [at_most(20)]),
        Row("12", "the host's loop lag at the first training, max", "first", "ms", [compared_with("not warmed up")]),
    ],
    needs_torch=True,
)

if __name__ == "__main__":
    BENCHMARK.main()
