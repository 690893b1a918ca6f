"""Setting up and tearing down in order, the gate, and how roles stop between two steps."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from pamiq_async.exceptions import BlockingCall, SystemShutdown
from pamiq_async.flows import at_the_same_time
from pamiq_async.hooks import Lane, acall, home_lane, nonblocking, on_loop, pass_on
from pamiq_async.lifecycle import InteractionEventMixin, PauseEventMixin, SystemStatus, set_up, set_up_root, tear_down
from pamiq_async.roles import (
    Gate,
    GateClosed,
    Role,
    apace_until,
    apause_point,
    beside_roles,
    calling_role,
    current_role,
    pace_until,
    pause_point,
)
from pamiq_async.time import TimeController, use_time_controller


class Boom(Exception):
    """What fails on purpose."""


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


# --- Setting up and tearing down ------------------------------------------------------------------


class Part(InteractionEventMixin):
    """A component with children, which logs its hooks and fails in those that it is told to."""

    def __init__(self, name: str, log: list[str], *children: Part, fails: str = "") -> None:
        self.name, self.log, self.children, self.fails = name, log, children, fails

    def note(self, hook: str) -> None:
        self.log.append(f"{self.name}.{hook}")
        if hook in self.fails.split():
            raise Boom(f"{self.name}.{hook}")

    def setup(self) -> None:
        set_up(self, self.children)
        self.note("setup")

    def teardown(self) -> None:
        tear_down(self, self.children)
        self.note("teardown")


class AsyncPart(Part):
    """The same with `async def` hooks, whose children have their turn afterwards."""

    async def setup(self) -> None:  # type: ignore[override]
        set_up(self, self.children)
        self.note("setup")

    async def teardown(self) -> None:  # type: ignore[override]
        tear_down(self, self.children)
        self.note("teardown")


@pytest.fixture
def log() -> list[str]:
    return []


def test_the_hooks_do_nothing_by_themselves() -> None:
    component, other = InteractionEventMixin(), PauseEventMixin()
    component.setup()
    component.teardown()
    other.on_paused()
    other.on_resumed()


def test_children_are_set_up_and_torn_down_in_order(log: list[str]) -> None:
    parent = Part("parent", log, Part("a", log, Part("a1", log)), Part("b", log))
    parent.setup()
    parent.teardown()
    assert log == [f"{name}.{hook}" for hook in ("setup", "teardown") for name in ("a1", "a", "b", "parent")]


def test_when_a_child_fails_in_setup_those_before_it_are_torn_down_in_reverse_and_nothing_else(log: list[str]) -> None:
    parent = Part("parent", log, *(Part(name, log) for name in "ab"), Part("c", log, fails="setup"), Part("d", log))
    with pytest.raises(Boom, match=r"c\.setup"):
        parent.setup()
    assert log == ["a.setup", "b.setup", "c.setup", "b.teardown", "a.teardown"]


def test_a_failing_childs_own_children_are_torn_down_too(log: list[str]) -> None:
    failing = Part("b", log, Part("b1", log), Part("b2", log), fails="setup")
    parent = Part("parent", log, Part("a", log), failing)
    with pytest.raises(Boom):
        parent.setup()
    assert log == ["a.setup", "b1.setup", "b2.setup", "b.setup", "b2.teardown", "b1.teardown", "a.teardown"]


def test_what_a_failing_root_had_set_up_is_torn_down(log: list[str]) -> None:
    root = Part("root", log, Part("a", log), Part("b", log), fails="setup")
    with pytest.raises(Boom, match=r"root\.setup"):
        set_up_root(root)
    assert log[3:] == ["b.teardown", "a.teardown"]


def test_errors_while_unwinding_are_kept_with_the_first(log: list[str]) -> None:
    parent = Part("parent", log, Part("a", log, fails="teardown"), Part("b", log, fails="setup"))
    with pytest.raises(Boom, match=r"b\.setup") as caught:
        parent.setup()
    assert caught.value.__notes__ == ["while tearing down Part, a second error: Boom: a.teardown"]


def test_a_root_that_does_not_fail_is_set_up_like_any_other(log: list[str]) -> None:
    set_up_root(Part("root", log, Part("a", log)))
    assert log == ["a.setup", "root.setup"]


def test_all_children_are_torn_down_though_some_fail(log: list[str]) -> None:
    children = [Part(name, log, fails="teardown" if name in "bc" else "") for name in "abcd"]
    parent = Part("parent", log, *children)
    with pytest.raises(Boom, match=r"b\.teardown") as caught:
        parent.teardown()
    assert log == ["a.teardown", "b.teardown", "c.teardown", "d.teardown"]
    assert caught.value.__notes__ == ["while tearing down Part, a second error: Boom: c.teardown"]


# --- A role ---------------------------------------------------------------------------------------


class Pausing(PauseEventMixin):
    def __init__(self, log: list[str]) -> None:
        self.log = log

    def on_paused(self) -> None:
        self.log.append("on_paused")

    def on_resumed(self) -> None:
        self.log.append("on_resumed")


class Steps(Role):
    """Calls `step` again and again, from the loop or on its lane."""

    def __init__(self, component: PauseEventMixin, gate: Gate) -> None:
        super().__init__("test", component, gate)
        self.step: Callable[[], Any] = nonblocking(lambda: None)

    async def run(self) -> None:
        with self.entered():
            while not self.gate.is_stopping:
                if self.gate.is_open:
                    await acall(self.step)
                    await asyncio.sleep(0)
                else:
                    await self.park()


@pytest.fixture
async def gate() -> Gate:
    return Gate(TimeController())


@pytest.fixture
async def role(gate: Gate, log: list[str]) -> AsyncIterator[Steps]:
    role = Steps(Pausing(log), gate)
    role.start_lane()
    role.join()
    yield role
    await role.lane.close()


@pytest.fixture
async def running(role: Steps) -> AsyncIterator[Steps]:
    """The role, while it acts."""
    task = asyncio.create_task(role.run())
    await until(lambda: role.task is task)
    yield role
    role.gate.stop()
    async with asyncio.timeout(10):  # a test that failed may have left it waiting
        await task


async def test_a_role_that_does_nothing_says_so(gate: Gate) -> None:
    with pytest.raises(NotImplementedError, match="Role does nothing"):
        await Role("idle", PauseEventMixin(), gate).run()


async def test_hooks_that_are_called_from_outside_run_on_the_roles_lane(role: Steps) -> None:
    assert await role.call(threading.current_thread) is await role.lane.run(threading.current_thread)
    assert await role.call(home_lane.get) is role.lane
    assert home_lane.get() is None


async def test_async_hooks_that_are_called_from_outside_know_their_role(role: Steps) -> None:
    async def hook() -> tuple[object, object]:
        return calling_role(), role.task

    assert await role.call(hook) == (role, asyncio.current_task())
    assert (calling_role(), role.task) == (None, None)


async def test_a_hook_that_raises_cancelled_error_by_itself_does_not_cancel_its_caller(role: Steps) -> None:
    async def hook() -> None:
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="hook raised CancelledError though nobody cancelled it"):
        await role.call(hook)


async def test_a_caller_that_is_cancelled_is_cancelled(role: Steps) -> None:
    reached = asyncio.Event()

    async def hook() -> None:
        reached.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(role.call(hook))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_beside_roles_no_role_is_found_and_hooks_run_on_another_lane(role: Steps) -> None:
    async def hook() -> None:
        assert current_role() is role
        with beside_roles(None):
            assert (current_role(), home_lane.get()) == (None, None)
            await asyncio.create_task(apause_point())  # would wait
        assert (current_role(), home_lane.get()) == (role, role.lane)

    role.gate.close()
    await role.call(hook)


async def test_closing_a_roles_lanes_leaves_a_busy_side_lane_behind(role: Steps) -> None:
    role.side_lanes = [Lane("pamiq-idle"), Lane("pamiq-busy")]
    held, let_go = threading.Event(), threading.Event()
    for lane in role.side_lanes:
        lane.start()
    job = asyncio.create_task(role.side_lanes[1].run(lambda: (held.set(), let_go.wait(20))))
    assert await asyncio.to_thread(held.wait, 20)
    await role.close_lanes()
    assert [lane.is_abandoned for lane in role.side_lanes] == [False, True]
    let_go.set()
    await job


async def test_code_of_a_role_is_told_from_that_of_others(role: Steps) -> None:
    async def helping() -> Role | None:
        return calling_role()

    async def tasks_of_its_own() -> Role | None:
        return await asyncio.create_task(helping())

    assert calling_role() is None
    assert await role.lane.run(calling_role) is role
    assert await role.lane.run(lambda: role.lane.call_on_loop(helping())) is role
    assert await role.call(helping) is role
    assert await role.call(tasks_of_its_own) is None


@pytest.fixture
async def failing_setups(role: Steps) -> Callable[[Part], Any]:
    """Sets a component up in a role as a system does, and returns the error."""

    async def set_up_in_role(root: Part) -> BaseException:
        with pytest.raises(Boom) as caught:
            await role.call(set_up_root, root)
        return caught.value

    return set_up_in_role


@pytest.mark.parametrize("kind", [Part, AsyncPart])
async def test_children_of_async_parents_are_set_up_and_torn_down(
    role: Steps, log: list[str], kind: type[Part]
) -> None:
    parent = AsyncPart("parent", log, kind("a", log, Part("a1", log)), Part("b", log))
    await role.call(parent.setup)
    assert sorted(log) == ["a.setup", "a1.setup", "b.setup", "parent.setup"]
    await role.call(parent.teardown)
    assert sorted(log[4:]) == ["a.teardown", "a1.teardown", "b.teardown", "parent.teardown"]
    assert log[0] == "parent.setup"
    assert log[4] == "parent.teardown"


@pytest.mark.parametrize("parent_kind", [Part, AsyncPart])
@pytest.mark.parametrize("child_kind", [Part, AsyncPart])
async def test_what_was_set_up_is_torn_down_and_nothing_else_whatever_is_async(
    log: list[str], failing_setups: Any, parent_kind: type[Part], child_kind: type[Part]
) -> None:
    children = [child_kind(name, log, fails="setup" if name == "c" else "") for name in "abcd"]
    error = await failing_setups(parent_kind("parent", log, *children))
    assert str(error) == "c.setup"
    assert [entry for entry in log if "parent" not in entry] == [
        "a.setup",
        "b.setup",
        "c.setup",
        "b.teardown",
        "a.teardown",
    ]
    assert "parent.teardown" not in log


async def test_an_async_parent_that_fails_after_passing_on_is_unwound(log: list[str], failing_setups: Any) -> None:
    error = await failing_setups(AsyncPart("parent", log, Part("a", log), AsyncPart("b", log), fails="setup"))
    assert str(error) == "parent.setup"
    assert log == ["parent.setup", "a.setup", "b.setup", "b.teardown", "a.teardown"]


async def test_an_async_parent_that_fails_in_teardown_has_its_children_torn_down(role: Steps, log: list[str]) -> None:
    parent = AsyncPart("parent", log, Part("a", log, fails="teardown"), AsyncPart("b", log), fails="teardown")
    with pytest.raises(Boom, match=r"parent\.teardown") as caught:
        await role.call(parent.teardown)
    assert log == ["parent.teardown", "a.teardown", "b.teardown"]
    [note] = caught.value.__notes__
    assert note.endswith("a second error: Boom: a.teardown")


# --- The gate -------------------------------------------------------------------------------------


def test_the_phases_are_called_as_the_control_server_answers_them() -> None:
    assert [status.value for status in SystemStatus] == [
        "active",
        "pausing",
        "paused",
        "resuming",
        "shutting down",
        "ended",
    ]


async def test_a_role_parks_when_the_gate_closes_and_goes_on_when_it_opens(running: Steps, log: list[str]) -> None:
    running.gate.close()
    assert await running.gate.wait_all_parked(20)
    assert running.is_parked
    assert log == ["on_paused"]
    running.gate.open()
    assert await running.gate.wait_none_parked()
    assert not running.is_parked
    assert log == ["on_paused", "on_resumed"]


async def test_a_gate_without_roles_has_nothing_to_wait_for(gate: Gate) -> None:
    gate.close()
    assert await gate.wait_all_parked(0)
    assert await gate.wait_none_parked()


async def test_waiting_for_roles_to_park_ends_after_the_timeout(gate: Gate, role: Steps) -> None:
    gate.close()
    assert not await gate.wait_all_parked(0)


async def test_a_gate_that_closes_again_at_once_keeps_parked_roles(running: Steps, log: list[str]) -> None:
    running.gate.close()
    await running.gate.wait_all_parked(20)
    running.gate.open()
    running.gate.close()
    for _ in range(5):
        await asyncio.sleep(0)
    assert running.is_parked
    assert log == ["on_paused"]


async def test_a_role_is_not_parked_while_it_still_runs_a_hook(running: Steps) -> None:
    seen: list[tuple[str, bool]] = []

    class Watching(PauseEventMixin):
        @nonblocking
        def on_paused(self) -> None:
            seen.append(("on_paused", running.is_parked))

        @nonblocking
        def on_resumed(self) -> None:
            seen.append(("on_resumed", running.is_parked))
            running.gate.close()  # while it is on its way

    running.component = Watching()
    running.gate.close()
    await running.gate.wait_all_parked(20)
    running.gate.open()
    await until(lambda: len(seen) == 3)
    assert seen == [("on_paused", False), ("on_resumed", False), ("on_paused", False)]


async def test_resuming_is_over_when_on_resumed_is(running: Steps) -> None:
    may_end = asyncio.Event()

    class Slow(PauseEventMixin):
        async def on_resumed(self) -> None:  # type: ignore[override]
            await may_end.wait()

    running.component = Slow()
    running.gate.close()
    await running.gate.wait_all_parked(20)
    running.gate.open()
    waiting = asyncio.create_task(running.gate.wait_none_parked())
    await until(lambda: running.is_resuming)
    await asyncio.sleep(0)
    assert not waiting.done()
    may_end.set()
    assert await waiting


async def test_a_stopped_gate_does_not_open_again(gate: Gate) -> None:
    gate.stop()
    gate.open()
    assert (gate.is_open, gate.is_stopping) == (False, True)


@pytest.mark.parametrize(
    ("is_parked", "wait", "result"),
    [
        (False, lambda gate: gate.wait_all_parked(20), False),
        (True, lambda gate: gate.wait_none_parked(), False),
        (True, lambda gate: gate.wait_until(lambda: gate.is_open), None),
    ],
)
async def test_stopping_ends_every_wait(
    gate: Gate, role: Steps, is_parked: bool, wait: Callable[[Gate], Any], result: bool | None
) -> None:
    gate.close()
    role.is_parked = is_parked
    waiting = asyncio.create_task(wait(gate))
    await asyncio.sleep(0)
    assert not waiting.done()
    gate.stop()
    assert await waiting is result


async def test_a_pause_that_is_complete_just_when_the_system_stops_is_none(gate: Gate, role: Steps) -> None:
    gate.close()
    waiting = asyncio.create_task(gate.wait_all_parked(20))
    await asyncio.sleep(0)
    role.is_parked = True
    gate.role_moved()
    gate.stop()
    assert not await waiting


async def test_shutdown_while_parked_lets_the_role_end(role: Steps, log: list[str]) -> None:
    task = asyncio.create_task(role.run())
    await until(lambda: role.task is task)
    role.gate.close()
    await role.gate.wait_all_parked(20)
    role.gate.stop()
    await task
    assert log == ["on_paused", "on_resumed"]
    assert not role.is_parked


async def test_a_role_that_left_is_not_waited_for(gate: Gate, role: Steps) -> None:
    gate.close()
    waiting = asyncio.create_task(gate.wait_all_parked(20))
    await asyncio.sleep(0)
    assert not waiting.done()
    role.leave()
    assert await waiting


async def test_everything_that_moves_is_noticed(gate: Gate, role: Steps) -> None:
    for move in (gate.close, gate.open, role.leave, gate.stop):
        waiting = asyncio.create_task(gate.wait_moved())
        await asyncio.sleep(0)
        assert not waiting.done()
        move()
        await waiting


async def test_a_condition_is_asked_whenever_something_moves_and_given_up_at_the_end(gate: Gate, role: Steps) -> None:
    turns: list[bool] = []
    waiting = asyncio.create_task(gate.wait_until(lambda: bool(turns)))
    await asyncio.sleep(0)
    turns.append(True)
    gate.role_moved()
    await waiting
    waiting = asyncio.create_task(gate.wait_until(lambda: False))
    await asyncio.sleep(0)
    gate.stop()
    await waiting


async def test_roles_are_told_that_the_gate_moved(gate: Gate, role: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(role, "notice_gate", lambda: seen.append(gate.is_open))
    gate.close()
    gate.open()
    gate.stop()
    assert seen == [False, True, False]


@pytest.mark.parametrize("hook", ["on_paused", "on_resumed"])
async def test_an_error_in_a_pause_hook_ends_the_role(role: Steps, monkeypatch: pytest.MonkeyPatch, hook: str) -> None:
    def fail() -> None:
        raise Boom(hook)

    monkeypatch.setattr(role.component, hook, fail)
    task = asyncio.create_task(role.run())
    role.gate.close()
    await until(lambda: role.is_parked or task.done())
    role.gate.open()
    with pytest.raises(Boom, match=hook):
        await task
    assert not role.is_parked
    assert not role.is_resuming


async def test_a_role_that_is_cancelled_while_parked_is_parked_no_more(role: Steps) -> None:
    task = asyncio.create_task(role.run())
    role.gate.close()
    await until(lambda: role.is_parked)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not role.is_parked


# --- Pause points ---------------------------------------------------------------------------------


def test_outside_of_a_system_a_pause_point_does_nothing() -> None:
    pause_point()


async def test_outside_of_a_system_an_async_pause_point_does_nothing() -> None:
    pause_point()
    await apause_point()


async def test_while_the_system_runs_a_pause_point_returns_at_once(role: Steps, log: list[str]) -> None:
    await role.call(pause_point)
    await role.call(apause_point)
    assert log == []


async def pause_in_async_hook() -> None:
    await apause_point()


async def pause_in_thread_of_a_hook() -> None:
    await asyncio.to_thread(pause_point)


POINTS = pytest.mark.parametrize("point", [pause_point, pause_in_async_hook, pause_in_thread_of_a_hook])


@POINTS
async def test_a_pause_point_parks_its_role_in_the_middle_of_a_hook(
    running: Steps, log: list[str], point: Callable[[], Any]
) -> None:
    started, may_go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def train() -> None:
        loop.call_soon_threadsafe(started.set)
        assert may_go_on.wait(20)
        pause_point()
        log.append("trained")

    async def atrain() -> None:
        started.set()
        await asyncio.to_thread(may_go_on.wait, 20)
        await point()
        log.append("trained")

    running.step = train if point is pause_point else atrain
    await started.wait()
    running.step = nonblocking(lambda: None)
    running.gate.close()
    assert log == []
    may_go_on.set()
    assert await running.gate.wait_all_parked(20)
    assert log == ["on_paused"]
    assert await running.call(threading.get_ident) == await running.lane.run(threading.get_ident), "saving works"
    running.gate.open()
    await running.gate.wait_none_parked()
    await until(lambda: "trained" in log)
    assert log == ["on_paused", "on_resumed", "trained"]


@POINTS
async def test_a_pause_point_raises_when_the_system_shuts_down(role: Steps, point: Callable[[], Any]) -> None:
    role.gate.stop()
    with pytest.raises(SystemShutdown, match="the system is shutting down"):
        await role.call(point)


@POINTS
async def test_a_pause_point_that_waits_raises_when_the_system_shuts_down(
    role: Steps, log: list[str], point: Callable[[], Any]
) -> None:
    role.gate.close()
    waiting = asyncio.create_task(role.call(point))
    await until(lambda: role.is_parked)
    role.gate.stop()
    with pytest.raises(SystemShutdown):
        await waiting
    assert log == ["on_paused", "on_resumed"]


async def test_a_pause_point_waits_through_a_gate_that_closes_again(role: Steps, log: list[str]) -> None:
    class Closing(Pausing):
        @nonblocking
        def on_resumed(self) -> None:
            super().on_resumed()
            if log.count("on_resumed") == 1:
                role.gate.close()

    role.component = Closing(log)
    role.gate.close()
    waiting = asyncio.create_task(role.call(pause_point))
    await until(lambda: role.is_parked)
    role.gate.open()
    await until(lambda: log.count("on_paused") == 2)
    await until(lambda: role.is_parked)
    assert not waiting.done()
    role.gate.open()
    await waiting
    assert log == ["on_paused", "on_resumed"] * 2


async def test_a_pause_point_of_a_role_that_nobody_waits_for_returns(gate: Gate, role: Steps, log: list[str]) -> None:
    role.is_acting = False  # as in teardown
    gate.close()
    await role.call(pause_point)
    await role.call(apause_point)
    assert log == []


@pytest.mark.parametrize("is_open", [True, False])
async def test_on_the_loop_a_pause_point_is_refused_and_names_the_other(role: Steps, is_open: bool) -> None:
    async def train() -> None:
        pause_point()

    if not is_open:
        role.gate.close()
    with pytest.raises(BlockingCall, match="use 'await apause_point"):
        await role.call(train)


async def test_an_error_in_a_pause_hook_comes_out_of_the_pause_point(
    role: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise Boom("on_paused")

    monkeypatch.setattr(role.component, "on_paused", fail)
    role.gate.close()
    with pytest.raises(Boom, match="on_paused"):
        await role.call(pause_point)


# --- Pacing ---------------------------------------------------------------------------------------


def test_outside_of_a_system_pacing_waits_for_the_process_clock() -> None:
    clock = TimeController()
    clock.set_time_scale(100)
    with use_time_controller(clock):
        deadline = clock.perf_counter() + 0.5
        pace_until(deadline)
        assert clock.perf_counter() >= deadline
        asyncio.run(apace_until(deadline + 0.5))
        assert clock.perf_counter() >= deadline + 0.5


async def apace(deadline: float) -> None:
    await apace_until(deadline)


PACES = pytest.mark.parametrize("pace", [pace_until, apace])


@PACES
async def test_pacing_ends_at_the_deadline(role: Steps, pace: Callable[[float], Any]) -> None:
    clock = role.gate.clock
    clock.set_time_scale(100)
    deadline = clock.perf_counter() + 0.5
    await role.call(pace, deadline)
    assert clock.perf_counter() >= deadline


@PACES
@pytest.mark.parametrize("move", ["close", "stop"])
async def test_a_gate_that_closes_cuts_pacing_short(role: Steps, pace: Callable[[float], Any], move: str) -> None:
    began = asyncio.Event()
    loop = asyncio.get_running_loop()

    def begin_and_pace() -> Any:
        loop.call_soon_threadsafe(began.set)
        return pace(1e9)

    async def abegin_and_pace() -> None:
        await begin_and_pace()

    waiting = asyncio.create_task(role.call(abegin_and_pace if pace is apace else begin_and_pace))
    await began.wait()
    getattr(role.gate, move)()
    with pytest.raises(GateClosed):
        await waiting


@PACES
async def test_pacing_at_a_closed_gate_is_refused_though_the_deadline_has_passed(
    role: Steps, pace: Callable[[float], Any]
) -> None:
    role.gate.close()
    with pytest.raises(GateClosed):
        await role.call(pace, 0.0)


@PACES
async def test_pacing_goes_on_when_the_gate_has_opened_again(role: Steps, pace: Callable[[float], Any]) -> None:
    role.gate.close()
    role.gate.open()
    await role.call(pace, 0.0)


async def test_pacing_on_the_loop_is_refused_and_names_what_to_use() -> None:
    with pytest.raises(BlockingCall, match="would block the event loop: use 'await"):
        pace_until(0.0)


# --- What a role is running -----------------------------------------------------------------------


class Component(PauseEventMixin):
    """Its hooks end when the test lets them."""

    def __init__(self) -> None:
        self.reached, self.may_end = asyncio.Event(), asyncio.Event()
        self.held, self.let_go = threading.Event(), threading.Event()

    def observe(self) -> None:
        self._look()

    def _look(self) -> None:
        Optimizer().step(self.hold)

    def hold(self) -> None:
        self.held.set()
        assert self.let_go.wait(20)

    async def step(self) -> None:
        self.reached.set()
        await self.may_end.wait()

    def affect(self) -> None:
        assert not on_loop()
        pass_on(self.step)

    async def teardown(self) -> None:
        await self.step()


class Other(Component):
    pass


class Optimizer:
    """Not one of our components, though it has a step."""

    def step(self, closure: Callable[[], object]) -> None:
        closure()


async def test_a_role_that_runs_no_hook_says_so(role: Steps) -> None:
    assert role.running() == "code outside of any hook"


async def test_functions_and_methods_of_others_are_no_hooks(role: Steps) -> None:
    component = Component()

    def step() -> None:
        Optimizer().step(component.hold)

    task = asyncio.create_task(role.call(step))
    await asyncio.to_thread(component.held.wait, 20)
    assert role.running() == "code outside of any hook"
    component.let_go.set()
    await task


async def test_a_blocking_hook_that_runs_on_the_lane_is_named(role: Steps) -> None:
    component = Component()
    task = asyncio.create_task(role.call(component.observe))
    await asyncio.to_thread(component.held.wait, 20)
    assert role.running() == "Component.observe"
    component.let_go.set()
    await task


@pytest.mark.parametrize("hook", ["step", "affect", "teardown"])
async def test_the_innermost_async_hook_is_named_also_when_the_lane_waits_for_it(role: Steps, hook: str) -> None:
    component = Component()
    task = asyncio.create_task(role.call(getattr(component, hook)))
    await component.reached.wait()
    assert role.running() == "Component.step"
    component.may_end.set()
    await task


async def test_hooks_that_run_at_the_same_time_are_all_named(role: Steps) -> None:
    components = Component(), Other()

    async def step_together() -> None:
        await at_the_same_time([component.step() for component in components])

    task = asyncio.create_task(role.call(step_together))
    for component in components:
        await component.reached.wait()
    assert role.running() == "Component.step, Other.step"
    for component in components:
        component.may_end.set()
    await task
