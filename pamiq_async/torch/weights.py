"""State dicts as files that are data."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from pamiq_async.exceptions import InvalidState, StateNotFound

from .archives import UNREADABLE, check_header, load_data
from .publishing import storage_of

WEIGHTS = ".safetensors"
REST = ".rest.pt"  # what modules keep besides tensors, by get_extra_state

_MAX_HEADER_BYTES = 1000  # for a tensor, besides its name


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


def load_weights(path: Path, like: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Read what `save_weights` wrote for the same `path`, onto the CPU.

    Args:
        path: where it was saved.
        like: a state dict of the same module, by which it is known how long a file's header may be.

    Raises:
        StateNotFound: nothing was saved there.
        InvalidState: the files hold something else.
    """
    file = path.with_name(path.name + WEIGHTS)
    try:
        if like is not None:
            check_header(file, sum(_MAX_HEADER_BYTES + 6 * len(name) for name in ("", *like)))
        state: dict[str, Any] = safetensors.torch.load_file(file)
    except FileNotFoundError:
        raise StateNotFound(
            f"there is no {str(file)!r}; was the state saved by a system without a model of this name, or of another "
            f"kind?"
        ) from None
    except (safetensors.SafetensorError, *UNREADABLE) as error:
        raise InvalidState(f"{file}: can't be read: {error}") from error
    rest = path.with_name(path.name + REST)
    if rest.exists():
        extra = load_data(rest)
        if not isinstance(extra, dict) or not all(isinstance(name, str) for name in extra):
            raise InvalidState(f"{rest}: holds a {type(extra).__qualname__}, not the rest of a module's state")
        state.update(extra)
    return state


def restore_module(module: nn.Module, state: Mapping[str, Any], place: Path) -> None:
    """Load a state dict into a module.

    Raises:
        InvalidState: it does not fit; the module is as it was.
    """
    present = module.state_dict()
    copied = {}
    if len(state) != len(present) or not all(_fit(value, state.get(name)) for name, value in present.items()):
        # Of what does not fit PyTorch would keep some. But the module may have a way of its own to take it.
        copied = {name: value.clone() if _is_tensor(value) else value for name, value in present.items()}
        copied = {name: value for name, value in copied.items() if not is_lazy(value)}
    try:
        module.load_state_dict(state)
    except Exception as error:
        with torch.no_grad():
            for name, value in copied.items():
                if isinstance(value, torch.Tensor):
                    present[name].copy_(value)  # is the module's own memory
                else:
                    module.get_submodule(name.rpartition("_extra_state")[0].rstrip(".")).set_extra_state(value)
        raise InvalidState(f"{place}: is not the state of this {type(module).__qualname__}: {error}") from error


def load_optimizers(path: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Read what a trainer saved of its optimizers and schedulers.

    Raises:
        InvalidState: the file holds something else.
    """
    states = load_data(path)
    parts = [states.get(kind) for kind in ("optimizers", "lr_schedulers")] if isinstance(states, dict) else [None]
    for part in parts:
        if not isinstance(part, dict) or not all(isinstance(state, dict) for state in part.values()):
            raise InvalidState(f"{path}: not the states of optimizers and learning-rate schedulers")
    return states


def load_parameter_file(path: Path) -> Any:
    """Read a state dict of the user's: a safetensors file, or one that `torch.save` wrote."""
    if path.suffix == WEIGHTS:
        return safetensors.torch.load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _is_tensor(value: object) -> bool:
    return isinstance(value, torch.Tensor) and not is_lazy(value)


def _fit(present: Any, new: Any) -> bool:
    return _is_tensor(present) and _is_tensor(new) and present.shape == new.shape


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
