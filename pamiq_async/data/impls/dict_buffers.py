"""Buffers of mappings, whose data come out by key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from typing_extensions import override

from ...exceptions import InvalidState
from ...state_persistence import codec
from ..buffer import DataBuffer
from .random_replacement import RandomReplacementBuffer
from .sequential import SequentialBuffer

T = TypeVar("T")
B = TypeVar("B", bound="SequentialBuffer[Any] | RandomReplacementBuffer[Any]")


class _DictBuffer(DataBuffer[Mapping[str, T], dict[str, list[T]]], Generic[T, B]):
    """Keeps rows in another buffer, so that a row's values stay together."""

    def __init__(self, keys: Iterable[str], rows: B) -> None:
        if isinstance(keys, str):
            raise TypeError(f"keys is the str {keys!r}; give a list of keys, such as [{keys!r}]")
        self._keys = tuple(dict.fromkeys(keys))
        if not self._keys:
            raise ValueError("keys is empty; give at least one key")
        super().__init__(rows.max_queue_size)
        self._rows = rows

    @property
    def keys(self) -> set[str]:
        """The keys that every item has."""
        return set(self._keys)

    @property
    def max_size(self) -> int:
        """How many items it holds at most."""
        return self._rows.max_size

    @override
    def add(self, data: Mapping[str, T]) -> None:
        """Take one item in.

        Raises:
            ValueError: its keys are not the buffer's.
        """
        if len(data) != len(self._keys) or any(key not in data for key in self._keys):
            raise ValueError(f"an item has the keys {list(data)}; the buffer needs {list(self._keys)}")
        self._rows.add(tuple(data[key] for key in self._keys))

    @override
    def get_data(self) -> dict[str, list[T]]:
        """A list of values for each key; the same place in each list belongs to the same item."""
        rows = self._rows.get_data()
        if not rows:
            return {key: [] for key in self._keys}
        return {key: list(column) for key, column in zip(self._keys, zip(*rows, strict=True), strict=True)}

    @override
    def clear(self) -> None:
        self._rows.clear()

    @override
    def __len__(self) -> int:
        return len(self._rows)

    @override
    def save_state(self, path: Path) -> None:
        self._save_value({"keys": list(self._keys), "rows": self._rows.get_data()}, path)

    @override
    def load_state(self, path: Path) -> None:
        state = codec.load(path)
        if set(state["keys"]) != self.keys:
            raise InvalidState(
                f"{path}: the buffer was saved with the keys {state['keys']}; now it has {list(self._keys)}"
            )
        order = [state["keys"].index(key) for key in self._keys]
        self._rows.clear()
        for row in state["rows"]:
            self._rows.add(tuple(row[place] for place in order))


class DictSequentialBuffer(_DictBuffer[T, SequentialBuffer[Any]]):
    """`SequentialBuffer` for mappings: the last `max_size` items, a list for each key.

    Args:
        keys: the keys that every item has.
        max_size: how many items it holds at most.

    Raises:
        ValueError: there are no keys, or `max_size` is not a positive whole number.
    """

    def __init__(self, keys: Iterable[str], max_size: int) -> None:
        super().__init__(keys, SequentialBuffer(max_size))


class DictRandomReplacementBuffer(_DictBuffer[T, RandomReplacementBuffer[Any]]):
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
        super().__init__(keys, RandomReplacementBuffer(max_size, replace_probability, expected_survival_length))
