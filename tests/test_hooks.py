"""How hooks are called, and where: on lanes, on the loop, in between and elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

from pamiq_async import Agent
from pamiq_async.exceptions import BlockingCall
from pamiq_async.hooks import (
    Kind,
    Lane,
    acall,
    call,
    describe,
    home_lane,
    in_lane,
    kind_of,
    nonblocking,
    on_loop,
    pass_on,
    put_off_on_loop,
)


@pytest.fixture
async def lane() -> AsyncIterator[Lane]:
    """A lane that is not the test's own."""
    lane = Lane("pamiq-test")
    lane.start()
    yield lane
    await lane.close()


@pytest.fixture
async def home(lane: Lane) -> Lane:
    """The lane of the role as whose task the test runs."""
    home_lane.set(lane)
    return lane


class Latch:
    """Holds a thread until the test lets it go, and tells when it is held."""

    def __init__(self) -> None:
        self._held, self._let_go = threading.Event(), threading.Event()

    def hold(self) -> None:
        self._held.set()
        assert self._let_go.wait(20)

    async def held(self) -> None:
        assert await asyncio.to_thread(self._held.wait, 20)

    def let_go(self) -> None:
        self._let_go.set()


@pytest.fixture
def latch() -> Iterator[Latch]:
    latch = Latch()
    yield latch
    latch.let_go()


class Boom(Exception):
    """What fails on purpose."""


def fail(error: BaseException) -> Any:
    raise error


# --- Which kind a hook is ------------------------------------------------------------------------


class Hooks:
    def blocking(self) -> None: ...

    async def on_the_loop(self) -> None: ...

    @nonblocking
    def cheap(self) -> None: ...

    @staticmethod
    async def static() -> None: ...

    @classmethod
    def of_the_class(cls) -> None: ...


class Overriding(Hooks):
    def cheap(self) -> None: ...


class Callable_:
    def __call__(self) -> None: ...


class AsyncCallable:
    async def __call__(self) -> None: ...


class CheapCallable:
    @nonblocking
    def __call__(self) -> None: ...


class AsyncAgent(Agent[Any, Any]):
    async def step(self, observation: Any) -> Any: ...


@pytest.mark.parametrize(
    ("hook", "kind"),
    [
        (Hooks().blocking, Kind.LANE),
        (Hooks().on_the_loop, Kind.LOOP),
        (Hooks().cheap, Kind.INLINE),
        (Hooks.static, Kind.LOOP),
        (Hooks().of_the_class, Kind.LANE),
        (Overriding().cheap, Kind.LANE),
        (lambda: None, Kind.LANE),
        (len, Kind.LANE),
        (Hooks, Kind.LANE),
        (Callable_(), Kind.LANE),
        (AsyncCallable(), Kind.LOOP),
        (CheapCallable(), Kind.INLINE),
        (functools.partial(Hooks().blocking), Kind.LANE),
        (functools.partial(functools.partial(Hooks.on_the_loop), Hooks()), Kind.LOOP),
        (functools.partial(Hooks().cheap), Kind.INLINE),
        (functools.partial(AsyncCallable()), Kind.LOOP),
        (Mock(), Kind.LANE),
        (Mock(spec=Agent).step, Kind.LANE),
        (Mock(spec=AsyncAgent).step, Kind.LOOP),
        (Mock(spec=AsyncAgent).setup, Kind.LANE),
        (AsyncMock(), Kind.LOOP),
    ],
)
def test_a_hook_is_of_the_kind_that_it_was_written_as(hook: Callable[..., Any], kind: Kind) -> None:
    assert kind_of(hook) is kind


def test_generators_are_no_hooks() -> None:
    def generator() -> Iterator[None]:
        yield

    async def async_generator() -> AsyncIterator[None]:
        yield

    for hook in (generator, async_generator, functools.partial(generator)):
        with pytest.raises(TypeError, match="generator is a generator; a hook is a def that returns"):
            kind_of(hook)


def test_a_nonblocking_async_def_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Hooks\.on_the_loop is async def; @nonblocking is for plain def"):
        nonblocking(Hooks.on_the_loop)


@pytest.mark.parametrize(
    ("hook", "name"),
    [
        (Hooks().blocking, "Hooks.blocking"),
        (Hooks.blocking, "Hooks.blocking"),
        (Overriding().blocking, "Overriding.blocking"),
        (Overriding.of_the_class, "Overriding.of_the_class"),
        (functools.partial(Hooks().blocking), "Hooks.blocking"),
        (len, "len"),
        (AsyncCallable(), "AsyncCallable"),
        (Mock(), "Mock"),
    ],
)
def test_hooks_are_named_as_their_user_would(hook: Callable[..., Any], name: str) -> None:
    assert describe(hook) == name


# --- Lanes: one thread, in order -----------------------------------------------------------------


async def test_all_jobs_run_on_one_daemon_thread_of_the_lanes_name(lane: Lane) -> None:
    threads = {await lane.run(threading.current_thread) for _ in range(3)}
    [thread] = threads
    assert (thread.name, thread.daemon) == ("pamiq-test", True)
    assert thread is not threading.current_thread()


async def test_a_lane_for_which_there_is_no_thread_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    lane = Lane("pamiq-test")
    monkeypatch.setattr(threading.Thread, "start", lambda thread: fail(RuntimeError("can't start new thread")))
    with pytest.raises(RuntimeError, match="can't start"):
        lane.start()
    assert lane._results is not None
    assert lane._results._bell is None


async def test_a_lane_whose_end_nobody_waits_for_leaves_nothing_open(lane: Lane, latch: Latch) -> None:
    job = asyncio.create_task(lane.run(latch.hold))
    await latch.held()
    closing = asyncio.create_task(lane.close())
    await asyncio.sleep(0)
    await cancel(closing)
    assert lane._results is not None
    assert lane._results._bell is None
    latch.let_go()
    await job  # its result comes all the same


async def test_jobs_run_in_order_one_at_a_time(lane: Lane, latch: Latch) -> None:
    done: list[int] = []
    first = asyncio.create_task(lane.run(latch.hold))
    others = [asyncio.create_task(lane.run(done.append, i)) for i in range(5)]
    await latch.held()
    assert done == []
    latch.let_go()
    await asyncio.gather(first, *others)
    assert done == [0, 1, 2, 3, 4]


async def test_a_job_gets_its_arguments_and_its_caller_the_result(lane: Lane) -> None:
    assert await lane.run(divmod, 7, 2) == (3, 1)


@pytest.mark.parametrize("error", [Boom("it"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
async def test_what_a_job_raises_is_raised_as_itself_and_the_lane_goes_on(lane: Lane, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        await lane.run(fail, error)
    assert caught.value is error
    assert await lane.run(len, "abc") == 3


async def test_a_stop_iteration_becomes_an_error_that_a_coroutine_can_raise(lane: Lane) -> None:
    with pytest.raises(RuntimeError, match="raise EndOfInteraction to end the system") as caught:
        await lane.run(next, iter(()))
    assert isinstance(caught.value.__cause__, StopIteration)


async def test_a_job_that_raises_cancelled_error_cancels_its_waiter(lane: Lane) -> None:
    with pytest.raises(asyncio.CancelledError):
        await lane.run(fail, asyncio.CancelledError())


async def test_context_variables_that_a_job_sets_are_there_for_the_next(lane: Lane) -> None:
    variable = ContextVar("variable", default="unset")
    await lane.run(variable.set, "by the first job")
    assert await lane.run(variable.get) == "by the first job"
    assert variable.get() == "unset"


async def test_a_lane_starts_with_the_context_of_its_start(lane: Lane) -> None:
    assert await lane.run(home_lane.get) is lane
    assert home_lane.get() is None


async def test_a_lane_keeps_nothing_of_a_job_that_is_done(lane: Lane) -> None:
    class Result:
        pass

    gone = weakref.ref(await lane.run(Result))
    while gone() is not None:  # at latest when the lane waits for its next job
        await asyncio.sleep(0)


async def test_a_lane_that_was_not_started_says_so() -> None:
    with pytest.raises(AssertionError, match="lane idle was not started"):
        await Lane("idle").run(int)


# --- Lanes: cancelled waiters ---------------------------------------------------------------------


async def cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_a_job_goes_on_when_its_waiter_is_cancelled_and_later_ones_queue_up(lane: Lane, latch: Latch) -> None:
    done: list[str] = []
    waiter = asyncio.create_task(lane.run(lambda: (latch.hold(), done.append("first"))))
    await latch.held()
    await cancel(waiter)
    later = asyncio.create_task(lane.run(done.append, "later"))
    await asyncio.sleep(0)
    assert done == []
    latch.let_go()
    await later
    assert done == ["first", "later"]


async def test_a_job_that_has_not_begun_is_dropped_when_its_waiter_is_cancelled(lane: Lane, latch: Latch) -> None:
    first = asyncio.create_task(lane.run(latch.hold))
    await latch.held()
    done: list[str] = []
    dropped = asyncio.create_task(lane.run(done.append, "dropped"))
    await asyncio.sleep(0)
    await cancel(dropped)
    latch.let_go()
    await first
    await lane.run(int)
    assert done == []


async def test_an_error_that_nobody_waits_for_is_logged(
    lane: Lane, latch: Latch, caplog: pytest.LogCaptureFixture
) -> None:
    waiter = asyncio.create_task(lane.run(lambda: (latch.hold(), fail(Boom("unheard")))))
    await latch.held()
    await cancel(waiter)
    latch.let_go()
    await lane.run(int)
    [record] = caplog.records
    assert "lane pamiq-test: a job failed after its caller was cancelled" in record.message
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "unheard"


async def test_a_result_that_nobody_waits_for_is_dropped(
    lane: Lane, latch: Latch, caplog: pytest.LogCaptureFixture
) -> None:
    waiter = asyncio.create_task(lane.run(latch.hold))
    await latch.held()
    await cancel(waiter)
    latch.let_go()
    await lane.run(int)
    assert caplog.records == []


# --- Lanes: their end -----------------------------------------------------------------------------


async def test_closing_waits_for_the_jobs_so_far_and_the_thread(latch: Latch) -> None:
    lane = Lane("pamiq-test")
    lane.start()
    thread = await lane.run(threading.current_thread)
    jobs = [asyncio.create_task(lane.run(latch.hold)), asyncio.create_task(lane.run(len, "abc"))]
    await latch.held()
    closing = asyncio.create_task(lane.close())
    await asyncio.sleep(0)
    latch.let_go()
    await closing
    assert not thread.is_alive()
    assert await jobs[1] == 3


async def test_closing_waits_also_for_jobs_that_came_after_one_that_used_the_loop(latch: Latch) -> None:
    lane = Lane("pamiq-test")
    lane.start()
    first = asyncio.create_task(lane.run(lambda: (lane.call_on_loop(asyncio.sleep(0)), latch.hold())))
    await latch.held()
    second = asyncio.create_task(lane.run(len, "abc"))
    await asyncio.sleep(0)
    closing = asyncio.create_task(lane.close())
    await asyncio.sleep(0)
    latch.let_go()
    await closing
    await first
    assert await second == 3


async def test_a_lane_that_was_never_started_can_be_closed() -> None:
    await Lane("idle").close()


async def test_a_job_for_a_released_lane_is_an_error_and_no_hang(lane: Lane) -> None:
    lane.release()
    with pytest.raises(RuntimeError, match=r"Hooks\.blocking was called after lane pamiq-test had ended"):
        await lane.run(Hooks().blocking)


async def test_closing_an_abandoned_lane_does_not_wait_for_it(lane: Lane, latch: Latch) -> None:
    stuck = asyncio.create_task(lane.run(latch.hold))
    await latch.held()
    lane.abandon()
    await lane.close()
    with pytest.raises(asyncio.CancelledError):
        await lane.run(int)
    await cancel(stuck)


async def test_abandoning_a_lane_cancels_coroutines_that_its_job_waits_for(lane: Lane) -> None:
    reached, cancelled = asyncio.Event(), asyncio.Event()

    async def wait_forever() -> None:
        reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    job = asyncio.create_task(lane.run(lambda: lane.call_on_loop(wait_forever())))
    await reached.wait()
    thread = lane._thread
    assert thread is not None
    lane.abandon()
    await cancelled.wait()
    with pytest.raises(asyncio.CancelledError):
        await job
    await asyncio.to_thread(thread.join, 20)
    assert not thread.is_alive()


async def test_a_coroutine_that_begins_while_its_lane_is_abandoned_is_cancelled(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Portals(set[Any]):
        def add(self, portal: Any) -> None:
            lane.abandon()
            super().add(portal)

    monkeypatch.setattr(lane, "_portals", Portals())
    with pytest.raises(asyncio.CancelledError):
        await lane.run(lambda: lane.call_on_loop(asyncio.Event().wait()))


async def test_a_job_of_an_abandoned_lane_can_not_go_back_to_the_loop(lane: Lane, latch: Latch) -> None:
    errors: list[BaseException] = []

    def job() -> None:
        latch.hold()
        try:
            lane.call_on_loop(asyncio.sleep(0))
        except BaseException as error:
            errors.append(error)

    stuck = asyncio.create_task(lane.run(job))
    await latch.held()
    lane.abandon()
    latch.let_go()
    await stuck
    assert isinstance(errors[0], asyncio.CancelledError)


def test_a_job_that_ends_after_its_loop_has_closed_disturbs_nobody(
    latch: Latch, caplog: pytest.LogCaptureFixture
) -> None:
    lane = Lane("pamiq-test")
    errors: list[BaseException] = []

    def job() -> None:
        latch.hold()
        try:
            lane.call_on_loop(asyncio.sleep(0))
        except RuntimeError as error:
            errors.append(error)

    async def main() -> None:
        lane.start()
        stuck = asyncio.create_task(lane.run(job))
        await latch.held()
        lane.release()
        await cancel(stuck)

    asyncio.run(main())
    latch.let_go()
    assert lane._thread is not None
    lane._thread.join(20)
    assert not lane._thread.is_alive()
    assert "closed" in str(errors[0])
    assert not [record for record in caplog.records if record.name == "pamiq_async.hooks"]


# --- Lanes: what they do just now -----------------------------------------------------------------


async def test_a_lane_is_busy_while_it_runs_a_job(lane: Lane, latch: Latch) -> None:
    assert not lane.is_busy
    job = asyncio.create_task(lane.run(latch.hold))
    await latch.held()
    assert lane.is_busy
    latch.let_go()
    await job
    assert not lane.is_busy


async def test_a_busy_lanes_stack_shows_where_it_is(lane: Lane, latch: Latch) -> None:
    job = asyncio.create_task(lane.run(latch.hold))
    await latch.held()
    assert "in hold\n" in lane.stack()
    latch.let_go()
    await job


async def test_a_lane_without_a_thread_has_no_stack() -> None:
    lane = Lane("pamiq-test")
    assert (lane.frame(), lane.stack()) == (None, "")
    lane.start()
    assert lane.frame() is not None
    await lane.close()
    assert (lane.frame(), lane.stack()) == (None, "")


# --- From a job to the loop and back --------------------------------------------------------------


async def test_a_job_can_have_the_loop_run_a_coroutine(lane: Lane) -> None:
    async def where() -> int:
        await asyncio.sleep(0)
        return threading.get_ident()

    assert await lane.run(lambda: lane.call_on_loop(where())) == threading.get_ident()


@pytest.mark.parametrize("error", [Boom("on the loop"), SystemExit(3), KeyboardInterrupt()])
async def test_a_coroutines_error_reaches_the_job_as_itself(lane: Lane, error: BaseException) -> None:
    async def broken() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await lane.run(lambda: lane.call_on_loop(broken()))
    assert caught.value is error


async def test_a_coroutine_that_is_cancelled_raises_the_cancelled_error_that_asyncio_knows(lane: Lane) -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    def job() -> str:
        try:
            lane.call_on_loop(cancelled())
        except asyncio.CancelledError:
            return "asyncio's"
        return "none"

    assert await lane.run(job) == "asyncio's"


async def test_a_coroutine_finds_the_context_of_its_job(lane: Lane) -> None:
    async def which() -> Lane | None:
        return home_lane.get()

    assert await lane.run(lambda: lane.call_on_loop(which())) is lane


async def test_a_waiting_job_lets_the_coroutine_use_the_lane(lane: Lane) -> None:
    async def back_to_the_lane() -> int:
        return await lane.run(threading.get_ident)

    def job() -> tuple[int, bool]:
        return lane.call_on_loop(back_to_the_lane()), lane.is_busy

    assert await lane.run(job) == (await lane.run(threading.get_ident), True)


async def test_there_and_back_to_any_depth(lane: Lane) -> None:
    def on_lane(depth: int) -> int:
        return lane.call_on_loop(on_the_loop(depth - 1)) + 1 if depth else 0

    async def on_the_loop(depth: int) -> int:
        return await lane.run(on_lane, depth - 1) + 1 if depth else 0

    assert await lane.run(on_lane, 9) == 9
    assert not lane.is_busy


async def test_jobs_that_wait_within_each_other_end_though_the_outer_ones_coroutine_ends_first(lane: Lane) -> None:
    outer_may_end, inner_may_end = asyncio.Event(), asyncio.Event()
    inner_waits = asyncio.Event()

    async def wait_for_outer() -> str:
        await outer_may_end.wait()
        return "outer"

    async def wait_for_inner() -> str:
        inner_waits.set()
        await inner_may_end.wait()
        return await lane.run(lambda: "inner")  # though it was the outer one that was told to go on

    outer = asyncio.create_task(lane.run(lambda: lane.call_on_loop(wait_for_outer())))
    inner = asyncio.create_task(lane.run(lambda: lane.call_on_loop(wait_for_inner())))
    await inner_waits.wait()
    outer_may_end.set()
    await lane.run(int)  # the lane has looked at it
    inner_may_end.set()
    assert await inner == "inner"
    assert await outer == "outer"


async def test_a_lane_that_was_closed_while_a_job_waited_ends_after_it(latch: Latch) -> None:
    lane = Lane("pamiq-test")
    lane.start()
    reached, may_end = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        reached.set()
        await may_end.wait()

    job = asyncio.create_task(lane.run(lambda: lane.call_on_loop(wait())))
    await reached.wait()
    closing = asyncio.create_task(lane.close())
    await asyncio.sleep(0)
    may_end.set()
    await job
    await closing


async def test_another_thread_of_the_role_can_wait_for_the_loop_without_taking_the_lanes_jobs(lane: Lane) -> None:
    may_end = asyncio.Event()

    async def wait() -> str:
        await may_end.wait()
        return "done"

    foreign = asyncio.create_task(asyncio.to_thread(lambda: lane.call_on_loop(wait())))
    ids = {await lane.run(threading.get_ident) for _ in range(20)}
    may_end.set()
    assert await foreign == "done"
    assert len(ids) == 1


async def test_tasks_of_a_role_are_known_while_they_run(lane: Lane) -> None:
    async def helpers() -> int:
        return len(lane.helpers)

    assert await lane.run(lambda: lane.call_on_loop(helpers())) == 1
    await asyncio.sleep(0)
    assert not lane.helpers


# --- in_lane, acall -------------------------------------------------------------------------------


async def test_in_a_role_blocking_functions_run_on_its_lane(home: Lane) -> None:
    assert await in_lane(threading.current_thread) is await home.run(threading.current_thread)


async def test_outside_of_a_system_blocking_functions_run_on_some_worker_thread() -> None:
    assert await in_lane(divmod, 7, 2) == (3, 1)
    assert await in_lane(threading.get_ident) != threading.get_ident()


def where(*_: Any) -> int:
    return threading.get_ident()


async def async_where(*_: Any) -> int:
    return threading.get_ident()


@nonblocking
def cheap_where(*_: Any) -> int:
    return threading.get_ident()


async def test_acall_runs_each_kind_where_it_belongs(home: Lane) -> None:
    assert await acall(where) == await home.run(where)
    assert await acall(async_where) == where()
    assert await acall(cheap_where) == where()


@pytest.mark.parametrize("hook", [divmod, Mock(return_value=(3, 1)), AsyncMock(return_value=(3, 1))])
async def test_acall_hands_arguments_in_and_the_value_out(home: Lane, hook: Callable[..., Any]) -> None:
    assert await acall(hook, 7, 2) == (3, 1)
    if isinstance(hook, Mock):
        hook.assert_called_once_with(7, 2)


async def test_acall_calls_hooks_of_mocked_components(home: Lane) -> None:
    agent = Mock(spec=AsyncAgent)
    agent.step.return_value = "action"
    assert await acall(agent.step, "observation") == "action"
    agent.step.assert_awaited_once_with("observation")
    await acall(agent.setup)
    agent.setup.assert_called_once_with()


@pytest.mark.parametrize(
    "hook", [functools.partial(fail, Boom("it")), nonblocking(lambda: fail(Boom("it"))), AsyncMock(side_effect=Boom)]
)
async def test_acall_raises_what_the_hook_raises(home: Lane, hook: Callable[..., Any]) -> None:
    with pytest.raises(Boom):
        await acall(hook)


# --- pass_on --------------------------------------------------------------------------------------


class Child:
    """Has a hook of each kind, and writes down which was called and where."""

    def __init__(self) -> None:
        self.log: list[tuple[str, int]] = []

    def blocking(self, value: object = None) -> object:
        self.log.append(("blocking", threading.get_ident()))
        return value

    async def on_the_loop(self, value: object = None) -> object:
        await asyncio.sleep(0)
        self.log.append(("on_the_loop", threading.get_ident()))
        return value

    @nonblocking
    def cheap(self, value: object = None) -> object:
        self.log.append(("cheap", threading.get_ident()))
        return value

    def all(self) -> list[Callable[..., Any]]:
        return [self.blocking, self.on_the_loop, self.cheap]

    def pass_all_on(self) -> None:
        for hook in self.all():
            pass_on(hook)
            self.log.append(("passed on", threading.get_ident()))

    def names(self) -> list[str]:
        return [name for name, _ in self.log]


async def test_from_a_lane_hooks_are_passed_on_at_once(home: Lane) -> None:
    child = Child()
    await acall(child.pass_all_on)
    on_lane = await home.run(threading.get_ident)
    assert child.log == [
        ("blocking", on_lane),
        ("passed on", on_lane),
        ("on_the_loop", threading.get_ident()),
        ("passed on", on_lane),
        ("cheap", on_lane),
        ("passed on", on_lane),
    ]


async def test_from_the_loop_hooks_are_passed_on_as_soon_as_the_calling_hook_has_returned(home: Lane) -> None:
    child = Child()

    async def hook() -> str:
        child.pass_all_on()
        await asyncio.sleep(0)
        assert child.names() == ["passed on"] * 3
        return "value"

    assert await acall(hook) == "value"
    on_lane = await home.run(threading.get_ident)
    assert child.log[3:] == [
        ("blocking", on_lane),
        ("on_the_loop", threading.get_ident()),
        ("cheap", threading.get_ident()),
    ]


async def test_from_a_nonblocking_hook_they_are_passed_on_afterwards_too(home: Lane) -> None:
    child = Child()
    await acall(nonblocking(child.pass_all_on.__func__).__get__(child))
    assert child.names() == ["passed on"] * 3 + ["blocking", "on_the_loop", "cheap"]


async def test_what_is_passed_on_can_pass_on_itself_at_any_depth(home: Lane) -> None:
    log: list[str] = []

    class Node:
        def __init__(self, name: str, *children: Node) -> None:
            self.name, self.children = name, children

        def hook(self) -> None:
            log.append(self.name)
            for child in self.children:
                pass_on(child.hook)

    class AsyncNode(Node):
        async def hook(self) -> None:  # type: ignore[override]
            super().hook()
            await asyncio.sleep(0)
            log.append(f"{self.name} awaited")

    tree = Node("root", AsyncNode("a", Node("a1", AsyncNode("a11", Node("a111"))), Node("a2")), Node("b"))
    await acall(tree.hook)
    assert log == ["root", "a", "a awaited", "a1", "a11", "a11 awaited", "a111", "a2", "b"]


async def test_hooks_passed_on_by_a_hook_that_then_fails_are_still_called(home: Lane) -> None:
    child = Child()

    async def hook() -> None:
        pass_on(child.blocking)
        raise Boom("afterwards")

    with pytest.raises(Boom, match="afterwards"):
        await acall(hook)
    assert child.names() == ["blocking"]


async def test_when_both_fail_the_second_error_is_kept_with_the_first(home: Lane) -> None:
    async def hook() -> None:
        pass_on(fail, ValueError("second"))
        raise Boom("first")

    with pytest.raises(Boom, match="first") as caught:
        await acall(hook)
    [note] = caught.value.__notes__
    assert "hook, a second error: ValueError: second" in note


async def test_a_failing_child_fails_the_hook_and_those_behind_it_are_not_called(home: Lane) -> None:
    child = Child()

    async def hook() -> None:
        pass_on(fail, Boom("child"))
        pass_on(child.blocking)

    with pytest.raises(Boom, match="child"):
        await acall(hook)
    assert child.log == []


async def test_when_a_hook_is_cancelled_nothing_that_it_passed_on_is_called(home: Lane) -> None:
    child = Child()
    reached = asyncio.Event()

    async def hook() -> None:
        child.pass_all_on()
        reached.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(acall(hook))
    await reached.wait()
    await cancel(task)
    assert child.names() == ["passed on"] * 3


async def test_outside_of_hooks_plain_ones_are_passed_on_at_once_even_on_a_loop() -> None:
    child = Child()
    pass_on(child.blocking)
    pass_on(child.cheap)
    assert child.names() == ["blocking", "cheap"]


def test_outside_of_a_system_an_async_hook_can_not_be_passed_on_to() -> None:
    with pytest.raises(TypeError, match=r"Child\.on_the_loop is async def and can't be called from plain code"):
        pass_on(Child().on_the_loop)


async def test_a_base_hook_that_blocks_is_put_off_when_called_on_the_loop(home: Lane) -> None:
    log: list[tuple[str, int]] = []

    class Base:
        @put_off_on_loop
        def save(self, path: str) -> None:
            """Write."""
            log.append((path, threading.get_ident()))

    class Derived(Base):
        async def save(self, path: str) -> None:  # type: ignore[override]
            super().save(path)
            log.append(("derived", threading.get_ident()))

    on_lane = await home.run(threading.get_ident)
    await acall(Derived().save, "path")
    assert log == [("derived", threading.get_ident()), ("path", on_lane)]
    await acall(Base().save, "again")
    assert log[2:] == [("again", on_lane)]
    Base().save("outside of hooks")
    assert log[3:] == [("outside of hooks", threading.get_ident())]
    assert (Base.save.__name__, Base.save.__doc__) == ("save", "Write.")


# --- call -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["blocking", "on_the_loop", "cheap"])
async def test_from_a_lane_a_childs_hook_of_any_kind_is_called_for_its_value(home: Lane, name: str) -> None:
    child = Child()
    assert await acall(lambda: call(getattr(child, name), "value")) == "value"
    where = threading.get_ident() if name == "on_the_loop" else await home.run(threading.get_ident)
    assert child.log == [(name, where)]


async def test_from_a_lane_a_plain_hook_that_returns_a_coroutine_is_waited_for(home: Lane) -> None:
    child = Child()
    assert await acall(lambda: call(lambda: child.on_the_loop("value"))) == "value"


async def test_on_the_loop_an_async_childs_coroutine_is_handed_on(home: Lane) -> None:
    async def hook() -> object:
        return await call(Child().on_the_loop, "value")

    assert await acall(hook) == "value"


async def test_on_the_loop_a_nonblocking_childs_hook_is_called(home: Lane) -> None:
    assert call(Child().cheap, "value") == "value"


async def test_on_the_loop_of_a_system_a_blocking_child_is_refused(home: Lane) -> None:
    with pytest.raises(BlockingCall, match=r"Child\.blocking is a plain def hook and was called on the event loop"):
        call(Child().blocking)


async def test_outside_of_a_system_a_blocking_child_is_called_even_on_a_loop() -> None:
    assert call(Child().blocking, "value") == "value"


def test_in_plain_code_outside_of_a_system_a_plain_child_is_called() -> None:
    assert call(Child().blocking, "value") == "value"


def test_in_plain_code_outside_of_a_system_an_async_child_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Child\.on_the_loop is async def and can't be called from plain code"):
        call(Child().on_the_loop)


def test_whether_a_thread_runs_a_loop() -> None:
    async def inside() -> bool:
        return on_loop()

    assert asyncio.run(inside())
    assert not on_loop()
