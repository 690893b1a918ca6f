"""Reading one version while another one is made."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType


class VersionLock:
    """Many threads may read at the same time; what they read changes when none of them does.

    Reading is ``with lock:``, also within itself. A change that finds readers is made by the last of them on leaving,
    on its own thread. So it falls between two readings of a busy reader, which needn't wait for another thread to wake
    up. Readers that come while a change is due wait for it; else readers that overlap could put it off for ever.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards the next two, and is held while changing
        self._moved = threading.Condition(self._lock)
        self._readers = 0
        self._due: tuple[Callable[[], object], Future[None]] | None = None
        self._thread = threading.local()  # .depth: how many blocks of this thread's are open

    def __enter__(self) -> None:
        depth = getattr(self._thread, "depth", 0)
        if depth == 0:
            with self._lock:
                while self._due is not None:
                    self._moved.wait()
                self._readers += 1
        self._thread.depth = depth + 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        depth = self._thread.depth = self._thread.depth - 1
        if depth == 0:
            with self._lock:
                self._readers -= 1
                if self._readers == 0 and self._due is not None:
                    self._make_due_change()

    def change(self, function: Callable[[], object]) -> None:
        """Have `function` called while nobody reads, and wait for that. It should be quick: readers wait for it.

        Raises:
            RuntimeError: this thread is reading, so it would wait for itself.
        """
        if getattr(self._thread, "depth", 0) > 0:
            raise RuntimeError("a model can't be published or loaded from within its own infer() or unwrap()")
        with self._lock:
            while self._due is not None:  # another thread's
                self._moved.wait()
            if self._readers == 0:
                function()
                return
            done: Future[None] = Future()
            self._due = function, done
        done.result()

    def _make_due_change(self) -> None:
        assert self._due is not None
        function, done = self._due
        self._due = None
        try:
            function()
        except BaseException as error:  # it belongs to whoever asked for the change
            done.set_exception(error)
        else:
            done.set_result(None)
        self._moved.notify_all()
