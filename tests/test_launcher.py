"""What users of launch, start and run rely on: order, failures, cancellation, signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import anyio
import pytest

from pamiq_async import (
    Agent,
    EndOfInteraction,
    Environment,
    Interaction,
    LaunchConfig,
    System,
    SystemStatus,
    Trainer,
    launch,
    run,
    start,
    time,
)
from pamiq_async.exceptions import BlockingCall, ComponentInUse, ShutdownTimeout, SystemEnded
from pamiq_async.state_persistence import list_states
from tests.fakes import RUN_HOOKS, Boom, FakeBuffer, FakeModel, Log, fake, fake_interaction


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    return {"states_dir": tmp_path / "states", "web_api_address": None, "shutdown_timeout": 5.0}


async def reasons(config: dict[str, Any]) -> list[str]:
    states = await asyncio.to_thread(list_states, config["states_dir"])
    return [manifest.reason for manifest, _ in states]


def pamiq_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("pamiq")]


# --- The life of a system ---


async def test_hooks_are_called_in_order(log: Log, config: dict[str, Any]) -> None:
    trainers = {"trainer": fake(Trainer, "trainer", log)()}
    async with start(fake_interaction(log), {}, {}, trainers, config) as system:
        await log.seen("trainer.teardown")
        await log.seen("agent.step")
        await system.pause()
        await system.resume()

    assert [name for name in log.names(without=RUN_HOOKS) if not name.startswith("trainer")] == [
        "agent.setup",
        "environment.setup",
        "agent.on_paused",
        "environment.on_paused",
        "agent.on_resumed",
        "environment.on_resumed",
        "agent.teardown",
        "environment.teardown",
        "agent.save_state",
        "environment.save_state",
    ]
    first_training = [n for n in log.names() if n.startswith("trainer")][:5]
    assert first_training == [f"trainer.{h}" for h in ("is_trainable", "setup", "train", "sync_models", "teardown")]


async def test_a_step_is_observe_then_step_then_affect(log: Log, config: dict[str, Any]) -> None:
    interaction = fake_interaction(
        log,
        agent={"step": lambda observation: observation + 1},
        environment={"observe": lambda: 41, "affect": lambda action: actions.append(action)},
    )
    actions: list[int] = []
    async with start(interaction, {}, {}, {}, config):
        await log.seen("environment.affect")
    assert log.names(without=("setup", "teardown", "save_state"))[:3] == [
        "environment.observe",
        "agent.step",
        "environment.affect",
    ]
    assert set(actions) == {42}


async def test_end_of_interaction_is_a_normal_end(log: Log, config: dict[str, Any]) -> None:
    def end(_: Any) -> None:
        raise EndOfInteraction("the tape is over")

    await launch(fake_interaction(log, environment={"affect": end}), {}, {}, {}, config)
    assert log.count("environment.affect") == 1
    assert log.names()[-4:] == [
        "agent.teardown",
        "environment.teardown",
        "agent.save_state",
        "environment.save_state",
    ]
    assert await reasons(config) == ["shutdown"]


async def test_end_of_interaction_in_setup_is_a_normal_end(log: Log, config: dict[str, Any]) -> None:
    def end() -> None:
        raise EndOfInteraction

    await launch(fake_interaction(log, environment={"setup": end}), {}, {}, {}, config)
    assert log.names() == ["agent.setup", "environment.setup", "agent.teardown"]


async def test_max_uptime_ends_the_system(log: Log, config: dict[str, Any]) -> None:
    await launch(fake_interaction(log), {}, {}, {}, {**config, "max_uptime": 0.05})
    assert await reasons(config) == ["shutdown"]


async def test_the_agent_gets_what_the_trainer_learnt(config: dict[str, Any]) -> None:
    seen: list[int] = []

    class Watching(Agent[int, int]):
        def on_inference_models_attached(self) -> None:
            self.model = self.get_inference_model("model")

        def on_data_collectors_attached(self) -> None:
            self.collector = self.get_data_collector("buffer")

        def step(self, observation: int) -> int:
            self.collector.collect({"observation": observation})
            seen.append(self.model())
            if seen[-1] >= 3:
                raise EndOfInteraction
            return 0

    class Counting(Trainer):
        def __init__(self) -> None:
            super().__init__("buffer", 2, 2)

        def on_training_models_attached(self) -> None:
            self.model = self.get_training_model("model")

        def train(self) -> None:
            self.model.value += 1

    class Still(Environment[int, int]):
        def observe(self) -> int:
            return 0

        def affect(self, action: int) -> None:
            pass

    buffer = FakeBuffer()
    await launch(Interaction(Watching(), Still()), {"model": FakeModel()}, {"buffer": buffer}, {"t": Counting()}, config)
    assert sorted(seen) == seen
    assert buffer.items[0] == {"observation": 0}


# --- Threads ---


@pytest.mark.parametrize("async_hooks", [False, True])
async def test_def_hooks_of_a_role_share_one_thread_and_async_ones_the_loop(
    log: Log, config: dict[str, Any], async_hooks: bool
) -> None:
    trainers = {
        "a": fake(Trainer, "trainer", log, async_hooks=async_hooks)(),
        "b": fake(Trainer, "trainer", log, async_hooks=async_hooks)(),
    }
    hooks = {"async_hooks": async_hooks}
    for saved_state_path in (None, "latest"):
        interaction = fake_interaction(log, agent=hooks, environment=hooks)
        async with start(interaction, {}, {}, trainers, {**config, "saved_state_path": saved_state_path}) as system:
            await log.seen_again("trainer.teardown", 2)
            await log.seen_again("agent.step", 2)
            await system.pause()
            await system.save_state()
            await system.resume()
        expected = {threading.get_ident()} if async_hooks else log.threads("agent")
        assert log.threads("agent") == log.threads("environment") == expected
        assert len(log.threads("trainer")) == 1
        assert (threading.get_ident() in log.threads("trainer")) is async_hooks
        assert "agent.load_state" in log.names() or saved_state_path is None
        log.calls.clear()


async def test_a_component_can_keep_an_sqlite_connection(config: dict[str, Any], tmp_path: Path) -> None:
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Diary(Environment[int, int]):
        """sqlite3 refuses a connection that is used on another thread than the one that made it."""

        def setup(self) -> None:
            self.connection = sqlite3.connect(tmp_path / "diary.db")
            self.connection.execute("create table if not exists steps (id integer primary key)")

        def observe(self) -> int:
            return int(self.connection.execute("select count(*) from steps").fetchone()[0])

        def affect(self, action: int) -> None:
            self.connection.execute("insert into steps default values")
            if action >= 3:
                loop.call_soon_threadsafe(done.set)

        def on_paused(self) -> None:
            self.connection.commit()

        def save_state(self, path: Path) -> None:
            if self.connection is not None:
                with sqlite3.connect(path) as copy:
                    self.connection.backup(copy)
                copy.close()

        def teardown(self) -> None:
            self.connection.commit()
            self.connection.close()
            self.connection = None

    class Echo(Agent[int, int]):
        def step(self, observation: int) -> int:
            return observation

    async with start(Interaction(Echo(), Diary()), {}, {}, {}, config) as system:
        await done.wait()
        await system.pause()
        state = await system.save_state()
        await system.resume()
    copy = anyio.Path(state / "interaction" / "environment")
    assert (await copy.stat()).st_size > 0


# --- Failures ---

INTERACTION_HOOKS = ["setup", "step", "on_paused", "on_resumed", "save_state", "teardown"]
ENVIRONMENT_HOOKS = ["setup", "observe", "affect", "on_paused", "on_resumed", "save_state", "teardown"]
TRAINER_HOOKS = ["is_trainable", "setup", "train", "sync_models", "teardown", "on_paused", "on_resumed", "save_state"]
FAILURES = [
    *(("agent", hook) for hook in INTERACTION_HOOKS),
    *(("environment", hook) for hook in ENVIRONMENT_HOOKS),
    *(("trainer", hook) for hook in TRAINER_HOOKS),
]


@pytest.mark.parametrize("async_hooks", [False, True], ids=["def", "async def"])
@pytest.mark.parametrize(("component", "hook"), FAILURES, ids=lambda value: value)
async def test_an_error_in_any_hook_leaves_launch_as_itself(
    log: Log, config: dict[str, Any], component: str, hook: str, async_hooks: bool
) -> None:
    options: dict[str, dict[str, Any]] = {
        name: {"async_hooks": async_hooks, "fails_in": hook if name == component else None}
        for name in ("agent", "environment", "trainer")
    }
    trainer = fake(Trainer, "trainer", log, **options["trainer"])()
    interaction = fake_interaction(log, agent=options["agent"], environment=options["environment"])

    async def use(system: System) -> None:
        with contextlib.suppress(SystemEnded):
            await log.seen("environment.affect")
            await log.seen("trainer.teardown")
            await system.pause()
            await system.resume()
            system.request_shutdown()

    with pytest.raises(Boom) as caught:
        async with start(interaction, {}, {}, {"trainer": trainer}, config) as system:
            async with cancelled_at_end(use(system)):
                await system.wait()

    assert str(caught.value) == f"{component}.{hook}"
    assert pamiq_threads() == []
    torn_down = {
        name: log.count(f"{name}.teardown") for name in ("agent", "environment")
    }
    if hook == "setup" and component != "trainer":
        assert torn_down == {"agent": component == "environment", "environment": 0}
        assert await reasons(config) == []
    else:
        assert torn_down == {"agent": 1, "environment": 1}
        assert await reasons(config) == ([] if hook == "save_state" else ["error"])


@contextlib.asynccontextmanager
async def cancelled_at_end(coroutine: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a coroutine beside the block."""
    task = asyncio.create_task(coroutine)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
