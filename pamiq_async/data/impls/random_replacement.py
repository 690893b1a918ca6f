"""A mixture of old and new items."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from typing_extensions import override

from ...state_persistence import codec
from ..buffer import DataBuffer, checked_size

T = TypeVar("T")

EULER_GAMMA = 0.5772156649015329


class RandomReplacementBuffer(DataBuffer[T, list[T]]):
    """Once full, an item that arrives takes a random place with some probability, and is dropped otherwise.

    So the ages of the items follow a geometric distribution and old ones survive for a while. See
    `replacement_probability` for the formula.

    Args:
        max_size: how many items it holds at most.
        replace_probability: probability in 0..1 with which an item replaces another; 1 by default.
        expected_survival_length: instead of the probability: how many arrivals an item should survive on average.

    Raises:
        ValueError: a value is out of its range, or both of the last two are given.
    """

    def __init__(
        self,
        max_size: int,
        replace_probability: float | None = None,
        expected_survival_length: float | None = None,
    ) -> None:
        self._max_size = checked_size("max_size", max_size)
        self._probability = replacement_probability(self._max_size, replace_probability, expected_survival_length)
        super().__init__(queue_size(self._max_size, self._probability))
        self._items: list[T] = []

    @property
    def max_size(self) -> int:
        """How many items it holds at most."""
        return self._max_size

    @staticmethod
    def compute_replace_probability_from_expected_survival_length(max_size: int, survival_length: float) -> float:
        """The probability by which items survive `survival_length` arrivals on average; see `replacement_probability`.

        Raises:
            ValueError: `survival_length` is not positive.
        """
        return replacement_probability(max_size, None, survival_length)

    @property
    def replace_probability(self) -> float:
        """With which probability an item that arrives replaces another."""
        return self._probability

    @property
    def is_full(self) -> bool:
        """Whether the next item has to replace another, or be dropped."""
        return len(self._items) == self._max_size

    @override
    def add(self, data: T) -> None:
        if not self.is_full:
            self._items.append(data)
        elif (place := place_to_replace(self._max_size, self._probability)) is not None:
            self._items[place] = data

    @override
    def add_many(self, items: Sequence[T]) -> None:
        missing = self._max_size - len(self._items)
        self._items.extend(items[:missing])
        for data in items[missing:]:
            if (place := place_to_replace(self._max_size, self._probability)) is not None:
                self._items[place] = data

    @override
    def get_data(self) -> list[T]:
        return self._items.copy()

    @override
    def clear(self) -> None:
        self._items.clear()

    @override
    def __len__(self) -> int:
        return len(self._items)

    @override
    def save_state(self, path: Path) -> None:
        self._save_value(self._items, path)

    @override
    def load_state(self, path: Path) -> None:
        self._items = codec.load(path, list)[: self._max_size]


def place_to_replace(size: int, probability: float) -> int | None:
    """A random place of a full buffer for what arrives, or None if it is dropped."""
    return random.randrange(size) if random.random() < probability else None


def replacement_probability(
    max_size: int, replace_probability: float | None, expected_survival_length: float | None
) -> float:
    """The probability given, or the one by which items survive `expected_survival_length` arrivals on average.

    ``p = clamp(max_size / survival · (ln max_size + γ), 0, 1)``: the last of `max_size` items is replaced after about
    ``max_size · H(max_size)`` replacements (the coupon collector's problem), and the harmonic number ``H(n)`` is about
    ``ln n + γ`` with Euler's constant γ.

    Raises:
        ValueError: a value is out of its range, or both are given.
    """
    if expected_survival_length is not None:
        if replace_probability is not None:
            raise ValueError(
                f"replace_probability is {replace_probability!r} and expected_survival_length is "
                f"{expected_survival_length!r}; give one of them"
            )
        if not expected_survival_length > 0:
            raise ValueError(
                f"expected_survival_length is {expected_survival_length!r}; it must be a positive number of arrivals"
            )
        p = max_size / expected_survival_length * (math.log(max_size) + EULER_GAMMA)
        return min(1.0, max(0.0, p))
    if replace_probability is None:
        return 1.0
    if not 0 <= replace_probability <= 1:
        raise ValueError(f"replace_probability is {replace_probability!r}; it must be in 0..1")
    return float(replace_probability)


def queue_size(max_size: int, probability: float) -> int:
    """How many items may wait: about as many as it takes to replace all, ``max_size / p``, rounded down.

    With ``p = 0`` nothing that arrives once the buffer is full is kept, so no more than `max_size` need wait.
    """
    return max_size if probability == 0 else int(min(max_size / probability, sys.maxsize))
