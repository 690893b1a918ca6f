"""An agent that knows its models to be PyTorch's."""

from __future__ import annotations

from typing import Any, TypeVar, overload

from torch import nn

from pamiq_async import Agent

from .model import TorchInferenceModel

O = TypeVar("O")  # noqa: E741
A = TypeVar("A")
T = TypeVar("T", bound=nn.Module)


class TorchAgent(Agent[O, A]):
    """An agent with PyTorch models."""

    @overload
    def get_torch_inference_model(self, name: str) -> TorchInferenceModel[nn.Module]: ...

    @overload
    def get_torch_inference_model(self, name: str, module_cls: type[T]) -> TorchInferenceModel[T]: ...

    def get_torch_inference_model(self, name: str, module_cls: type[nn.Module] = nn.Module) -> TorchInferenceModel[Any]:
        """The inference side of a model, known to be a PyTorch module of a certain class.

        Raises:
            UnknownName: there is none of that name (a KeyError).
            ValueError: it is not a `TorchInferenceModel`.
            TypeError: its module is not a `module_cls`.
        """
        model = self.get_inference_model(name)
        if not isinstance(model, TorchInferenceModel):
            raise ValueError(f"the inference model {name!r} is a {type(model).__qualname__}, not a TorchInferenceModel")
        check_module(name, model._module, module_cls)
        return model


def check_module(name: str, module: object, module_cls: type[nn.Module]) -> None:
    """Check a model's module; with the default class anything will do, so that tests can use mocks.

    Raises:
        TypeError: it is not a `module_cls`.
    """
    if module_cls is not nn.Module and not isinstance(module, module_cls):
        raise TypeError(
            f"the module of model {name!r} is a {type(module).__qualname__}, not a {module_cls.__qualname__}"
        )
