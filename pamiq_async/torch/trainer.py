"""A trainer with optimizers."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, overload

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

from pamiq_async import Trainer
from pamiq_async.exceptions import InvalidState, UnknownName
from pamiq_async.model import TrainingModelsDict
from pamiq_async.state_persistence import write_later
from pamiq_async.trainer import put_off_on_loop

from .agent import check_module
from .model import TorchFrozenModel, TorchTrainingModel
from .warming import warm_up
from .weights import as_data, load_optimizers

T = TypeVar("T", bound=nn.Module)

StateDict = dict[str, Any]
OptimizersDict = dict[str, Optimizer]
LRSchedulersDict = dict[str, LRScheduler]
OptimizersSetup = OptimizersDict | tuple[OptimizersDict, LRSchedulersDict]

FILE = "optimizers.pt"


class TorchTrainer(Trainer):
    """Trains PyTorch models with optimizers that live on from training to training, and in saved states.

    `create_optimizers` is called by the first `setup`. The optimizers that it gives are kept, as the parameters of a
    `TorchTrainingModel` are; to begin with new ones, clear `optimizers` before calling ``super().setup()``.

    Args:
        training_condition_data_user: see `Trainer`.
        min_buffer_size: see `Trainer`.
        min_new_data_count: see `Trainer`.

    Attributes:
        optimizers: what `create_optimizers` gave, by name.
        lr_schedulers: the learning-rate schedulers that it gave, by name; `train` steps them.
    """

    _waiting: dict[str, dict[str, StateDict]] | None = None  # states of optimizers that are yet to be created

    def __init__(
        self,
        training_condition_data_user: str | None = None,
        min_buffer_size: int = 0,
        min_new_data_count: int = 0,
    ) -> None:
        super().__init__(training_condition_data_user, min_buffer_size, min_new_data_count)
        self.optimizers: OptimizersDict = {}
        self.lr_schedulers: LRSchedulersDict = {}

    @abstractmethod
    def create_optimizers(self) -> OptimizersSetup:
        """Make the optimizers, by name; or a pair: the optimizers and their learning-rate schedulers, each by name."""

    @overload
    def get_torch_training_model(self, name: str) -> TorchTrainingModel[nn.Module]: ...

    @overload
    def get_torch_training_model(self, name: str, module_cls: type[T]) -> TorchTrainingModel[T]: ...

    def get_torch_training_model(self, name: str, module_cls: type[nn.Module] = nn.Module) -> TorchTrainingModel[Any]:
        """The training side of a model, known to be a PyTorch module of a certain class.

        Raises:
            UnknownName: there is none of that name, or it is for inference alone (a KeyError).
            TypeError: it is not a `TorchTrainingModel`, or its module is not a `module_cls`.
        """
        model = self.get_training_model(name)
        if not isinstance(model, TorchTrainingModel):
            raise TypeError(f"the training model {name!r} is a {type(model).__qualname__}, not a TorchTrainingModel")
        check_module(name, model.model, module_cls)
        return model

    @overload
    def get_torch_frozen_model(self, name: str) -> TorchFrozenModel[nn.Module]: ...

    @overload
    def get_torch_frozen_model(self, name: str, module_cls: type[T]) -> TorchFrozenModel[T]: ...

    def get_torch_frozen_model(self, name: str, module_cls: type[nn.Module] = nn.Module) -> TorchFrozenModel[Any]:
        """A model to read, known to be a PyTorch module of a certain class; see `get_frozen_model`.

        Raises:
            UnknownName: there is none of that name, or it is for inference alone (a KeyError).
            TypeError: it is not a `TorchTrainingModel`, or its module is not a `module_cls`.
        """
        model = self.get_frozen_model(name)
        if not isinstance(model, TorchFrozenModel):
            raise TypeError(f"the training model {name!r} is a {type(model).__qualname__}, not a TorchTrainingModel")
        check_module(name, model.model, module_cls)
        return model

    @override
    def attach_training_models(self, training_models: TrainingModelsDict) -> None:
        # Perhaps other models than in an earlier system: new optimizers go on from the states of the old ones.
        self._waiting = self._states()
        self.optimizers.clear()
        self.lr_schedulers.clear()
        warm_up()
        super().attach_training_models(training_models)

    @override
    def setup(self) -> None:
        super().setup()
        if not self.optimizers:
            self._create()

    @override
    @put_off_on_loop
    def save_state(self, path: Path) -> None:
        super().save_state(path)
        states = self._states()
        if states is not None:  # training alone changes it, and waits until it is written
            write_later(lambda: torch.save(as_data(states, f"the state of {type(self).__qualname__}: "), path / FILE))

    @override
    @put_off_on_loop
    def load_state(self, path: Path) -> None:
        # Saved once there were optimizers. Nothing is changed before all is read.
        waiting = load_optimizers(path / FILE) if (path / FILE).exists() else None
        super().load_state(path)
        if waiting is not None:
            self._waiting = waiting
            self.optimizers.clear()

    def _create(self) -> None:
        created = self.create_optimizers()
        optimizers, schedulers = created if isinstance(created, tuple) else (created, {})
        if not isinstance(optimizers, dict) or not isinstance(schedulers, dict):
            given = ", ".join(
                type(part).__qualname__ for part in (created if isinstance(created, tuple) else (created,))
            )
            raise TypeError(
                f"{type(self).__qualname__}.create_optimizers() gave {given}; it must give a dict of optimizers, "
                f"or a pair of dicts: optimizers and learning-rate schedulers"
            )
        if self._waiting is not None:
            _restore("optimizer", optimizers, self._waiting["optimizers"])
            _restore("learning-rate scheduler", schedulers, self._waiting["lr_schedulers"])
            self._waiting = None
        self.optimizers.clear()
        self.optimizers.update(optimizers)
        self.lr_schedulers.clear()
        self.lr_schedulers.update(schedulers)

    def _states(self) -> dict[str, dict[str, StateDict]] | None:
        if not self.optimizers:
            return self._waiting
        return {
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "lr_schedulers": {name: _data_of(scheduler) for name, scheduler in self.lr_schedulers.items()},
        }


def _restore(kind: str, objects: Mapping[str, Any], states: Mapping[str, StateDict]) -> None:
    for name, state in states.items():
        if name not in objects:
            raise UnknownName(kind, name, objects, ". Of that name is a state, saved or of an earlier run")
        try:
            for key in state:
                # A scheduler takes all for attributes of its own.
                if key == "optimizer" or callable(getattr(type(objects[name]), key, None)):
                    raise ValueError(f"{key!r} is no part of a state")
            objects[name].load_state_dict(state)
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise InvalidState(
                f"the {kind} {name!r} can't go on from its state, saved or of an earlier run: "
                f"{type(error).__name__}: {error}"
            ) from error


def _data_of(scheduler: LRScheduler) -> StateDict:
    """A scheduler's state without functions and other objects, which its constructor will set again."""
    state = {}
    for key, value in scheduler.state_dict().items():
        with contextlib.suppress(TypeError):
            state[key] = as_data(value, key)
    return state
