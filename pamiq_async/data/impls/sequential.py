"""The last items, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from typing_extensions import override

from ...state_persistence import codec
from ..buffer import DataBuffer, checked_size

T = TypeVar("T")


class SequentialBuffer(DataBuffer[T, list[T]]):
    """Keeps the last `max_size` items, in the order in which they were collected.

    Args:
        max_size: how many items it holds at most; as many may wait in the queue.

    Raises:
        ValueError: `max_size` is less than 1.
    """

    def __init__(self, max_size: int) -> None:
        self._max_size = checked_size("max_size", max_size)
        super().__init__(self._max_size)
        self._items: deque[T] = deque(maxlen=self._max_size)

    @property
    def max_size(self) -> int:
        """How many items it holds at most."""
        return self._max_size

    @override
    def add(self, data: T) -> None:
        self._items.append(data)

    @override
    def add_many(self, items: Sequence[T]) -> None:
        self._items.extend(items)

    @override
    def get_data(self) -> list[T]:
        return list(self._items)

    @override
    def clear(self) -> None:
        self._items.clear()

    @override
    def __len__(self) -> int:
        return len(self._items)

    @override
    def save_state(self, path: Path) -> None:
        self._save_value(list(self._items), path)

    @override
    def load_state(self, path: Path) -> None:
        self._items = deque(codec.load(path, list), maxlen=self._max_size)
