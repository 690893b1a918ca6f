"""How hooks are called: `async def` on the event loop, `def` on a role's lane, `@nonblocking def` on the loop.

This is the one module that asks which of the three a hook is, and the one that starts threads.

- A *lane* is one thread with a queue, the worker of one role. All blocking hooks of a role run on it,
  from attaching to teardown, because OpenGL contexts, SQLite connections and the like belong to a thread.
- `acall` calls any hook from a coroutine. `call` and `pass_on` are what composites use inside their own plain
  `def` hooks to reach their children, whatever those are.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import inspect
import logging
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from enum import Enum, auto
from types import CoroutineType, FrameType
from typing import Any, NamedTuple, TypeVar, cast

import anyio.to_thread

from .exceptions import BlockingCall, ErrorCollector
from .mailbox import Mailbox

logger = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R")
Hook = Callable[..., Any]


# --- Which kind a hook is ---------------------------------------------------------------------------------


class Kind(Enum):
    """Where a hook runs."""

    LANE = auto()  # def
    LOOP = auto()  # async def
    INLINE = auto()  # @nonblocking def


def nonblocking(hook: F) -> F:
    """Mark a `def` hook as cheap enough to be called on the event loop.

    It saves the trip to the worker thread where other hooks of the component are `async def`. Such a hook must
    never wait: no I/O, no lock that is held for long, no heavy compute.

    Raises:
        TypeError: the hook is `async def`, which is on the loop anyway.
    """
    if inspect.iscoroutinefunction(hook):
        raise TypeError(f"{describe(hook)} is async def; @nonblocking is for plain def hooks")
    hook._pamiq_nonblocking = True  # type: ignore[attr-defined]
    return hook


def kind_of(hook: Hook) -> Kind:
    """Find out where `hook` runs; it may be any callable, also an object with ``__call__``."""
    function = _without_partial(hook)
    call_method = getattr(type(function), "__call__", None)  # noqa: B004  (what it is, not whether there is one)
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call_method):
        return Kind.LOOP
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{describe(hook)} is a generator; a hook is a def that returns, or an async def")
    # "is True", because a mock has every attribute.
    if any(getattr(f, "_pamiq_nonblocking", False) is True for f in (function, call_method)):
        return Kind.INLINE
    return Kind.LANE


def describe(hook: Hook) -> str:
    """Name a hook as its user would: ``MyAgent.step``."""
    hook = _without_partial(hook)
    owner = getattr(hook, "__self__", None)
    name = getattr(hook, "__name__", None) or type(hook).__name__
    if owner is not None and not inspect.ismodule(owner):
        return f"{(owner if isinstance(owner, type) else type(owner)).__qualname__}.{name}"
    return str(getattr(hook, "__qualname__", name))


def _without_partial(hook: Hook) -> Hook:
    while isinstance(hook, functools.partial):
        hook = hook.func
    return hook


# --- Lanes ------------------------------------------------------------------------------------------------


class _Job(NamedTuple):
    future: asyncio.Future[Any]
    function: Callable[..., Any]
    args: tuple[Any, ...]


_thread = threading.local()  # .lane: the lane whose thread this is
# The lane of the role that runs this code; None outside of a system.
home_lane: ContextVar[Lane | None] = ContextVar("pamiq_async_lane", default=None)
_unwatched: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
# Entered by whoever is about to call hooks on the loop, so that a system can watch how long they hold it.
loop_watch = ContextVar("pamiq_async_loop_watch", default=_unwatched)


class Lane:
    """One thread with a queue; runs one job at a time, in order.

    The thread is a daemon: a job that hangs can't hold the interpreter's exit. It runs in a copy of the context in
    which `start` was called, so it knows its system's clock. What a job sets in a context variable stays for the next.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_busy = False
        self.is_abandoned = False
        self.helpers: set[asyncio.Task[Any]] = set()
        """Tasks beside the role's own that run its hooks just now."""
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()  # None: look whether to go on serving
        self._loop: asyncio.AbstractEventLoop | None = None
        self._results: Mailbox | None = None
        self._thread: threading.Thread | None = None
        self._portals: set[concurrent.futures.Future[Any]] = set()
        self.is_released = False

    def start(self) -> None:
        """Start the thread; results will be handed to the running loop."""
        self._loop = asyncio.get_running_loop()
        self._results = Mailbox(self._loop)
        context = copy_context()
        context.run(home_lane.set, self)
        self._thread = threading.Thread(target=context.run, args=(self._main,), name=self.name, daemon=True)
        try:
            self._thread.start()
        except BaseException:  # the machine has no thread left
            self._close_results()
            raise

    async def run(self, function: Callable[..., R], *args: Any) -> R:
        """Run a blocking function on the thread and wait for its result.

        When the waiting task is cancelled, a job that has begun goes on and later ones queue up behind it; one that has
        not is dropped.

        Raises:
            CancelledError: the lane was abandoned.
            RuntimeError: the lane was released.
        """
        return await self.submit(function, *args)

    def submit(self, function: Callable[..., R], *args: Any) -> asyncio.Future[R]:
        """`run`, but the caller waits when it likes."""
        assert self._loop is not None, f"lane {self.name} was not started"
        if self.is_abandoned:
            raise asyncio.CancelledError(f"lane {self.name} was given up")
        if self.is_released:
            raise RuntimeError(f"{describe(function)} was called after lane {self.name} had ended")
        future: asyncio.Future[R] = self._loop.create_future()
        self._jobs.put(_Job(future, function, args))
        return future

    def release(self) -> None:
        """End the thread once the jobs so far are done."""
        self.is_released = True
        self._jobs.put(None)

    async def close(self) -> None:
        """End the thread, once the jobs so far are done, and wait for that; not for one that was abandoned."""
        self.release()
        if self._thread is not None and not self.is_abandoned:
            try:
                await anyio.to_thread.run_sync(self._thread.join)
            finally:
                self._close_results()

    def abandon(self) -> None:
        """Give the running job up: coroutines that it waits for are cancelled, the thread is left to itself."""
        self.is_abandoned = True
        for portal in tuple(self._portals):
            portal.cancel()
        self.release()
        self._close_results()

    def call_on_loop(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """From a job: have the loop run a coroutine, and wait for it.

        Jobs that arrive meanwhile are run while waiting: the coroutine may need the lane itself, or the system may want
        to save what lives on it. A thread that a job or a hook started may call this too; it just waits.

        Raises:
            CancelledError: the coroutine was cancelled, or the lane was abandoned.
            RuntimeError: the loop has closed.
        """
        assert self._loop is not None
        if self.is_abandoned:
            coroutine.close()
            raise asyncio.CancelledError(f"lane {self.name} was given up")
        outcome: list[BaseException] = []
        helper = self._help(coroutine, outcome)
        try:
            portal = asyncio.run_coroutine_threadsafe(helper, self._loop)
        except RuntimeError:
            helper.close()
            coroutine.close()
            raise
        self._portals.add(portal)
        portal.add_done_callback(self._portals.discard)
        if self.is_abandoned:  # just now, when this was not among the portals yet
            portal.cancel()
        if getattr(_thread, "lane", None) is self:
            portal.add_done_callback(lambda _: self._jobs.put(None))
            self._serve(portal.done)
            self._jobs.put(None)  # this may have taken the one that told an outer serve to look
        try:
            result = portal.result()
            if outcome:
                raise outcome[0]
            return cast(R, result)
        except concurrent.futures.CancelledError:
            raise asyncio.CancelledError from None  # they are two classes; coroutines know this one

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Count a task among those that run the role's hooks, until it is done."""
        self.helpers.add(task)
        task.add_done_callback(self.helpers.discard)

    def frame(self) -> FrameType | None:
        """What the thread executes just now."""
        if self._thread is None or self._thread.ident is None or not self._thread.is_alive():
            return None
        return sys._current_frames().get(self._thread.ident)

    def stack(self) -> str:
        """The thread's stack, formatted as in a traceback."""
        frame = self.frame()
        return "" if frame is None else "".join(traceback.format_stack(frame))

    def _main(self) -> None:
        _thread.lane = self
        self._serve(lambda: self.is_released and self._jobs.empty())

    def _serve(self, is_over: Callable[[], bool]) -> None:
        """Run jobs until there is nothing to serve for; a job may serve others while it waits."""
        assert self._results is not None
        while (job := self._jobs.get()) is not None or not is_over():
            if job is None or job.future.cancelled():
                continue
            was_busy, self.is_busy = self.is_busy, True
            outcome: tuple[Any, BaseException | None]
            try:
                outcome = job.function(*job.args), None
            except BaseException as error:  # handed over, whatever it is: it belongs to whoever waits
                outcome = None, error
            self.is_busy = was_busy
            self._results.put(self._settle, job.future, *outcome)
            del job, outcome  # keep nothing alive while waiting for the next

    def _close_results(self) -> None:
        if self._results is not None:
            self._results.close()

    async def _help(self, coroutine: Coroutine[Any, Any, R], outcome: list[BaseException]) -> R | None:
        task = asyncio.current_task()
        assert task is not None
        self.adopt(task)
        try:
            with loop_watch.get():
                return await coroutine
        except (SystemExit, KeyboardInterrupt) as error:  # raised in a task, it would leave the loop at once
            outcome.append(error)
            return None

    def _settle(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        if future.done():
            if error is not None:
                logger.warning("lane %s: a job failed after its caller was cancelled", self.name, exc_info=error)
        elif error is None:
            future.set_result(result)
        elif isinstance(error, asyncio.CancelledError):
            future.cancel()
        elif isinstance(error, StopIteration):  # a Future can't carry it, nor can a coroutine raise it
            stopped = RuntimeError("a hook raised StopIteration; raise EndOfInteraction to end the system")
            stopped.__cause__ = error
            future.set_exception(stopped)
        else:
            future.set_exception(error)


async def in_lane(function: Callable[..., R], *args: Any) -> R:
    """Run a blocking function on the current role's lane, or on any worker thread outside of a system."""
    lane = home_lane.get()
    if lane is None:
        return await anyio.to_thread.run_sync(functools.partial(function, *args))
    return await lane.run(function, *args)


# --- Calling hooks ----------------------------------------------------------------------------------------

# What pass_on() put off because its caller runs on the loop; None outside of hooks that run there.
_deferred: ContextVar[list[tuple[Hook, tuple[Any, ...]]] | None] = ContextVar("pamiq_async_deferred", default=None)


async def acall(hook: Hook, *args: Any) -> Any:
    """Call a hook of any kind from a coroutine."""
    kind = kind_of(hook)
    if kind is Kind.LANE:
        return await in_lane(hook, *args)
    deferred: list[tuple[Hook, tuple[Any, ...]]] = []
    token = _deferred.set(deferred)
    errors = ErrorCollector()
    result: Any = None
    # What it had passed on by the time it fails gets its call, as in a plain def hook.
    with loop_watch.get(), errors.collect("in the hook itself"):
        try:
            result = hook(*args)
            if kind is Kind.LOOP:
                result = await result
        finally:
            _deferred.reset(token)
    if isinstance(errors.error, asyncio.CancelledError):
        raise errors.error
    with errors.collect(f"after {describe(hook)}"):
        for child_hook, child_args in deferred:
            await acall(child_hook, *child_args)
    errors.raise_collected()
    return result


def call(hook: Hook, *args: Any) -> Any:
    """Call a child's hook, whose value is needed, from inside a plain `def` hook.

    On a lane a child's `async def` hook is run on the loop and waited for. On the loop, as in an `async def` hook, the
    child's coroutine is handed on, to be awaited.

    Raises:
        BlockingCall: an `async def` hook reached a child's blocking hook through ``super()``.
        TypeError: in plain code outside of a system, for a child whose hook is `async def`.
    """
    if on_loop():
        if home_lane.get() is not None and kind_of(hook) is Kind.LANE:
            raise BlockingCall(
                f"{describe(hook)} is a plain def hook and was called on the event loop, from an async def hook; "
                f"make it async def, mark it @nonblocking, or make the calling hook a plain def"
            )
        return hook(*args)
    result = hook(*args)
    if type(result) is CoroutineType:
        lane: Lane | None = getattr(_thread, "lane", None)
        if lane is None:
            result.close()
            raise _outside_of_a_system(hook)
        return lane.call_on_loop(result)
    return result


def put_off_on_loop(hook: F) -> F:
    """Decorate a base class's own lifecycle hook that blocks or passes itself on.

    An `async def` override calls it as ``super().hook()``, on the loop and without await. Then it is run on the lane
    as soon as the override has returned. A function whose first argument is the component will do, too.
    """

    @functools.wraps(hook)
    def put_off(self: Any, *args: Any) -> None:
        if (deferred := _deferred.get()) is not None and on_loop():
            deferred.append((functools.partial(hook, self), args))
        else:
            hook(self, *args)

    return put_off  # type: ignore[return-value]


def pass_on(hook: Hook, *args: Any) -> None:
    """Pass a lifecycle hook on to a child, from inside a composite's plain `def` hook.

    On a lane it is done at once. When ``super().setup()`` is called in an `async def` hook, which is on the loop and
    can't wait, the child's hook is called as soon as the calling hook has returned, or failed.

    Raises:
        TypeError: outside of a system, for a child whose hook is `async def`.
    """
    if (deferred := _deferred.get()) is not None and on_loop():
        deferred.append((hook, args))
    elif kind_of(hook) is not Kind.LOOP:
        hook(*args)
    elif (lane := getattr(_thread, "lane", None)) is not None:
        lane.call_on_loop(acall(hook, *args))
    else:
        raise _outside_of_a_system(hook)


def _outside_of_a_system(hook: Hook) -> TypeError:
    return TypeError(
        f"{describe(hook)} is async def and can't be called from plain code outside of a system; "
        f"await it, or start a system"
    )


def on_loop() -> bool:
    """Whether the calling thread runs an event loop just now."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
