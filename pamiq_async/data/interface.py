"""The two ends of a buffer: agents collect, trainers use."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from typing_extensions import override

from .. import time
from ..hooks import pass_on
from ..state_persistence import codec
from ..state_persistence.mixin import PersistentStateMixin, write_later
from .buffer import DataBuffer

T = TypeVar("T")
R = TypeVar("R")


class _Waiter(NamedTuple):
    threshold: int
    callback: Callable[[], object]


class DataCollector(Generic[T]):
    """The acting end: keeps what is collected until the training end fetches it.

    Args:
        max_queue_size: how many items may wait; when more arrive the oldest are dropped.
    """

    def __init__(self, max_queue_size: int | None) -> None:
        # Appended to by the acting thread, popped by the training thread; both are atomic for a deque.
        self._queue: deque[tuple[T, float]] = deque(maxlen=max_queue_size)
        self._waiter: _Waiter | None = None
        self._waiter_changes = threading.Lock()  # guards changes of the above, so that each waiter is called once

    def collect(self, data: T) -> None:
        """Keep `data` and its system time. A mapping is copied (shallow), so its owner may reuse it."""
        if isinstance(data, dict):
            data = data.copy()  # type: ignore[assignment]
        elif isinstance(data, Mapping):
            data = dict(data)  # type: ignore[assignment]
        self._queue.append((data, time.time()))
        waiter = self._waiter
        if waiter is not None and len(self._queue) >= waiter.threshold:
            self._call(waiter)

    def fetch(self) -> list[tuple[T, float]]:
        """Take out all that waits, oldest first, each with its system time in seconds."""
        pop = self._queue.popleft
        return [pop() for _ in range(len(self._queue))]

    def waiting(self) -> list[tuple[T, float]]:
        """What `fetch` would take out, left where it is."""
        return list(self._queue)

    def put_back(self, items: Iterable[tuple[T, float]]) -> None:
        """Let items wait that waited before, each with its system time in seconds."""
        self._queue.extend(items)

    def __len__(self) -> int:
        """How many items wait."""
        return len(self._queue)

    def notify(self, count: int, callback: Callable[[], object]) -> None:
        """Call `callback` once, from any thread, as soon as `count` items wait.

        A second call before that replaces the first if its count is smaller.
        """
        limit = self._queue.maxlen
        count = count if limit is None else min(count, limit)
        with self._waiter_changes:
            if self._waiter is None or count < self._waiter.threshold:
                self._waiter = _Waiter(count, callback)
            waiter = self._waiter
        if len(self._queue) >= waiter.threshold:  # collected meanwhile
            self._call(waiter)

    def _call(self, waiter: _Waiter) -> None:
        with self._waiter_changes:
            if self._waiter is not waiter:  # called, or replaced, by another thread
                return
            self._waiter = None
        waiter.callback()


class DataUser(PersistentStateMixin, Generic[R]):
    """The training end: moves what was collected into the buffer and gives it out."""

    def __init__(self, buffer: DataBuffer[Any, R]) -> None:
        self._buffer = buffer
        self._collector: DataCollector[Any] = DataCollector(buffer.max_queue_size)
        self._timestamps: list[float] = []  # of the items that were moved, ascending
        self._added = 0
        self.known_size = 0
        """Items in the buffer after the last move, for those who can't ask the buffer on their thread."""
        self.keeps_waiting_items = False
        """Whether what waits is saved as such, so that a save changes nothing; else it is moved into the buffer."""

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
        fetched = self._collector.fetch()
        if not fetched:
            return
        add = self._buffer.add
        for data, _ in fetched:
            add(data)
        self._timestamps.extend([timestamp for _, timestamp in fetched])
        self._added += len(fetched)
        self.known_size = len(self._buffer)
        limit = self._buffer.max_queue_size
        if limit is not None and len(self._timestamps) > 2 * limit:  # rarely, so it costs little per item
            del self._timestamps[:-limit]

    def get_data(self) -> R:
        """All that the buffer holds, with what was collected up to now."""
        self.update()
        return self._buffer.get_data()

    def count_data_added_since(self, timestamp: float) -> int:
        """How many of the items moved so far were collected after `timestamp`, in seconds of system `time()`.

        Of a bounded queue at most the last `max_queue_size` items are remembered.
        """
        count = len(self._timestamps) - bisect_right(self._timestamps, timestamp)
        limit = self._buffer.max_queue_size
        return count if limit is None else min(count, limit)

    def clear(self) -> None:
        """Forget what is in the buffer and what waits to be moved."""
        self._added += len(self._collector.fetch())
        self._buffer.clear()
        self._timestamps.clear()
        self.known_size = 0

    def __len__(self) -> int:
        return len(self._buffer)

    @override
    def save_state(self, path: Path) -> None:
        if not self.keeps_waiting_items:
            self.update()
        path.mkdir()
        pass_on(self._buffer.save_state, path / "buffer")
        state = {"timestamps": self._timestamps, "added": self._added}
        write_later(lambda: codec.save(state, path / "user"))
        if waiting := self._collector.waiting():
            self._buffer._save_value(waiting, path / "waiting")

    @override
    def load_state(self, path: Path) -> None:
        pass_on(self._buffer.load_state, path / "buffer")
        state = codec.load(path / "user")
        self._timestamps = list(state["timestamps"])
        self._added = int(state["added"])
        if any(path.glob("waiting.*")):
            self._collector.put_back(codec.load(path / "waiting"))
        self.known_size = len(self._buffer)
