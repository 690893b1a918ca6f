"""Contents for the files of a state, made to have code run, memory filled, or a program fall over."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import random
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from pamiq_async.state_persistence import codec

Ext = msgspec.msgpack.Ext
pack = msgspec.msgpack.encode
TUPLE, ARRAY, SCALAR, INT, DICT, TENSOR = range(1, 7)


class Bomb:
    """Unpickling it makes a directory, by which it can be seen that code ran."""

    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (f"__import__('pathlib').Path({str(self._canary)!r}).mkdir(exist_ok=True)",)


def corpus(canary: Path) -> dict[str, bytes]:
    """Small files by what they are; if any code of theirs runs, `canary` is made."""
    bomb = Bomb(canary)
    files = {f"pickle, protocol {protocol}": pickle.dumps(bomb, protocol) for protocol in range(6)}
    files |= {f"pickle of {kind}": content for kind, content in _pickles(bomb)}
    files |= {f"{kind} archive": content for kind, content in _archives(pickle.dumps(bomb, 2))}
    files |= {f"npy of {kind}": content for kind, content in _npy(bomb, canary)}
    files |= {f"msgpack: {kind}": content for kind, content in _msgpack(pickle.dumps(bomb))}
    files |= {f"json: {kind}": content for kind, content in _json()}
    files |= {f"safetensors: {kind}": content for kind, content in safetensors_files()}
    files |= {
        "nothing": b"",
        "a byte": b"\0",
        "zeros": bytes(10_000),
        "noise": random.Random(0).randbytes(10_000),
        "Python": f"import pathlib; pathlib.Path({str(canary)!r}).mkdir()".encode(),
        "gzip": gzip.compress(pickle.dumps(bomb)),
    }
    return files


def big_files(size: int) -> dict[str, bytes]:
    """Files of about `size` bytes that try to take a multiple of it."""
    deflated = io.BytesIO()
    with zipfile.ZipFile(deflated, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", pickle.dumps(bytes(2**20), 2))
        archive.writestr("x/version", b"3\n")
        archive.writestr("x/data/0", bytes(100 * 2**20))
        archive.writestr("x/random", random.Random(0).randbytes(size))
    deep = (size - 100) // 2
    return {
        "zeros": bytes(size),
        "noise": random.Random(0).randbytes(size),
        "pickle": pickle.dumps([Bomb(Path("canary")), bytes(size)]),
        "zip bomb": deflated.getvalue(),
        "gzip bomb": gzip.compress(random.Random(0).randbytes(size) + bytes(100 * 2**20), 1),
        "json, deep": b"[" * deep + b"]" * deep,
        "json, wide": b'{"a":' + b"[1" + b",1" * deep + b"]}",
        "json, a number": b'{"time": ' + b"1" * size + b', "perf_counter": 1}',
        "msgpack, deep": b"\x91" * size + b"\x90",
        "msgpack, bytes": pack(bytes(size)),
        "msgpack, array": codec.encode([np.zeros(size, np.uint8)]),
        "msgpack, text": pack({"timestamps": "x" * size, "added": 1}),
        "msgpack, integer": pack(Ext(INT, bytes(size))),
        "msgpack, shape": pack(Ext(ARRAY, pack(["|u1", [2**62] * (size // 9), b""]))),
        "msgpack, claims": b"\xdd\xff\xff\xff\xff" * (size // 5),
        "safetensors, header": struct.pack("<Q", size) + b"{" + b" " * (size - 2) + b"}",
        "safetensors, tensors": _safetensors(
            {f"t{number}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for number in range(size // 60)}
        ),
        "safetensors, deep": struct.pack("<Q", size) + b'{"a":' + b"[" * (size - 6) + b"}",
    }


def _pickles(bomb: Bomb) -> Iterator[tuple[str, bytes]]:
    yield "a list", pickle.dumps([(1, 2.0), bomb])
    yield (
        "what torch.save wrote in former times",
        b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, bomb, [])),
    )
    yield "text by hand", b"cposix\nsystem\n(S'true'\ntR."
    yield "itself", b"\x80\x04]\x94h\x00a."
    yield "a long by claim", b"\x80\x04\x8b\xff\xff\xff\x7f."
    yield "bytes by claim", b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f."
    yield "a bytearray by claim", b"\x80\x02c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R."
    yield "a memo by claim", b"\x80\x02Nr\xff\xff\xff\x7f."


def _archives(evil: bytes) -> Iterator[tuple[str, bytes]]:
    plain = {"x/data.pkl": evil, "x/byteorder": b"little", "x/data/0": bytes(16), "x/version": b"3\n"}
    yield "evil", _zip(plain)
    yield "deflated evil", _zip(plain, zipfile.ZIP_DEFLATED)
    yield "TorchScript", _zip({**plain, "x/constants.pkl": evil, "x/code/__torch__.py": b"import os"})
    yield "two-rooted", _zip({"y/data.pkl": pickle.dumps(1, 2), **plain})
    yield "two-faced", _zip({"x/DATA.PKL": pickle.dumps(1, 2), **plain})
    yield "climbing", _zip({"../../x": evil, "/x": evil, **plain})
    yield "npz", _zip({"a.npy": _npy_file("'|O'", "(1,)", evil)})
    yield "empty", _zip({})
    whole = _zip(plain)
    yield "cut", whole[: len(whole) // 2]
    yield "prefixed", b"#!/bin/sh\n" + whole
    tape = io.BytesIO()
    with tarfile.open(fileobj=tape, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../../x"))
    yield "tar", tape.getvalue()


def _zip(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _npy(bomb: Bomb, canary: Path) -> Iterator[tuple[str, bytes]]:
    yield "objects", _npy_file("'|O'", "(1,)", pickle.dumps(bomb))
    yield "a field of objects", _npy_file("[('a', '|O')]", "(1,)", pickle.dumps(bomb))
    yield "a huge shape", _npy_file("'<f8'", f"({2**62},)", b"")
    yield "a shape that overflows", _npy_file("'<f8'", f"({2**62}, {2**62})", b"")
    yield "a negative shape", _npy_file("'<f8'", "(-1,)", bytes(8))
    yield "code", _npy_file(f"__import__('os').mkdir({str(canary)!r})", "(1,)", b"")
    yield "brackets", _npy_file("(" * 300 + ")" * 300, "(1,)", b"")


def _npy_file(descr: str, shape: str, data: bytes) -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def _msgpack(evil: bytes) -> Iterator[tuple[str, bytes]]:
    for value in [None, True, 5, -1, 2.5, "text", b"bytes", [], {}, [1], [[1, 2]], ["text"], (), ("a", 1), {"a": 1}]:
        yield repr(value), codec.encode(value)
    generators = {"random": (3, tuple(range(625)), None), "numpy.random": np.random.RandomState(0).get_state()}
    for name, value in {
        "keys": {"keys": ["a", "a"], "rows": []},
        "rows": {"keys": ["a", "b"], "rows": [(1, 2), (1,)]},
        "unhashable keys": {"keys": [["a"], ["b"]], "rows": []},
        "timestamps": {"timestamps": ["now"], "added": 1},
        "added": {"timestamps": [1.0], "added": -1},
        "huge added": {"timestamps": [], "added": 10**400},
        "waiting": {"items": [1], "times": ["now"]},
        "waiting without end": {"items": [1, 2], "times": [1.0]},
        "waiting for nothing": {"items": 5, "times": 5},
        "turns": {"steps_left": "x", "turns_left": [], "generators": {}},
        "no turns": {"steps_left": float("nan"), "turns_left": 0, "generators": {}},
        "no generators": {"steps_left": 1, "turns_left": 0, "generators": None},
        "a generator": {"steps_left": 1, "turns_left": 0, "generators": {"random": (3, (1,) * 625, "x")}},
        "a generator far out": {
            "steps_left": 1,
            "turns_left": 0,
            "generators": {**generators, "numpy.random": ("MT19937", np.zeros(624, np.uint32), 10**6, 0, 0.0)},
        },
        "torch's generator": {"steps_left": 1, "turns_left": 0, "generators": {"torch": {"cpu": b"", "cuda": 5}}},
        "evil": [evil, {"__reduce__": evil}],
        "an array": np.arange(5),
        "an array that is no array": Ext(ARRAY, pack(["|O", [1], evil])),
        "an array of evil": Ext(ARRAY, codec.encode([f"|V{len(evil)}", [1], evil])),
        "a huge array": Ext(ARRAY, pack(["<f8", [2**62], b""])),
        "a scalar": Ext(SCALAR, pack(["<U999999999", b""])),
        "a tensor": Ext(TENSOR, pack(["float32", [2**62], b""])),
        "no tensor": Ext(TENSOR, pack(["load", [], b""])),
        "a timestamp": Ext(-1, b"\xff" * 8),
        "an unknown extension": Ext(99, evil),
    }.items():
        yield name, pack(value) if isinstance(value, Ext) else codec.encode(value)
    yield "an unhashable key", b"\x81\x90\x01"
    yield "deep", b"\x91" * 100_000 + b"\x90"
    yield "deep keys", b"\x81" * 100_000
    yield "a list by claim", b"\xdd\xff\xff\xff\xff"
    yield "lists by claim", b"\xdd\x0f\xff\xff\xff" * 200
    yield "a dict by claim", b"\xdf\xff\xff\xff\xff"
    yield "bytes by claim", b"\xc6\xff\xff\xff\xff"
    yield "text that is none", b"\xa4\xff\xfe\xfd\xfc"
    yield "two values", b"\x01\x01"


def _json() -> Iterator[tuple[str, bytes]]:
    for value in [None, True, 5, "text", [], [[]], {}, {"count": "x"}, {"m": "../../../etc/passwd"}, {"m": "/etc"}]:
        yield repr(value), json.dumps(value).encode()
    for clock in [(1, None), ("1", "1"), (True, [])]:
        yield f"time {clock}", json.dumps(dict(zip(("time", "perf_counter"), clock, strict=True))).encode()
    yield "a number too large", b'{"time": 1e999, "perf_counter": 1}'
    yield "numbers too far apart", b'{"time": 1e308, "perf_counter": -1e308}'
    yield (
        "many digits",
        b'{"time": ' + b"9" * 400 + b', "perf_counter": 1, "added_at_last_training": ' + b"9" * 400 + b"}",
    )
    yield "NaN", b'{"time": NaN, "perf_counter": NaN, "added_at_last_training": NaN}'
    yield "negative", b'{"added_at_last_training": -1}'
    yield "a fraction", b'{"added_at_last_training": 1.5}'
    yield "deep", b"[" * 100_000
    yield "UTF-16", json.dumps({"time": "x"}).encode("utf-16")
    yield "a lone surrogate", b'{"time": "\\ud800"}'


def safetensors_files() -> Iterator[tuple[str, bytes]]:
    """Whole files with headers that lie."""
    float32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    for name, header in {
        "overlapping": {"weight": float32, "bias": float32},
        "beyond the end": {"weight": {**float32, "data_offsets": [0, 2**62]}},
        "negative": {"weight": {**float32, "data_offsets": [-4, 0]}},
        "backwards": {"weight": {**float32, "data_offsets": [4, 0]}},
        "a huge shape": {"weight": {**float32, "shape": [2**62, 2**62]}},
        "a shape that overflows": {"weight": {**float32, "shape": [2**32, 2**32, 0]}},
        "a dtype of objects": {"weight": {**float32, "dtype": "O"}},
        "a dtype that is code": {"weight": {**float32, "dtype": "__import__('os')"}},
        "no tensors": {},
        "other tensors": {"other": float32},
        "a tensor of another shape": {"weight": float32},
        "metadata": {"__metadata__": {"format": "pickle"}, "weight": float32},
    }.items():
        yield name, _safetensors(header)
    yield "a header by claim", struct.pack("<Q", 100_000_000) + b"{}"
    yield "a header beyond all bounds", struct.pack("<Q", 2**63) + b"{}"
    yield "a deep header", struct.pack("<Q", 100_000) + b"[" * 100_000
    yield "half a length", b"\x01\x02"


def _safetensors(header: dict[str, Any]) -> bytes:
    encoded = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(encoded)) + encoded + bytes(4)
