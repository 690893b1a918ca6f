"""Handing what was learnt over to the module that acts, without stopping it.

Parameters and buffers of the two modules swap their memory, which takes microseconds. So the acting module has all
that is new at once; the trained one gets it back as a copy, in its own time. All tensors remain the objects that they
were: optimizers go on, and gradients, ties and `torch.compile` survive.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from itertools import chain
from operator import is_
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from .devices import wait_for_devices
from .versions import VersionLock


class Publisher:
    """Hands over to one acting module, again and again.

    It remembers which tensors belong together, as finding out takes longer than handing over a hundred small layers.

    Args:
        acting: the module.
        lock: under which it is read.

    Attributes:
        storages: addresses of the memory that the acting module computes with, now or after another publishing.
    """

    def __init__(self, acting: nn.Module, lock: VersionLock) -> None:
        self.storages = storages(acting)
        self._acting = acting
        self._lock = lock
        self._pairs: _Pairs | None = None

    @torch.inference_mode(False)
    @torch.no_grad()
    def publish(self, trained: nn.Module) -> bool:
        """Give the acting module the parameters and buffers of `trained`.

        Returns:
            False, with nothing done, if the two have come to differ in more than values and sizes.
        """
        pairs = self._pairs
        if pairs is None or not pairs.hold_for(trained):
            pairs = _pair(trained, self._acting)
            if pairs is None:
                return False
            self.storages = pairs.storages()
            self._pairs = pairs if pairs.can_be_kept else None
        wait_for_devices(pairs.devices)  # the new values may still be on their way into memory
        self._lock.change(pairs.swap)
        wait_for_devices(pairs.devices)  # and who read the old ones may still be at it
        if pairs.of_trained:
            torch._foreach_copy_(pairs.of_trained, pairs.of_acting)
        return True


class _Pairs:
    """The tensors of two modules, one by one.

    Args:
        trained: the module that is trained.
        acting: the one that acts.
        swaps: tensors of the two that swap their memory.
        copies: new memory for tensors of the acting module.
    """

    def __init__(
        self,
        trained: nn.Module,
        acting: nn.Module,
        swaps: list[tuple[torch.Tensor, torch.Tensor]],
        copies: list[tuple[torch.Tensor, torch.Tensor]],
    ) -> None:
        self._trained = trained
        self._structures = _Structure(trained), _Structure(acting)
        self._sources = [source for source, _ in swaps]
        self._targets = [target for _, target in swaps]
        self._copies = copies
        # The memory itself. That of a tensor which was given other memory since lives on until the next publishing.
        self.of_trained = [source.data for source in self._sources]
        self.of_acting = [target.data for target in self._targets]
        self._addresses = [_addresses(self.of_trained), _addresses(self.of_acting)]
        self.devices = {tensor.device for tensor in [*self._sources, *(new for new, _ in copies)]}
        # On the meta device there is no memory by which changes are noticed.
        is_in_memory = all(device.type != "meta" for device in self.devices)
        self.can_be_kept = not copies and is_in_memory and all(structure.is_whole for structure in self._structures)

    def swap(self) -> None:
        for target, memory in zip(self._targets, self.of_trained, strict=True):
            target.data = memory
        for source, memory in zip(self._sources, self.of_acting, strict=True):
            source.data = memory
        for new, target in self._copies:
            target.data = new
        self.of_trained, self.of_acting = self.of_acting, self.of_trained
        self._addresses.reverse()

    def hold_for(self, trained: nn.Module) -> bool:
        """Whether both modules have the tensors that they had, in the memory that they had.

        A few C loops, as this is asked each time.
        """
        return (
            trained is self._trained
            and all(structure.is_as_it_was() for structure in self._structures)
            and [_addresses(self._sources), _addresses(self._targets)] == self._addresses
            and all(map(torch.Tensor.is_set_to, self._sources, self.of_trained))  # not another view of it
        )

    def storages(self) -> frozenset[int]:
        """The addresses of all memory that takes part."""
        return frozenset(map(storage_of, chain(self._sources, self._targets, *self._copies))) - {0}


class _Structure:
    """What a module consists of, down to its tensors."""

    def __init__(self, module: nn.Module) -> None:
        self._parts: list[dict[str, Any]] = [
            part for m in module.modules() for part in (m._parameters, m._buffers, m._modules)
        ]
        self._sizes = list(map(len, self._parts))
        self._filled = [part for part in self._parts if part]
        self._names = list(chain.from_iterable(self._filled))
        self._values = list(self._current_values())
        # Some modules say otherwise what their parameters are.
        tensors = {id(value) for value in self._values if isinstance(value, torch.Tensor)}
        self.is_whole = tensors == set(map(id, _tensors(module).values()))

    def is_as_it_was(self) -> bool:
        return (
            list(map(len, self._parts)) == self._sizes
            and list(chain.from_iterable(self._filled)) == self._names
            and all(map(is_, self._current_values(), self._values))
        )

    def _current_values(self) -> chain[Any]:
        return chain.from_iterable(map(dict.values, self._filled))


def _pair(trained: nn.Module, acting: nn.Module) -> _Pairs | None:
    """Find out which tensors belong together, and how each can be handed over; None: some can't."""
    sources, targets = _tensors(trained), _tensors(acting)
    if sources.keys() != targets.keys() or not all(map(_is_plain, [*sources.values(), *targets.values()])):
        return None
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
    return _Pairs(trained, acting, swaps, copies)


def _addresses(tensors: list[torch.Tensor]) -> list[int]:
    return list(map(torch.Tensor.data_ptr, tensors))


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
