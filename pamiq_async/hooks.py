"""How hooks are called: `async def` on the event loop, `def` on a role's lane, `@nonblocking def` on the loop.

This is the one module that asks which of the three a hook is, and the one that touches threads.

- A *lane* is one thread with a queue, the worker of one role. All blocking hooks of a role run on it,
  from attaching to teardown, because OpenGL contexts, SQLite connections and the like belong to a thread.
- `acall` calls any hook from a coroutine. `call` and `pass_on` are what composites use inside their own plain
  `def` hooks to reach their children, whatever those are.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
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
from types import CodeType, CoroutineType, FrameType
from typing import Any, NamedTuple, TypeVar

import anyio.to_thread

from .exceptions import BlockingCall

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
    """Find out where `hook` runs."""
    function = hook
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(type(function), "__call__", None)  # noqa: B004  (an object whose __call__ is async def)
    ):
        return Kind.LOOP
    if getattr(function, "_pamiq_nonblocking", False) is True:  # a mock has every attribute
        return Kind.INLINE
    return Kind.LANE


def describe(hook: Hook) -> str:
    """Name a hook as its user would: ``MyAgent.step``."""
    owner = getattr(hook, "__self__", None)
    name = getattr(hook, "__name__", None) or type(hook).__name__
    if owner is not None and not inspect.ismodule(owner):
        return f"{(owner if isinstance(owner, type) else type(owner)).__qualname__}.{name}"
    return str(getattr(hook, "__qualname__", name))


# --- Lanes ------------------------------------------------------------------------------------------------


class _Job(NamedTuple):
    future: asyncio.Future[Any]
    function: Callable[..., Any]
    args: tuple[Any, ...]


_thread = threading.local()  # .lane: the lane that this thread serves
# The lane of the role that runs this code; None outside of a system.
home_lane: ContextVar[Lane | None] = ContextVar("pamiq_async_lane", default=None)


class Lane:
    """One thread with a queue; runs one job at a time, in order.

    The thread is a daemon: a job that hangs can't hold the interpreter's exit. It runs in a copy of the context in
    which `start` was called, so it knows its system's clock.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._portals: set[concurrent.futures.Future[Any]] = set()
        self.is_busy = False
        self.is_abandoned = False

    def start(self) -> None:
        """Start the thread; results will be handed to the running loop."""
        self._loop = asyncio.get_running_loop()
        context = copy_context()
        context.run(home_lane.set, self)
        self._thread = threading.Thread(target=context.run, args=(self._main,), name=self.name, daemon=True)
        self._thread.start()

    async def run(self, function: Callable[..., R], *args: Any) -> R:
        """Run a blocking function on the thread and wait for its result.

        When the waiting task is cancelled the job goes on; later jobs queue up behind it.
        """
        assert self._loop is not None, f"lane {self.name} was not started"
        future: asyncio.Future[R] = self._loop.create_future()
        self._jobs.put(_Job(future, function, args))
        return await future

    def serve(self) -> None:
        """Run jobs until `release`. A job may call it to let others in while it waits."""
        while (job := self._jobs.get()) is not None:
            if job.future.cancelled():
                continue
            was_busy, self.is_busy = self.is_busy, True
            outcome: tuple[Any, BaseException | None]
            try:
                outcome = job.function(*job.args), None
            except BaseException as error:  # handed over, whatever it is: it belongs to whoever waits
                outcome = None, error
            self.is_busy = was_busy
            self._hand_over(job.future, *outcome)
            del job, outcome  # keep nothing alive while waiting for the next

    def release(self) -> None:
        """End the innermost `serve`: a nested one returns to its job, the outermost ends the thread."""
        self._jobs.put(None)

    async def close(self) -> None:
        """End the thread, once the jobs before this are done, and wait for that; not for one that was abandoned."""
        self.release()
        if self._thread is not None and not self.is_abandoned:
            await anyio.to_thread.run_sync(self._thread.join)

    def abandon(self) -> None:
        """Give the running job up: coroutines that it waits for are cancelled, the thread is left to itself."""
        self.is_abandoned = True
        for portal in tuple(self._portals):
            portal.cancel()
        self.release()

    def call_on_loop(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """From a job: have the loop run a coroutine, and wait for it.

        Jobs that arrive meanwhile are run while waiting: the coroutine may need the lane itself, or the system may want
        to save what lives on it.
        """
        assert self._loop is not None
        portal = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        self._portals.add(portal)
        portal.add_done_callback(self._end_portal)
        self.serve()
        return portal.result()

    def _end_portal(self, portal: concurrent.futures.Future[Any]) -> None:
        self._portals.discard(portal)
        self.release()

    def frame(self) -> FrameType | None:
        """What the thread executes just now."""
        if self._thread is None or self._thread.ident is None:
            return None
        return sys._current_frames().get(self._thread.ident)

    def stack(self) -> str:
        """The thread's stack, formatted as in a traceback."""
        frame = self.frame()
        return "" if frame is None else "".join(traceback.format_stack(frame))

    def _main(self) -> None:
        _thread.lane = self
        self.serve()

    def _hand_over(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(_settle, future, result, error)
        except RuntimeError:  # the loop has closed: nobody waits any more
            logger.debug("lane %s: the loop closed before a job ended", self.name)


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if isinstance(error, StopIteration):  # a Future can't carry it, nor can a coroutine raise it
        stopped = RuntimeError("a hook raised StopIteration; raise EndOfInteraction to end the system")
        stopped.__cause__ = error
        error = stopped
    if error is None:
        future.set_result(result)
    elif isinstance(error, asyncio.CancelledError):
        future.cancel()
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
    try:
        result = hook(*args)
        if kind is Kind.LOOP:
            result = await result
    finally:
        _deferred.reset(token)
    for child_hook, child_args in deferred:
        await acall(child_hook, *child_args)
    return result


def call(hook: Hook, *args: Any) -> Any:
    """Call a child's hook, whose value is needed, from inside a plain `def` hook.

    On a lane a child's `async def` hook is run on the loop and waited for. In an `async def` hook the child's
    coroutine is handed on, to be awaited.

    Raises:
        BlockingCall: an `async def` hook reached a child's blocking hook through ``super()``.
    """
    if on_loop() and home_lane.get() is not None and kind_of(hook) is Kind.LANE:
        raise BlockingCall(
            f"{describe(hook)} is a plain def hook and was called on the event loop, from an async def hook; "
            f"make it async def, mark it @nonblocking, or make the calling hook a plain def"
        )
    result = hook(*args)
    if type(result) is CoroutineType and (lane := getattr(_thread, "lane", None)) is not None:
        return lane.call_on_loop(result)
    return result


def put_off_on_loop(hook: F) -> F:
    """Decorate a base class's own lifecycle hook that blocks or passes itself on.

    An `async def` override calls it as ``super().hook()``, on the loop and without await. Then it is run on the lane
    as soon as the override has returned.
    """

    @functools.wraps(hook)
    def put_off(self: Any, *args: Any) -> None:
        if getattr(_thread, "lane", None) is None and (deferred := _deferred.get()) is not None and on_loop():
            deferred.append((functools.partial(hook, self), args))
        else:
            hook(self, *args)

    return put_off  # type: ignore[return-value]


def pass_on(hook: Hook, *args: Any) -> None:
    """Pass a lifecycle hook on to a child, from inside a composite's plain `def` hook.

    On a lane it is done at once. When ``super().setup()`` is called in an `async def` hook, which is on the loop and
    can't wait, the child's hook is called as soon as the calling hook has returned.

    Raises:
        TypeError: outside of a system, for a child whose hook is `async def`.
    """
    lane = getattr(_thread, "lane", None)
    if lane is None and (deferred := _deferred.get()) is not None and on_loop():
        deferred.append((hook, args))
    elif kind_of(hook) is not Kind.LOOP:
        hook(*args)
    elif lane is not None:
        lane.call_on_loop(acall(hook, *args))
    else:
        raise TypeError(
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


# --- What runs just now -----------------------------------------------------------------------------------

HOOK_NAMES = frozenset(
    {
        "affect",
        "is_trainable",
        "load_state",
        "observe",
        "on_data_collectors_attached",
        "on_data_users_attached",
        "on_inference_models_attached",
        "on_paused",
        "on_resumed",
        "on_training_models_attached",
        "operate",
        "read",
        "save_state",
        "setup",
        "step",
        "sync",
        "sync_impl",
        "sync_models",
        "teardown",
        "train",
        "wrap",
    }
)


def running_hook(frame: FrameType | None) -> str | None:
    """Name the innermost hook in a stack: ``MyAgent.step``; None if there is none."""
    while frame is not None:
        if frame.f_code.co_name in HOOK_NAMES and _first_argument(frame.f_code) == "self":
            return f"{type(frame.f_locals['self']).__qualname__}.{frame.f_code.co_name}"
        frame = frame.f_back
    return None


def awaiting_hook(task: asyncio.Task[Any] | None) -> str | None:
    """Name the innermost `async def` hook that a task is in; None if there is none."""
    coroutine: Any = task.get_coro() if task is not None else None
    found = None
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None)
        found = running_hook(frame) or found
        coroutine = getattr(coroutine, "cr_await", None)
    return found


def _first_argument(code: CodeType) -> str | None:
    return code.co_varnames[0] if code.co_argcount else None
