"""Python values as files that are data: msgpack where it can hold them, pickle where nothing else can.

msgpack holds None, booleans, numbers, strings, bytes, lists and dicts; tuples, big integers, NumPy arrays and scalars
and PyTorch tensors are extensions of ours, so they come back as what they were, tensors on the CPU. Reading msgpack
runs no code. A value that holds anything else is pickled, into a file whose suffix says so.
"""

from __future__ import annotations

import importlib
import math
import pickle
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from ..exceptions import InvalidState, StateNotFound
from .manifest import open_regular
from .pickles import PICKLE_SUFFIX

T = TypeVar("T")

MSGPACK_SUFFIX = ".msgpack"

_TUPLE, _ARRAY, _SCALAR, _INT, _DICT, _TENSOR = range(1, 7)
_MAX_JSON_BYTES = 1024 * 1024  # JSON is for small things
_PLAIN = frozenset({type(None), bool, float, str, bytes})


def save(value: Any, path: Path) -> type | None:
    """Write `value` beside `path` with a suffix that names the format.

    Returns:
        None if the file is data; the type because of which it had to be pickled.
    """
    data = path.with_name(path.name + MSGPACK_SUFFIX)
    try:
        with data.open("wb") as file:
            file.writelines(_pieces(value, 0))
    except _NotData as error:
        data.unlink()
        path.with_name(path.name + PICKLE_SUFFIX).write_bytes(pickle.dumps(value))
        return error.kind
    return None


def load(path: Path, kind: type[T] = object) -> T:  # type: ignore[assignment]  # object: whatever it is
    """Read what `save` wrote for the same `path`, which is a `kind`.

    Raises:
        StateNotFound: there is neither form of the file.
        InvalidState: it can't be decoded, or holds something else.
    """
    data = path.with_name(path.name + MSGPACK_SUFFIX)
    pickled = path.with_name(path.name + PICKLE_SUFFIX)
    if data.exists():
        with open_regular(data) as file:
            content = file.read()
        return _checked(decode(content, source=str(data)), kind, data)
    if pickled.exists():
        with open_regular(pickled) as file:
            try:
                value = pickle.load(file)
            except Exception as error:  # whatever the code raises that it asks for
                raise InvalidState(f"{pickled}: can't be unpickled: {type(error).__name__}: {error}") from error
        return _checked(value, kind, pickled)
    raise StateNotFound(
        f"there is no {str(data)!r}; was the state saved by a system without a component of this name, or of another "
        f"kind?"
    )


def load_json(path: Path, kind: type[T]) -> T:
    """Read a JSON file as a `kind`, such as ``dict[str, int]``.

    Raises:
        FileNotFoundError: it is not there.
        InvalidState: it holds something else.
    """
    with open_regular(path) as file:
        content = file.read(_MAX_JSON_BYTES + 1)
    if len(content) > _MAX_JSON_BYTES:
        raise InvalidState(f"{path}: longer than {_MAX_JSON_BYTES} bytes")
    try:
        return msgspec.json.decode(content, type=kind)
    except (ValueError, RecursionError) as error:
        raise InvalidState(f"{path}: can't be read: {error}") from None


def _checked(value: Any, kind: type[T], path: Path) -> T:
    if not isinstance(value, kind):
        raise InvalidState(f"{path}: holds a {type(value).__qualname__}, not a {kind.__qualname__}")
    return value


class _NotData(Exception):
    def __init__(self, kind: type) -> None:
        self.kind = kind


def encode(value: Any) -> bytes:
    """`value` as msgpack."""
    return b"".join(_pieces(value, 0))


def _pieces(value: Any, depth: int) -> Iterator[bytes]:
    """`value` as msgpack, in pieces: a long list would take much memory, and hold the interpreter for long, as one."""
    if type(value) is list and len(value) > _PIECE:
        yield struct.pack(">BI", 0xDD, len(value))  # an array of so many, which follow
        for start in range(0, len(value), _PIECE):
            yield b"".join([_encoded(item, depth + 1) for item in value[start : start + _PIECE]])
    elif type(value) is dict and depth < 3 and all(type(key) is str for key in value):
        yield struct.pack(">BI", 0xDF, len(value))  # a map
        for key, item in value.items():
            yield _encoded(key, depth + 1)
            yield from _pieces(item, depth + 1)
    else:
        yield _encoded(value, depth)


def _encoded(value: Any, depth: int) -> bytes:
    try:
        return _encoder.encode(_to_data(value, depth))
    except UnicodeEncodeError:  # lone surrogates, which UTF-8 can't hold
        raise _NotData(str) from None


def decode(content: bytes, *, source: str = "value") -> Any:
    """The value that `encode` was given.

    Raises:
        InvalidState: it is not what `encode` writes.
    """
    try:
        return _decoder.decode(content)
    except _UNDECODABLE as error:
        raise InvalidState(f"{source}: can't be decoded: {error}") from error


_encoder = msgspec.msgpack.Encoder()
_PIECE = 256  # items
_MAX_DEPTH = 100
_MAX_INT_BYTES = 1024 * 1024  # reading one takes thrice its memory


def _to_data(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if depth > _MAX_DEPTH:
        raise _NotData(kind)
    if kind is int:
        if value.bit_length() >= 8 * _MAX_INT_BYTES:
            raise _NotData(kind)
        return value if -(2**63) <= value < 2**64 else msgspec.msgpack.Ext(_INT, _int_bytes(value))
    if kind is list:
        return [_to_data(item, depth + 1) for item in value]
    if kind is tuple:
        return _extension(_TUPLE, [_to_data(item, depth + 1) for item in value])
    if kind is dict:
        if all(type(key) is str for key in value):
            return {key: _to_data(item, depth + 1) for key, item in value.items()}
        pairs = [[_to_data(key, depth + 1), _to_data(item, depth + 1)] for key, item in value.items()]
        return _extension(_DICT, pairs)
    numpy = sys.modules.get("numpy")  # not imported: then nothing can be an array
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic) and _is_plain(value.dtype):
        if kind is numpy.ndarray and value.itemsize > 0:
            return _extension(_ARRAY, [value.dtype.str, list(value.shape), value.tobytes()])
        if isinstance(value, numpy.str_ | numpy.bytes_):
            return _extension(_SCALAR, [value.dtype.str, value[:]])  # NumPy's own ways lose zeros at the end
        if isinstance(value, numpy.generic) and value.itemsize > 0:
            return _extension(_SCALAR, [value.dtype.str, value.tobytes()])
    torch = sys.modules.get("torch")
    if torch is not None and kind is torch.Tensor and _is_plain_tensor(value):
        raw = value.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8).numpy()
        return _extension(_TENSOR, [str(value.dtype).removeprefix("torch."), list(value.shape), raw.tobytes()])
    raise _NotData(kind)


def _is_plain_tensor(tensor: Any) -> bool:
    """Whether dtype, shape and bytes are all of it: it is not sparse, quantized or without memory."""
    return str(tensor.layout) == "torch.strided" and not tensor.is_quantized and not tensor.is_meta


def _is_plain(dtype: Any) -> bool:
    """Whether `dtype.str` says all of it: no objects, no fields, and none of other packages' dtypes."""
    return not dtype.hasobject and dtype.names is None and dtype.num <= _LAST_OWN_DTYPE


_LAST_OWN_DTYPE = 23  # float16; dtypes that are registered with NumPy have larger numbers


def _extension(code: int, content: Any) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(code, _encoder.encode(content))


def _int_bytes(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _from_extension(code: int, content: memoryview) -> Any:
    if code == _TUPLE:
        return tuple(_list_decoder.decode(content))
    if code == _INT and len(content) <= _MAX_INT_BYTES:
        return int.from_bytes(content, "big", signed=True)
    if code == _DICT:
        return dict(_pairs_decoder.decode(content))
    if code == _ARRAY:
        return _array(*_array_decoder.decode(content))
    if code == _SCALAR:
        return _scalar(*_scalar_decoder.decode(content))
    if code == _TENSOR:
        return _tensor(*_array_decoder.decode(content))
    raise ValueError(f"unknown extension {code} of {len(content)} bytes")


def _array(name: str, shape: list[int], raw: memoryview | bytes) -> Any:
    import numpy

    dtype = _dtype(name)
    # NumPy is not asked to make sense of what does not fit.
    if dtype.itemsize == 0 or dtype.itemsize * math.prod(shape) != len(raw):
        raise ValueError(f"{len(raw)} bytes for an array of shape {shape} and dtype {name!r}")
    return numpy.frombuffer(raw, dtype).reshape(shape).copy()


def _tensor(name: str, shape: list[int], raw: memoryview) -> Any:
    torch = importlib.import_module("torch")  # not by a statement: the core does without it
    dtype = getattr(torch, name, None) if _TENSOR_DTYPE.fullmatch(name) else None
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"{name!r} is not the dtype of data")
    if dtype.itemsize * math.prod(shape) != len(raw):
        raise ValueError(f"{len(raw)} bytes for a tensor of shape {shape} and dtype {name!r}")
    if not raw:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8).view(dtype).reshape(shape)


def _scalar(name: str, raw: object) -> Any:
    dtype = _dtype(name)
    if isinstance(raw, {"U": str, "S": bytes}.get(dtype.kind, ())):
        return dtype.type(raw)  # an array would lose zeros at the end
    if not isinstance(raw, bytes):
        raise TypeError(f"a scalar of dtype {name!r}, made of {type(raw).__name__}")
    return _array(name, [], raw)[()]


def _dtype(name: str) -> Any:
    import numpy

    if not _DTYPE.fullmatch(name):  # NumPy would evaluate some names
        raise ValueError(f"{name!r} is not the dtype of data")
    return numpy.dtype(name)


_DTYPE = re.compile(r"[<>|]?[biufcmMSUV][0-9]+(\[[0-9]*[A-Za-z]+\])?")

_TENSOR_DTYPE = re.compile(r"bool|(u?int|float|bfloat|complex)[0-9]+(_[a-z0-9]+)?")

# What extensions hold. Raw bytes are seen in place: an array is copied once, into the memory that it keeps.
_decoder = msgspec.msgpack.Decoder(ext_hook=_from_extension)
_list_decoder = msgspec.msgpack.Decoder(list[Any], ext_hook=_from_extension)
_pairs_decoder = msgspec.msgpack.Decoder(list[tuple[Any, Any]], ext_hook=_from_extension)
_Length = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Shape = Annotated[list[_Length], msgspec.Meta(max_length=64)]  # NumPy's own limit
_array_decoder = msgspec.msgpack.Decoder(tuple[str, _Shape, memoryview])
_scalar_decoder = msgspec.msgpack.Decoder(tuple[str, Any])

# What msgspec, NumPy and PyTorch raise when given nonsense; ImportError: there are arrays, but no NumPy.
_UNDECODABLE = (
    msgspec.DecodeError,
    ImportError,
    MemoryError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
)
