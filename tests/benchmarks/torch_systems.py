"""Models, trainers and agents of PyTorch to measure; and pamiq-core's procedure for the same, in words of our own.

PyTorch computes with one thread in all of them: on two cores, one is the agent's and one the trainer's.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Adam, Optimizer

from pamiq_async import InferenceModel, Trainer, TrainingModel
from pamiq_async.torch import OptimizersSetup, TorchTrainer, get_device

torch.set_num_threads(1)


def mlp() -> nn.Module:
    """Four layers of 256."""
    return nn.Sequential(*[layer for _ in range(4) for layer in (nn.Linear(256, 256), nn.Tanh())])


def small_layers() -> nn.Module:
    """A hundred layers of 64 × 64."""
    return nn.Sequential(*[nn.Linear(64, 64) for _ in range(100)])


def with_state(optimizer: Optimizer) -> Optimizer:
    """The optimizer as it is after a first step, which changed nothing."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return optimizer


def batch(seconds: float = 0.01) -> Callable[[nn.Module, Optimizer], None]:
    """A training of about so long, in steps as short as those of small models."""
    x = torch.randn(64, 256)

    def train(module: nn.Module, optimizer: Optimizer) -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            optimizer.zero_grad()
            (module(x) - 1).square().mean().backward()
            optimizer.step()

    return train


class Training(TorchTrainer):
    """Trains the model ``net``, each time with `train`.

    Attributes:
        publishing: how long each publishing took, in seconds.
    """

    def __init__(self, train: Callable[[nn.Module, Optimizer], None]) -> None:
        super().__init__()
        self._train = train
        self.publishing: list[float] = []

    def on_training_models_attached(self) -> None:
        self.net = self.get_torch_training_model("net")

    def create_optimizers(self) -> OptimizersSetup:
        return {"adam": with_state(Adam(self.net.model.parameters(), lr=1e-5))}

    def train(self) -> None:
        self._train(self.net.model, self.optimizers["adam"])

    def sync_models(self) -> None:
        start = time.perf_counter()
        super().sync_models()
        self.publishing.append(time.perf_counter() - start)


# --- pamiq-core's procedure, restated -------------------------------------------------------------------------------


class ExchangedInference(InferenceModel):
    """A module that acts under a lock, its arguments brought to its device."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.lock = threading.RLock()

    @torch.inference_mode()
    def infer(self, *args: Any, **kwds: Any) -> Any:
        with self.lock:
            device = get_device(self.module)
            here = [arg.to(device) if isinstance(arg, torch.Tensor) else arg for arg in args]
            named = {name: arg.to(device) if isinstance(arg, torch.Tensor) else arg for name, arg in kwds.items()}
            return self.module(*here, **named)


class Exchanged(TrainingModel[ExchangedInference]):
    """Two modules that change places when they are published; the one that is trained then loads the other's state."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.model = module

    def _create_inference_model(self) -> ExchangedInference:
        return ExchangedInference(copy.deepcopy(self.model))

    def forward(self, *args: Any, **kwds: Any) -> Any:
        return self.model(*args, **kwds)

    def sync_impl(self, inference_model: ExchangedInference) -> None:
        trained, acting = self.model, inference_model.module
        trained.eval()
        gradients = [parameter.grad for parameter in trained.parameters()]
        for parameter in trained.parameters():
            parameter.grad = None
        with inference_model.lock:
            inference_model.module = trained
        acting.load_state_dict(trained.state_dict())
        for parameter, gradient in zip(acting.parameters(), gradients, strict=True):
            parameter.grad = gradient
        self.model = acting.train()

    def save_state(self, path: Path) -> None: ...


class Rebuilding(Trainer):
    """Its optimizer is made anew for each training, as the module is another one, and given back its state.

    Attributes:
        publishing: how long that and the exchange took, each time, in seconds.
    """

    def __init__(self, train: Callable[[nn.Module, Optimizer], None]) -> None:
        super().__init__()
        self._train = train
        self._state: dict[str, Any] | None = None
        self.publishing: list[float] = []

    def on_training_models_attached(self) -> None:
        self.net = self.get_training_model("net")

    def setup(self) -> None:
        self._start = time.perf_counter()
        self._adam = Adam(self.net.model.parameters(), lr=1e-5)  # type: ignore[attr-defined]
        if self._state is None:
            with_state(self._adam)
        else:
            self._adam.load_state_dict(self._state)
        self._took = time.perf_counter() - self._start

    def train(self) -> None:
        self._train(self.net.model, self._adam)  # type: ignore[attr-defined]

    def sync_models(self) -> None:
        self._start = time.perf_counter()
        super().sync_models()

    def teardown(self) -> None:
        self._state = self._adam.state_dict().copy()
        self.publishing.append(self._took + time.perf_counter() - self._start)
