from __future__ import annotations

import copy
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pamiq_async.data import DataUser
from pamiq_async.data.impls import RingBuffer
from pamiq_async.exceptions import InvalidState, StateNotFound
from pamiq_async.testing import BufferContract

FIELDS: dict[str, Any] = {"value": ((2,), "float32"), "number": ((), "int64"), "done": ((), bool)}


def item(number: int, done: bool = False) -> dict[str, Any]:
    return {"value": np.full(2, number, np.float32), "number": number, "done": done}


def ring(max_size: int, *ends: bool, **arguments: Any) -> RingBuffer:
    """A buffer with items numbered from 0; each is given by whether an episode ends with it."""
    buffer = RingBuffer(FIELDS, max_size, **arguments)
    for number, done in enumerate(ends):
        buffer.add(item(number, done))
    return buffer


def numbers(buffer: RingBuffer) -> list[int]:
    found: list[int] = buffer.in_order()["number"].tolist()
    return found


class TestRingBuffer(BufferContract):
    def make_buffer(self) -> RingBuffer:
        return RingBuffer(FIELDS, 7)

    def make_item(self, number: int) -> dict[str, Any]:
        return item(number)

    def test_adding_does_not_change_what_was_given_out(self) -> None:
        """It does, as data are given in place; copies stay."""
        buffer = self.make_buffer()
        buffer.add(item(1))
        data, kept = buffer.get_data(), copy.deepcopy(buffer.get_data())
        for number in range(2, 9):
            buffer.add(item(number))
        assert data["number"].tolist() == [8]
        assert kept["number"].tolist() == [1]


# --- Adding -----------------------------------------------------------------------------------------------

Step = tuple[str, int]
steps = st.lists(st.tuples(st.sampled_from(["add", "many", "batch", "clear"]), st.integers(0, 12)), max_size=12)


@given(st.integers(1, 6), steps)
def test_however_items_are_added_it_holds_the_last(max_size: int, steps: list[Step]) -> None:
    buffer, model, number = RingBuffer(FIELDS, max_size), list[int](), 0
    for kind, count in steps:
        new = list(range(number, number + count))
        number += count
        if kind == "clear":
            buffer.clear()
            model = []
            continue
        if kind == "add":
            for i in new:
                buffer.add(item(i))
        elif kind == "many":
            buffer.add_many([item(i) for i in new])
        else:
            values = np.array(new, np.float32)[:, None].repeat(2, axis=1)
            buffer.add_batch({"value": values, "number": np.array(new, np.int64), "done": np.zeros(count, bool)})
        model = [*model, *new][-max_size:]
        data = buffer.in_order()
        assert data["number"].tolist() == model
        assert data["value"].tolist() == [[i, i] for i in model]
        assert len(buffer) == len(model)
        assert sorted(buffer.get_data()["number"].tolist()) == model


def test_data_are_views_that_cannot_be_written_to() -> None:
    buffer = ring(4, False, False)
    first, second = buffer.get_data()["value"], buffer.get_data()["value"]
    assert np.shares_memory(first, second)
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 7


def test_what_is_given_in_order_is_a_copy() -> None:
    buffer = ring(4, False, False)
    buffer.in_order()["number"][:] = 7
    assert numbers(buffer) == [0, 1]


def test_any_mapping_will_do() -> None:
    buffer = RingBuffer(FIELDS, 4)
    buffer.add(MappingProxyType(item(3)))
    assert numbers(buffer) == [3]


def test_as_many_items_may_wait_as_it_holds() -> None:
    buffer = RingBuffer(FIELDS, 5)
    assert (buffer.max_size, buffer.max_queue_size) == (5, 5)


def add_one(buffer: RingBuffer, data: dict[str, Any]) -> None:
    buffer.add(data)


def add_several(buffer: RingBuffer, data: dict[str, Any]) -> None:
    buffer.add_many([item(1), data, item(2)])


def collect(buffer: RingBuffer, data: dict[str, Any]) -> None:
    DataUser(buffer).collector.collect(data)


ways = pytest.mark.parametrize("add", [add_one, add_several, collect])
Add = Callable[[RingBuffer, dict[str, Any]], None]

REFUSED: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"value": np.zeros(3, np.float32)}, ValueError, r"'value' has the shape \(3,\); the buffer needs \(2,\)"),
    ({"value": np.zeros((1, 2), np.float32)}, ValueError, r"'value' has the shape \(1, 2\)"),
    ({"value": 1.0}, ValueError, r"'value' has the shape \(\); the buffer needs \(2,\)"),
    ({"value": [1.0, [2.0]]}, TypeError, "'value' is a list, of which no array can be made"),
    ({"value": np.zeros(2, complex)}, TypeError, "'value' has the dtype complex128, which can't become <f4"),
    ({"value": None}, TypeError, "'value' has the dtype object"),
    ({"value": ["1", "2"]}, TypeError, "'value' has the dtype <U1"),
    ({"number": 1.0}, TypeError, "'number' has the dtype float64, which can't become <i8"),
    ({"number": [1]}, ValueError, r"'number' has the shape \(1,\); the buffer needs \(\)"),
    ({"done": 1}, TypeError, r"'done' has the dtype int64, which can't become \|b1"),
    ({"reward": 1}, ValueError, r"an item has the keys \['value', 'number', 'done', 'reward'\]; the buffer needs"),
]


@ways
@pytest.mark.parametrize(("change", "error", "message"), REFUSED)
def test_what_does_not_fit_is_refused(add: Add, change: dict[str, Any], error: type[Exception], message: str) -> None:
    buffer = ring(4, False)
    with pytest.raises(error, match=message):
        add(buffer, {**item(5), **change})
    assert numbers(buffer) == ([0, 1] if add is add_several else [0])  # those before it are taken in


@pytest.mark.parametrize("add", [add_one, collect])
def test_a_shape_must_fit_in_all_its_lengths(add: Add) -> None:
    buffer = RingBuffer({"value": ((2, 3), "float32"), "number": ((), int), "done": ((), bool)}, 3)
    with pytest.raises(ValueError, match=r"'value' has the shape \(2, 6\); the buffer needs \(2, 3\)"):
        add(buffer, {**item(1), "value": np.zeros((2, 6), np.float32)})
    with pytest.raises(ValueError, match=r"'value' has the shape \(2, 6\); the buffer needs \(2, 3\)"):
        buffer.add_many([{**item(1), "value": np.zeros((2, 6), np.float32)}] * 2)


@ways
def test_a_missing_field_is_named_with_those_there_should_be(add: Add) -> None:
    with pytest.raises(ValueError, match=r"has the keys \['number'\]; the buffer needs \['value', 'number', 'done'\]"):
        add(RingBuffer(FIELDS, 3), {"number": 1})


@ways
@pytest.mark.parametrize("value", [256, -1])
def test_an_integer_that_is_too_large_is_refused(add: Add, value: int) -> None:
    buffer = RingBuffer({"value": ((2,), "float32"), "number": ((), "uint8"), "done": ((), bool)}, 3)
    with pytest.raises(ValueError, match=rf"'number' is .*{value}.*; uint8 holds 0\.\.255"):
        add(buffer, item(value))


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("float32", [True, 1, 0.5, np.float64(0.25), np.int8(3), np.array(7.0)]),
        ("uint8", [True, 255, np.uint8(3), np.bool_(True)]),
        ("int8", [-128, 127, np.int64(5), np.array(6)]),
        ("bool", [True, False, np.True_, np.array(False)]),
        ("complex64", [1, 0.5, 2j, np.complex128(1j)]),
    ],
)
def test_values_whose_kind_is_kept_are_converted(dtype: str, values: list[Any]) -> None:
    one_by_one, together = RingBuffer({"x": ((), dtype)}, 9), RingBuffer({"x": ((), dtype)}, 9)
    for value in values:
        one_by_one.check_item({"x": value})
        one_by_one.add({"x": value})
    together.add_many([{"x": value} for value in values])
    for buffer in (one_by_one, together):
        assert buffer.get_data()["x"].tolist() == np.array(values, dtype).tolist()


@given(st.lists(st.sampled_from(["float32", "float64", "int64", "uint64", "list"]), max_size=8))
def test_items_of_different_dtypes_come_in_together(kinds: list[str]) -> None:
    values = [[i, i + 1] if kind == "list" else np.array([i, i + 1], kind) for i, kind in enumerate(kinds)]
    buffer = RingBuffer({"x": (2, "float32")}, 8)
    buffer.add_many([{"x": value} for value in values])
    assert buffer.get_data()["x"].tolist() == [[i, i + 1] for i in range(len(kinds))]


def test_a_batch_of_different_lengths_is_refused() -> None:
    buffer = ring(4)
    with pytest.raises(ValueError, match=r"different numbers of items: {'value': 2, 'number': 3, 'done': 3}"):
        buffer.add_batch({"value": np.zeros((2, 2)), "number": np.zeros(3, int), "done": np.zeros(3, bool)})
    with pytest.raises(ValueError, match=r"'value' has the shape \(2,\); the buffer needs \(n, 2\)"):
        buffer.add_batch({"value": np.zeros(2), "number": np.zeros(2, int), "done": np.zeros(2, bool)})
    assert len(buffer) == 0


def test_what_is_collected_comes_in_through_a_user() -> None:
    user = DataUser(RingBuffer(FIELDS, 3))
    for number in range(5):
        user.collector.collect(item(number))
    assert user.get_data()["number"].tolist() == [2, 3, 4]


# --- Drawing ----------------------------------------------------------------------------------------------


def test_a_sample_has_rows_of_the_same_items() -> None:
    buffer = ring(5, *[False] * 8)
    drawn = buffer.sample(100, 0)
    assert set(drawn["number"].tolist()) == {3, 4, 5, 6, 7}
    assert (drawn["value"] == drawn["number"][:, None]).all()
    assert {name: value.dtype for name, value in drawn.items()} == {
        "value": np.dtype("float32"),
        "number": np.dtype("int64"),
        "done": np.dtype("bool"),
    }


def test_items_are_drawn_equally_often() -> None:
    counts = np.bincount(ring(5, *[False] * 8).sample(10_000, 1)["number"], minlength=8)
    assert counts[:3].tolist() == [0, 0, 0]
    assert (abs(counts[3:] - 2000) < 200).all()


def test_a_sample_is_a_copy() -> None:
    buffer = ring(1, False)
    buffer.sample(1)["number"][:] = 7
    assert numbers(buffer) == [0]


@pytest.mark.parametrize("draw", [lambda b, g: b.sample(20, g), lambda b, g: b.sample_sequences(20, 3, g)])
def test_the_generator_decides_what_is_drawn(draw: Callable[[RingBuffer, Any], Any]) -> None:
    buffer = ring(50, *[False] * 60)

    def drawn(generator: Any = None) -> list[Any]:
        found: list[Any] = draw(buffer, generator)["number"].tolist()
        return found

    generator = np.random.default_rng(3)
    first, second = drawn(generator), drawn(generator)
    assert first == drawn(3) == drawn(np.random.default_rng(3)) != second
    before = np.random.get_state()
    by_default = drawn()
    np.random.set_state(before)
    assert drawn() == by_default != drawn()


def test_an_empty_buffer_has_nothing_to_sample() -> None:
    with pytest.raises(ValueError, match="the buffer is empty, so there is nothing to sample"):
        ring(3).sample(1)


@pytest.mark.parametrize(("n", "length", "message"), [(0, 1, "n is 0"), (1, 0, "length is 0")])
def test_a_bad_number_is_named(n: int, length: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ring(3, False).sample_sequences(n, length)


def possible(model: list[tuple[int, bool]], length: int) -> set[tuple[int, ...]]:
    """All sequences within episodes, by brute force."""
    windows = (model[begin : begin + length] for begin in range(len(model) - length + 1))
    return {tuple(i for i, _ in window) for window in windows if not any(done for _, done in window[:-1])}


@given(
    st.integers(1, 8),
    st.integers(1, 4),
    st.lists(st.lists(st.booleans(), max_size=10) | st.none(), max_size=5),
    st.integers(0, 2**32),
)
def test_sequences_never_cross_an_episodes_end_or_the_write_head(
    max_size: int, length: int, steps: list[list[bool] | None], seed: int
) -> None:
    buffer, model, number = RingBuffer(FIELDS, max_size), list[tuple[int, bool]](), 0
    for ends in steps:
        if ends is None:
            buffer.clear()
            model = []
        else:
            new = [(number + i, done) for i, done in enumerate(ends)]
            number += len(new)
            buffer.add_many([item(i, done) for i, done in new])
            model = [*model, *new][-max_size:]
        allowed = possible(model, length)
        if not allowed:
            with pytest.raises(ValueError, match=f"no sequence of {length} items can be drawn"):
                buffer.sample_sequences(3, length, seed)
            continue
        drawn = buffer.sample_sequences(60, length, seed)
        assert drawn["value"].shape == (60, length, 2)
        assert set(map(tuple, drawn["number"].tolist())) <= allowed


@pytest.mark.parametrize("length", [1, 2, 3, 5])
@pytest.mark.parametrize("max_size", [1, 2, 4, 5, 7])
def test_a_sequence_may_be_drawn_whenever_an_item_has_come(max_size: int, length: int) -> None:
    """Also while the head overwrites the beginning of an episode whose end is still there."""
    buffer, model = ring(max_size), list[tuple[int, bool]]()
    for number in range(25):
        done = number in (2, 11, 12)
        buffer.add(item(number, done))
        model = [*model, (number, done)][-max_size:]
        if allowed := possible(model, length):
            drawn = buffer.sample_sequences(100, length, number)["number"].tolist()
            assert set(map(tuple, drawn)) == allowed


@pytest.mark.parametrize("ends", [[0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0], [1] * 60 + [0, 0, 0, 1, 0, 0]])
def test_sequences_are_drawn_equally_often(ends: list[int]) -> None:
    buffer = ring(100, *map(bool, ends))
    allowed = possible([(i, bool(done)) for i, done in enumerate(ends)], 3)
    begins = buffer.sample_sequences(3000, 3, 1)["number"][:, 0]
    counts = {begin: int((begins == begin).sum()) for begin, _, _ in allowed}
    assert sum(counts.values()) == 3000
    assert all(abs(count - 3000 / len(allowed)) < 200 for count in counts.values())


def test_fields_that_end_episodes_are_found_by_their_usual_names() -> None:
    buffer = RingBuffer({"x": ((), int), "terminated": ((), bool), "truncated": ((1,), "float32")}, 10)
    for x, (terminated, truncated) in enumerate([(False, 0), (True, 0), (False, 0), (False, 1), (False, 0)]):
        buffer.add({"x": x, "terminated": terminated, "truncated": [truncated]})
    drawn = buffer.sample_sequences(100, 2, 0)["x"].tolist()
    assert {tuple(pair) for pair in drawn} == {(0, 1), (2, 3)}


def test_fields_that_end_episodes_can_be_named() -> None:
    buffer = RingBuffer({"last": ((), bool), "done": ((), bool)}, 10, episode_ends=["last"])
    buffer.add_batch({"last": np.array([False, True, False]), "done": np.array([True, False, True])})
    assert not buffer.sample_sequences(20, 2)["last"][:, 0].any()


def test_episodes_need_not_end() -> None:
    assert ring(4, True, True, True, episode_ends=()).sample_sequences(1, 3)["number"].tolist() == [[0, 1, 2]]


# --- Arguments --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({}, ValueError, "fields is empty; give at least one"),
        ([("x", 1)], TypeError, "fields is a list; give a mapping"),
        ({"x": "float32"}, TypeError, r"the field 'x' is 'float32'; give a tuple of shape and dtype"),
        ({1: ((), bool)}, TypeError, "a field is named 1; names are str"),
        ({"x": ((0,), bool)}, ValueError, "a length in the shape of the field 'x' is 0"),
        ({"x": ((1.5,), bool)}, TypeError, r"a length in the shape of the field 'x' is 1\.5"),
        ({"x": ((), object)}, TypeError, "the field 'x' has the dtype object; the buffer holds numbers"),
        ({"x": ((), "float33")}, TypeError, "the field 'x' has the dtype 'float33', which is none"),
        ({"x": ((), None)}, TypeError, "the field 'x' has the dtype None, which is none"),
        ({"x": ((), [("a", int)])}, TypeError, "the field 'x' has the dtype .*; the buffer holds numbers"),
    ],
)
def test_bad_fields_are_named(fields: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        RingBuffer(fields, 3)


@pytest.mark.parametrize(
    ("ends", "error", "message"),
    [
        ("done", TypeError, r"episode_ends is the str 'done'; give a list of names, such as \['done'\]"),
        (["end"], ValueError, r"episode_ends has 'end', which is no field; there are: \['value', 'number', 'done'\]"),
        (["value"], ValueError, r"the field 'value', which tells where episodes end, has the shape \(2,\)"),
    ],
)
def test_bad_names_of_fields_that_end_episodes_are_named(ends: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ring(3, episode_ends=ends)


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_a_bad_size_is_named(size: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"max_size is {size}"):
        RingBuffer(FIELDS, size)


# --- Memory on disk ---------------------------------------------------------------------------------------


def test_memory_on_disk_behaves_the_same_and_leaves_no_file(tmp_path: Path) -> None:
    buffer = ring(3, *[False] * 5, memmap_dir=tmp_path)
    assert numbers(buffer) == [2, 3, 4]
    assert list(tmp_path.iterdir()) == []


def test_the_constructor_touches_no_disk(tmp_path: Path) -> None:
    buffer = ring(3, memmap_dir=tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        buffer.add(item(1))


def test_a_disk_that_is_too_small_is_an_error_at_once(tmp_path: Path) -> None:
    buffer = RingBuffer({"x": ((2**20,), "float64")}, 2**38, tmp_path)
    with pytest.raises(OSError, match=r"space|too large"):
        buffer.add({"x": np.zeros(2**20)})


# --- States -----------------------------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "buffer"


@given(st.integers(1, 5), st.integers(0, 12), st.integers(1, 5), st.integers(0, 12), st.integers(0, 6))
def test_a_state_comes_back_also_in_a_buffer_of_another_size(
    tmp_path_factory: pytest.TempPathFactory, size: int, count: int, other_size: int, other: int, more: int
) -> None:
    path = tmp_path_factory.mktemp("state") / "buffer"
    saved, loaded = ring(size, *[False] * count), ring(other_size, *[True] * other)
    saved.save_state(path)
    loaded.load_state(path)
    expected = numbers(saved)
    assert numbers(loaded) == expected[-other_size:]
    for number in range(count, count + more):
        loaded.add(item(number))
        expected.append(number)
    assert numbers(loaded) == expected[-other_size:]
    if numbers(loaded):  # an episode goes on
        assert loaded.sample_sequences(1, len(loaded))["number"].tolist() == [expected[-other_size:]]


def test_what_is_drawn_after_loading_is_what_would_have_been_drawn(state: Path) -> None:
    saved, loaded = ring(5, *[False] * 8), ring(5)
    saved.save_state(state)
    loaded.load_state(state)
    assert loaded.get_data()["number"].tolist() == saved.get_data()["number"].tolist()
    assert loaded.sample(9, 1)["number"].tolist() == saved.sample(9, 1)["number"].tolist()


def test_where_episodes_end_comes_with_the_state(state: Path) -> None:
    saved, loaded = ring(9, False, True, False), ring(9, *[False] * 5)
    loaded.sample_sequences(1, 2)
    saved.save_state(state)
    loaded.load_state(state)
    assert set(map(tuple, loaded.sample_sequences(50, 2)["number"].tolist())) == {(0, 1)}


def test_rows_of_a_state_are_raw_and_the_oldest_first(state: Path) -> None:
    ring(3, *[False] * 5).save_state(state)
    assert sorted(file.name for file in state.iterdir()) == ["0.rows", "1.rows", "2.rows", "fields.json"]
    assert np.fromfile(state / "1.rows", np.int64).tolist() == [2, 3, 4]


def test_more_rows_than_are_written_at_once_come_back(state: Path) -> None:
    saved, loaded = (RingBuffer({"x": ((100_000,), "float64")}, 5) for _ in range(2))
    for number in range(7):
        saved.add({"x": np.arange(number, number + 100_000)})
    saved.save_state(state)
    loaded.load_state(state)
    assert (loaded.in_order()["x"] == saved.in_order()["x"]).all()


def test_fields_in_another_order_are_the_same_fields(state: Path) -> None:
    ring(3, False, True).save_state(state)
    loaded = RingBuffer(dict(reversed(FIELDS.items())), 3)
    loaded.load_state(state)
    assert numbers(loaded) == [0, 1]
    assert loaded.in_order()["done"].tolist() == [False, True]


@pytest.mark.parametrize(
    "fields",
    [
        {"value": ((2,), "float32"), "number": ((), "int64")},
        {**FIELDS, "more": ((), bool)},
        {**FIELDS, "value": ((1, 2), "float32")},
        {**FIELDS, "number": ((), "float64")},
    ],
)
def test_a_state_of_other_fields_is_refused(state: Path, fields: Any) -> None:
    RingBuffer(fields, 3).save_state(state)
    loaded = ring(3, False)
    with pytest.raises(InvalidState, match=r"the buffer was saved with the fields .*; now it has"):
        loaded.load_state(state)
    assert numbers(loaded) == [0]


def drop(state: Path) -> None:
    (state / "1.rows").unlink()


def shorten(state: Path) -> None:
    (state / "2.rows").write_bytes(b"\0\0")


def lengthen(state: Path) -> None:
    (state / "0.rows").write_bytes(bytes(100))


def forge(state: Path) -> None:
    (state / "2.rows").write_bytes(b"\0\1\2")


def link(state: Path) -> None:
    (state / "2.rows").rename(state / "real")
    (state / "2.rows").symlink_to("real")


def change(old: bytes, new: bytes) -> Callable[[Path], None]:
    def do(state: Path) -> None:
        content = (state / "fields.json").read_bytes()
        assert old in content
        (state / "fields.json").write_bytes(content.replace(old, new))

    return do


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (drop, "1.rows: is missing"),
        (shorten, "2.rows: has 2 bytes; 3 rows of 'done' take 1 each"),
        (lengthen, "0.rows: has 100 bytes"),
        (forge, "a boolean is neither 0 nor 1"),
        (change(b'"added":5', b'"added":2'), "3 rows of 2 items"),
        (change(b'"added":5', b'"added":-5'), "added"),
        (change(b'"added":5', b'"added":1e400'), "fields.json: can't be read"),
        (change(b'"rows":3', b'"rows":9007199254740993'), "rows"),
        (change(b'"rows":3,', b""), "rows"),
        (change(b'"name":"number"', b'"name":"value"'), "saved with the fields"),
        (change(b'{"fields"', b"["), "can't be read"),
    ],
)
def test_a_damaged_state_is_refused_before_anything_is_changed(
    state: Path, damage: Callable[[Path], None], message: str
) -> None:
    ring(3, *[False] * 5).save_state(state)
    damage(state)
    loaded = ring(3, True)
    with pytest.raises(InvalidState, match=message):
        loaded.load_state(state)
    assert numbers(loaded) == [0]
    assert loaded.get_data()["done"].tolist() == [True]


def test_links_in_a_state_are_not_followed(state: Path) -> None:
    ring(3, False).save_state(state)
    link(state)
    with pytest.raises(OSError, match=r"2\.rows"):
        ring(3).load_state(state)


def test_a_state_that_is_not_there_is_named(state: Path) -> None:
    with pytest.raises(StateNotFound, match=r"fields\.json"):
        ring(3).load_state(state)


# --- Without what it needs --------------------------------------------------------------------------------


def run(code: str) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", textwrap.dedent(code)], check=True)


def test_it_is_what_imports_numpy() -> None:
    run("""
        import sys
        import pamiq_async.data.impls as impls
        assert "numpy" not in sys.modules
        impls.RingBuffer({"x": ((), bool)}, 1)
        assert "torch" not in sys.modules
    """)


def test_without_numpy_it_says_what_to_install() -> None:
    run("""
        import sys
        sys.modules["numpy"] = None
        import pamiq_async.data.impls as impls
        impls.SequentialBuffer(1)
        try:
            impls.RingBuffer
        except ModuleNotFoundError as error:
            assert "RingBuffer needs NumPy" in str(error), error
        else:
            raise AssertionError
    """)


def test_other_names_are_not_there() -> None:
    from pamiq_async.data import impls

    with pytest.raises(AttributeError, match="has no attribute 'Ring'"):
        impls.Ring  # noqa: B018
