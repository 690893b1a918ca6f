"""How what acts and what trains stand still between two steps.

A *role* is what acts or trains: one task on the loop with one lane. Roles act while the *gate* is open. To pause,
control closes it; each role *parks* at its next safe point and goes on when it opens.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
from collections.abc import Callable, Coroutine, Iterator
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from .exceptions import BlockingCall, PamiqError, SystemShutdown
from .hooks import Hook, Lane, acall, describe, home_lane, on_loop
from .lifecycle import PauseEventMixin
from .time import TimeController, get_global_time_controller

R = TypeVar("R")


class Gate:
    """Whether roles may act. Changed on the loop alone; `is_open` is read from any thread."""

    def __init__(self, clock: TimeController) -> None:
        self.is_open = True
        self.is_stopping = False
        self.clock = clock
        self.roles: set[Role] = set()
        self._changed = asyncio.Event()

    def close(self) -> None:
        """Ask all roles to park."""
        self.is_open = False
        self._announce()

    def open(self) -> None:
        """Let parked roles go on."""
        self.is_open = not self.is_stopping
        self._announce()

    def stop(self) -> None:
        """Ask all roles to end; it can't be taken back."""
        self.is_stopping = True
        self.close()

    async def wait_all_parked(self, timeout: float) -> bool:
        """Wait until every role has parked; False after `timeout` real seconds, or when stopping."""
        return await self._wait(lambda: all(role.is_parked for role in self.roles), timeout)

    async def wait_none_parked(self) -> bool:
        """Wait until every role acts again that is not held; False when stopping."""
        return await self._wait(
            lambda: not any((role.is_parked and not role.is_held) or role.is_resuming for role in self.roles)
        )

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition()` holds, which is asked whenever the gate or a role moves, or the system stops."""
        await self._wait(condition)

    async def wait_moved(self) -> None:
        """Wait until the gate or a role moves."""
        self._changed = self._changed if not self._changed.is_set() else asyncio.Event()
        await self._changed.wait()

    def role_moved(self) -> None:
        """A role parked, or left, or ended."""
        self._changed.set()

    def _announce(self) -> None:
        self._changed.set()
        for role in self.roles:
            role.notice_gate()
        self.clock.wake()  # whoever paces looks at the gate

    async def _wait(self, condition: Callable[[], bool], timeout: float = math.inf) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if timeout == math.inf else timeout):
                while not (self.is_stopping or condition()):
                    await self.wait_moved()
        return not self.is_stopping and condition()


class GateClosed(PamiqError):
    """Pacing was interrupted because the gate closed; the wait is owed."""


class Role:
    """A task on the loop with a lane of its own, which parks when the gate closes.

    Args:
        name: how it is called in messages.
        component: what has the `on_paused` and `on_resumed` hooks.
    """

    def __init__(self, name: str, component: PauseEventMixin, gate: Gate) -> None:
        self.name = name
        self.component = component
        self.gate = gate
        self.lane = Lane(f"pamiq-{name}")
        self.side_lanes: list[Lane] = []
        """Lanes of components that need a thread of their own."""
        self.is_acting = False  # between setup and teardown
        self.is_parked = False  # stands still: none of its hooks runs, but for those called by `call`
        self.is_held = False  # stays parked though the gate is open
        self.is_resuming = False
        self.is_in_park = False  # from on_paused to on_resumed; nothing that runs meanwhile can park
        self.task: asyncio.Task[Any] | None = None
        self.writes: list[Callable[[], object]] | None = None
        """What hooks that save leave to be written later; None: they are not asked to save just now."""

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Within the block the current task is this role's, and code that it calls finds the role."""
        role_token, lane_token = _current_role.set(self), home_lane.set(self.lane)
        task_before, self.task = self.task, asyncio.current_task()
        try:
            yield
        finally:
            self.task = task_before
            home_lane.reset(lane_token)
            _current_role.reset(role_token)

    def start_lane(self) -> None:
        """Start the worker thread, which knows its role."""
        with self.entered():
            self.lane.start()

    async def close_lanes(self) -> None:
        """End the worker threads. A side lane that is still busy is left behind."""
        for lane in self.side_lanes:
            if lane.is_busy:
                lane.abandon()
            await lane.close()
        await self.lane.close()

    async def call(self, hook: Hook, *args: Any) -> Any:
        """Call a hook of the role's components from outside of the role's task."""
        with self.entered():
            return await unless_cancelled(acall(hook, *args), describe(hook))

    async def save(self, hook: Hook, path: Path) -> list[Callable[[], object]]:
        """Call a hook that saves; returns what it left to be written later."""
        writes = self.writes = []
        try:
            await self.call(hook, path)
        finally:
            self.writes = None
        return writes

    async def run(self) -> None:
        """Act until the gate stops."""
        raise NotImplementedError(f"{type(self).__qualname__} does nothing")

    def hold(self) -> None:
        """Have the role, which is parked, stay so until `release`, though the gate opens."""
        self.is_held = True

    def release(self) -> None:
        """Let the role go on as the gate says."""
        self.is_held = False
        self.gate.role_moved()

    async def park(self) -> None:
        """Stand still until the gate opens, or the system stops."""
        self.is_in_park = True
        try:
            await self._park()
        finally:
            self.is_in_park = False

    async def _park(self) -> None:
        await acall(self.component.on_paused)
        self.is_parked = True
        self.gate.role_moved()
        try:
            await self.gate.wait_until(lambda: self.gate.is_open and not self.is_held)
            while self.is_held:  # also when the system stops: what it would change is being written
                await self.gate.wait_moved()
        finally:
            self.is_parked = False
        self.is_resuming = True
        try:
            await acall(self.component.on_resumed)
        finally:
            self.is_resuming = False
            self.gate.role_moved()

    async def pause_point(self) -> None:
        """Park if the gate is closed.

        Raises:
            SystemShutdown: the system is ending.
        """
        while self.must_park() and not self.gate.is_stopping and not self.is_in_park:
            await self.park()
        if self.must_park() and self.gate.is_stopping:
            raise SystemShutdown("the system is shutting down")

    def notice_gate(self) -> None:
        """The gate moved; for roles that wait for something else."""

    def must_park(self) -> bool:
        """Whether the gate is closed to this role, which acts, so that it has to park or to end."""
        return (not self.gate.is_open or self.is_held) and self.is_acting

    def join(self) -> None:
        """The role begins to act."""
        self.is_acting = True
        self.gate.roles.add(self)

    def leave(self) -> None:
        """The role has ended and needs no waiting for."""
        self.gate.roles.discard(self)
        self.gate.role_moved()

    def running(self) -> str:
        """Name what the role is running just now: component and hook, or several that run at the same time."""
        at_the_same_time = sorted({hook for task in self.lane.helpers if (hook := awaiting_hook(task))})
        in_order = awaiting_hook(self.task) or running_hook(self.lane.frame())
        return ", ".join(at_the_same_time) or in_order or "code outside of any hook"


async def unless_cancelled(coroutine: Coroutine[Any, Any, R], what: str) -> R:
    """Await what users wrote; a CancelledError that comes out though nobody cancelled this task is an error of theirs.

    Raises:
        RuntimeError: instead of that CancelledError, which would pass for a cancellation of whoever waits.
    """
    try:
        return await coroutine
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise RuntimeError(
            f"{what} raised CancelledError though nobody cancelled it; where a hook awaits a task that it cancelled "
            f"itself, suppress the CancelledError there"
        ) from error


_current_role: ContextVar[Role | None] = ContextVar("pamiq_async_role", default=None)


def current_role() -> Role | None:
    """The role whose code calls, tasks that its hooks started included; None elsewhere."""
    return _current_role.get()


@contextlib.contextmanager
def beside_roles(lane: Lane | None) -> Iterator[None]:
    """Within the block, and in tasks started there, blocking hooks run on `lane`, and no role parks or waits."""
    role_token, lane_token = _current_role.set(None), home_lane.set(lane)
    try:
        yield
    finally:
        home_lane.reset(lane_token)
        _current_role.reset(role_token)


def calling_role() -> Role | None:
    """The role whose hook calls, on its lane or in one of its tasks; None elsewhere."""
    role = _current_role.get()
    if role is None or not on_loop():
        return role
    task = asyncio.current_task()
    return role if task is role.task or task in role.lane.helpers else None


def pause_point() -> None:
    """Let a pause or shutdown in, from inside a long loop in a plain `def` hook, mostly `train`.

    It returns at once while the system runs and waits while it is paused. Outside of a system it does nothing. While it
    waits, the role's worker thread does what else is to be done there, such as saving.

    Raises:
        SystemShutdown: the system is shutting down; let it pass through, the training ends in order.
        BlockingCall: called on the event loop; use ``await apause_point()`` there.
    """
    role = _current_role.get()
    if role is None:
        return
    if on_loop():
        raise BlockingCall("pause_point() would block the event loop: use 'await apause_point()' in async def hooks")
    if role.must_park() and not role.is_in_park:
        role.lane.call_on_loop(role.pause_point())


async def apause_point() -> None:
    """`pause_point` for `async def` hooks."""
    role = _current_role.get()
    if role is not None:
        await role.pause_point()


# --- Pacing -----------------------------------------------------------------------------------------------


def pace_until(deadline: float) -> None:
    """Block until system `perf_counter()` reaches `deadline`.

    Raises:
        GateClosed: the role must park first.
        BlockingCall: called on the event loop.
    """
    if on_loop():
        raise BlockingCall("waiting for the next step would block the event loop: use 'await ….aadjust()' or 'astep()'")
    role = _current_role.get()
    if role is None:
        get_global_time_controller().wait_until(deadline)
    elif not role.gate.clock.wait_until(deadline, role.must_park):
        raise GateClosed


async def apace_until(deadline: float) -> None:
    """`pace_until` for coroutines."""
    role = _current_role.get()
    if role is None:
        await get_global_time_controller().await_until(deadline)
    elif not await role.gate.clock.await_until(deadline, role.must_park):
        raise GateClosed


# --- What runs just now ----------------------------------------------------------------------------------

_HOOK_NAME = re.compile(
    r"adjust_impl|affect|is_trainable|load_state|observe|on_\w+|operate|read|save_state|setup|step|sync|sync_impl"
    r"|sync_models|teardown|train|wrap"
)


def running_hook(frame: FrameType | None) -> str | None:
    """Name the innermost hook of a component in a stack: ``MyAgent.step``; None if there is none."""
    while frame is not None:
        code = frame.f_code
        if _HOOK_NAME.fullmatch(code.co_name) and code.co_argcount:
            owner = type(frame.f_locals.get(code.co_varnames[0]))  # "self", whatever it is called
            if _is_component(owner):  # optimizers have a step too
                return f"{owner.__qualname__}.{code.co_name}"
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


def _is_component(owner: type) -> bool:
    package = __name__.partition(".")[0]
    modules = (getattr(base, "__module__", None) for base in owner.__mro__)  # classes made in C may have none
    return any(isinstance(module, str) and module.partition(".")[0] == package for module in modules)
