"""Handing work from threads to an event loop, in less time than asyncio's own way takes.

`loop.call_soon_threadsafe` of asyncio wakes the loop through a pair of sockets, which it reads until there is nothing
more, and makes a handle for each call. A counter of the Linux kernel (eventfd) is written once and read once, however
many calls there are. uvloop wakes itself so.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any


class Mailbox:
    """Calls that threads hand in and a loop makes, in order. To be made and closed on the loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._has_rung = False  # and the loop has not answered yet
        self._bell_lock = threading.Lock()  # guards that what is written to is still the bell
        self._bell: int | None = None  # its file descriptor
        if isinstance(loop, asyncio.SelectorEventLoop) and hasattr(os, "eventfd"):
            try:
                self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
                loop.add_reader(self._bell, self._answer)
            except OSError:  # no file descriptor is left, or it can't be waited for
                self._close_bell()

    def put(self, call: Callable[..., object], *args: Any) -> None:
        """From any thread: have the loop call this. If the loop has closed, it is not called."""
        with self._bell_lock:
            if self._bell is not None:
                self._calls.append((call, args))
                if not self._has_rung:
                    self._has_rung = True
                    os.eventfd_write(self._bell, 1)
                return
        with contextlib.suppress(RuntimeError):  # it has closed
            self._loop.call_soon_threadsafe(call, *args)

    def close(self) -> None:
        """Make the calls that wait; those that come all the same are handed over in the loop's own way."""
        if self._bell is not None:
            self._loop.remove_reader(self._bell)
            self._close_bell()
        self._make_calls()

    def _answer(self) -> None:
        assert self._bell is not None
        try:
            with contextlib.suppress(BlockingIOError):  # a loop that was interrupted may answer twice
                os.eventfd_read(self._bell)
        finally:
            # Before the calls are made: one that comes meanwhile may be too late for this time, and rings again.
            self._has_rung = False
            self._make_calls()

    def _make_calls(self) -> None:
        try:
            for _ in range(len(self._calls)):
                call, args = self._calls.popleft()
                call(*args)
        except BaseException:
            self._loop.call_soon(self._make_calls)  # the others are made all the same
            raise

    def _close_bell(self) -> None:
        with self._bell_lock:
            if self._bell is not None:
                os.close(self._bell)
                self._bell = None

    def __del__(self) -> None:
        self._close_bell()  # for a loop that was closed before
