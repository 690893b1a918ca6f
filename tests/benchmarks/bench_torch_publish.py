"""How long acting is held up while a trained PyTorch model of 420 MB is published, again and again.

An agent infers with the model in one thread while another publishes. Two procedures take turns in one run:

- ours: `TorchTrainingModel.sync`, which leaves optimizers alone;
- exchange: both modules change places under a lock, the one that trains from then on loads the other's state dict, and
  its optimizer is made anew and given back its state, since it knows the parameters of the module that acts now.

It prints, in milliseconds, how long the agent waited until the module began to compute, how long whole calls took, and
how long publishing took. The lines "not publishing" show what the machine itself adds: where other programs want the
cores too, the longest times are those of the kernel's scheduler.

    python tests/benchmarks/bench_torch_publish.py [--megabytes 420] [--layers 26] [--seconds 10] [--rounds 3]
"""

from __future__ import annotations

import argparse
import copy
import statistics
import threading
from collections.abc import Callable
from time import perf_counter
from typing import Any, NamedTuple, Protocol

import torch
from torch import nn

from pamiq_async.torch import TorchTrainingModel, default_infer_procedure

LAST_BEGINNING = [0.0]  # when the agent's last call came to compute


class Large(nn.Module):
    """So many bytes of parameters, of which each call touches a little: what is measured is waiting, not computing."""

    def __init__(self, megabytes: int, layers: int) -> None:
        super().__init__()
        width = int((megabytes * 1e6 / 4 / layers) ** 0.5)
        self.layers = nn.ModuleList([nn.Linear(width, width) for _ in range(layers)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        LAST_BEGINNING[0] = perf_counter()
        for layer in self.layers:
            x = x + layer.weight[:8, :8].sum() + layer.bias[:8]  # type: ignore[index]
        return x


class Procedure(Protocol):
    def infer(self, x: torch.Tensor) -> torch.Tensor: ...

    def publish(self) -> None: ...


class Ours:
    def __init__(self, module: Large) -> None:
        self.model = TorchTrainingModel(module)
        self.optimizer = with_state(module)
        self.infer = self.model.inference_model.infer
        self.publish = self.model.sync


class Exchange:
    def __init__(self, module: Large) -> None:
        self.training = module
        self.acting = copy.deepcopy(module).eval()
        self.optimizer = with_state(module)
        self.lock = threading.Lock()

    def infer(self, x: torch.Tensor) -> torch.Tensor:
        with self.lock, torch.inference_mode():
            return default_infer_procedure(self.acting, x)

    def publish(self) -> None:
        state = self.optimizer.state_dict()
        self.training.eval()
        with self.lock:
            self.training, self.acting = self.acting, self.training
        self.training.load_state_dict(self.acting.state_dict())
        self.training.train()
        self.optimizer = torch.optim.SGD(self.training.parameters(), lr=0.0, momentum=0.9)
        self.optimizer.load_state_dict(state)


def with_state(module: nn.Module) -> torch.optim.Optimizer:
    optimizer = torch.optim.SGD(module.parameters(), lr=0.0, momentum=0.9)
    for parameter in module.parameters():
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


class Result(NamedTuple):
    waits: list[float]  # all in seconds
    calls: list[float]
    publishing: list[float]


def measure(procedure: Procedure, seconds: float, publishes: bool = True) -> Result:
    waits: list[float] = []
    calls: list[float] = []
    publishing: list[float] = []
    is_over = threading.Event()

    def act() -> None:
        x = torch.zeros(8)
        while not is_over.is_set():
            start = perf_counter()
            procedure.infer(x)
            calls.append(perf_counter() - start)
            waits.append(LAST_BEGINNING[0] - start)

    agent = threading.Thread(target=act)
    agent.start()
    end = perf_counter() + seconds
    try:
        while (start := perf_counter()) < end:
            if publishes:
                procedure.publish()
                publishing.append(perf_counter() - start)
            else:
                is_over.wait(end - start)
    finally:
        is_over.set()
        agent.join()
    return Result(waits, calls, publishing)


def show(name: str, result: Result) -> None:
    def quantile(values: list[float], share: float) -> str:
        return f"{sorted(values)[min(len(values) - 1, int(share * len(values)))] * 1e3:8.2f}"

    waits = [quantile(result.waits, share) for share in (0.999, 1)]
    calls = [quantile(result.calls, share) for share in (0.5, 0.999, 1)]
    published = f"{statistics.median(result.publishing) * 1e3:8.1f}" if result.publishing else " " * 8
    print(f"{name:20s} {' '.join(waits)}   {' '.join(calls)}   {published} {len(result.publishing):6d}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=420)
    parser.add_argument("--layers", type=int, default=26)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()

    torch.set_num_threads(1)  # one core for each thread of this program
    procedures: dict[str, Callable[[Any], Procedure]] = {"ours": Ours, "exchange": Exchange}
    print(f"{'':20s} {'waited':>17s}   {'call':>26s}   {'published':>15s}")
    print(f"{'':20s} {'p99.9':>8s} {'max':>8s}   {'p50':>8s} {'p99.9':>8s} {'max':>8s}   {'p50':>8s} {'times':>6s}")
    for number in range(1, args.rounds + 1):
        for name, make in procedures.items():
            procedure = make(Large(args.megabytes, args.layers))
            show(f"{name}, round {number}", measure(procedure, args.seconds))
            if name == "ours":
                show("  not publishing", measure(procedure, args.seconds, publishes=False))
            del procedure


if __name__ == "__main__":
    main()
