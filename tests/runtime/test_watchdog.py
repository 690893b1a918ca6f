"""The loop is held here until the watchdog has had a good look, however fast the machine is."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pamiq_async import Agent, Environment, Interaction, Trainer, nonblocking, start
from pamiq_async.hooks import loop_watch
from pamiq_async.runtime.watchdog import Watchdog
from tests.fakes import Log, fake, fake_interaction

GLANCES = 6
"""So many, 20 ms apart, take longer than a hook may hold the loop."""


class Watching(Watchdog):
    """Counts its glances, and those since it asked the loop for an answer."""

    glances = 0

    def _glance(self) -> None:
        super()._glance()
        self.glances += 1

    def has_stared(self) -> bool:
        return self._is_asked and self._sight.glances >= GLANCES

    def has_asked(self) -> bool:
        return self._is_asked


@contextlib.contextmanager
def about_to_call_hooks(watchdog: Watchdog) -> Iterator[None]:
    """Within the block the current task is one of the watchdog's system."""
    token = loop_watch.set(watchdog)
    try:
        with watchdog:
            yield
    finally:
        loop_watch.reset(token)


def hold_loop(until: Callable[[], bool]) -> None:
    deadline = time.perf_counter() + 10.0
    while not until():
        assert time.perf_counter() < deadline, "the watchdog does not look"


class Holding(Agent[Callable[[], bool], None]):
    """Holds the loop until what it observes says that it may go on."""

    async def step(self, observation: Callable[[], bool]) -> None:
        hold_loop(observation)


@pytest.fixture
async def watchdog() -> AsyncIterator[Watching]:
    watchdog = Watching()
    yield watchdog
    await watchdog.close()


async def test_a_hook_that_holds_the_loop_is_named_once(watchdog: Watching, caplog: pytest.LogCaptureFixture) -> None:
    with about_to_call_hooks(watchdog):
        for _ in range(2):
            await Holding().step(watchdog.has_stared)
            await asyncio.sleep(0)  # the loop answers
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("Holding.step held the event loop for ")


async def test_a_hook_that_lets_the_loop_turn_is_not_named(
    watchdog: Watching, caplog: pytest.LogCaptureFixture
) -> None:
    with about_to_call_hooks(watchdog):
        for _ in range(3):
            await Holding().step(watchdog.has_asked)
            await asyncio.sleep(0)
            assert not watchdog.has_asked(), "the loop has answered"
    assert not caplog.records


async def test_other_code_that_holds_the_loop_is_not_named(
    watchdog: Watching, caplog: pytest.LogCaptureFixture
) -> None:
    with about_to_call_hooks(watchdog):
        hold_loop(lambda: watchdog.glances >= GLANCES)
        await asyncio.sleep(0)
    assert not caplog.records


async def test_a_hook_is_not_named_for_what_comes_after_it(
    watchdog: Watching, caplog: pytest.LogCaptureFixture
) -> None:
    with about_to_call_hooks(watchdog):
        await Holding().step(watchdog.has_asked)
        hold_loop(watchdog.has_stared)
        await asyncio.sleep(0)
    assert not caplog.records


async def test_each_of_two_hooks_is_named_for_its_own_time(
    watchdog: Watching, caplog: pytest.LogCaptureFixture
) -> None:
    class Second(Holding):
        async def step(self, observation: Callable[[], bool]) -> None:
            hold_loop(observation)

    with about_to_call_hooks(watchdog):
        await Holding().step(watchdog.has_stared)
        await Second().step(lambda: watchdog.has_stared() and watchdog._sight.hook != "Holding.step")
        await asyncio.sleep(0)
    named = [record.getMessage().partition(" held")[0] for record in caplog.records]
    assert [name.rpartition("<locals>.")[2] for name in named] == ["Holding.step", "Second.step"]


async def test_a_hook_that_was_seen_once_is_not_named(watchdog: Watching, caplog: pytest.LogCaptureFixture) -> None:
    # As when another thread keeps the interpreter for itself: nobody knows what the loop did meanwhile.
    watchdog._sight = watchdog._sight._replace(hook="Holding.step", since=-math.inf)
    watchdog._answer()
    assert not caplog.records


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks do not tell their context")
async def test_a_hook_of_another_system_on_the_loop_is_not_named(
    watchdog: Watching, caplog: pytest.LogCaptureFixture
) -> None:
    other = Watching()
    try:
        with about_to_call_hooks(other), about_to_call_hooks(watchdog):
            await Holding().step(lambda: watchdog.has_stared() and other.glances >= GLANCES)
            await asyncio.sleep(0)
    finally:
        await other.close()
    assert watchdog._told == {"Holding.step"}
    assert other._told == set()
    assert len(caplog.records) == 1


async def test_its_own_fault_is_logged_and_ends_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    class Faulty(Watching):
        def _glance(self) -> None:
            raise ZeroDivisionError

    watchdog = Faulty()
    with about_to_call_hooks(watchdog):
        pass
    with about_to_call_hooks(watchdog):
        hold_loop(lambda: bool(caplog.records))
    await watchdog.close()
    [record] = caplog.records
    assert record.levelname == "ERROR"
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError


async def test_it_rests_while_no_hook_is_on_the_loop(watchdog: Watching) -> None:
    with about_to_call_hooks(watchdog):
        hold_loop(lambda: watchdog.glances > 0)
    hold_loop(lambda: not watchdog._entered.is_set())  # it waits for the next one to enter
    before = watchdog.glances
    with about_to_call_hooks(watchdog):
        hold_loop(lambda: watchdog.glances > before)


async def test_closed_it_watches_no_more() -> None:
    watchdog = Watching()
    await watchdog.close()
    with about_to_call_hooks(watchdog):
        assert "pamiq-watchdog" not in thread_names()


# --- In a system ------------------------------------------------------------------------------------------


@pytest.fixture
def held_long_enough(monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    watching: list[Watching] = []

    def make() -> Watching:
        watching.append(Watching())
        return watching[-1]

    monkeypatch.setattr("pamiq_async.runtime.system.Watchdog", make)
    return lambda: watching[-1].has_stared()


class Sluggish(Agent[Any, Any]):
    """Holds the loop the first time that one of its hooks is called."""

    def __init__(self, slow_hook: str, until: Callable[[], bool], log: Log) -> None:
        super().__init__()
        self.slow_hook, self.until, self.log = slow_hook, until, log

    def enter(self, hook: str) -> None:
        self.log.add("agent", hook)
        if hook == self.slow_hook and self.log.count(f"agent.{hook}") == 1:
            hold_loop(self.until)

    async def setup(self) -> None:
        self.enter("setup")

    async def step(self, observation: Any) -> None:
        self.enter("step")

    async def on_paused(self) -> None:
        self.enter("on_paused")

    async def on_resumed(self) -> None:
        self.enter("on_resumed")

    async def save_state(self, path: Path) -> None:
        self.enter("save_state")

    async def teardown(self) -> None:
        self.enter("teardown")


@pytest.mark.parametrize("hook", ["setup", "step", "on_paused", "on_resumed", "save_state", "teardown"])
async def test_an_async_def_hook_of_an_agent_is_watched(
    hook: str, held_long_enough: Callable[[], bool], log: Log, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    agent = Sluggish(hook, held_long_enough, log)
    interaction = Interaction(agent, fake(Environment, "environment", log)())
    async with start(interaction, {}, {}, {}, config) as system:
        await log.seen("agent.step", 2)
        await system.pause()
        await system.resume()
    assert f"Sluggish.{hook} held the event loop" in caplog.text


async def test_a_nonblocking_hook_is_watched(
    held_long_enough: Callable[[], bool], log: Log, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    class Quick(Agent[Any, Any]):
        @nonblocking
        def step(self, observation: Any) -> None:
            log.add("agent", "step")
            if log.count("agent.step") == 1:
                hold_loop(held_long_enough)

    interaction = Interaction(Quick(), fake(Environment, "environment", log)())
    async with start(interaction, {}, {}, {}, config):
        await log.seen("agent.step", 2)
    assert "Quick.step held the event loop" in caplog.text


async def test_a_hook_that_a_plain_def_step_reaches_is_watched(
    held_long_enough: Callable[[], bool], log: Log, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    class Around(Interaction[Any, Any]):
        def step(self) -> None:
            super().step()

    interaction = Around(Sluggish("step", held_long_enough, log), fake(Environment, "environment", log)())
    async with start(interaction, {}, {}, {}, config):
        await log.seen("agent.step", 2)
    assert "Sluggish.step held the event loop" in caplog.text


async def test_an_async_def_training_is_watched(
    held_long_enough: Callable[[], bool], log: Log, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    class Learning(Trainer):
        async def train(self) -> None:
            log.add("trainer", "train")
            if log.count("trainer.train") == 1:
                hold_loop(held_long_enough)
            await asyncio.sleep(0)

    async with start(fake_interaction(log), {}, {}, {"trainer": Learning()}, config):
        await log.seen("trainer.train", 2)
    assert "Learning.train held the event loop" in caplog.text


async def test_where_all_hooks_are_plain_def_there_is_no_watchdog(log: Log, config: dict[str, Any]) -> None:
    async with start(fake_interaction(log), {}, {}, {}, config):
        await log.seen("agent.step")
        assert "pamiq-watchdog" not in thread_names()


def thread_names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}
