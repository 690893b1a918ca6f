from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pamiq_async.data.impls import DictRandomReplacementBuffer, DictSequentialBuffer, RandomReplacementBuffer
from pamiq_async.exceptions import InvalidState
from pamiq_async.state_persistence import codec

Make = Callable[..., Any]
both = pytest.mark.parametrize("make", [DictSequentialBuffer, DictRandomReplacementBuffer])
key_sets = st.lists(st.text(max_size=3), min_size=1, max_size=4, unique=True)


@given(key_sets, st.integers(1, 5), st.lists(st.integers() | st.none()))
def test_the_sequential_one_behaves_like_the_end_of_a_list_for_each_key(
    keys: list[str], max_size: int, steps: list[int | None]
) -> None:
    buffer = DictSequentialBuffer[tuple[str, int]](keys, max_size)
    model: list[int] = []
    for step in steps:  # None clears
        if step is None:
            buffer.clear()
            model.clear()
        else:
            buffer.add({key: (key, step) for key in reversed(keys)})
            model = [*model, step][-max_size:]
        assert buffer.get_data() == {key: [(key, item) for item in model] for key in keys}
        assert len(buffer) == len(model)


@given(key_sets, st.integers(1, 5), st.floats(0, 1), st.lists(st.integers()))
def test_the_random_one_keeps_the_values_of_an_item_together(
    keys: list[str], max_size: int, probability: float, items: list[int]
) -> None:
    buffer = DictRandomReplacementBuffer[tuple[str, int]](keys, max_size, probability)
    for item in items:
        buffer.add({key: (key, item) for key in keys})
    data = buffer.get_data()
    assert list(data) == keys
    kept = [item for _, item in data[keys[0]]]
    assert data == {key: [(key, item) for item in kept] for key in keys}
    assert len(buffer) == len(kept) == min(max_size, len(items))
    assert set(kept) <= set(items)


@both
def test_an_empty_buffer_gives_an_empty_list_for_each_key(make: Make) -> None:
    assert make(["a", "b"], 3).get_data() == {"a": [], "b": []}


@both
@pytest.mark.parametrize("item", [{}, {"a": 1}, {"a": 1, "b": 2, "c": 3}, {"a": 1, "c": 2}, {"a": 1, 2: 2}])
def test_an_item_of_other_keys_is_refused(make: Make, item: dict[Any, int]) -> None:
    buffer = make(["a", "b"], 3)
    with pytest.raises(ValueError, match=r"an item has the keys .*; the buffer needs \['a', 'b'\]"):
        buffer.add(item)
    assert len(buffer) == 0


@both
@pytest.mark.parametrize("kind", [dict, MappingProxyType])
def test_any_mapping_will_do(make: Make, kind: Callable[[dict[str, int]], Mapping[str, int]]) -> None:
    buffer = make(["a"], 3)
    buffer.add(kind({"a": 1}))
    assert buffer.get_data() == {"a": [1]}


@both
def test_the_owner_of_an_item_may_reuse_it(make: Make) -> None:
    buffer, item = make(["a"], 3), {"a": 1}
    buffer.add(item)
    item["a"] = 2
    assert buffer.get_data() == {"a": [1]}


@both
def test_changing_what_it_gives_does_not_change_it(make: Make) -> None:
    buffer = make(["a"], 3)
    buffer.add({"a": 1})
    buffer.get_data()["a"].append(2)
    buffer.keys.add("b")
    assert buffer.get_data() == {"a": [1]}
    assert buffer.keys == {"a"}


@both
@pytest.mark.parametrize("collect", [list, tuple, set, iter, dict.fromkeys])
def test_keys_may_come_in_any_collection(make: Make, collect: Callable[[list[str]], Any]) -> None:
    assert make(collect(["a", "b", "a"]), 3).keys == {"a", "b"}


@both
def test_there_must_be_keys(make: Make) -> None:
    with pytest.raises(ValueError, match="keys is empty"):
        make([], 3)


@both
def test_a_str_is_not_a_collection_of_keys(make: Make) -> None:
    with pytest.raises(TypeError, match=r"keys is the str 'action'; give a list of keys, such as \['action'\]"):
        make("action", 3)


def test_sizes_are_those_of_the_plain_buffers() -> None:
    sequential = DictSequentialBuffer[int](["a"], 5)
    assert (sequential.max_size, sequential.max_queue_size) == (5, 5)
    random = DictRandomReplacementBuffer[int](["a"], 5, 0.5)
    assert (random.max_size, random.max_queue_size) == (5, 10)
    surviving = DictRandomReplacementBuffer[int](["a"], 10, None, 100)
    assert surviving.max_queue_size == int(100 / 2.879800757896)


@both
def test_a_bad_size_is_named(make: Make) -> None:
    with pytest.raises(ValueError, match="max_size is 0"):
        make(["a"], 0)


@given(st.integers(1, 5), st.lists(st.lists(st.integers(), max_size=8), max_size=4))
def test_several_items_that_come_in_together_are_the_same_as_one_by_one(max_size: int, groups: list[list[int]]) -> None:
    together, one_by_one = (
        DictSequentialBuffer[int](["a", "b"], max_size),
        DictSequentialBuffer[int](["a", "b"], max_size),
    )
    for group in groups:
        items = [{"a": item, "b": -item} for item in group]
        together.add_many(items)
        for item in items:
            one_by_one.add(item)
    assert together.get_data() == one_by_one.get_data()


@given(st.integers(1, 5), st.floats(0, 1), st.lists(st.lists(st.integers(), max_size=8), max_size=4), st.integers())
def test_the_random_one_draws_the_same_for_several_items_as_one_by_one(
    max_size: int, probability: float, groups: list[list[int]], seed: int
) -> None:
    kept = []
    for together in (True, False):
        buffer = DictRandomReplacementBuffer[int](["a", "b"], max_size, probability)
        plain = RandomReplacementBuffer[int](max_size, probability)
        state = random.getstate()
        for group in groups:
            items = [{"a": item, "b": -item} for item in group]
            random.seed(seed)
            buffer.add_many(items) if together else [buffer.add(item) for item in items]
            random.seed(seed)
            plain.add_many(group) if together else [plain.add(item) for item in group]
        random.setstate(state)
        assert buffer.get_data() == {"a": plain.get_data(), "b": [-item for item in plain.get_data()]}
        kept.append(plain.get_data())
    assert kept[0] == kept[1]


@both
def test_of_several_items_with_a_wrong_one_none_comes_in(make: Make) -> None:
    buffer = make(["a"], 3)
    with pytest.raises(ValueError, match=r"an item has the keys \['b'\]; the buffer needs \['a'\]"):
        buffer.add_many([{"a": 1}, {"b": 2}])
    assert buffer.get_data() == {"a": []}


# --- States -----------------------------------------------------------------------------------------------


@both
def test_a_state_comes_back(make: Make, tmp_path: Path) -> None:
    saved, loaded = make(["a", "b"], 4), make(["a", "b"], 4)
    for item in range(3):
        saved.add({"a": np.full(2, item), "b": f"b{item}"})
    loaded.add({"a": None, "b": None})
    saved.save_state(tmp_path / "buffer")
    loaded.load_state(tmp_path / "buffer")
    data = loaded.get_data()
    assert [array.tolist() for array in data["a"]] == [[0, 0], [1, 1], [2, 2]]
    assert data["b"] == ["b0", "b1", "b2"]


@both
def test_keys_in_another_order_are_the_same_keys(make: Make, tmp_path: Path) -> None:
    saved, loaded = make(["a", "b", "c"], 4), make(["c", "a", "b"], 4)
    saved.add({"a": "A", "b": "B", "c": "C"})
    saved.save_state(tmp_path / "buffer")
    loaded.load_state(tmp_path / "buffer")
    assert loaded.get_data() == {"a": ["A"], "b": ["B"], "c": ["C"]}


@both
def test_a_state_of_other_keys_is_refused(make: Make, tmp_path: Path) -> None:
    saved, loaded = make(["a", "b"], 4), make(["a", "c"], 4)
    loaded.add({"a": 1, "c": 2})
    saved.save_state(tmp_path / "buffer")
    with pytest.raises(InvalidState, match=r"saved with the keys \['a', 'b'\]; now it has \['a', 'c'\]"):
        loaded.load_state(tmp_path / "buffer")
    assert loaded.get_data() == {"a": [1], "c": [2]}


@both
def test_a_state_fits_into_a_smaller_buffer(make: Make, tmp_path: Path) -> None:
    saved, loaded = make(["a"], 4), make(["a"], 2)
    for item in range(4):
        saved.add({"a": item})
    saved.save_state(tmp_path / "buffer")
    loaded.load_state(tmp_path / "buffer")
    assert len(loaded.get_data()["a"]) == 2
    assert set(loaded.get_data()["a"]) <= {0, 1, 2, 3}


@both
@pytest.mark.parametrize(
    "state",
    [
        {"keys": ["a", "b"]},
        {"keys": "ab", "columns": [[1], [2]]},
        {"keys": ["a", "b"], "columns": [[1]]},
        {"keys": ["a", "b"], "columns": [[1], (2,)]},
        {"keys": ["a", "b"], "columns": [[1], [2, 3]]},
    ],
)
def test_what_no_such_buffer_saved_is_refused(make: Make, state: Any, tmp_path: Path) -> None:
    codec.save(state, tmp_path / "buffer")
    loaded = make(["a", "b"], 4)
    loaded.add({"a": 1, "b": 2})
    with pytest.raises(InvalidState, match="not what a buffer of mappings saved"):
        loaded.load_state(tmp_path / "buffer")
    assert loaded.get_data() == {"a": [1], "b": [2]}
