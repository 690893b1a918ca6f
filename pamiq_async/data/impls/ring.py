"""The last steps in arrays, to draw from without copying the rest."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import override

from ...state_persistence.mixin import write_later
from ..buffer import DataBuffer, checked_size
from .columns import Column, columns
from .ring_state import Rows, read_rows, write_rows

EPISODE_ENDS = ("done", "terminated", "truncated")

_CHUNK = 512  # items that are moved in at once: so many stay in the processor's cache


class RingBuffer(DataBuffer[Mapping[str, Any], dict[str, Any]]):
    """Keeps the last `max_size` items in one array or tensor for each field, and draws from them.

    ::

        RingBuffer({"observation": ((64,), "float32"), "action": ((), int), "done": ((), bool)}, max_size=100_000)

    An item is a mapping with a value for each field: an array, a tensor, a number or a list of numbers, of the field's
    shape and of a dtype that becomes the field's without loss of kind (NumPy's ``same_kind``: float64 becomes float32,
    integers become floats, floats no integers). An item that is otherwise is refused when it is collected.

    The memory is taken once, when the first item comes in.

    Args:
        fields: shape and dtype of a value by the field's name. With a dtype of PyTorch the field is a tensor on the
            CPU, with one of NumPy, or its name, an array.
        max_size: how many items it holds at most; as many may wait in the queue.
        memmap_dir: a directory for the memory to be on disk rather than in RAM: in a file without a name, whose space
            is reserved at once and free again when the process ends.
        episode_ends: fields of one number, or boolean, of which any that is not zero tells that an episode ends with
            this item. By default those fields that are named ``done``, ``terminated`` and ``truncated``; with ``()``
            episodes never end.

    Raises:
        TypeError: an argument is of another type.
        ValueError: there are no fields, a size is less than 1, or `episode_ends` names something else.
    """

    def __init__(
        self,
        fields: Mapping[str, tuple[int | Sequence[int], Any]],
        max_size: int,
        memmap_dir: str | Path | None = None,
        *,
        episode_ends: Collection[str] | None = None,
    ) -> None:
        self._max_size = checked_size("max_size", max_size)
        # What overflows the queue, the buffer could not hold either: what it holds has no gaps.
        super().__init__(self._max_size)
        self._columns = columns(fields)
        self._ones = [(name, column.one) for name, column in self._columns.items()]
        self._rows: list[Any] = []  # of all columns, once there is memory
        self._memmap_dir = None if memmap_dir is None else Path(memmap_dir)
        self._ends = _episode_ends(self._columns, episode_ends)
        # Items are numbered as they come; the one with number i is in row i % max_size.
        self._added = 0
        # By row, for all numbers less than _known: the number of the item with which the item's episode began.
        self._beginnings: np.ndarray | None = None
        self._known = 0

    @property
    def max_size(self) -> int:
        """How many items it holds at most."""
        return self._max_size

    @override
    def __len__(self) -> int:
        return min(self._added, self._max_size)

    @override
    def check_item(self, data: Mapping[str, Any]) -> None:
        """Refuse an item that `add` would refuse."""
        self._values(data)

    @override
    def add(self, data: Mapping[str, Any]) -> None:
        """Take one item in.

        Raises:
            ValueError: a field is missing or too many, or a value has another shape.
            TypeError: a value has a dtype that can't become the field's.
        """
        values = self._values(data)
        if not self._rows:
            self._place()
        row = self._added % self._max_size
        values.reverse()
        for rows in self._rows:
            rows[row] = values.pop()  # a zip would take longer than writing
        self._added += 1

    @override
    def add_many(self, items: Sequence[Mapping[str, Any]]) -> None:
        for begin in range(0, len(items), _CHUNK):
            chunk = items[begin : begin + _CHUNK]
            try:
                if set(map(len, chunk)) != {len(self._columns)}:
                    raise ValueError("of other keys")
                values = {
                    name: column.many(list(map(itemgetter(name), chunk))) for name, column in self._columns.items()
                }
            except (LookupError, TypeError, ValueError):
                for data in chunk:  # this is slower, takes more mixtures, and can say which item is wrong
                    self.add(data)
            else:
                self._write(values, len(chunk))

    def add_batch(self, data: Mapping[str, Any]) -> None:
        """Take n consecutive items in: all, or on an error none.

        Args:
            data: for each field an array or tensor of shape ``[n, *shape]``.

        Raises:
            ValueError: a field is missing or too many, a value has another shape, or the n differ.
            TypeError: a value has a dtype that can't become the field's.
        """
        self._check_keys(data)
        values = {name: column.batch(data[name]) for name, column in self._columns.items()}
        lengths = {name: len(value) for name, value in values.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the fields have different numbers of items: {lengths}")
        self._write(values, next(iter(lengths.values())))

    def sample(self, n: int, generator: Any = None) -> dict[str, Any]:
        """Draw `n` items, each as likely as any other, with replacement.

        Args:
            n: how many items.
            generator: a generator of NumPy or PyTorch, or a seed; by default NumPy's global generator.

        Returns:
            Copies: for each field an array or tensor of shape ``[n, *shape]``.

        Raises:
            ValueError: the buffer is empty.
        """
        n, size = checked_size("n", n), len(self)
        if size == 0:
            raise ValueError(
                "the buffer is empty, so there is nothing to sample; a trainer's min_buffer_size waits for items"
            )
        numbers = _draw(generator, size, n) + (self._added - size)
        return self._take(numbers)

    def sample_sequences(self, n: int, length: int, generator: Any = None) -> dict[str, Any]:
        """Draw `n` sequences of `length` consecutive items, each as likely as any other, with replacement.

        A sequence lies within one episode: where one ends, only the last item may be its last.

        Args:
            n: how many sequences.
            length: of each.
            generator: as for `sample`.

        Returns:
            Copies: for each field an array or tensor of shape ``[n, length, *shape]``.

        Raises:
            ValueError: no episode has so many items in the buffer.
        """
        n, length = checked_size("n", n), checked_size("length", length)
        lasts = self._draw_lasts(n, length, generator)
        return self._take(lasts[:, None] + np.arange(1 - length, 1))

    @override
    def get_data(self) -> dict[str, Any]:
        """All items, in place and not copied, for each field in an array or tensor of shape ``[len(buffer), *shape]``.

        They are in the order of the memory: while the buffer is not full, the oldest first; then the newest items have
        taken the places of the oldest. Items that are added later show in what was given before, so copy what is to
        stay. Arrays are read-only; of tensors, which can't be, take care. See `in_order` for copies by age.
        """
        if not self._rows:
            self._place()
        return {name: column.view(len(self)) for name, column in self._columns.items()}

    def in_order(self) -> dict[str, Any]:
        """Copies of all items, the oldest first."""
        if not self._rows:
            self._place()
        return self._take(np.arange(self._added - len(self), self._added))

    @override
    def clear(self) -> None:
        """Forget all items; the memory is kept."""
        self._added = self._known = 0

    @override
    def save_state(self, path: Path) -> None:
        if not self._rows:
            self._place()
        rows = Rows(self._columns, self._max_size, self._added)
        write_later(lambda: write_rows(rows, path))  # only training adds, and it waits until this is done

    @override
    def load_state(self, path: Path) -> None:
        """Read what `save_state` wrote; of a larger buffer's items the last ones. The last episode goes on.

        Raises:
            InvalidState: it is something else, or has other fields; nothing was changed.
        """
        if not self._rows:
            self._place()
        self._added = read_rows(path, self._columns, self._max_size)
        self._known = 0

    def _values(self, data: Mapping[str, Any]) -> list[Any]:
        """The values of an item as they can be written."""
        try:
            values = [one(data[name]) for name, one in self._ones]
        except KeyError:
            self._check_keys(data)
            raise
        if len(data) != len(values):
            self._check_keys(data)
        return values

    def _check_keys(self, data: Mapping[str, Any]) -> None:
        if data.keys() != self._columns.keys():
            raise ValueError(f"an item has the keys {list(data)}; the buffer needs {list(self._columns)}")

    def _place(self) -> None:
        """Take the memory."""
        for column in self._columns.values():
            column.place(_memory(column.row_bytes * self._max_size, self._memmap_dir))
        self._rows = [column.rows for column in self._columns.values()]

    def _write(self, values: Mapping[str, Any], count: int) -> None:
        """Write checked values of consecutive items."""
        if not self._rows:
            self._place()
        skipped = max(0, count - self._max_size)  # they would be overwritten by the others
        begin = (self._added + skipped) % self._max_size
        fit = min(count - skipped, self._max_size - begin)  # up to the end of the memory; the rest goes to its begin
        for name, column in self._columns.items():
            rows, new = column.rows, values[name]
            rows[begin : begin + fit] = new[skipped : skipped + fit]
            if skipped + fit < count:
                rows[: count - skipped - fit] = new[skipped + fit :]
        self._added += count

    def _take(self, numbers: np.ndarray) -> dict[str, Any]:
        rows = numbers % self._max_size
        return {name: column.take(rows) for name, column in self._columns.items()}

    def _draw_lasts(self, n: int, length: int, generator: Any) -> np.ndarray:
        """Draw numbers of items with which sequences end."""
        beginnings, oldest = self._episode_beginnings(), self._added - len(self)
        first = oldest + length - 1  # no sequence ends earlier
        count = self._added - first
        if count > 0:
            # Throwing away what does not fit is faster than looking for all that does, if most fits.
            lasts: np.ndarray = first + _draw(generator, count, 2 * n)
            lasts = lasts[beginnings[lasts % self._max_size] <= lasts - (length - 1)]
            if len(lasts) >= n:
                return lasts[:n]
            lasts = np.arange(first, self._added)
            lasts = lasts[beginnings[lasts % self._max_size] <= lasts - (length - 1)]
            if len(lasts):
                lasts = lasts[_draw(generator, len(lasts), n)]
                return lasts
        raise ValueError(
            f"no sequence of {length} items can be drawn from {len(self)}: no episode has so many in the buffer, which "
            f"holds {self._max_size}"
        )

    def _episode_beginnings(self) -> np.ndarray:
        """By row: the number of the item with which the episode began, which may be gone already."""
        if self._beginnings is None:
            self._beginnings = np.zeros(self._max_size, np.int64)
        oldest = self._added - len(self)
        known = max(self._known, oldest)
        if known < self._added:
            numbers = np.arange(known, self._added)
            has_begun = np.zeros(len(numbers), bool)
            if known > oldest:
                before = self._beginnings[(known - 1) % self._max_size]
                has_begun[0] = self._is_end(numbers[:1] - 1)[0]
            else:
                before = oldest
            has_begun[1:] = self._is_end(numbers[:-1])
            self._beginnings[numbers % self._max_size] = np.maximum.accumulate(np.where(has_begun, numbers, before))
            self._known = self._added
        return self._beginnings

    def _is_end(self, numbers: np.ndarray) -> np.ndarray:
        """Whether an episode ends with these items."""
        ends = np.zeros(len(numbers), bool)
        for column in self._ends:
            ends |= column.truth(numbers % self._max_size)
        return ends


def _episode_ends(columns: Mapping[str, Column], names: Collection[str] | None) -> list[Column]:
    """The columns that tell where episodes end."""
    if isinstance(names, str):
        raise TypeError(f"episode_ends is the str {names!r}; give a list of names, such as [{names!r}]")
    if names is None:
        names = [name for name in EPISODE_ENDS if name in columns]
    for name in names:
        if name not in columns:
            raise ValueError(f"episode_ends has {name!r}, which is no field; there are: {list(columns)}")
        if any(length != 1 for length in columns[name].shape):
            raise ValueError(
                f"the field {name!r}, which tells where episodes end, has the shape {columns[name].shape}; it must be "
                f"one number, or episode_ends name others"
            )
    return [columns[name] for name in names]


def _memory(size: int, directory: Path | None) -> np.ndarray:
    """So many bytes, all of them zero."""
    if directory is None:
        return np.zeros(size, np.uint8)  # the kernel gives the pages when they are first written to
    with tempfile.TemporaryFile(dir=directory, prefix="pamiq-ring-") as file:
        # A disk that is full must be an error now; when a page is written to, it would kill the process.
        os.posix_fallocate(file.fileno(), 0, size)
        return np.memmap(file, np.uint8, "r+", shape=(size,)).view(np.ndarray)


def _draw(generator: Any, limit: int, n: int) -> np.ndarray:
    """`n` numbers from 0 up to `limit`."""
    if generator is None:
        return np.random.randint(0, limit, n)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(generator, torch.Generator):
        drawn = torch.randint(limit, (n,), generator=generator, device=generator.device)
        return np.asarray(drawn.cpu())
    numbers: np.ndarray = np.random.default_rng(generator).integers(0, limit, n)
    return numbers
