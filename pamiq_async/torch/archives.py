"""Files of PyTorch and safetensors, looked at before these read them: what runs no code may still fill the memory."""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import re
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch

from pamiq_async.exceptions import InvalidState

# What they raise when given nonsense.
UNREADABLE = (
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
)


def load_data(path: Path) -> Any:
    """Read what `torch.save` wrote of data, onto the CPU.

    PyTorch's own ``weights_only`` runs no code, but takes what memory the file asks for: so that is looked at first.

    Raises:
        InvalidState: the file holds something else.
    """
    try:
        _check_archive(path)
        value = torch.load(path, map_location="cpu", weights_only=True)
        storages = {(storage := tensor.untyped_storage()).data_ptr(): storage.nbytes() for tensor in _tensors(value)}
        if sum(storages.values()) > path.stat().st_size:
            raise ValueError("a tensor is larger than the file")
    except UNREADABLE as error:
        raise InvalidState(f"{path}: can't be read: {type(error).__name__}: {error}") from error
    return value


def check_header(path: Path, limit: int) -> None:
    """Check how long a safetensors file claims its header to be.

    Raises:
        ValueError: longer than `limit` bytes.
    """
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
    if size > limit:
        raise ValueError(f"its header claims to have {size} bytes; a module like this one needs no more than {limit}")


# What pickles of `weights.as_data` import, which PyTorch resolves to these and nothing else. It allows more, such as a
# bytearray of any length.
_GLOBALS = re.compile(
    r"(builtins|__builtin__) (complex|set)|collections (Counter|OrderedDict)|torch\.serialization _get_layout"
    r"|torch (Size|device|[A-Z][A-Za-z0-9]*Storage|bool|(u?int|float|bfloat|complex)[0-9]+(_[a-z0-9]+)?)"
    r"|torch\.storage UntypedStorage|torch\._utils _rebuild_(parameter|tensor_v[23]|sparse_tensor)"
    r"|torch\._utils _rebuild_meta_tensor_no_storage"
)


def _check_archive(path: Path) -> None:
    """Check that an archive is stored as it is, and what its pickle will import."""
    with path.open("rb") as file:
        _check_directory(file)
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        names = {entry.filename.casefold() for entry in entries}
        if len(names) != len(entries) or len({name.split("/")[0] for name in names}) != 1:
            raise ValueError("two files of one name, or not in one directory")
        if any(e.compress_type != zipfile.ZIP_STORED or e.file_size != e.compress_size for e in entries):
            raise ValueError("a file is compressed")
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise ValueError("files that are larger than the archive")
        (pickled,) = (entry for entry in entries if entry.filename.split("/", 1)[-1] == "data.pkl")
        for opcode, argument, _ in pickletools.genops(_ShortLines(archive.read(pickled))):
            if opcode.name == "PROTO" and argument != 2:
                raise ValueError(f"a pickle of protocol {argument}")
            if opcode.name == "GLOBAL" and not _GLOBALS.fullmatch(str(argument)):
                raise ValueError(f"it imports {argument!r}")


class _ShortLines(io.BytesIO):
    """A pickle whose lines, which are names, are short: each is held several times while it is read."""

    def readline(self, size: int | None = -1) -> bytes:
        line = super().readline(_MAX_NAME)
        if len(line) == _MAX_NAME:
            raise ValueError(f"a name of {_MAX_NAME} characters or more")
        return line


def _check_directory(file: BinaryIO) -> None:
    """Check that an archive's directory is where PyTorch writes it, with no more of text in it than names.

    Who reads an archive takes several times the memory of its directory.
    """
    length = file.seek(0, os.SEEK_END)
    if length < _END.size + _LOCATOR.size:
        raise ValueError("too short for an archive")
    file.seek(end := length - _END.size)
    signature, size, start, comment = _END.unpack(file.read(_END.size))
    if signature != b"PK\5\6" or comment:
        raise ValueError("not an archive as PyTorch writes it")
    file.seek(end - _LOCATOR.size)
    signature, position = _LOCATOR.unpack(file.read(_LOCATOR.size))
    if signature == b"PK\6\7":
        if position > length:
            raise ValueError("its directory is not at its end")
        file.seek(end := position)
        signature, size, start = _LARGE_END.unpack(file.read(_LARGE_END.size))
    if start + size != end:
        raise ValueError("its directory is not at its end")
    file.seek(start)
    while file.tell() < end:
        signature, name, extra, comment = _ENTRY.unpack(file.read(_ENTRY.size))
        if signature != b"PK\1\2" or name > _MAX_NAME or extra > _MAX_EXTRA or comment:
            raise ValueError("its directory holds more than names")
        file.seek(name + extra, os.SEEK_CUR)


# Of the ZIP format's records what matters here (APPNOTE 4.3.12, 4.3.14 to 4.3.16).
_ENTRY = struct.Struct("<4s24x3H12x")  # signature; lengths of name, extra field and comment
_LARGE_END = struct.Struct("<4s36x2Q")  # signature; size and start of the directory
_LOCATOR = struct.Struct("<4s4xQ4x")  # signature; where the record above is
_END = struct.Struct("<4s8x2LH")  # signature; size and start of the directory, length of the comment
_MAX_NAME, _MAX_EXTRA = 255, 64


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """Those that have memory."""
    waiting, seen = [value], set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:  # a list can hold itself
            continue
        seen.add(id(value))
        if isinstance(value, torch.Tensor):
            if value.layout is torch.strided and not value.is_meta:
                yield value
            elif value.layout is not torch.strided:
                waiting += [value._indices(), value._values()]
        elif isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set):
            waiting += value
