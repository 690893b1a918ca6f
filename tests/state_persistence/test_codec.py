from __future__ import annotations

import contextlib
import math
import pickle
import struct
import subprocess
import sys
import tracemalloc
from enum import IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from pamiq_async.exceptions import InvalidState, StateNotFound
from pamiq_async.state_persistence import codec

Ext = msgspec.msgpack.Ext
pack = msgspec.msgpack.Encoder().encode

# What the codec calls its extensions.
TUPLE, ARRAY, SCALAR, INT, DICT = range(1, 6)


def same(a: Any, b: Any) -> bool:
    """Equal values of equal types, all the way down; NaN is NaN."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, np.str_ | np.bytes_):
        return len(a) == len(b) and bool(a == b)
    if isinstance(a, np.generic):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return a.hex() == b.hex() and math.copysign(1, a) == math.copysign(1, b)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same(list(a.items()), list(b.items()))
    return bool(a == b)


def round_trip(value: Any) -> Any:
    return codec.decode(codec.encode(value))


plain_dtypes = st.one_of(
    npst.boolean_dtypes(),
    npst.integer_dtypes(endianness="?"),
    npst.unsigned_integer_dtypes(endianness="?"),
    npst.floating_dtypes(endianness="?"),
    npst.complex_number_dtypes(endianness="?"),
    npst.byte_string_dtypes(endianness="?"),
    npst.unicode_string_dtypes(endianness="?"),
    npst.datetime64_dtypes(endianness="?"),
    npst.timedelta64_dtypes(endianness="?"),
)
arrays = npst.arrays(plain_dtypes, npst.array_shapes(min_dims=0, min_side=0, max_dims=4, max_side=3))


def is_utf_8(scalar: Any) -> bool:
    return not isinstance(scalar, str) or not any("\ud800" <= character <= "\udfff" for character in scalar)


numpy_scalars = plain_dtypes.flatmap(npst.from_dtype).filter(is_utf_8)

texts = st.text(st.characters(exclude_categories=["Cs"]))
big_integers = st.integers() | st.integers(2**62, 2**66) | st.integers(-(2**66), -(2**62))
hashables = st.recursive(
    st.none() | st.booleans() | big_integers | st.floats() | texts | st.binary(),
    lambda inner: st.tuples(inner, inner),
    max_leaves=4,
)
values = st.recursive(
    hashables | arrays | numpy_scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(texts, inner, max_size=4)
        | st.dictionaries(hashables, inner, max_size=4)
    ),
    max_leaves=12,
)


@given(values)
@example(10**5000)
@example(-(1 << 8 * 1024 * 1024 - 1) + 1)
@example([2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 0])
@example({1: True, "1": False, None: 0, (1, (2,)): "nested"})
@example([math.nan, math.inf, -math.inf, -0.0])
def test_values_come_back_as_they_were(value: Any) -> None:
    assert same(round_trip(value), value)


@given(arrays)
def test_arrays_come_back_as_they_were(array: np.ndarray) -> None:
    assert same(round_trip(array), array)


@given(arrays)
def test_arrays_come_back_writable_and_on_their_own(array: np.ndarray) -> None:
    back = round_trip(array)
    assert back.flags.writeable
    assert back.flags.owndata


@given(numpy_scalars)
@example(np.str_(""))
@example(np.str_("zeros at the end\0\0"))
@example(np.bytes_(b""))
@example(np.bytes_(b"zeros at the end\0\0"))
@example(np.void(b"raw"))
@example(np.datetime64("NaT", "ns"))
@example(np.timedelta64(5, "25s"))
@example(np.longdouble("0.1"))
@example(np.float16(0.1))
def test_numpy_scalars_come_back_as_they_were(scalar: np.generic) -> None:
    assert same(round_trip(scalar), scalar)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24).reshape(4, 6)[::2, ::-3],
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.broadcast_to(np.float32(1.5), (3, 2)),
        np.arange(5, dtype=">f4"),
        np.array(3.25),
        np.zeros((0, 3), dtype=np.uint8),
        np.array([b"abc"], dtype="V3"),
    ],
    ids=["strided", "fortran", "broadcast", "big-endian", "0-d", "empty", "void"],
)
def test_the_layout_of_an_array_does_not_matter(array: np.ndarray) -> None:
    back = round_trip(array)
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert (back == array).all()


def test_containers_may_nest_a_hundred_deep() -> None:
    value: Any = "core"
    for _ in range(50):
        value = ([value],)
    assert round_trip(value) == value


# --- What is not data -------------------------------------------------------------------------------------


class Level(IntEnum):
    LOW = 1


class ListOfMine(list):
    pass


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (np.array([{}], dtype=object), np.ndarray),
        (np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]), np.ndarray),
        (np.array([(1,)], dtype=[("a", "i4")])[0], np.void),
        (np.empty(3, dtype="V0"), np.ndarray),
        (np.void(b""), np.void),
        (np.ma.masked_array([1, 2], mask=[True, False]), np.ma.MaskedArray),
        (np.array(["text"], dtype=np.dtypes.StringDType()), np.ndarray),
        (Level.LOW, Level),
        (ListOfMine([1]), ListOfMine),
        ({1, 2}, set),
        (-(1 << 8 * 1024 * 1024), int),
        (1 + 2j, complex),
        ("\ud800", str),
        ({"deep inside": [("\udfff",)]}, str),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_data_is_pickled_and_its_type_reported(value: Any, kind: type, tmp_path: Path) -> None:
    assert codec.save([value], tmp_path / "x") is kind
    assert [file.name for file in tmp_path.iterdir()] == ["x.pickle"]
    (back,) = codec.load(tmp_path / "x")
    assert type(back) is type(value)
    assert np.array_equal(back, value) if isinstance(value, np.ndarray) else back == value


def test_arrays_of_another_packages_dtype_are_pickled(tmp_path: Path) -> None:
    rational = pytest.importorskip("numpy._core._rational_tests").rational
    array = np.array([rational(1, 3)])
    assert codec.save(array, tmp_path / "x") is np.ndarray
    assert codec.load(tmp_path / "x").dtype == array.dtype


def test_what_contains_itself_is_pickled(tmp_path: Path) -> None:
    value: list[Any] = []
    value.append(value)
    assert codec.save(value, tmp_path / "x") is list
    back = codec.load(tmp_path / "x")
    assert back[0] is back


def test_data_are_written_as_data(tmp_path: Path) -> None:
    assert codec.save({"a": np.ones(3)}, tmp_path / "policy.v1") is None
    assert [file.name for file in tmp_path.iterdir()] == ["policy.v1.msgpack"]
    assert same(codec.load(tmp_path / "policy.v1"), {"a": np.ones(3)})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateNotFound, match="nowhere"):
        codec.load(tmp_path / "nowhere")


def test_a_file_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.msgpack").write_bytes(b"\xc1")
    with pytest.raises(InvalidState, match=r"x\.msgpack: can't be decoded"):
        codec.load(tmp_path / "x")


def test_values_without_arrays_need_no_numpy() -> None:
    code = (
        "import sys; from pamiq_async.state_persistence import codec;"
        "assert codec.decode(codec.encode([(1, 2**70)])) == [(1, 2**70)];"
        "assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_array_without_numpy_is_an_invalid_state(monkeypatch: pytest.MonkeyPatch) -> None:
    content = codec.encode(np.ones(2))
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(InvalidState, match="numpy"):
        codec.decode(content)


# --- Foreign bytes ----------------------------------------------------------------------------------------


def decode_or_refuse(content: bytes) -> None:
    with contextlib.suppress(InvalidState):
        codec.decode(content)


@given(st.binary())
def test_arbitrary_bytes_decode_or_are_an_invalid_state(content: bytes) -> None:
    decode_or_refuse(content)


@given(values, st.data())
def test_damaged_values_decode_or_are_an_invalid_state(value: Any, data: st.DataObject) -> None:
    content = bytearray(codec.encode(value))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255))
    decode_or_refuse(bytes(content[: data.draw(st.integers(0, len(content)))]))


nonsense = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text("(<i4{,O[s]", max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from([TUPLE, ARRAY, SCALAR, INT, DICT, -1, 6, 127]), nonsense)
def test_extensions_of_nonsense_decode_or_are_an_invalid_state(code: int, content: Any) -> None:
    decode_or_refuse(pack(Ext(code, pack(content))))


@given(
    st.sampled_from(["<f8", "|b1", "<U2", "|S0", "|V0", "<M8[s]", "<f16", "<m8[99999999999s]", "<f3"]),
    st.lists(st.integers(-2, 3) | st.just(2**62), max_size=3),
    st.binary(max_size=40) | st.none() | st.integers() | st.lists(st.integers(0, 1), max_size=2),
)
def test_arrays_of_nonsense_decode_or_are_an_invalid_state(name: str, shape: list[int], raw: Any) -> None:
    decode_or_refuse(pack(Ext(ARRAY, codec.encode([name, shape, raw]))))
    decode_or_refuse(pack(Ext(SCALAR, codec.encode([name, raw]))))


@pytest.mark.parametrize("name", ["|O", "O", "|O8", "i4,O", "(1,2", "{'names': []}", "<f8[", "T16", "float64"])
def test_only_plain_dtypes_are_read(name: str) -> None:
    for content in [Ext(ARRAY, pack([name, [1], b"12345678"])), Ext(SCALAR, pack([name, b"12345678"]))]:
        with pytest.raises(InvalidState, match="is not the dtype of data"):
            codec.decode(pack(content))


@pytest.mark.parametrize(
    "content",
    [
        Ext(ARRAY, pack(["<f8", [2], b"too short"])),
        Ext(ARRAY, pack(["<f8", [1], b"too long, by far"])),
        Ext(ARRAY, pack(["<f8", [-2], b""])),
        Ext(ARRAY, pack(["<f8", [2**40], None])),
        Ext(ARRAY, pack(["<f8", [1]])),
        Ext(SCALAR, pack(["<U4", 5])),
        Ext(SCALAR, pack({"<f8": b"12345678"})),
        Ext(SCALAR, pack(["<f8", "12345678"])),
        Ext(SCALAR, pack([None, b"12345678"])),
        Ext(ARRAY, pack(["<f8", [1.0], b"12345678"])),
        Ext(ARRAY, pack(["<f8", [2**62, 2**62], b""])),
        Ext(ARRAY, pack(["<f8", [2**63], b""])),
        Ext(ARRAY, pack(["|u1", [1] * 65, b"1"])),
        Ext(ARRAY, pack(["|u1", [2**63 - 1] * 100_000, b"1"])),
        Ext(ARRAY, pack(["|V2147483647", [1], b"1"])),
        Ext(ARRAY, pack([None, [1], b"12345678"])),
        Ext(DICT, pack([["a key alone"]])),
        Ext(DICT, pack([[[], "a list as key"]])),
        Ext(DICT, pack(["ab"])),
        Ext(DICT, pack({"a": 1})),
        Ext(TUPLE, pack(5)),
        Ext(TUPLE, pack("text")),
        Ext(6, pack(5)),
        Ext(7, pack(5)),
        Ext(TUPLE, b""),
    ],
)
def test_extensions_that_encode_does_not_write_are_refused(content: Ext) -> None:
    with pytest.raises(InvalidState, match="can't be decoded"):
        codec.decode(pack(content))


def nested_tuples(depth: int) -> bytes:
    """As many as there are, each within the other."""
    sizes = [1]
    for _ in range(depth):
        sizes.append(sizes[-1] + 7)
    return b"".join(b"\xc9" + struct.pack(">Ib", size + 1, TUPLE) + b"\x91" for size in reversed(sizes[:-1])) + b"\x90"


@pytest.mark.parametrize(
    "content",
    [b"\x91" * 100_000 + b"\x90", b"\x81\xa1a" * 100_000 + b"\x90", b"\x81" * 100_000, nested_tuples(10_000)],
    ids=["lists", "dicts", "keys", "tuples"],
)
def test_bytes_nested_without_end_are_refused(content: bytes) -> None:
    with pytest.raises(InvalidState, match="recursion"):
        codec.decode(content)


def test_tuples_nest_as_encode_writes_them() -> None:
    assert codec.decode(nested_tuples(3)) == (((([],),),))


@pytest.mark.parametrize(
    "content",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\xdd\x0f\xff\xff\xff" * 200,
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xfftext",
        b"\xc6\xff\xff\xff\xffbytes",
        b"\xc9\xff\xff\xff\xff\x01",
        pack(Ext(ARRAY, b"\x93\xa3<f8\xdd\xff\xff\xff\xff")),
        pack(Ext(ARRAY, pack(["<f8", [2**40], b""]))),
        pack(Ext(SCALAR, pack(["|V1000000000", b""]))),
        pack(Ext(SCALAR, pack(["<U200000000", b"text"]))),
    ],
    ids=range(10),
)
def test_no_memory_is_taken_by_a_claim(content: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InvalidState):
            codec.decode(content)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "value",
    [np.ones(1_000_000), [2**8_000_000] * 8, "x" * 8_000_000, b"x" * 8_000_000, [np.ones(1000)] * 1000],
    ids=["array", "integers", "text", "bytes", "arrays"],
)
def test_reading_takes_no_more_than_the_file_and_the_value(value: Any, tmp_path: Path) -> None:
    codec.save(value, tmp_path / "x")
    codec.load(tmp_path / "x")  # what is imported at first counts not
    tracemalloc.start()
    try:
        codec.load(tmp_path / "x")
        assert tracemalloc.get_traced_memory()[1] < 18_000_000
    finally:
        tracemalloc.stop()


def test_decoding_never_unpickles() -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return pytest.fail, ("unpickled",)

    decode_or_refuse(pickle.dumps(Bomb()))
    decode_or_refuse(pack(Ext(ARRAY, pack(["|O", [1], pickle.dumps(Bomb())]))))


@pytest.mark.parametrize("count", [255, 256, 257, 1000])
def test_long_lists_come_back_as_they_were(count: int, tmp_path: Path) -> None:
    value = {"columns": {"a": [(number, "x") for number in range(count)], "b": []}, "list": list(range(count))}
    assert codec.save(value, tmp_path / "value") is None
    assert codec.load(tmp_path / "value") == value
    assert codec.encode(value) == (tmp_path / "value.msgpack").read_bytes()


def test_an_object_at_the_end_of_a_long_list_leaves_no_file_of_data(tmp_path: Path) -> None:
    assert codec.save([*range(1000), Fraction(1, 3)], tmp_path / "value") is Fraction
    assert [path.name for path in tmp_path.iterdir()] == ["value.pickle"]
