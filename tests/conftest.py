"""What every test is held to: it does not block the event loop, and leaves nothing running.

`test_conftest.py` shows what fails and what does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import queue
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import coverage
import pytest
from blockbuster import BlockBuster, BlockBusterFunction

# A thread that was told to stop may need this long to be gone.
THREAD_EXIT_GRACE = 1.0


# --- Blocking calls on the event loop -------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("PAMIQ_ASYNC_TEST_LOOP") == "uvloop":
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())  # also of tests that call asyncio.run
    if coverage.Coverage.current() is not None:
        return  # its tracer takes a lock on the loop; the detector would raise out of the tracer
    # Before anything imports the package: a blocking function that a module takes over by
    # `from time import sleep` is then the watched one too.
    detector = BlockBuster()
    detector.functions |= calls_that_blockbuster_misses()
    detector.activate()
    config.add_cleanup(detector.deactivate)


def calls_that_blockbuster_misses() -> dict[str, BlockBusterFunction]:
    def returns_at_once(items: queue.SimpleQueue[Any], block: bool = True, *_: Any, **__: Any) -> bool:
        return not block or not items.empty()

    def has_ended(thread: threading.Thread, timeout: float | None = None) -> bool:
        return timeout == 0 or not thread.is_alive()

    functions = {
        name: BlockBusterFunction(None, name)
        for name in (
            "builtins.open",
            "fcntl.flock",
            "io.open",
            "os.fdatasync",
            "os.fsync",
            "os.open",
        )
    }
    # Libraries import parts of themselves when first used. BlockBuster lets an import look for its
    # file; pytest opens it too.
    for name in ("builtins.open", "io.open", "os.open"):
        functions[name].can_block_in("<frozen importlib._bootstrap>", "_find_and_load")

    functions["queue.SimpleQueue.get"] = BlockBusterFunction(
        queue.SimpleQueue, "get", can_block_predicate=returns_at_once
    )
    functions["threading.Thread.join"] = BlockBusterFunction(
        None, "threading.Thread.join", can_block_predicate=has_ended
    )
    # asyncio joins a thread that is about to end.
    functions["threading.Thread.join"].can_block_in("asyncio/base_events.py", "shutdown_default_executor")
    return functions


# --- Leaks ----------------------------------------------------------------------------------------


def pytest_collection_finish() -> None:
    # What was imported stays; collecting garbage after each test need not look at it again.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_leaked_threads_or_sockets() -> Iterator[None]:
    threads_before, sockets_before = set(threading.enumerate()), open_sockets()
    yield
    threads = still_running(set(threading.enumerate()) - threads_before)
    # What was never closed warns when it is freed, and a warning is an error here: pytest reports
    # those that come from finalizers at the end of this teardown. Still open afterwards is a socket
    # that something refers to.
    gc.collect()
    sockets = open_sockets() - sockets_before
    if threads or sockets:
        leaked = [
            *(f"thread {thread.name!r} {where_is(thread)}" for thread in threads),
            *(f"open {name}" for name in sorted(sockets)),
        ]
        pytest.fail(f"The test left behind: {', '.join(leaked)}", pytrace=False)


@pytest.fixture(autouse=True)
async def no_leaked_tasks(no_leaked_threads_or_sockets: None) -> AsyncIterator[None]:
    # Built first and torn down last of all async fixtures, just before the loop is closed; the loop
    # would cancel what is left without a word.
    yield
    leaked = asyncio.all_tasks() - {asyncio.current_task()}
    if leaked:
        names = ", ".join(map(repr, leaked))
        pytest.fail(f"The test left behind: {names}", pytrace=False)


def still_running(threads: Iterable[threading.Thread]) -> list[threading.Thread]:
    deadline = time.monotonic() + THREAD_EXIT_GRACE
    watched = [thread for thread in threads if is_watched(thread)]
    for thread in watched:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [thread for thread in watched if thread.is_alive()]


def is_watched(thread: threading.Thread) -> bool:
    if thread.name.startswith("pamiq"):
        return True
    # anyio keeps idle workers, and ends them with the task that they worked for.
    return not thread.daemon and thread.name != "AnyIO worker thread"


def where_is(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident or 0)
    return f"at {frame.f_code.co_filename}:{frame.f_lineno}" if frame else "(ending)"


def open_sockets() -> set[str]:
    """This process's open sockets, loops' timers and bells, by name; none where the system does not list them."""
    sockets = set()
    for descriptor in Path("/proc/self/fd").glob("*"):
        # The descriptor of the listing itself is gone by now.
        with contextlib.suppress(FileNotFoundError):
            name = os.readlink(descriptor)
            if name.startswith("socket:") or name in ("anon_inode:[timerfd]", "anon_inode:[eventfd]"):
                sockets.add(name)
    return sockets
