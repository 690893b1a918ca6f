"""PyTorch modules as models with two sides."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from typing_extensions import override

from pamiq_async import InferenceModel, TrainingModel
from pamiq_async.state_persistence import write_later

from .devices import call_on_device, default_infer_procedure, map_tensors
from .publishing import Publisher, storage_of
from .versions import VersionLock
from .warming import prepare_thread
from .weights import load_parameter_file, load_weights, restore_module, save_weights

T = TypeVar("T", bound=nn.Module)
InferenceProcedure = Callable[..., Any]


class TorchInferenceModel(InferenceModel, Generic[T]):
    """A module to act with: in eval mode, without gradients, and always one version of all its parameters.

    It may be used by several threads at once. Publishing waits until none of them is within `infer` or `unwrap`.

    Args:
        model: the module; it is put into eval mode.
        inference_procedure: computes the answer; is called with the module and the arguments of `infer`.
    """

    def __init__(self, model: T, inference_procedure: InferenceProcedure = default_infer_procedure) -> None:
        self._module = model
        self._procedure = inference_procedure
        self._lock = VersionLock()  # guards what the module computes with
        self._set(model)

    @override
    def infer(self, *args: Any, **kwds: Any) -> Any:
        """Compute the module's answer.

        Tensors in it have memory of their own: they stay what they are when the module is trained.
        """
        prepare_thread()
        with torch.inference_mode(), self._lock:
            return map_tensors(self._without_aliases, self._procedure(self._module, *args, **kwds))

    @contextlib.contextmanager
    def unwrap(self, inference_mode: bool = True) -> Iterator[T]:
        """Lend the module itself, for its other methods. Nothing is published meanwhile, so be brief.

        Args:
            inference_mode: False to have gradients.
        """
        prepare_thread()
        with torch.inference_mode(inference_mode), self._lock:
            yield self._module

    def _set(self, module: T) -> None:
        module.eval()
        self._module = module
        self._publisher = Publisher(module, self._lock)

    def _without_aliases(self, tensor: Any) -> Any:
        is_ours = isinstance(tensor, torch.Tensor) and storage_of(tensor) in self._publisher.storages
        return tensor.clone() if is_ours else tensor


class TorchTrainingModel(TrainingModel[TorchInferenceModel[T]], Generic[T]):
    """A module to be trained, and its copy to act with.

    The module, its parameters and its buffers stay the same objects for good; so optimizers may be kept. Each `sync`
    publishes the values of all parameters and buffers, and nothing else of the module.

    Args:
        model: the module.
        has_inference_model: whether agents can use it.
        inference_thread_only: whether agents alone use it; then it is not copied.
        device: where to move it; None leaves it where it is.
        dtype: what to convert its floating-point parameters and buffers to; None leaves them as they are.
        inference_procedure: computes answers for agents; a callable that takes the module first, or the name of one of
            the module's methods, whose tensor arguments are moved to the module's device.
        pretrained_parameter_file: a state dict to begin with: ``.safetensors``, or what `torch.save` wrote.
        compile: whether calls of the module are compiled by `torch.compile`, on both sides, each at its first call.

    Raises:
        AttributeError: the module has no method of the given name.
        ValueError: what it has by that name is no method, or nobody could use the model.

    Attributes:
        model: the module that is trained.
    """

    def __init__(
        self,
        model: T,
        has_inference_model: bool = True,
        inference_thread_only: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        inference_procedure: InferenceProcedure | str = default_infer_procedure,
        pretrained_parameter_file: str | Path | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__(has_inference_model, inference_thread_only)
        if isinstance(inference_procedure, str):
            inference_procedure = _procedure_by_name(model, inference_procedure)
        if device is not None or dtype is not None:
            model.to(device=device, dtype=dtype)
        if pretrained_parameter_file is not None:
            model.load_state_dict(load_parameter_file(Path(pretrained_parameter_file)))
        if compile:
            _compile(model)
            inference_procedure = _explaining(inference_procedure)
        self.model: T = model
        self._procedure = inference_procedure
        self._compiles = compile
        self._frozen: TorchFrozenModel[T] | None = None

    @property
    @override
    def parameter_count(self) -> int | None:
        """How many numbers the module's parameters hold, tied ones counted once.

        None while some have no size yet (in lazy layers), and for what is no module.
        """
        if not issubclass(type(self.model), nn.Module):  # a mock
            return None
        parameters = list(self.model.parameters())  # each once
        return None if any(map(is_lazy, parameters)) else sum(parameter.numel() for parameter in parameters)

    @override
    def as_frozen(self) -> TorchFrozenModel[T]:
        """The version that was published last, in eval mode and without gradients, which trainers may read.

        It is the module that agents use, or another copy if they use none. From now on its parameters don't require
        gradients; those of the module that is trained are as they were.
        """
        if self._frozen is None:
            published = self.inference_model if self.has_inference_model else self._create_inference_model()
            published._module.requires_grad_(False)
            self._frozen = TorchFrozenModel(published, self._compiles)
        return self._frozen

    @override
    def _create_inference_model(self) -> TorchInferenceModel[T]:
        return TorchInferenceModel(self.model if self.inference_thread_only else self._copy(), self._procedure)

    @override
    def forward(self, *args: Any, **kwds: Any) -> Any:
        call = _explaining(self.model) if self._compiles else self.model
        return call(*args, **kwds)

    @override
    def sync(self) -> None:
        super().sync()
        if self._frozen is not None and not self.has_inference_model:
            self.sync_impl(self._frozen._published)

    @override
    def sync_impl(self, inference_model: TorchInferenceModel[T]) -> None:
        """Publish all parameters and buffers at once.

        A module that was left in eval mode, say by a validation, returns to train mode.
        """
        if not inference_model._publisher.publish(self.model):
            copied = self._copy()
            inference_model._lock.change(lambda: inference_model._set(copied))
        if not getattr(self.model, "training", True):  # a mock need not have it
            self.model.train()

    @override
    def save_state(self, path: Path) -> None:
        """Save parameters and buffers. The files are written while the agent acts, which changes none of them.

        A module that the agent alone uses might be changed by it. So that is saved at once, unless its parameters
        require no gradients.
        """
        state: dict[str, Any] = dict(self.model.state_dict())
        if self.inference_thread_only:
            parameters = dict(self.model.named_parameters(remove_duplicate=False))
            if any(parameter.requires_grad for parameter in parameters.values()):
                save_weights(state, path)
                return
            state = {name: value if name in parameters else copy.deepcopy(value) for name, value in state.items()}
        write_later(functools.partial(save_weights, state, path))

    @override
    def load_state(self, path: Path) -> None:
        """Load what `save_state` saved, on whatever device, and publish it."""
        state = load_weights(path, self.model.state_dict())
        if self.inference_thread_only:
            self.inference_model._lock.change(lambda: restore_module(self.model, state, path))
            return
        restore_module(self.model, state, path)
        if self._inference_model is not None or self._frozen is not None:
            self.sync()

    def _copy(self) -> T:
        try:
            with torch.inference_mode(False):
                copied = copy.deepcopy(self.model)
        except Exception as error:
            raise TypeError(
                f"{type(self.model).__qualname__} can't be copied for inference by copy.deepcopy "
                f"({type(error).__name__}: {error}); give it a __deepcopy__ method, or make the model with "
                f"inference_thread_only=True or has_inference_model=False"
            ) from error
        for module in copied.modules():
            if isinstance(module, nn.RNNBase):
                module.flatten_parameters()  # as in the original; copying scattered them over the GPU's memory
        if self._frozen is not None:
            copied.requires_grad_(False)
        if self._compiles:
            _compile(copied)
        return copied


class TorchFrozenModel(TrainingModel[TorchInferenceModel[T]], Generic[T]):
    """A model for trainers that only read it; `TorchTrainer.get_torch_frozen_model` gives it."""

    def __init__(self, published: TorchInferenceModel[T], compiles: bool) -> None:
        super().__init__(has_inference_model=False)
        self._published = published
        self._compiles = compiles

    @property
    def model(self) -> T:
        """The module, to read. Calling it lets gradients through to its arguments, as an actor's critic must.

        It becomes another one if the module that is trained grows, so don't keep it.
        """
        return self._published._module

    @override
    def forward(self, *args: Any, **kwds: Any) -> Any:
        """Compute the module's answer without gradients, which may be trained on.

        Tensors in it have memory of their own.
        """
        call = _explaining(self.model) if self._compiles else self.model
        with torch.no_grad(), self._published._lock:
            return map_tensors(self._published._without_aliases, call(*args, **kwds))

    @override
    def _create_inference_model(self) -> TorchInferenceModel[T]:
        return self._published

    @override
    def sync_impl(self, inference_model: TorchInferenceModel[T]) -> None: ...


def _procedure_by_name(module: nn.Module, name: str) -> InferenceProcedure:
    if not hasattr(module, name):
        raise AttributeError(
            f"inference_procedure is {name!r}, but {type(module).__qualname__} has no such method",
            name=name,
            obj=module,
        )
    if not callable(getattr(module, name)):
        raise ValueError(f"inference_procedure is {name!r}, but that is no method of {type(module).__qualname__}")

    def procedure(module: nn.Module, /, *args: Any, **kwds: Any) -> Any:
        return call_on_device(module, getattr(module, name), args, kwds)

    return procedure


def _compile(module: nn.Module) -> None:
    module.compile()
    if getattr(type(module), "forward", module).__module__.startswith("torch.nn."):
        # Such as nn.Sequential. torch.compile passes over PyTorch's own functions, unless another one calls them.
        def call(*args: Any, **kwds: Any) -> Any:
            return module._call_impl(*args, **kwds)  # type: ignore[no-untyped-call]  # pragma: no cover (is traced)

        module._compiled_call_impl = torch.compile(call)


def _explaining(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, whose errors say what `torch.compile` needs if it is to blame."""

    def call(*args: Any, **kwds: Any) -> Any:
        try:
            return function(*args, **kwds)
        except Exception as error:
            if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                error.add_note(
                    "The model was made with compile=True. On a CPU torch.compile needs a C++ compiler (g++, or what "
                    "the environment variable CXX names) and Python's header files; on a GPU a C compiler and Triton. "
                    "Install what is missing, or leave compile=True out."
                )
            raise

    return call
