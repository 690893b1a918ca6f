from __future__ import annotations

from collections import Counter, OrderedDict, UserDict
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from pamiq_async.exceptions import InvalidState
from pamiq_async.torch.weights import as_data, load_data, load_weights, save_weights

DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3).map(OrderedDict)
    ),
    max_leaves=10,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "name.with.dots"


def saved(state: dict[str, Any], path: Path) -> dict[str, Any]:
    save_weights(state, path)
    return load_weights(path)


def test_weights_come_back_as_they_were(path: Path) -> None:
    state = {
        "a": torch.randn(2, 3),
        "b": torch.tensor(3),
        "c": torch.ones(2, dtype=torch.bfloat16),
        "d": torch.zeros(0, 3),
        "transposed": torch.randn(2, 3).t(),
    }
    loaded = saved(state, path)
    assert loaded.keys() == state.keys()
    for name, tensor in state.items():
        assert torch.equal(loaded[name], tensor)
        assert loaded[name].dtype == tensor.dtype


def test_weights_are_one_safetensors_file(path: Path) -> None:
    save_weights({"a": torch.ones(2)}, path)
    assert [file.name for file in path.parent.iterdir()] == ["name.with.dots.safetensors"]
    assert torch.equal(load_file(path.parent / "name.with.dots.safetensors")["a"], torch.ones(2))


def test_tied_weights_and_views_are_saved_under_each_name(path: Path) -> None:
    whole = torch.randn(4, 4)
    state = {"a": whole, "again": whole, "transposed": whole.t(), "half": whole[:2], "parameter": nn.Parameter(whole)}
    loaded = saved(state, path)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def test_what_is_no_tensor_is_saved_beside_them(path: Path) -> None:
    state = {"a": torch.ones(2), "extra": {"steps": 3, "names": ("x", "y")}}
    loaded = saved(state, path)
    assert loaded["extra"] == state["extra"]
    assert sorted(file.suffix for file in path.parent.iterdir()) == [".pt", ".safetensors"]


def test_weights_that_were_never_saved_are_not_found(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"name\.with\.dots\.safetensors"):
        load_weights(path)


def test_a_file_that_would_run_code_is_refused(path: Path) -> None:
    ran: list[str] = []

    class Evil:
        def __reduce__(self) -> Any:
            return print, ("evil",)

    torch.save({"a": Evil()}, path)
    with pytest.raises(InvalidState, match=r"it imports .* print"):
        load_data(path)
    assert ran == []


# --- Data ---------------------------------------------------------------------------------------------------------


@given(DATA)
def test_data_can_be_saved_and_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    file = tmp_path_factory.mktemp("data") / "file.pt"
    torch.save(as_data(value, "value"), file)
    assert load_data(file) == value


@pytest.mark.parametrize(
    "value",
    [1j, torch.float16, torch.device("cpu"), torch.Size([2]), {1, 2}, Counter("aab"), OrderedDict(a=1)],
)
def test_other_types_of_optimizer_states_keep_theirs(tmp_path: Path, value: Any) -> None:
    torch.save(as_data([value], "value"), tmp_path / "file.pt")
    (loaded,) = load_data(tmp_path / "file.pt")
    assert loaded == value
    assert type(loaded) is type(value)


def test_tensors_that_are_one_stay_one(tmp_path: Path) -> None:
    tensor = torch.ones(2)
    torch.save(as_data({"a": tensor, "b": [tensor]}, "value"), tmp_path / "file.pt")
    loaded = load_data(tmp_path / "file.pt")
    assert loaded["a"].data_ptr() == loaded["b"][0].data_ptr()


@pytest.mark.parametrize("scalar", [numpy.float64(0.1), numpy.int64(3), numpy.bool_(True), numpy.float32(0.5)])
def test_numpys_scalars_become_pythons(scalar: Any) -> None:
    data = as_data({"lr": scalar}, "value")["lr"]
    assert data == scalar
    assert type(data).__module__ == "builtins"


def test_a_dict_of_another_class_becomes_a_plain_one() -> None:
    class Own(dict[str, int]):
        pass

    assert type(as_data(Own(a=1), "value")) is dict


@pytest.mark.parametrize(
    "value", [object(), len, numpy.ones(2), UserDict(), torch.ones(1).as_subclass(type("T", (torch.Tensor,), {}))]
)
def test_what_is_not_data_is_refused_and_found_by_its_place(value: Any) -> None:
    with pytest.raises(TypeError, match=r"state\['a'\]\[\.\.\.\]\['b'\] is a .*; use a tensor, or plain"):
        as_data({"a": [{"b": value}]}, "state")
