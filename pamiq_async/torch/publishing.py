"""Handing what was learnt over to the module that acts, without stopping it.

Parameters and buffers of the two modules swap their memory, which takes microseconds. So the acting module has all
that is new at once; the trained one gets it back as a copy, in its own time. All tensors remain the objects that they
were: optimizers go on, and gradients, ties and `torch.compile` survive.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from .devices import wait_for_devices
from .versions import VersionLock


@torch.inference_mode(False)
@torch.no_grad()
def publish(trained: nn.Module, acting: nn.Module, lock: VersionLock) -> bool:
    """Give `acting`, which is read under `lock`, the parameters and buffers of `trained`.

    Returns:
        False, with nothing done, if the two have come to differ in more than values and sizes.
    """
    sources, targets = _tensors(trained), _tensors(acting)
    if sources.keys() != targets.keys() or not all(map(_is_plain, [*sources.values(), *targets.values()])):
        return False

    swaps: list[tuple[torch.Tensor, torch.Tensor]] = []
    copies: list[tuple[torch.Tensor, torch.Tensor]] = []
    sharers, target_sharers = _sharers(sources), _sharers(targets)
    alike = {name: _are_alike(source, targets[name]) for name, source in sources.items()}
    for name, source in sources.items():
        target = targets[name]
        if sharers[name] == target_sharers[name] and all(alike[other] for other in sharers[name]):
            swaps.append((source, target))
        else:
            copies.append((source.detach().clone(), target))
    new, old = [source.data for source, _ in swaps], [target.data for _, target in swaps]

    def swap() -> None:
        for (source, target), new_data, old_data in zip(swaps, new, old, strict=True):
            target.data, source.data = new_data, old_data
        for source, target in copies:
            target.data = source

    devices = {tensor.device for tensor in sources.values()}
    wait_for_devices(devices)  # the new values may still be on their way into memory
    lock.change(swap)
    wait_for_devices(devices)  # and who read the old ones may still be at it
    if swaps:
        torch._foreach_copy_(old, new)
    return True


def storage_of(tensor: torch.Tensor) -> int:
    """The address of a tensor's memory; 0 if it has none, or not one."""
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else 0


def storages(module: nn.Module) -> frozenset[int]:
    """The addresses of a module's memory."""
    return frozenset(storage_of(tensor) for tensor in _tensors(module).values() if _is_plain(tensor)) - {0}


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """A module's parameters and buffers, each once."""
    return {**dict(module.named_buffers()), **dict(module.named_parameters())}


def _is_plain(tensor: torch.Tensor) -> bool:
    """Whether it is memory with a shape: initialized, of no subclass, and open to being changed."""
    return not is_lazy(tensor) and type(tensor.data) is torch.Tensor and not tensor.is_inference()


def _are_alike(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether the two can take over each other's memory."""
    return (
        a.layout is torch.strided is b.layout
        and (a.dtype, a.device, a.shape, a.stride()) == (b.dtype, b.device, b.shape, b.stride())
        and a.untyped_storage().is_shared() == b.untyped_storage().is_shared()  # other processes look at it
    )


def _sharers(tensors: Mapping[str, torch.Tensor]) -> dict[str, list[str]]:
    """For each tensor the names of those that lie in the same memory, as a transposed view does."""
    names = defaultdict(list)
    for name, tensor in tensors.items():
        names[storage_of(tensor) or name].append(name)
    return {name: names[storage_of(tensor) or name] for name, tensor in tensors.items()}
