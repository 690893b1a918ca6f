from __future__ import annotations

import copy
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import nn

from pamiq_async.torch import publishing
from pamiq_async.torch.publishing import Publisher
from pamiq_async.torch.versions import VersionLock


def sides(module: nn.Module) -> tuple[nn.Module, nn.Module]:
    return module, copy.deepcopy(module)


def published(trained: nn.Module, acting: nn.Module) -> bool:
    return Publisher(acting, VersionLock()).publish(trained)


def equal(a: nn.Module, b: nn.Module) -> bool:
    x, y = a.state_dict(), b.state_dict()
    return x.keys() == y.keys() and all(torch.equal(x[name], y[name]) for name in x)


def fill(module: nn.Module, value: float) -> None:
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            tensor.fill_(value)


def memory(module: nn.Module) -> set[int]:
    return {tensor.data_ptr() for tensor in module.state_dict().values()}


# --- What is handed over --------------------------------------------------------------------------------------------


def test_parameters_and_buffers_are_published_and_kept() -> None:
    trained, acting = sides(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    for version in (1, 2, 3):
        fill(trained, version)
        assert published(trained, acting)
        assert all((tensor == version).all() for tensor in trained.state_dict().values())
        assert equal(trained, acting)


def test_later_training_does_not_reach_what_was_published() -> None:
    trained, acting = sides(nn.Linear(2, 3))
    fill(trained, 1)
    published(trained, acting)
    fill(trained, 2)
    assert all((tensor == 1).all() for tensor in acting.state_dict().values())


def test_buffers_that_are_not_saved_are_published_too() -> None:
    module = nn.Module()
    module.register_buffer("mask", torch.zeros(2), persistent=False)
    trained, acting = sides(module)
    fill(trained, 1)
    published(trained, acting)
    assert torch.equal(acting.mask, torch.ones(2))


def test_all_tensors_and_gradients_stay_the_objects_that_they_are() -> None:
    trained, acting = sides(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    trained(torch.ones(4, 2)).sum().backward()
    tensors = [*trained.parameters(), *trained.buffers(), *acting.parameters(), *acting.buffers()]
    gradients = [parameter.grad for parameter in trained.parameters()]
    values = [gradient.clone() for gradient in gradients if gradient is not None]

    published(trained, acting)

    after = [*trained.parameters(), *trained.buffers(), *acting.parameters(), *acting.buffers()]
    assert all(new is old for new, old in zip(after, tensors, strict=True))
    assert all(parameter.grad is gradient for parameter, gradient in zip(trained.parameters(), gradients, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(gradients, values, strict=True) if a is not None)
    assert all(parameter.grad is None for parameter in acting.parameters())


def test_no_third_copy_is_made() -> None:
    trained, acting = sides(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    before = memory(trained), memory(acting)
    published(trained, acting)
    assert (memory(acting), memory(trained)) == before


def test_a_graph_from_before_can_still_go_backward() -> None:
    trained, acting = sides(nn.Linear(2, 1, bias=False))
    fill(trained, 3)
    x = torch.ones(1, 2, requires_grad=True)
    loss = trained(x).sum()
    published(trained, acting)
    loss.backward()
    assert torch.equal(x.grad, torch.full((1, 2), 3.0))


def test_publishing_works_in_inference_mode_too() -> None:
    trained, acting = sides(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)))
    trained[1].double()
    with torch.inference_mode():
        published(trained, acting)
    assert not any(parameter.is_inference() for parameter in [*trained.parameters(), *acting.parameters()])
    trained[0](torch.ones(1, 2)).sum().backward()


# --- Ties -----------------------------------------------------------------------------------------------------------


def test_a_parameter_with_two_names_stays_one() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    module[1].weight = module[0].weight
    trained, acting = sides(module)
    fill(trained, 1)
    published(trained, acting)
    for side in (trained, acting):
        assert side[0].weight is side[1].weight
    assert equal(trained, acting)


def test_parameters_that_share_memory_go_on_sharing_it() -> None:
    module = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False))
    module[1].weight = nn.Parameter(module[0].weight.detach().t())
    trained, acting = sides(module)
    for version in (1, 2):
        with torch.no_grad():
            trained[0].weight.fill_(version)
        published(trained, acting)
        assert trained[1].weight.data_ptr() == trained[0].weight.data_ptr()
        assert torch.equal(acting[1].weight, torch.full((2, 3), float(version)))
        assert acting[1].weight.data_ptr() != trained[1].weight.data_ptr()


def in_one_piece(module: nn.Module) -> nn.Module:
    """Lay a module's parameters out in one piece of memory, as cuDNN has it for an LSTM."""
    parameters = list(module.parameters())
    whole = torch.cat([parameter.detach().flatten() for parameter in parameters])
    for parameter, piece in zip(parameters, whole.split([p.numel() for p in parameters]), strict=True):
        parameter.data = piece.view_as(parameter)
    return module


def test_parameters_laid_out_in_one_piece_on_both_sides_stay_so_and_are_swapped() -> None:
    trained = in_one_piece(nn.LSTM(2, 2))
    acting = in_one_piece(copy.deepcopy(trained))
    before = memory(trained), memory(acting)
    fill(trained, 1)
    published(trained, acting)
    assert (memory(acting), memory(trained)) == before
    assert equal(trained, acting)


def test_memory_shared_with_other_processes_stays_with_the_trained_side() -> None:
    trained, acting = sides(nn.Linear(2, 2))
    trained.share_memory()
    before = memory(trained)
    fill(trained, 1)
    published(trained, acting)
    assert memory(trained) == before
    assert equal(trained, acting)


# --- Sides that have come to differ -----------------------------------------------------------------------------------


def test_another_size_layout_or_dtype_is_taken_over() -> None:
    trained, acting = sides(nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)))
    trained.to(torch.float64).to(memory_format=torch.channels_last)
    trained[1].running_mean = torch.ones(5, dtype=torch.float64)
    published(trained, acting)
    assert equal(trained, acting)
    assert acting[0].weight.is_contiguous(memory_format=torch.channels_last)
    before = memory(trained), memory(acting)
    published(trained, acting)  # now they are alike
    assert (memory(acting), memory(trained)) == before


def test_a_sparse_buffer_is_published() -> None:
    module = nn.Module()
    module.register_buffer("graph", torch.eye(3).to_sparse())
    trained, acting = sides(module)
    trained.graph = (2 * torch.eye(3)).to_sparse()
    published(trained, acting)
    assert torch.equal(acting.graph.to_dense(), 2 * torch.eye(3))


def test_modules_on_the_meta_device_can_be_published() -> None:
    trained, acting = sides(nn.Linear(2, 2, device="meta"))
    assert again(trained, acting).publish(trained)


def test_a_module_without_tensors_is_published_as_it_is() -> None:
    assert published(*sides(nn.Tanh()))


def with_another_parameter() -> tuple[nn.Module, nn.Module]:
    trained, acting = sides(nn.Linear(2, 2))
    trained.scale = nn.Parameter(torch.ones(2))
    return trained, acting


def with_uninitialized_parameters() -> tuple[nn.Module, nn.Module]:
    trained, acting = sides(nn.LazyLinear(2))
    trained(torch.ones(1, 2))
    return trained, acting


def with_inference_tensors() -> tuple[nn.Module, nn.Module]:
    trained, acting = sides(nn.Linear(2, 2))
    with torch.inference_mode():
        acting.weight = nn.Parameter(torch.ones(2, 2))
    return trained, acting


class Tagged(torch.Tensor):
    """Of a subclass, which may keep its values elsewhere."""


def with_a_tensor_subclass() -> tuple[nn.Module, nn.Module]:
    trained, acting = sides(nn.BatchNorm1d(2))
    trained.running_mean = torch.ones(2).as_subclass(Tagged)
    return trained, acting


@pytest.mark.parametrize(
    "make", [with_another_parameter, with_uninitialized_parameters, with_inference_tensors, with_a_tensor_subclass]
)
def test_what_can_not_be_handed_over_tensor_by_tensor_is_left_alone(make: Any) -> None:
    trained, acting = make()
    assert published(trained, acting) is False


# --- Again and again --------------------------------------------------------------------------------------------------


def again(trained: nn.Module, acting: nn.Module) -> Publisher:
    """A publisher that knows the two sides."""
    publisher = Publisher(acting, VersionLock())
    assert publisher.publish(trained)
    return publisher


def test_what_belongs_together_is_found_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    trained, acting = sides(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)))
    publisher = again(trained, acting)
    monkeypatch.setattr(publishing, "_pair", None)
    for version in (1, 2, 3):
        fill(trained, version)
        assert publisher.publish(trained)
        assert all((tensor == version).all() for tensor in acting.state_dict().values())
        assert equal(trained, acting)


def a_new_parameter(module: Any) -> None:
    module[0].weight = nn.Parameter(torch.zeros(3, 3))


def a_new_buffer(module: Any) -> None:
    module[1].running_mean = torch.zeros(3)


def new_memory(module: Any) -> None:
    module[0].weight.data = torch.zeros(3, 3)


def another_layout(module: Any) -> None:
    module[0].weight.data = module[0].weight.data.t()


def another_dtype(module: Any) -> None:
    module.double()


def another_size(module: Any) -> None:
    module[1].running_mean = torch.zeros(5)


def a_slice(module: Any) -> None:
    module[0].bias.data = module[0].bias.data[:2]


def shared_memory(module: Any) -> None:
    module.share_memory()


def a_new_layer(module: Any) -> None:
    module[0] = nn.Linear(3, 3)


def layers_in_another_order(module: Any) -> None:
    module[0], module[2] = module[2], module[0]


CHANGES = [
    a_new_parameter,
    a_new_buffer,
    new_memory,
    another_layout,
    another_dtype,
    another_size,
    a_slice,
    shared_memory,
    a_new_layer,
    layers_in_another_order,
]


def layers() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3))


def spread(module: nn.Module, start: float) -> None:
    """Give every number of a module another value."""
    with torch.no_grad():
        for number, tensor in enumerate(module.state_dict().values()):
            values = torch.arange(tensor.numel(), dtype=torch.float64).view(tensor.shape)
            tensor.copy_(start + 100 * number + values)


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_in_the_trained_side_is_noticed(change: Any) -> None:
    trained, acting = sides(layers())
    publisher = again(trained, acting)
    change(trained)
    for version in (1000.0, 2000.0):
        spread(trained, version)
        values = copy.deepcopy(trained)
        assert publisher.publish(trained)
        assert equal(acting, values)
        assert equal(trained, values)
    spread(trained, 3000)
    assert equal(acting, values)


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_in_the_acting_side_is_noticed(change: Any) -> None:
    trained, acting = sides(layers())
    publisher = again(trained, acting)
    change(acting)
    for version in (1000.0, 2000.0):
        spread(trained, version)
        values = copy.deepcopy(trained)
        assert publisher.publish(trained)
        assert equal(acting, values)
        assert equal(trained, values)


@pytest.mark.parametrize("side", [0, 1])
def test_memory_that_is_shared_with_other_processes_now_is_noticed(side: int) -> None:
    both = sides(nn.Linear(2, 2))
    publisher = again(*both)
    both[side].share_memory()
    shared = memory(both[side])
    publisher.publish(both[0])
    assert shared.isdisjoint(memory(both[1 - side]))


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)


def test_a_layer_by_another_name_is_noticed() -> None:
    trained, acting = sides(Named())
    publisher = again(trained, acting)
    trained.other = trained.layer
    del trained.layer
    assert publisher.publish(trained) is False


def test_a_layers_first_buffer_is_noticed() -> None:
    trained, acting = sides(layers())
    publisher = again(trained, acting)
    trained[0].register_buffer("mask", torch.ones(3))
    assert publisher.publish(trained) is False


def test_a_tie_that_is_new_is_noticed() -> None:
    trained, acting = sides(layers())
    publisher = again(trained, acting)
    trained[2].weight = trained[0].weight
    assert publisher.publish(trained) is False


def test_modules_that_say_otherwise_what_their_parameters_are_are_asked_each_time() -> None:
    class Growing(Named):
        names = ("layer.weight",)

        def named_parameters(self, *args: Any, **kwds: Any) -> Any:
            return [(name, value) for name, value in super().named_parameters(*args, **kwds) if name in self.names]

    trained, acting = sides(Growing())
    publisher = again(trained, acting)
    fill(trained.layer, 1)
    Growing.names = ("layer.weight", "layer.bias")
    assert publisher.publish(trained)
    assert equal(trained, acting)


def test_another_trained_module_is_noticed() -> None:
    trained, acting = sides(nn.Linear(2, 2))
    publisher = again(trained, acting)
    other = copy.deepcopy(trained)
    fill(other, 1)
    assert publisher.publish(other)
    assert equal(other, acting)


def test_publishing_works_again_after_it_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    trained, acting = sides(nn.Linear(2, 2))
    publisher = again(trained, acting)
    fill(trained, 1)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "_foreach_copy_", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            publisher.publish(trained)
    fill(trained, 2)
    assert publisher.publish(trained)
    assert equal(trained, acting)
    fill(trained, 3)
    assert all((tensor == 2).all() for tensor in acting.state_dict().values())


def test_the_memory_that_takes_part_is_known_before_it_does() -> None:
    trained, acting = sides(nn.Linear(2, 2))
    publisher = Publisher(acting, VersionLock())
    assert {trained.weight.data_ptr()}.isdisjoint(publisher.storages)
    publisher.publish(trained)
    assert {trained.weight.data_ptr(), acting.weight.data_ptr()} <= publisher.storages
    trained.double()
    publisher.publish(trained)  # which makes new memory for the acting side
    assert {acting.weight.data_ptr(), acting.bias.data_ptr()} <= publisher.storages


# --- One version ------------------------------------------------------------------------------------------------------


class Versioned(nn.Module):
    """Each of its tensors is filled with its version; it takes its time to look at them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.BatchNorm1d(64) for _ in range(20)])

    def forward(self) -> set[float]:
        seen: set[float] = set()
        for layer in self.layers:
            for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                seen.update(tensor.unique().tolist())
        return seen


def test_readers_never_see_a_mixture_while_versions_are_published(threads: ThreadPoolExecutor) -> None:
    trained, acting = sides(Versioned())
    fill(trained, 0)
    fill(acting, 0)
    lock = VersionLock()
    publisher = Publisher(acting, lock)
    is_over = threading.Event()
    mixtures: list[set[float]] = []
    versions: list[set[float]] = [set(), set()]

    def read(mine: set[float]) -> None:
        last = 0.0
        while not is_over.is_set():
            with lock:
                seen = acting()
            if len(seen) > 1 or min(seen) < last:
                mixtures.append(seen)
            last = min(seen)
            mine.add(last)

    readers = [threads.submit(read, mine) for mine in versions]
    try:
        version = 0
        while version < 200 or min(len(mine) for mine in versions) < 20:
            version += 1
            fill(trained, version)  # in place, so a reader of the trained side's memory would see it
            publisher.publish(trained)
    finally:
        is_over.set()
    for reader in readers:
        reader.result()
    assert mixtures == []


def test_a_reading_under_way_sees_its_version_to_its_end(threads: ThreadPoolExecutor) -> None:
    trained, acting = sides(nn.Linear(2, 2))
    fill(trained, 1)
    fill(acting, 0)
    lock = VersionLock()
    with lock:
        first = acting.weight.clone()
        publishing_it = threads.submit(Publisher(acting, lock).publish, trained)
        while lock._due is None:
            time.sleep(0)
        assert torch.equal(acting.weight, first)
        assert torch.equal(acting.bias, torch.zeros(2))
    publishing_it.result()
    assert torch.equal(acting.weight, torch.ones(2, 2))


def test_readers_wait_for_the_swap_alone_not_for_the_copying(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, acting = sides(nn.Linear(2, 2))
    fill(trained, 1)
    lock = VersionLock()
    is_copying, may_copy = threading.Event(), threading.Event()
    copy_back = torch._foreach_copy_

    def slow_copy(*args: Any) -> None:
        is_copying.set()
        assert may_copy.wait(20)
        copy_back(*args)

    monkeypatch.setattr(torch, "_foreach_copy_", slow_copy)
    publishing_it = threads.submit(Publisher(acting, lock).publish, trained)
    assert is_copying.wait(20)
    with lock:
        assert torch.equal(acting.weight, torch.ones(2, 2))
    may_copy.set()
    publishing_it.result()


def test_devices_are_waited_for_before_the_swap_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    trained, acting = sides(nn.Linear(2, 2))
    fill(trained, 1)
    fill(acting, 0)
    acting_then: list[float] = []
    trained_then: list[float] = []

    def wait(devices: set[torch.device]) -> None:
        assert devices == {torch.device("cpu")}
        acting_then.append(acting.bias[0].item())
        trained_then.append(trained.bias[0].item())

    monkeypatch.setattr(publishing, "wait_for_devices", wait)
    published(trained, acting)
    assert (acting_then, trained_then) == ([0, 1], [1, 0])  # the old values are overwritten only after the second
