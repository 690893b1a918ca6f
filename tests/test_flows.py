"""Chains of hooks give what the plain chain gives, with as few trips to the lane as can be."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pamiq_async.flows import Flow, Together, at_the_same_time, flows_through, one_at_a_time
from pamiq_async.hooks import Hook, Lane, home_lane, nonblocking


class CountingLane(Lane):
    """Counts the trips to it."""

    def __init__(self) -> None:
        super().__init__("pamiq-test")
        self.trips = 0

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        self.trips += 1
        return await super().run(function, *args)


@pytest.fixture
async def lane() -> AsyncIterator[CountingLane]:
    """The lane of the role as whose task the test runs."""
    lane = CountingLane()
    home_lane.set(lane)
    lane.start()
    yield lane
    await lane.close()


class Boom(Exception):
    """What fails on purpose."""


# --- Any nesting ----------------------------------------------------------------------------------


class Leaf(NamedTuple):
    """A hook; its value is its number and what it was given."""

    kind: str
    number: int

    def value(self, *args: Any) -> Any:
        return (self.number, *args)

    def stage(self, threads: list[tuple[str, int]]) -> Hook:
        def plain(*args: Any) -> Any:
            threads.append((self.kind, threading.get_ident()))
            return self.value(*args)

        async def on_the_loop(*args: Any) -> Any:
            await asyncio.sleep(0)
            return plain(*args)

        return {"def": plain, "async def": on_the_loop, "nonblocking": nonblocking(lambda *args: plain(*args))}[
            self.kind
        ]

    @property
    def blocking(self) -> bool:
        return self.kind == "def"

    def flat(self) -> list[Node]:
        return [self]


class Split(Leaf):
    """A hook whose value is a mapping, for parts that get an item each."""

    def value(self, *args: Any) -> Any:
        return {name: (self.number, name, *args) for name in "abc"}


class Chain(NamedTuple):
    """A composite's hook that flows through its children."""

    nodes: list[Node]

    def value(self, *args: Any) -> Any:
        for node in self.nodes:
            args = (node.value(*args),)
        return args[0]

    def stage(self, threads: list[tuple[str, int]]) -> Hook:
        return Composite([node.stage(threads) for node in self.nodes]).hook

    def flat(self) -> list[Node]:
        return [leaf for node in self.nodes for leaf in node.flat()]

    @property
    def blocking(self) -> bool:
        return all(node.blocking for node in self.flat())

    def trips(self) -> int:
        trips, on_lane = 0, False
        for node in self.flat():
            trips += node.blocking and not on_lane
            trips += node.trips() if isinstance(node, Parallel) and not node.blocking else 0
            on_lane = node.blocking
        return trips


class Parallel(NamedTuple):
    """Chains that run at the same time."""

    chains: dict[str, Chain]
    spread: bool

    def value(self, *args: Any) -> Any:
        return {name: chain.value(*((args[0][name],) if self.spread else ())) for name, chain in self.chains.items()}

    def stage(self, threads: list[tuple[str, int]]) -> Together:
        chains = {name: [node.stage(threads) for node in chain.nodes] for name, chain in self.chains.items()}
        return Together(chains, spread=self.spread)

    def flat(self) -> list[Node]:
        return [self]

    @property
    def blocking(self) -> bool:
        return all(chain.blocking for chain in self.chains.values())

    def trips(self) -> int:
        """The blocking chains share one; the others make their own."""
        mixed = [chain.trips() for chain in self.chains.values() if not chain.blocking]
        return sum(mixed) + (len(mixed) < len(self.chains))


Node = Leaf | Chain | Parallel


class Composite:
    def __init__(self, stages: list[Hook | Together]) -> None:
        self.stages = stages

    @flows_through(lambda self: self.stages)
    def hook(self, *args: Any) -> Any:
        pytest.fail("a flow goes to the children's hooks")


def chains(*kinds: str) -> st.SearchStrategy[Chain]:
    leaves = st.builds(Leaf, st.sampled_from(kinds), st.integers(0, 9))

    def composites(nodes: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        chains = st.lists(nodes, min_size=1, max_size=4).map(Chain)
        by_name = st.dictionaries(st.sampled_from("abc"), chains, max_size=3)
        spread = st.tuples(leaves, by_name).map(lambda t: Chain([Split(*t[0]), Parallel(t[1], spread=True)]))
        return chains | by_name.map(lambda chains: Parallel(chains, spread=False)) | spread

    return st.lists(st.recursive(leaves, composites, max_leaves=12), min_size=1, max_size=5).map(Chain)


CHAINS = chains("def", "async def", "nonblocking")
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


async def run_flow(chain: Chain) -> tuple[Any, int, list[tuple[str, int]], int]:
    threads: list[tuple[str, int]] = []
    flow = Flow([node.stage(threads) for node in chain.nodes])
    assert flow.blocking == chain.blocking
    lane = CountingLane()
    home_lane.set(lane)
    lane.start()
    try:
        value = await flow.arun("start")
        trips = lane.trips
        return value, trips, threads, await lane.run(threading.get_ident)
    finally:
        await lane.close()


@UNHURRIED
@given(CHAINS)
def test_any_nesting_gives_the_value_of_the_plain_chain(chain: Chain) -> None:
    value, *_ = asyncio.run(run_flow(chain))
    assert value == chain.value("start")


@UNHURRIED
@given(CHAINS)
def test_there_is_one_trip_to_the_lane_for_each_run_of_neighbouring_blocking_hooks(chain: Chain) -> None:
    _, trips, threads, on_lane = asyncio.run(run_flow(chain))
    assert trips == chain.trips()
    for kind, thread in threads:
        assert thread == (on_lane if kind == "def" else threading.get_ident())


@UNHURRIED
@given(chains("def"))
def test_a_blocking_chain_can_be_run_as_plain_code(chain: Chain) -> None:
    flow = Flow([node.stage([]) for node in chain.nodes])
    assert flow.run("start") == chain.value("start")


# --- Chains ---------------------------------------------------------------------------------------


async def test_outside_of_a_system_a_chain_runs_too() -> None:
    async def double(value: int) -> int:
        return value * 2

    assert await Flow([abs, double, str]).arun(-4) == "8"


async def test_the_first_hook_takes_what_the_chain_is_given(lane: CountingLane) -> None:
    assert await Flow([divmod, sum]).arun(7, 2) == 4
    assert await Flow([lambda: "nothing"]).arun() == "nothing"


async def test_an_error_ends_the_chain_and_is_raised_as_itself(lane: CountingLane) -> None:
    error = Boom("it")

    async def broken(_: object) -> None:
        raise error

    with pytest.raises(Boom) as caught:
        await Flow([abs, broken, pytest.fail]).arun(1)
    assert caught.value is error


def test_an_override_without_stages_of_its_own_is_a_hook_like_any_other() -> None:
    class Overriding(Composite):
        def hook(self, *args: Any) -> Any:
            return "overridden", *args

    assert Flow([Overriding([]).hook]).run(1) == ("overridden", 1)


# --- At the same time -----------------------------------------------------------------------------


async def test_async_chains_run_at_the_same_time_as_each_other_and_as_the_blocking_ones(lane: CountingLane) -> None:
    met = asyncio.Barrier(3)
    loop = asyncio.get_running_loop()

    async def meet() -> str:
        await met.wait()
        return "met"

    def meet_from_the_lane() -> str:
        return asyncio.run_coroutine_threadsafe(meet(), loop).result(20)

    together = Together({"a": [meet], "b": [meet_from_the_lane], "c": [meet]}, spread=False)
    assert await Flow([together]).arun() == {"a": "met", "b": "met", "c": "met"}


async def test_values_come_in_the_order_of_the_names_whatever_ends_first(lane: CountingLane) -> None:
    async def slow() -> None:
        await asyncio.sleep(0)

    together = Together({"slow": [slow], "blocking": [int], "cheap": [nonblocking(lambda: 1)]}, spread=False)
    assert list(await Flow([together]).arun()) == ["slow", "blocking", "cheap"]


async def test_blocking_chains_run_in_order(lane: CountingLane) -> None:
    order: list[str] = []

    async def other() -> None: ...

    chains = {name: [lambda n=name: order.append(n)] for name in "cab"}
    await Flow([Together({**chains, "other": [other]}, spread=False)]).arun()
    assert order == ["c", "a", "b"]


@pytest.mark.parametrize("blocking", [True, False])
async def test_a_mapping_without_an_item_for_a_chain_is_a_key_error(lane: CountingLane, blocking: bool) -> None:
    async def asynchronous(_: object) -> None: ...

    together = Together({"arm": [abs if blocking else asynchronous]}, spread=True)
    with pytest.raises(KeyError, match="arm"):
        await Flow([together]).arun({"leg": 1})


async def test_the_first_error_cancels_the_others_and_is_raised_as_itself() -> None:
    error, cause = Boom("first"), ValueError("its cause")
    cancelled: list[str] = []

    async def broken() -> None:
        raise error from cause

    async def waiting() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append("waiting")
            raise

    with pytest.raises(Boom) as caught:
        await at_the_same_time([waiting(), broken()])
    assert caught.value is error
    assert caught.value.__cause__ is cause
    assert cancelled == ["waiting"]


async def test_a_second_error_at_the_same_time_is_kept_with_the_first() -> None:
    async def broken(name: str) -> None:
        raise Boom(name)

    with pytest.raises(Boom, match="first") as caught:
        await at_the_same_time([broken("first"), broken("second")])
    assert caught.value.__notes__ == ["at the same time, a second error: Boom: second"]


async def test_an_error_on_the_lane_cancels_the_others(lane: CountingLane) -> None:
    def broken() -> None:
        raise Boom("on the lane")

    together = Together({"a": [asyncio.Event().wait], "b": [broken]}, spread=False)
    with pytest.raises(Boom, match="on the lane"):
        await Flow([together]).arun()


@pytest.mark.parametrize("others", [0, 1])
async def test_one_that_was_cancelled_by_itself_is_no_normal_end(others: int) -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    async def fine() -> None: ...

    with pytest.raises(asyncio.CancelledError):
        await at_the_same_time([cancelled(), *(fine() for _ in range(others))])


async def test_when_the_caller_is_cancelled_all_are() -> None:
    cancelled: list[str] = []
    started = asyncio.Barrier(3)

    async def waiting(name: str) -> None:
        await started.wait()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(name)

    task = asyncio.create_task(at_the_same_time([waiting("a"), waiting("b")]))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(cancelled) == ["a", "b"]


async def test_one_alone_runs_in_the_callers_task() -> None:
    async def which() -> None:
        tasks.append(asyncio.current_task())

    tasks: list[asyncio.Task[Any] | None] = []
    await at_the_same_time([which()])
    assert tasks == [asyncio.current_task()]


async def test_tasks_that_run_at_the_same_time_are_known_as_the_roles(lane: CountingLane) -> None:
    async def is_known() -> bool:
        return asyncio.current_task() in lane.helpers

    together = Together({"a": [is_known], "b": [is_known]}, spread=False)
    assert await Flow([together]).arun() == {"a": True, "b": True}
    await asyncio.sleep(0)
    assert not lane.helpers


async def test_where_the_order_matters_they_run_one_after_another() -> None:
    log: list[str] = []

    async def part(name: str) -> None:
        log.append(f"{name} begins")
        await asyncio.sleep(0)
        log.append(f"{name} ends")

    one_at_a_time.set(True)
    await at_the_same_time([part("a"), part("b")])
    assert log == ["a begins", "a ends", "b begins", "b ends"]


async def test_one_after_another_an_error_keeps_the_rest_from_starting() -> None:
    async def broken() -> None:
        raise Boom("it")

    one_at_a_time.set(True)
    with pytest.raises(Boom):
        await at_the_same_time([broken(), asyncio.sleep(0, pytest.fail)])
