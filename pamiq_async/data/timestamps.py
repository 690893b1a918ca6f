"""When items were collected: read while acting, and turned into system time once somebody asks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from ..time import _Anchor

AS_IT_IS = _Anchor(real=0.0, system=0.0, rate=1.0, epoch=0.0)
"""By this a reading is system time already."""


class Timestamps:
    """Ascending times, each a reading of the real clock, in pieces with the anchor that makes system time of them.

    A clock's anchor changes when the clock is paused, resumed, scaled or set, so there are few pieces.
    """

    def __init__(self, pieces: Iterable[tuple[_Anchor, list[float]]] = ()) -> None:
        self._pieces: list[tuple[_Anchor, list[float]]] = []
        self._count = 0
        self._append(pieces)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[float]:
        """System times in seconds."""
        for anchor, readings in self._pieces:
            yield from (_system_time(anchor, reading) for reading in readings)

    def extend(self, others: Timestamps) -> None:
        """Add later times; `others` are not to be used any more."""
        self._append(others._pieces)

    def count_after(self, timestamp: float) -> int:
        """How many are later than `timestamp`, in seconds of system time."""
        count = 0
        for anchor, readings in reversed(self._pieces):
            later = len(readings) - bisect_right(readings, timestamp, key=lambda r, a=anchor: _system_time(a, r))  # type: ignore[misc]
            count += later
            if later < len(readings):
                break
        return count

    def keep_last(self, count: int) -> None:
        """Forget all but the last `count`."""
        surplus = self._count - count
        while surplus > 0:
            readings = self._pieces[0][1]
            if len(readings) > surplus:
                del readings[:surplus]
                break
            surplus -= len(readings)
            del self._pieces[0]
        self._count = min(self._count, count)

    def _append(self, pieces: Iterable[tuple[_Anchor, list[float]]]) -> None:
        for anchor, readings in pieces:
            if self._pieces and self._pieces[-1][0] is anchor:
                self._pieces[-1][1].extend(readings)
            elif readings:
                self._pieces.append((anchor, readings))
            self._count += len(readings)


def _system_time(anchor: _Anchor, reading: float) -> float:
    return anchor.epoch + (anchor.system + (reading - anchor.real) * anchor.rate)  # as in TimeController.time()
