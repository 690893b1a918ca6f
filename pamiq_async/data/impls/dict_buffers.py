"""Buffers of mappings, whose data come out by key."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Mapping, MutableSequence, Sequence
from pathlib import Path
from typing import TypeVar

from typing_extensions import override

from ...exceptions import InvalidState
from ...state_persistence import codec
from ..buffer import DataBuffer, checked_size
from .random_replacement import place_to_replace, queue_size, replacement_probability

T = TypeVar("T")


class _DictBuffer(DataBuffer[Mapping[str, T], dict[str, list[T]]]):
    """Keeps a column for each key; the same place in each column belongs to the same item."""

    def __init__(self, keys: Iterable[str], max_size: int, max_queue_size: int) -> None:
        if isinstance(keys, str):
            raise TypeError(f"keys is the str {keys!r}; give a list of keys, such as [{keys!r}]")
        self._keys = tuple(dict.fromkeys(keys))
        if not self._keys:
            raise ValueError("keys is empty; give at least one key")
        super().__init__(max_queue_size)
        self._max_size = max_size
        self._columns = [self._column([]) for _ in self._keys]

    @property
    def keys(self) -> set[str]:
        """The keys that every item has."""
        return set(self._keys)

    @property
    def max_size(self) -> int:
        """How many items it holds at most."""
        return self._max_size

    @override
    def add(self, data: Mapping[str, T]) -> None:
        """Take one item in.

        Raises:
            ValueError: its keys are not the buffer's.
        """
        self.add_many([data])

    @override
    def get_data(self) -> dict[str, list[T]]:
        """A list of values for each key; the same place in each list belongs to the same item."""
        return {key: list(column) for key, column in zip(self._keys, self._columns, strict=True)}

    @override
    def clear(self) -> None:
        for column in self._columns:
            column.clear()

    @override
    def __len__(self) -> int:
        return len(self._columns[0])

    @override
    def save_state(self, path: Path) -> None:
        columns = [list(column) for column in self._columns]
        self._save_value({"keys": list(self._keys), "columns": columns}, path)

    @override
    def load_state(self, path: Path) -> None:
        state = codec.load(path, dict)
        keys, columns = state.get("keys"), state.get("columns")
        if not isinstance(keys, list) or not isinstance(columns, list):
            raise InvalidState(f"{path}: not what a buffer of mappings saved: no lists of keys and columns")
        if not all(type(key) is str for key in keys) or sorted(keys) != sorted(self._keys):
            raise InvalidState(f"{path}: the buffer was saved with the keys {keys}; now it has {list(self._keys)}")
        if len(columns) != len(keys) or not all(isinstance(column, list) for column in columns):
            raise InvalidState(f"{path}: not what a buffer of mappings saved: no column for each key")
        if len({len(column) for column in columns}) != 1:
            raise InvalidState(f"{path}: not what a buffer of mappings saved: the columns have different lengths")
        self._columns = [self._column(columns[keys.index(key)]) for key in self._keys]

    @abstractmethod
    def _column(self, values: list[T]) -> MutableSequence[T]:
        """A column of no more values than fit."""

    def _by_key(self, items: Sequence[Mapping[str, T]]) -> list[list[T]]:
        """The items' values for each key."""
        keys = set(self._keys)
        for data in items:
            if data.keys() != keys:
                raise ValueError(f"an item has the keys {list(data)}; the buffer needs {list(self._keys)}")
        return [[data[key] for data in items] for key in self._keys]


class DictSequentialBuffer(_DictBuffer[T]):
    """`SequentialBuffer` for mappings: the last `max_size` items, a list for each key.

    Args:
        keys: the keys that every item has.
        max_size: how many items it holds at most.

    Raises:
        ValueError: there are no keys, or `max_size` is not a positive whole number.
    """

    def __init__(self, keys: Iterable[str], max_size: int) -> None:
        max_size = checked_size("max_size", max_size)
        super().__init__(keys, max_size, max_size)

    @override
    def add_many(self, items: Sequence[Mapping[str, T]]) -> None:
        """Take several items in, in order: all, or on an error none."""
        for column, values in zip(self._columns, self._by_key(items), strict=True):
            column.extend(values)

    @override
    def _column(self, values: list[T]) -> deque[T]:
        return deque(values, maxlen=self._max_size)


class DictRandomReplacementBuffer(_DictBuffer[T]):
    """`RandomReplacementBuffer` for mappings: a mixture of old and new items, a list for each key.

    Args:
        keys: the keys that every item has.
        max_size: how many items it holds at most.
        replace_probability: probability in 0..1 with which an item replaces another; 1 by default.
        expected_survival_length: instead of the probability: how many arrivals an item should survive on average.

    Raises:
        ValueError: there are no keys, a value is out of its range, or both of the last two are given.
    """

    def __init__(
        self,
        keys: Iterable[str],
        max_size: int,
        replace_probability: float | None = None,
        expected_survival_length: float | None = None,
    ) -> None:
        max_size = checked_size("max_size", max_size)
        self._probability = replacement_probability(max_size, replace_probability, expected_survival_length)
        super().__init__(keys, max_size, queue_size(max_size, self._probability))

    @override
    def add_many(self, items: Sequence[Mapping[str, T]]) -> None:
        """Take several items in, in order: all, or on an error none."""
        missing = self._max_size - len(self)
        new = self._by_key(items)
        places = [place_to_replace(self._max_size, self._probability) for _ in items[missing:]]
        for column, values in zip(self._columns, new, strict=True):
            column.extend(values[:missing])
            for place, value in zip(places, values[missing:], strict=True):
                if place is not None:
                    column[place] = value

    @override
    def _column(self, values: list[T]) -> list[T]:
        return values[: self._max_size]
