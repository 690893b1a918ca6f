"""Steps per second of an agent that asks a small PyTorch model, at batch 1, while another thread trains it.

Ours is a system as users start it. pamiq-core's procedure is restated with two threads: each tick looks for a pause and
for the end, and is followed by a sleep of a microsecond; the agent's takes its own time with a locked clock. The bare
loop calls the module and nothing else, in inference mode, beside a thread that trains another module.

What a step costs beyond the module's own answer is a difference of medians, in a run without a trainer.
"""

from __future__ import annotations

import contextlib
import itertools
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import ClassVar

import torch
from systems import load, run_for
from table import OURS, Benchmark, Row, at_least, at_most, compared_with, quantile
from torch import nn
from torch.optim import Adam
from torch_systems import Exchanged, Rebuilding, Training, batch, mlp

from pamiq_async import Agent, Environment
from pamiq_async.model import TrainingModelsDict
from pamiq_async.torch import TorchTrainingModel

SECONDS = 5.0
WARM_UP = 1.0
Act = Callable[[], None]


class Asking(Agent[torch.Tensor, torch.Tensor]):
    def on_inference_models_attached(self) -> None:
        self.net = self.get_inference_model("net")

    def step(self, observation: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.net(observation)
        return answer


class World(Environment[torch.Tensor, torch.Tensor]):
    """Writes down when each step begins."""

    def __init__(self) -> None:
        super().__init__()
        self.x = torch.zeros(1, 256)
        self.times: list[float] = []

    def observe(self) -> torch.Tensor:
        self.times.append(time.perf_counter())
        return self.x

    def affect(self, action: torch.Tensor) -> None: ...

    def steps(self) -> list[float]:
        """How long each took, in seconds."""
        times = [moment for moment in self.times if moment > self.times[0] + WARM_UP]
        return [after - before for before, after in itertools.pairwise(times)]


class Timed(nn.Module):
    """A policy that writes down how long its answers take."""

    answers: ClassVar[list[float]] = []

    def __init__(self) -> None:
        super().__init__()
        self.net = mlp()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        start = time.perf_counter()
        answer: torch.Tensor = self.net(x)
        self.answers.append(time.perf_counter() - start)
        return answer


def figures(measure: Callable[[nn.Module, bool], World]) -> dict[str, float]:
    training, still = measure(mlp(), True).steps(), measure(Timed(), False).steps()
    overhead = quantile(still, 0.5) - quantile(Timed.answers, 0.5)
    return {"steps": 1 / statistics.fmean(training), "overhead": 1e6 * overhead}


def ours(net: nn.Module, trains: bool) -> World:
    core, world = load("pamiq_async"), World()
    trainers = {"trainer": Training(batch())} if trains else {}
    run_for(
        core,
        WARM_UP + SECONDS,
        core.Interaction(Asking(), world),
        {"net": TorchTrainingModel(net)},
        {},
        trainers,
    )
    return world


def restated(net: nn.Module, trains: bool) -> World:
    world, agent, trainer = World(), Asking(), Rebuilding(batch())
    models = TrainingModelsDict({"net": Exchanged(net)})
    agent.attach_inference_models(models.inference_models_dict)
    trainer.attach_training_models(models)
    resume, is_over, clock = threading.Event(), threading.Event(), threading.RLock()
    resume.set()
    tick_times: list[float] = []

    def now() -> float:
        with clock:
            return time.time()

    def ticks(tick: Act) -> None:
        while resume.wait(1.0) and not is_over.is_set():
            tick()
            time.sleep(1e-6)

    def act() -> None:
        world.affect(agent.step(world.observe()))
        tick_times.append(now())
        now()

    def train() -> None:
        now()
        trainer.run()
        now()

    with beside([lambda: ticks(act), *([lambda: ticks(train)] if trains else [])]):
        time.sleep(WARM_UP + SECONDS)
        is_over.set()
    return world


def bare(net: nn.Module, trains: bool) -> World:
    world, acting, training = World(), net.eval(), mlp()
    train, optimizer, is_over = batch(), Adam(training.parameters(), lr=1e-5), threading.Event()

    def act() -> None:
        with torch.inference_mode():
            while not is_over.is_set():
                world.affect(acting(world.observe()))

    def trains_on() -> None:
        while not is_over.is_set():
            train(training, optimizer)

    with beside([act, *([trains_on] if trains else [])]):
        time.sleep(WARM_UP + SECONDS)
        is_over.set()
    return world


@contextlib.contextmanager
def beside(functions: list[Act]) -> Iterator[None]:
    """Threads that end with the block."""

    def run(function: Act) -> None:
        torch.get_num_threads()  # else a new thread disregards torch.set_num_threads
        function()

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()


def variant(measure: Callable[[nn.Module, bool], World]) -> Callable[[], dict[str, float]]:
    return lambda: figures(measure)


RESTATED = "pamiq-core's procedure, restated"

BENCHMARK = Benchmark(
    {OURS: variant(ours), "restated": variant(restated), "bare": variant(bare)},
    [
        Row(
            "19",
            "steps/s with an MLP of 4 × 256 at batch 1, a PyTorch trainer running",
            "steps",
            "steps/s",
            [at_least(1.1, "restated", label=RESTATED), compared_with("bare", label="a bare thread beside another")],
        ),
        Row(
            "19",
            "what a step costs beyond the module's answer",
            "overhead",
            "µs",
            [at_most(1 / 1.1, "restated", label=RESTATED)],
        ),
    ],
    needs_torch=True,
)

if __name__ == "__main__":
    BENCHMARK.main()
