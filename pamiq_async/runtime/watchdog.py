"""Telling which hook holds the event loop up."""

from __future__ import annotations

import asyncio
import logging
import math
import sys
import threading
import time
from types import TracebackType
from typing import NamedTuple

from ..hooks import Lane, loop_watch
from ..roles import running_hook

logger = logging.getLogger(__name__)

HELD_TOO_LONG = 0.05
"""Real seconds for which a hook may hold the loop before it is told of."""

GLANCE_INTERVAL = 0.1
"""Real seconds between two glances while nothing is suspicious."""

STARE_INTERVAL = 0.02
"""Likewise once a hook was seen at work, until the loop turns, and after it had held it for a while."""

SUSPICION = 1.0
"""Real seconds for which a hook is stared at that held the loop for a while."""


class _Sight(NamedTuple):
    """What the loop's thread was seen to execute at several glances running, and never anything else."""

    hook: str | None
    since: float
    glances: int = 1


class Watchdog:
    """Warns once of each hook that holds the loop for longer than 50 ms, at no cost to the hooks.

    Hooks are those that a system's own tasks call; where two systems share a loop, Python 3.11 can't tell them apart,
    and each system warns of the hooks of both.

    Whoever is about to call hooks on the loop enters it. Within the block a thread of its own glances at what the
    loop's thread executes. If that is a hook, it asks the loop for an answer; if none comes while the hook is seen
    there for too long, the hook is to blame.

    What was not seen to hold the loop is not blamed. So a hook that holds it for less than 0.15 s may pass a few times
    before it is seen in time, and one call into C that never releases the interpreter lock is not seen: it stops this
    thread, too. `Statistics.loop_lag` shows both.
    """

    def __init__(self) -> None:
        self._calls = 0  # blocks entered just now
        self._lane = Lane("pamiq-watchdog")
        self._watching: asyncio.Future[None] | None = None
        self._entered = threading.Event()
        self._closed = threading.Event()
        self._told: set[str] = set()

        self._loop: asyncio.AbstractEventLoop
        self._loop_thread = 0
        self._is_asked = False  # until the loop answers
        self._sight = _Sight(None, 0.0)
        self._stares_until = -math.inf

    def __enter__(self) -> None:
        self._calls += 1
        if self._calls == 1 and not self._closed.is_set():
            if self._watching is None:
                self._start()
            self._entered.set()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._calls -= 1

    async def close(self) -> None:
        """Watch no more."""
        self._closed.set()
        self._entered.set()
        if self._watching is not None:
            await self._lane.close()
            await self._watching

    def _start(self) -> None:
        self._loop, self._loop_thread = asyncio.get_running_loop(), threading.get_ident()
        self._lane.start()
        self._watching = self._lane.submit(self._watch)  # at once: the loop may be about to be held

    # On its thread

    def _watch(self) -> None:
        try:
            self._look()
        except Exception:  # no reason to end a system that does without
            logger.exception("the watchdog failed; hooks that hold the event loop are not told of any more")

    def _look(self) -> None:
        while not self._closed.is_set():
            stares = self._is_asked or time.perf_counter() < self._stares_until
            if not self._calls:
                self._entered.clear()
                if not self._calls and not self._closed.is_set():  # after clearing: no entrance is missed
                    self._entered.wait()
                stares = True
            self._closed.wait(STARE_INTERVAL if stares else GLANCE_INTERVAL)
            self._glance()

    def _glance(self) -> None:
        hook, now = self._running_hook(), time.perf_counter()
        if self._is_asked and hook == self._sight.hook:
            self._sight = self._sight._replace(glances=self._sight.glances + 1)
        elif self._is_asked:
            self._judge(now)
            self._sight = _Sight(hook, now)
        elif hook is not None:
            self._sight, self._is_asked = _Sight(hook, now), True
            try:
                self._loop.call_soon_threadsafe(self._answer)
            except RuntimeError:  # the loop has closed
                self._closed.set()

    def _running_hook(self) -> str | None:
        if sys.version_info >= (3, 12):  # before, a task does not tell its context
            task = asyncio.current_task(self._loop)
            if task is not None and task.get_context().get(loop_watch) is not self:
                return None  # another system's, or none's
        return running_hook(sys._current_frames().get(self._loop_thread))

    # On the loop

    def _answer(self) -> None:
        self._is_asked = False
        self._judge(time.perf_counter())

    # On both

    def _judge(self, now: float) -> None:
        hook, since, glances = self._sight
        if hook is None or glances == 1 or hook in self._told:
            return
        self._stares_until = now + SUSPICION
        if now - since > HELD_TOO_LONG:
            self._told.add(hook)
            logger.warning(
                "%s held the event loop for %.0f ms or more; nothing else on the loop runs meanwhile. Make it a plain "
                "def without @nonblocking, which runs on a worker thread, or await what takes long, such as "
                "time.asleep() instead of time.sleep(). This is said once of each hook",
                hook,
                (now - since) * 1e3,
            )
