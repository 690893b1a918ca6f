"""Durations, counted in bins."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter

BINS_PER_OCTAVE = 16
"""Bins grow by 2 ** (1/16), so that the middle of one is within 2.2 % of whatever is in it."""


class Histogram:
    """Durations in bins on a logarithmic scale: however many there were, it stays small."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self._min = math.inf
        self._max = -math.inf
        self._bins: Counter[int] = Counter()

    def take(self, seconds: list[float]) -> None:
        """Add durations; sorts the list."""
        if not seconds:
            return
        seconds.sort()
        self.count += len(seconds)
        self.total += sum(seconds)
        self._min = min(self._min, seconds[0])
        self._max = max(self._max, seconds[-1])
        start = 0
        while start < len(seconds):
            bin_ = math.floor(BINS_PER_OCTAVE * math.log2(max(seconds[start], 1e-9)))
            end = bisect_left(seconds, _lower_edge(bin_ + 1), start + 1)
            self._bins[bin_] += end - start
            start = end

    def merged(self, other: Histogram) -> Histogram:
        """What both have taken in."""
        both = Histogram()
        both.count, both.total = self.count + other.count, self.total + other.total
        both._min, both._max = min(self._min, other._min), max(self._max, other._max)
        both._bins = self._bins + other._bins
        return both

    @property
    def mean(self) -> float:
        """NaN if there is nothing, as are the others."""
        return self.total / self.count if self.count else math.nan

    @property
    def max(self) -> float:
        """The longest."""
        return self._max if self.count else math.nan

    def quantile(self, q: float) -> float:
        """What a share of `q` is not above."""
        left = q * (self.count - 1)
        for bin_ in sorted(self._bins):
            left -= self._bins[bin_]
            if left < 0:
                return min(max(_lower_edge(bin_ + 0.5), self._min), self._max)
        return math.nan


def _lower_edge(bin_: float) -> float:
    return math.pow(2.0, bin_ / BINS_PER_OCTAVE)
