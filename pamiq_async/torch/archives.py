"""Files of PyTorch and safetensors, looked at before these read them: what runs no code may still fill the memory."""

from __future__ import annotations

import pickle
import pickletools
import re
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
        for opcode, argument, _ in pickletools.genops(archive.read(pickled)):
            if opcode.name == "PROTO" and argument != 2:
                raise ValueError(f"a pickle of protocol {argument}")
            if opcode.name == "GLOBAL" and not _GLOBALS.fullmatch(str(argument)):
                raise ValueError(f"it imports {argument!r}")


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
