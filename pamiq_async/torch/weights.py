"""State dicts as files that are data."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from .publishing import storage_of

WEIGHTS = ".safetensors"
REST = ".rest.pt"  # what modules keep besides tensors, by get_extra_state


def save_weights(state: Mapping[str, Any], path: Path) -> None:
    """Write a module's state dict beside `path`, with suffixes that name the formats."""
    tensors: dict[str, torch.Tensor] = {}
    rest = {}
    seen: set[int] = set()
    for name, value in state.items():
        if isinstance(value, torch.Tensor):
            tensors[name] = value.contiguous()
            if storage_of(tensors[name]) in seen:  # safetensors refuses what shares memory: tied parameters, views
                tensors[name] = tensors[name].clone()
            seen.add(storage_of(tensors[name]))
        else:
            rest[name] = value
    safetensors.torch.save_file(tensors, path.with_name(path.name + WEIGHTS))
    if rest:
        torch.save(as_data(rest, str(path)), path.with_name(path.name + REST))


def load_weights(path: Path) -> dict[str, Any]:
    """Read what `save_weights` wrote for the same `path`, onto the CPU.

    Raises:
        FileNotFoundError: nothing was saved there.
    """
    state: dict[str, Any] = safetensors.torch.load_file(path.with_name(path.name + WEIGHTS))
    rest = path.with_name(path.name + REST)
    if rest.exists():
        state.update(load_data(rest))
    return state


def load_parameter_file(path: Path) -> Any:
    """Read a state dict of the user's: a safetensors file, or one that `torch.save` wrote."""
    return safetensors.torch.load_file(path) if path.suffix == WEIGHTS else load_data(path)


def load_data(path: Path) -> Any:
    """Read a file of `torch.save` onto the CPU, unless it would run code."""
    return torch.load(path, map_location="cpu", weights_only=True)


_SCALARS = (type(None), bool, int, float, complex, str, torch.dtype, torch.device, torch.Size)


def as_data(value: Any, place: str) -> Any:
    """`value` such that `torch.save` writes a file that `load_data` reads; scalars of NumPy become Python's.

    Raises:
        TypeError: that can't be; the message says where it holds what.
    """
    if type(value) in _SCALARS or type(value) in (torch.Tensor, torch.nn.Parameter):
        return value
    if isinstance(value, dict):
        kind = type(value) if type(value) in (Counter, OrderedDict) else dict
        return kind({as_data(key, place): as_data(item, f"{place}[{key!r}]") for key, item in value.items()})
    if type(value) in (list, tuple, set):
        return type(value)(as_data(item, f"{place}[...]") for item in value)
    if type(value).__module__ == "numpy" and callable(getattr(value, "item", None)) and value.ndim == 0:
        return as_data(value.item(), place)
    raise TypeError(
        f"{place} is a {type(value).__module__}.{type(value).__qualname__}, which a file without code can't hold; "
        f"use a tensor, or plain Python numbers, strings, lists and dicts"
    )
