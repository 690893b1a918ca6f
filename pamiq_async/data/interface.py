"""The two ends of a buffer: agents collect, trainers use."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Generic, NamedTuple, TypeVar

from typing_extensions import override

from ..exceptions import InvalidState
from ..hooks import pass_on
from ..state_persistence import codec
from ..state_persistence.mixin import PersistentStateMixin, write_later
from ..time import TimeController, get_global_time_controller
from .buffer import DataBuffer
from .timestamps import AS_IT_IS, Timestamps

T = TypeVar("T")
R = TypeVar("R")


class _Waiter(NamedTuple):
    threshold: int
    callback: Callable[[], object]


class DataCollector(Generic[T]):
    """The acting end: keeps what is collected until the training end fetches it.

    Args:
        max_queue_size: how many items may wait; when more arrive the oldest are dropped.
        check: raises if an item must not be collected.
    """

    def __init__(self, max_queue_size: int | None, check: Callable[[T], object] | None = None) -> None:
        self.clock: TimeController | None = None
        """Whose time items get; None: that of whoever fetches them."""
        self._limit = max_queue_size
        self._check = check
        self._kept_kind: type | None = None  # of the last item that was kept as it is
        # Two lists are filled and emptied faster than one queue of pairs. Each is appended to without a lock, the
        # readings first, so that there is one for each item; what changes the other end holds the lock.
        self._readings: list[float] = []  # of the real clock: to work out system time takes longer than all the rest
        self._items: list[T | None] = []
        self._dropped = 0  # this many at the beginning are None
        self._returned: list[tuple[int, int]] = []  # from where to where readings are system time already
        self._taking = threading.Lock()
        self._waiter: _Waiter | None = None
        self._waiter_changes = threading.Lock()  # guards changes of the above, so that each waiter is called once
        self._full = sys.maxsize if max_queue_size is None else max_queue_size + 1
        self._attention = self._full  # at this many items there is more to do than to append

    def collect(self, data: T) -> None:
        """Keep `data` and when it came. A mapping is copied (shallow), so its owner may reuse it."""
        if type(data) is not self._kept_kind:
            data = self._own(data)
        self._readings.append(perf_counter())
        items = self._items
        items.append(data)
        if len(items) >= self._attention:
            self._attend()

    def _own(self, data: T) -> T:
        """`data`, or its copy if it is a mapping, after a check if there is one."""
        if isinstance(data, dict):
            data = data.copy()  # type: ignore[assignment]
        elif isinstance(data, Mapping):
            data = dict(data)  # type: ignore[assignment]
        elif self._check is None:
            self._kept_kind = type(data)  # asking whether it is a Mapping takes as long as all the rest
        if self._check is not None:
            self._check(data)
        return data

    def fetch(self) -> tuple[list[T], Timestamps]:
        """Take out all that waits, oldest first, and the system time of each."""
        with self._taking:
            waiting, end = self._waiting()
            self._forget(end)
        return waiting

    def waiting(self) -> tuple[list[T], Timestamps]:
        """What `fetch` would take out, left where it is."""
        with self._taking:
            return self._waiting()[0]

    def put_back(self, items: Sequence[T], times: Sequence[float]) -> None:
        """Let items wait that waited before, with the system time of each in seconds."""
        with self._taking:
            place = len(self._readings)
            self._returned.append((place, place + len(times)))
            self._readings.extend(times)
            self._items.extend(items)
        self._attend()

    def __len__(self) -> int:
        """How many items wait."""
        count = len(self._items) - self._dropped
        return count if self._limit is None else min(count, self._limit)

    def notify(self, count: int, callback: Callable[[], object]) -> None:
        """Call `callback` once, from any thread, as soon as `count` items wait.

        A second call before that replaces the first if its count is smaller.
        """
        count = count if self._limit is None else min(count, self._limit)
        with self._waiter_changes:
            if self._waiter is None or count < self._waiter.threshold:
                self._waiter = _Waiter(count, callback)
                self._attention = count
            waiter = self._waiter
        if len(self) >= waiter.threshold:  # collected meanwhile
            self._call(waiter)

    def _call(self, waiter: _Waiter) -> None:
        with self._waiter_changes:
            if self._waiter is not waiter:  # called, or replaced, by another thread
                return
            self._waiter = None
            self._attention = self._full
        waiter.callback()

    def _waiting(self) -> tuple[tuple[list[T], Timestamps], int]:
        """What waits, and where it ends."""
        begin, end = self._dropped, len(self._items)
        if self._limit is not None:  # an item too many is about to be dropped by the thread that collected it
            begin = max(begin, end - self._limit)
        clock, pieces, place = self.clock or get_global_time_controller(), [], begin
        for left, right in [*self._returned, (end, end)]:
            left, right = (min(max(place, edge), end) for edge in (left, right))
            pieces += [*clock._pieces(self._readings[place:left]), (AS_IT_IS, self._readings[left:right])]
            place = right
        return (self._items[begin:end], Timestamps(pieces)), end  # type: ignore[return-value]

    def _forget(self, end: int) -> None:
        """Take out all up to `end`."""
        del self._items[:end], self._readings[:end]
        self._dropped = 0
        self._returned = [(max(0, left - end), right - end) for left, right in self._returned if right > end]

    def _attend(self) -> None:
        """Call who waits for so many items, and drop the oldest if there are too many."""
        waiter = self._waiter
        if waiter is not None and len(self) >= waiter.threshold:
            self._call(waiter)
        while self._limit is not None and len(self._items) - self._dropped > self._limit:
            self._drop(self._limit)

    def _drop(self, limit: int) -> None:
        """Drop the oldest item, if there are still too many."""
        item = None
        with self._taking:
            if len(self._items) - self._dropped > limit:
                item, self._items[self._dropped] = self._items[self._dropped], None
                self._dropped += 1
                if self._dropped > limit:  # rarely, so it costs little per item
                    self._forget(self._dropped)
        del item  # without the lock, as this may run code of the item's


class DataUser(PersistentStateMixin, Generic[R]):
    """The training end: moves what was collected into the buffer and gives it out."""

    def __init__(self, buffer: DataBuffer[Any, R]) -> None:
        self._buffer = buffer
        kind = type(buffer)  # what a class does not have, such as that of a mock, is as in DataBuffer
        self._add_many = getattr(kind, "add_many", DataBuffer.add_many)
        checks = getattr(kind, "check_item", DataBuffer.check_item) is not DataBuffer.check_item
        self._collector: DataCollector[Any] = DataCollector(
            buffer.max_queue_size, buffer.check_item if checks else None
        )
        self._timestamps = Timestamps()  # of the items that were moved
        self._added = 0
        self.known_size = 0
        """Items in the buffer after the last move, for those who can't ask the buffer on their thread."""
        self.keeps_waiting_items = False
        """Whether what waits is saved as such, so that a save changes nothing; else it is moved into the buffer."""

    @property
    def buffer(self) -> Any:
        """The buffer itself, for what only its class has, such as `sample`; call `update` first.

        It is for the thread of the trainers alone.
        """
        return self._buffer

    @property
    def collector(self) -> DataCollector[Any]:
        """The acting end."""
        return self._collector

    @property
    def added_count(self) -> int:
        """How many items were ever taken from the collector."""
        return self._added

    @property
    def waiting_count(self) -> int:
        """How many items wait to be moved into the buffer."""
        return len(self._collector)

    def update(self) -> None:
        """Move what was collected into the buffer, in order."""
        items, times = self._collector.fetch()
        if not items:
            return
        self._add_many(self._buffer, items)
        self._timestamps.extend(times)
        self._added += len(items)
        self.known_size = len(self._buffer)
        limit = self._buffer.max_queue_size
        if limit is not None and len(self._timestamps) > 2 * limit:  # rarely, so it costs little per item
            self._timestamps.keep_last(limit)

    def get_data(self) -> R:
        """All that the buffer holds, with what was collected up to now."""
        self.update()
        return self._buffer.get_data()

    def count_data_added_since(self, timestamp: float) -> int:
        """How many of the items moved so far were collected after `timestamp`, in seconds of system `time()`.

        Of a bounded queue at most the last `max_queue_size` items are remembered.
        """
        count = self._timestamps.count_after(timestamp)
        limit = self._buffer.max_queue_size
        return count if limit is None else min(count, limit)

    def clear(self) -> None:
        """Forget what is in the buffer and what waits to be moved."""
        self._added += len(self._collector.fetch()[0])
        self._buffer.clear()
        self._timestamps = Timestamps()
        self.known_size = 0

    def __len__(self) -> int:
        return len(self._buffer)

    @override
    def save_state(self, path: Path) -> None:
        if not self.keeps_waiting_items:
            self.update()
        path.mkdir()
        pass_on(self._buffer.save_state, path / "buffer")
        write_later(lambda: codec.save({"timestamps": list(self._timestamps), "added": self._added}, path / "user"))
        items, times = self._collector.waiting()
        if items:
            self._buffer._save_value({"items": items, "times": list(times)}, path / "waiting")

    @override
    def load_state(self, path: Path) -> None:
        if not path.exists():  # saved by a system without it: the buffer decides whether to begin with nothing
            pass_on(self._buffer.load_state, path / "buffer")
            return
        state = codec.load(path / "user", dict)
        timestamps, added = state.get("timestamps"), state.get("added")
        if not isinstance(timestamps, list) or not all(isinstance(t, float | int) for t in timestamps):
            raise InvalidState(f"{path}: not what a data user saved: no list of timestamps")
        if type(added) is not int or added < 0:
            raise InvalidState(f"{path}: not what a data user saved: {added!r} items were added")
        waiting = codec.load(path / "waiting", dict) if any(path.glob("waiting.*")) else {"items": [], "times": []}
        items, times = waiting.get("items"), waiting.get("times")
        if not isinstance(items, list) or not isinstance(times, list) or len(items) != len(times):
            raise InvalidState(f"{path}: not what a data user saved: what waits has not a time each")
        if not all(isinstance(t, float | int) for t in times):
            raise InvalidState(f"{path}: not what a data user saved: what waits has no timestamps")
        pass_on(self._buffer.load_state, path / "buffer")  # changes nothing if it fails; what follows can't
        self._timestamps = Timestamps([(AS_IT_IS, timestamps)])
        self._added = added
        self._collector.put_back(items, times)
        self.known_size = len(self._buffer)
