"""Tensors and the devices that they are on."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable
from operator import is_
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

_TENSORS = (torch.Tensor, PackedSequence)


def get_device(module: nn.Module, default_device: torch.device | None = None) -> torch.device:
    """The device of a module's first parameter, or else of its first buffer.

    Args:
        module: where to look.
        default_device: for a module that has neither; None: where PyTorch makes new tensors.
    """
    if (
        getattr(type(module), "parameters", None) is nn.Module.parameters
    ):  # not a mock, nor a class that says otherwise what it has
        first = _first_parameter(module)
        if first is not None:
            return first.device
    for tensor in itertools.chain(module.parameters(), module.buffers()):
        return tensor.device
    return torch.get_default_device() if default_device is None else default_device


def default_infer_procedure(model: nn.Module, /, *args: Any, **kwds: Any) -> Any:
    """Call `model` with all tensors among the arguments on its device, also those in tuples, lists and dicts."""
    return call_on_device(model, model, args, kwds)


def call_on_device(model: nn.Module, function: Callable[..., Any], args: tuple[Any, ...], kwds: dict[str, Any]) -> Any:
    """Call `function` with all tensors among the arguments on the device of `model`."""
    device = get_device(model)

    def move(tensor: Any) -> Any:
        if isinstance(tensor, torch.Tensor) and tensor.device == device:
            return tensor  # as `to` does, but in a tenth of the time
        return tensor.to(device)

    args = tuple([map_tensors(move, arg) for arg in args])
    if kwds:
        kwds = {name: map_tensors(move, arg) for name, arg in kwds.items()}
    return function(*args, **kwds)


def map_tensors(function: Callable[[Any], Any], value: Any) -> Any:
    """Apply `function` to the tensors in nested tuples, lists and dicts; what holds nothing new is not copied."""
    if isinstance(value, _TENSORS):
        return function(value)
    if isinstance(value, dict):
        items = {key: map_tensors(function, item) for key, item in value.items()}
        if all(items[key] is item for key, item in value.items()):
            return value
        changed = copy.copy(value)  # of its own type, which a plain dict is not
        changed.update(items)
        return changed
    if isinstance(value, tuple | list):
        elements = [map_tensors(function, element) for element in value]
        if all(map(is_, elements, value)):
            return value
        if hasattr(value, "_fields"):  # a named tuple
            return type(value)(*elements)
        return type(value)(elements)
    return value


def wait_for_devices(devices: Iterable[torch.device]) -> None:
    """Wait until all that was handed to the devices, by any thread, is done. A CPU works at once."""
    for device in devices:
        if device.type == "mps":
            torch.mps.synchronize()
        elif device.type in ("cuda", "xpu"):
            getattr(torch, device.type).synchronize(device)


def _first_parameter(module: nn.Module) -> nn.Parameter | None:
    """The first of ``module.parameters()``, which takes as long as a small layer's answer."""
    for parameter in module._parameters.values():
        if parameter is not None:
            return parameter
    for child in module._modules.values():
        if child is not None and (parameter := _first_parameter(child)) is not None:
            return parameter
    return None
