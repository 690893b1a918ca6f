"""A ring buffer's rows in a saved state.

A directory with ``fields.json`` and, for each field, a file of raw rows, the oldest first, named by the field's
place: ``0.rows``, ``1.rows``… Nothing is copied or encoded, so saving takes as long as the disk does, and no memory.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from ...exceptions import InvalidState, StateNotFound
from ...state_persistence.codec import load_json
from ...state_persistence.manifest import open_regular
from .columns import Column

_CHUNK_BYTES = 1024 * 1024  # of which none needs the interpreter's lock while it is written
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    shape: tuple[int, ...]
    dtype: str


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    fields: tuple[_Field, ...]
    rows: _Count  # in the files
    added: _Count  # ever; the row of number i was in place i % max_size


class Rows(NamedTuple):
    """What there is to write."""

    columns: Mapping[str, Column]
    max_size: int
    added: int


def write_rows(rows: Rows, path: Path) -> None:
    """Write the rows into a new directory."""
    path.mkdir()
    size = min(rows.added, rows.max_size)
    fields = tuple(_Field(c.name, c.shape, c.dtype_name) for c in rows.columns.values())
    (path / "fields.json").write_bytes(msgspec.json.encode(_Header(fields, size, rows.added)))
    for place, column in enumerate(rows.columns.values()):
        with (path / f"{place}.rows").open("wb", buffering=0) as file:
            for chunk in _chunks(column, rows.max_size, rows.added - size, rows.added):
                while chunk:
                    chunk = chunk[file.write(chunk) :]


def read_rows(path: Path, columns: Mapping[str, Column], max_size: int) -> int:
    """Read rows into the columns' memory; of more than `max_size` the last ones.

    Returns:
        The number that the next item gets.

    Raises:
        StateNotFound: there is no such directory.
        InvalidState: it was saved with other fields, or is not what `write_rows` writes; nothing was changed.
    """
    header = _read_header(path, columns)
    files = [path / f"{[field.name for field in header.fields].index(name)}.rows" for name in columns]
    for file, column in zip(files, columns.values(), strict=True):
        _check(file, column, header.rows)
    size = min(header.rows, max_size)
    # The numbers of a full buffer go on, so that every row has the place that it had. In a larger one they begin anew.
    added = header.added if size == max_size else size
    for file, column in zip(files, columns.values(), strict=True):
        with open_regular(file) as content:
            content.seek((header.rows - size) * column.row_bytes)
            for chunk in _chunks(column, max_size, added - size, added):
                if content.readinto(chunk) != len(chunk):
                    raise InvalidState(f"{file}: became shorter while it was read")
    return added


def _read_header(path: Path, columns: Mapping[str, Column]) -> _Header:
    try:
        header = load_json(path / "fields.json", _Header)
    except FileNotFoundError:
        raise StateNotFound(
            f"there is no {str(path / 'fields.json')!r}; was the state saved by a buffer of another kind?"
        ) from None
    saved = {field.name: (field.shape, field.dtype) for field in header.fields}
    present = {name: (column.shape, column.dtype_name) for name, column in columns.items()}
    if saved != present or len(header.fields) != len(saved):
        raise InvalidState(f"{path}: the buffer was saved with the fields {saved}; now it has {present}")
    if header.rows > header.added:
        raise InvalidState(f"{path}: not what a ring buffer saved: {header.rows} rows of {header.added} items")
    return header


def _check(file: Path, column: Column, rows: int) -> None:
    """Check that a file holds so many rows."""
    try:
        with open_regular(file) as content:
            size = os.fstat(content.fileno()).st_size
            if size != rows * column.row_bytes:
                raise InvalidState(
                    f"{file}: has {size} bytes; {rows} rows of {column.name!r} take {column.row_bytes} each"
                )
            while column.is_bool and (chunk := content.read(_CHUNK_BYTES)):
                if chunk.translate(None, b"\0\1"):
                    raise InvalidState(f"{file}: not what a ring buffer saved: a boolean is neither 0 nor 1")
    except FileNotFoundError:
        raise InvalidState(f"{file}: is missing") from None


def _chunks(column: Column, max_size: int, begin: int, end: int) -> Iterator[memoryview]:
    """The memory of the rows with numbers from `begin` up to `end`, in that order, in pieces."""
    memory = column.memory.data
    first, last = begin % max_size, begin % max_size + end - begin
    for start, stop in [(first, min(last, max_size)), (0, max(0, last - max_size))]:
        edges = [*range(start * column.row_bytes, stop * column.row_bytes, _CHUNK_BYTES), stop * column.row_bytes]
        for left, right in itertools.pairwise(edges):
            yield memory[left:right]
