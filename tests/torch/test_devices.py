from __future__ import annotations

from collections import OrderedDict, defaultdict
from typing import Any, NamedTuple
from unittest.mock import MagicMock

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from pamiq_async.torch import default_infer_procedure, get_device
from pamiq_async.torch.devices import map_tensors, wait_for_devices

META = torch.device("meta")
CPU = torch.device("cpu")


class Point(NamedTuple):
    x: Any
    y: Any


class OnlyBuffers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("buffer", torch.ones(1, device=META))


class Echo(nn.Module):
    """Gives back its arguments, from the meta device."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, device=META))

    def forward(self, *args: Any, **kwds: Any) -> Any:
        return args, kwds


# --- Where a module is --------------------------------------------------------------------------------------------


def test_a_modules_device_is_that_of_its_parameters() -> None:
    assert get_device(nn.Linear(2, 2, device=META), CPU) == META


def test_without_parameters_it_is_that_of_its_buffers() -> None:
    assert get_device(OnlyBuffers(), CPU) == META


def test_a_device_is_found_in_children_too_past_what_has_none() -> None:
    module = nn.Sequential(nn.Tanh(), nn.Sequential(), nn.Linear(2, 2, device=META))
    module.register_parameter("bias", None)
    module.add_module("none", None)
    module.register_buffer("buffer", torch.ones(1))
    assert get_device(module) == META


def test_a_module_may_say_itself_what_its_parameters_are() -> None:
    class Elsewhere(nn.Linear):
        def parameters(self, recurse: bool = True) -> Any:
            return iter([torch.ones(1, device=META)])

    assert get_device(Elsewhere(1, 1)) == META


def test_with_neither_it_is_the_default_given() -> None:
    assert get_device(nn.Tanh(), META) == META


def test_with_nothing_given_it_is_where_new_tensors_are_made() -> None:
    assert get_device(nn.Tanh()) == CPU
    with META:
        assert get_device(nn.Tanh()) == META


@pytest.mark.parametrize("mock", [MagicMock(), MagicMock(spec=nn.Module)])
def test_a_mock_has_no_parameters(mock: MagicMock) -> None:
    assert get_device(mock) == CPU


# --- Moving arguments there -----------------------------------------------------------------------------------------


def test_tensors_are_moved_wherever_they_are_nested() -> None:
    tensor = torch.ones(2)
    args, kwds = default_infer_procedure(
        Echo(),
        tensor,
        (tensor, [tensor, 1]),
        {"a": {"b": tensor}},
        Point(tensor, "y"),
        keyword=[(tensor,)],
        model=tensor,
    )

    assert args[0].device == META
    assert args[1][0].device == args[1][1][0].device == META
    assert args[2]["a"]["b"].device == META
    assert type(args[3]) is Point
    assert (args[3].x.device, args[3].y) == (META, "y")
    assert kwds["keyword"][0][0].device == META
    assert kwds["model"].device == META  # a name like the procedure's own parameter


@pytest.mark.parametrize("container", [OrderedDict(a=torch.ones(1)), defaultdict(list, a=torch.ones(1))])
def test_other_dicts_keep_their_type(container: dict[str, Any]) -> None:
    (moved,), _ = default_infer_procedure(Echo(), container)
    assert type(moved) is type(container)
    assert moved["a"].device == META
    assert container["a"].device == CPU


def test_a_packed_sequence_is_moved_as_a_whole() -> None:
    (moved,), _ = default_infer_procedure(Echo(), [pack_sequence([torch.ones(3), torch.ones(2)])])
    assert type(moved[0]) is PackedSequence
    assert moved[0].data.device == META
    assert moved[0].batch_sizes.device == CPU  # where it has to be


def test_what_need_not_be_moved_is_passed_on_itself() -> None:
    value = [torch.ones(1), {"a": (torch.ones(1), "b")}, object()]
    assert map_tensors(lambda tensor: tensor.to(CPU), value) is value


def test_the_callers_containers_are_left_alone() -> None:
    inner = [torch.ones(1)]
    outer = {"inner": inner}
    default_infer_procedure(Echo(), outer)
    assert outer["inner"] is inner
    assert inner[0].device == CPU


# --- Waiting --------------------------------------------------------------------------------------------------------


def test_who_works_by_itself_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[Any] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    monkeypatch.setattr(torch.xpu, "synchronize", waited.append)
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waited.append("mps"))

    wait_for_devices([CPU, META, torch.device("cuda:1"), torch.device("xpu:0"), torch.device("mps")])

    assert waited == [torch.device("cuda:1"), torch.device("xpu:0"), "mps"]
