"""What users of launch, start and run rely on: order, failures, cancellation, signals."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
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
    pause_point,
    run,
    start,
    time,
)
from pamiq_async.exceptions import (
    BlockingCall,
    ComponentInUse,
    PauseTimeout,
    ShutdownTimeout,
    StatesDirLocked,
    StatesDirUnusable,
    SystemEnded,
)
from pamiq_async.state_persistence import list_states, verify
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
    names = {"pamiq-inference", "pamiq-training", "pamiq-policies"}
    return [thread.name for thread in threading.enumerate() if thread.name in names]


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
    await launch(
        Interaction(Watching(), Still()), {"model": FakeModel()}, {"buffer": buffer}, {"t": Counting()}, config
    )
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
        log.clear()


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
        async with start(interaction, {}, {}, {"trainer": trainer}, config) as system, beside(use(system)):
            await system.wait()

    assert str(caught.value) == f"{component}.{hook}"
    assert pamiq_threads() == []
    torn_down = {name: log.count(f"{name}.teardown") for name in ("agent", "environment")}
    if hook == "setup" and component != "trainer":
        assert torn_down == {"agent": component == "environment", "environment": 0}
        assert await reasons(config) == []
    else:
        assert torn_down == {"agent": 1, "environment": 1}
        assert await reasons(config) == ([] if hook == "save_state" else ["error"])


@contextlib.asynccontextmanager
async def beside(coroutine: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a coroutine at the same time as the block, at most until its end."""
    task = asyncio.create_task(coroutine)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_a_child_that_fails_in_setup_has_what_was_set_up_torn_down_and_nothing_else(
    log: Log, config: dict[str, Any]
) -> None:
    children = {
        "first": fake(Agent, "first", log)(),
        "second": fake(Agent, "second", log, fails_in="setup")(),
        "third": fake(Agent, "third", log)(),
    }
    parent = fake(Agent, "parent", log)(children)
    interaction = Interaction(parent, fake(Environment, "environment", log)())
    with pytest.raises(Boom, match=r"second\.setup"):
        await launch(interaction, {}, {}, {}, config)
    assert log.names() == ["parent.setup", "first.setup", "second.setup", "first.teardown"]


async def test_a_second_error_while_shutting_down_is_attached(log: Log, config: dict[str, Any]) -> None:
    interaction = fake_interaction(log, agent={"fails_in": "step"}, environment={"fails_in": "teardown"})
    with pytest.raises(Boom, match=r"agent\.step") as caught:
        await launch(interaction, {}, {}, {}, config)
    assert any("environment.teardown" in note for note in caught.value.__notes__)


async def test_an_error_in_the_block_is_raised_and_the_systems_own_is_attached(
    log: Log, config: dict[str, Any]
) -> None:
    with pytest.raises(KeyError) as caught:
        async with start(fake_interaction(log, agent={"fails_in": "teardown"}), {}, {}, {}, config):
            raise KeyError("of the user's own")
    assert "agent.teardown" in caught.value.__notes__[0]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=lambda e: type(e).__name__)
async def test_even_an_exit_in_a_hook_ends_in_order(log: Log, config: dict[str, Any], error: BaseException) -> None:
    def leave(_: Any) -> None:
        raise error

    with pytest.raises(type(error)):
        await launch(fake_interaction(log, agent={"step": leave}), {}, {}, {}, config)
    assert await reasons(config) == ["error"]


async def test_stop_iteration_in_a_hook_is_an_error_that_says_what_to_raise(log: Log, config: dict[str, Any]) -> None:
    tape = iter([1, 2])
    interaction = fake_interaction(log, environment={"observe": lambda: next(tape)})
    with pytest.raises(RuntimeError, match="EndOfInteraction"):
        await launch(interaction, {}, {}, {}, config)


async def test_a_hook_that_raises_cancelled_error_by_itself_is_an_error(log: Log, config: dict[str, Any]) -> None:
    def cancelled() -> None:
        raise asyncio.CancelledError

    interaction = fake_interaction(log, environment={"observe": cancelled, "async_hooks": True})
    with pytest.raises(RuntimeError, match="CancelledError"):
        await launch(interaction, {}, {}, {}, config)


async def test_a_save_that_fails_while_running_is_reported_and_the_agent_goes_on(
    log: Log, config: dict[str, Any]
) -> None:
    fails = True

    def save(path: Path) -> None:
        if fails:
            raise Boom("disk full")
        path.write_text("fine")

    async with start(fake_interaction(log, agent={"save_state": save}), {}, {}, {}, config) as system:
        with pytest.raises(Boom, match="disk full"):
            await system.save_state()
        assert system.status is SystemStatus.ACTIVE
        await log.seen_again("agent.step", 2)
        fails = False
        path = await system.save_state()
    assert await (anyio.Path(path) / "interaction" / "agent").read_text() == "fine"
    hidden = [p async for p in anyio.Path(config["states_dir"]).glob(".draft*")]
    assert hidden == []


# --- Cancellation ---


async def test_cancelling_launch_ends_in_order(log: Log, config: dict[str, Any]) -> None:
    task = asyncio.create_task(launch(fake_interaction(log), {}, {}, {}, config))
    await log.seen("agent.step", 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log.names()[-2:] == ["agent.save_state", "environment.save_state"]
    assert await reasons(config) == ["shutdown"]
    assert pamiq_threads() == []


async def test_cancelling_launch_before_it_runs(log: Log, config: dict[str, Any]) -> None:
    task = asyncio.create_task(launch(fake_interaction(log), {}, {}, {}, config))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log.names() == []


@pytest.mark.parametrize("async_hooks", [False, True], ids=["def", "async def"])
@pytest.mark.parametrize("hook", ["setup", "on_paused", "save_state", "teardown", "load_state"])
async def test_cancelling_launch_twice_while_a_hook_runs(
    log: Log, config: dict[str, Any], hook: str, async_hooks: bool
) -> None:
    if hook == "load_state":
        async with start(fake_interaction(Log()), {}, {}, {}, config):
            pass
        config["saved_state_path"] = "latest"
    entered, leave = threading.Event(), threading.Event()

    def wait(*_: Any) -> None:
        entered.set()
        leave.wait(10)

    # The hook of the agent may be async def; what it waits for runs on the lane.
    interaction = fake_interaction(log, agent={hook: wait} if not async_hooks else {}, environment={})
    if async_hooks:
        aentered, aleave = asyncio.Event(), asyncio.Event()

        async def await_(self: Any, *_: Any) -> None:
            aentered.set()
            await aleave.wait()

        setattr(type(interaction.agent), hook, await_)

    async def use() -> None:
        async with start(interaction, {}, {}, {}, config) as system:
            await log.seen("agent.step")
            if hook in ("on_paused", "save_state"):
                await system.save_state()

    task = asyncio.create_task(use())
    await (aentered.wait() if async_hooks else asyncio.to_thread(entered.wait, 10))
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    (aleave if async_hooks else leave).set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pamiq_threads() == []
    assert [p async for p in anyio.Path(config["states_dir"]).glob(".draft*")] == []
    for _, state in await asyncio.to_thread(list_states, config["states_dir"]):
        await asyncio.to_thread(verify, state)


async def test_an_anyio_scope_that_is_cancelled_waits_for_the_end(log: Log, config: dict[str, Any]) -> None:
    with anyio.CancelScope() as scope:
        async with start(fake_interaction(log), {}, {}, {}, config):
            await log.seen("agent.step")
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert await reasons(config) == ["shutdown"]


async def test_a_timeout_around_shutdown_does_not_stop_the_shutdown(log: Log, config: dict[str, Any]) -> None:
    leave = threading.Event()
    system = await start(fake_interaction(log, agent={"teardown": lambda: leave.wait(10)}), {}, {}, {}, config)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await system.shutdown()
    leave.set()
    await system.wait()
    assert system.status is SystemStatus.ENDED


def test_the_end_of_the_loop_ends_a_forgotten_system(log: Log, config: dict[str, Any]) -> None:
    async def forget() -> None:
        await start(fake_interaction(log), {}, {}, {}, config)
        await log.seen("agent.step")

    asyncio.run(forget())
    assert log.names()[-1] == "environment.save_state"
    assert [m.reason for m, _ in list_states(config["states_dir"])] == ["shutdown"]


# --- Compute that hangs ---


def hanging_in_step(log: Log, leave: threading.Event) -> Interaction[Any, Any]:
    class Hanging(Agent[Any, Any]):
        def step(self, observation: Any) -> None:
            log.add("agent", "step")
            leave.wait(20)

        def teardown(self) -> None:
            log.add("agent", "teardown")

    return Interaction(Hanging(), fake(Environment, "environment", log)())


async def test_a_thread_that_hangs_is_given_up_and_no_state_is_passed_off_as_whole(
    log: Log, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    leave = threading.Event()
    interaction = hanging_in_step(log, leave)
    with pytest.raises(ShutdownTimeout, match=r"inference .*\.Hanging\.step"):
        async with start(interaction, {}, {}, {}, {**config, "shutdown_timeout": 0.05}):
            await log.seen("agent.step")
    assert await reasons(config) == []
    assert "leave.wait(20)" in caplog.text, "the stack shows where it hangs"
    assert log.count("agent.teardown") == 0
    leave.set()  # for the test's own sake: the thread ends


async def test_an_async_hook_that_hangs_is_cancelled_and_the_state_saved(log: Log, config: dict[str, Any]) -> None:
    async def observe(self: Any) -> None:
        log.add("environment", "observe")
        await asyncio.Event().wait()

    interaction = fake_interaction(log)
    type(interaction.environment).observe = observe
    async with start(interaction, {}, {}, {}, {**config, "shutdown_timeout": 0.05}):
        await log.seen("environment.observe")
    assert log.count("environment.teardown") == 1
    assert await reasons(config) == ["shutdown"]


async def test_a_hook_that_hangs_in_setup_is_given_up(log: Log, config: dict[str, Any]) -> None:
    leave = threading.Event()

    class Hanging(Agent[Any, Any]):
        def setup(self) -> None:
            log.add("agent", "setup")
            leave.wait(20)

        def step(self, observation: Any) -> None: ...

    interaction = Interaction(Hanging(), fake(Environment, "environment", log)())
    starting = start(interaction, {}, {}, {}, {**config, "shutdown_timeout": 0.05})
    task = asyncio.ensure_future(starting._start())
    await log.seen("agent.setup")
    starting.system.request_shutdown()
    with pytest.raises(ShutdownTimeout, match=r"\.Hanging\.setup"):
        await task
    leave.set()


# --- Pausing ---


async def test_time_and_steps_stand_still_while_paused(log: Log, config: dict[str, Any]) -> None:
    async with start(fake_interaction(log), {}, {}, {}, config) as system:
        await log.seen("agent.step")
        await system.pause()
        await system.pause()  # no error
        assert system.status is SystemStatus.PAUSED
        before = system.clock.time(), log.count("agent.step")
        await asyncio.sleep(0)
        assert (system.clock.time(), log.count("agent.step")) == before
        await system.resume()
        await system.resume()
        assert system.status is SystemStatus.ACTIVE
        assert system.clock.time() - before[0] < 5
        await log.seen_again("agent.step")


async def test_saving_while_paused_leaves_it_paused(log: Log, config: dict[str, Any]) -> None:
    async with start(fake_interaction(log), {}, {}, {}, config) as system:
        await system.pause()
        await system.save_state()
        assert system.status is SystemStatus.PAUSED
        assert log.count("agent.on_resumed") == 0
    assert await reasons(config) == ["command", "shutdown"]
    assert log.count("agent.on_resumed") == 1, "shutdown resumes first, so that hooks come in pairs"


@pytest.mark.parametrize("async_hooks", [False, True], ids=["def", "async def"])
async def test_a_long_training_pauses_and_is_saved_at_its_pause_points(
    log: Log, config: dict[str, Any], async_hooks: bool
) -> None:
    class Long(fake(Trainer, "trainer", log, async_hooks=async_hooks)):  # type: ignore[misc]
        if async_hooks:

            async def train(self) -> None:
                while True:
                    log.add("trainer", "train")
                    await self.apause_point()
                    await asyncio.sleep(0.001)
        else:

            def train(self) -> None:
                while True:
                    log.add("trainer", "train")
                    self.pause_point()
                    time.fixed_sleep(0.001)

    async with start(fake_interaction(log), {}, {}, {"long": Long()}, config) as system:
        await log.seen("trainer.train", 3)
        await system.pause()
        count = log.count("trainer.train")
        await system.save_state()
        assert log.count("trainer.train") == count
        await system.resume()
        await log.seen_again("trainer.train", 2)
    assert log.names(without=RUN_HOOKS).count("trainer.teardown") == 1, "it was torn down when the system ended"
    assert len(log.threads("trainer")) == 1
    assert await reasons(config) == ["command", "shutdown"]


async def test_a_pause_that_times_out_names_who_is_busy_and_the_system_goes_on(
    log: Log, config: dict[str, Any]
) -> None:
    leave = threading.Event()
    interaction = hanging_in_step(log, leave)
    config |= {"timeout_for_all_threads_pause": 0.02, "max_attempts_to_pause_all_threads": 2}
    async with start(interaction, {}, {}, {}, config) as system:
        await log.seen("agent.step")
        with pytest.raises(PauseTimeout, match=r"inference is running .*\.Hanging\.step"):
            await system.pause()
        assert system.status is SystemStatus.ACTIVE
        leave.set()
        await log.seen_again("agent.step", 2)


async def test_shutdown_interrupts_a_pause_that_waits(log: Log, config: dict[str, Any]) -> None:
    leave = threading.Event()
    interaction = fake_interaction(log, agent={"step": lambda _: leave.wait(20)})
    async with start(interaction, {}, {}, {}, config) as system:
        await log.seen("agent.step")
        pausing = asyncio.create_task(system.pause())
        async with asyncio.timeout(10):
            while system.status is not SystemStatus.PAUSING:
                await asyncio.sleep(0)
        system.request_shutdown()
        with pytest.raises(SystemEnded):
            await pausing
        leave.set()


async def test_commands_after_the_end_say_so(log: Log, config: dict[str, Any]) -> None:
    system = await start(fake_interaction(log), {}, {}, {}, config)
    await system.shutdown()
    await system.shutdown()
    for command in (system.pause, system.resume, system.save_state):
        with pytest.raises(SystemEnded):
            await command()


async def test_a_hook_that_waits_for_its_own_system_gets_an_error(log: Log, config: dict[str, Any]) -> None:
    system: System

    async def observe(self: Any) -> None:
        await system.pause()

    interaction = fake_interaction(log)
    type(interaction.environment).observe = observe
    starting = start(interaction, {}, {}, {}, config)
    system = starting.system
    with pytest.raises(RuntimeError, match=r"System\.pause\(\) was called from a hook of inference"):
        async with starting:
            await system.wait()


# --- Time ---


async def test_time_scale_speeds_intervals_up(log: Log, config: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with start(fake_interaction(log, interval=10.0), {}, {}, {}, {**config, "time_scale": 1000.0}):
        await log.seen("agent.step", 3)
    assert loop.time() - began < 10, "20 s of system time are 0.02 s"


async def test_loading_a_state_takes_time_back(log: Log, config: dict[str, Any]) -> None:
    async with start(fake_interaction(log), {}, {}, {}, config) as system:
        system.clock.load_state_dict({"time": 1000.0, "perf_counter": 5.0})
        await system.pause()
        at_save = system.clock.time()
        await system.save_state()
        path = (await asyncio.to_thread(list_states, config["states_dir"]))[-1][1]
    async with start(fake_interaction(log), {}, {}, {}, {**config, "saved_state_path": path}) as system:
        assert at_save <= system.clock.time() < at_save + 20


async def test_two_systems_live_side_by_side(tmp_path: Path) -> None:
    logs = Log(), Log()
    configs = [
        {"states_dir": tmp_path / name, "web_api_address": ("localhost", 0), "time_scale": scale}
        for name, scale in (("slow", 1.0), ("fast", 50.0))
    ]
    seen: dict[str, float] = {}
    interactions = [
        fake_interaction(log, agent={"step": lambda _, n=n: seen.setdefault(n, time.get_time_scale())})
        for log, n in zip(logs, ("slow", "fast"), strict=True)
    ]
    async with (
        start(interactions[0], {}, {}, {}, configs[0]) as slow,
        start(interactions[1], {}, {}, {}, configs[1]) as fast,
    ):
        assert slow.web_api_address != fast.web_api_address
        await logs[0].seen("agent.step")
        await logs[1].seen("agent.step")
        await slow.pause()
        await logs[1].seen_again("agent.step", 3)
        assert (slow.clock.is_paused(), fast.clock.is_paused()) == (True, False)
    assert seen == {"slow": 1.0, "fast": 50.0}
    assert not time.is_paused()


# --- Deterministic mode ---


async def test_trainers_take_their_turn_after_every_n_steps(log: Log, config: dict[str, Any]) -> None:
    def end_after_ten() -> None:
        if log.count("environment.observe") > 10:
            raise EndOfInteraction

    interaction = fake_interaction(log, environment={"observe": end_after_ten}, interval=None)
    trainers = {n: fake(Trainer, n, log)() for n in ("a", "b")}
    await launch(interaction, {}, {}, trainers, {**config, "steps_per_training": 4})
    acts = [n for n in log.names() if n in ("agent.step", "a.train", "b.train")]
    assert acts == [*["agent.step"] * 4, "a.train", "b.train"] * 2 + ["agent.step"] * 2


# --- Bad input ---


async def test_one_interaction_cannot_serve_two_systems(log: Log, config: dict[str, Any], tmp_path: Path) -> None:
    interaction = fake_interaction(log)
    async with start(interaction, {}, {}, {}, config):
        with pytest.raises(ComponentInUse, match="part of a system that is still running"):
            await launch(interaction, {}, {}, {}, {**config, "states_dir": tmp_path / "other"})
    async with start(interaction, {}, {}, {}, config):  # but after the first has ended, it can serve again
        await log.seen_again("agent.step")


async def test_one_trainer_cannot_have_two_places(log: Log, config: dict[str, Any]) -> None:
    trainer = fake(Trainer, "trainer", log)()
    with pytest.raises(ComponentInUse, match=r"trainers\['b'\] and trainers\['a'\] are the same"):
        await launch(fake_interaction(log), {}, {}, {"a": trainer, "b": trainer}, config)


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("interaction", object(), "must be an Interaction"),
        ("models", [], "must be a mapping of names to TrainingModels"),
        ("models", {"m": 1}, r"models\['m'\] is 1; it must be a TrainingModel"),
        ("data", {"d": 1}, r"data\['d'\] is 1; it must be a DataBuffer"),
        ("trainers", {"t": 1}, r"trainers\['t'\] is 1; it must be a Trainer"),
        ("config", 5, "must be a LaunchConfig"),
        ("config", {"stats_dir": "x"}, r"unknown fields \['stats_dir'\]; LaunchConfig has"),
    ],
)
def test_a_wrong_type_is_an_error_before_anything_starts(log: Log, argument: str, value: object, message: str) -> None:
    arguments: dict[str, Any] = {"interaction": fake_interaction(log), "models": {}, "data": {}, "trainers": {}}
    with pytest.raises(TypeError, match=message):
        start(**{**arguments, argument: value})


async def test_an_unknown_model_or_buffer_is_an_error_that_lists_those_there_are(
    log: Log, config: dict[str, Any]
) -> None:
    class Lost(Agent[Any, Any]):
        def on_inference_models_attached(self) -> None:
            self.get_inference_model("polcy")

        def step(self, observation: Any) -> None: ...

    class Waiting(Trainer):
        def train(self) -> None: ...

    environment = fake(Environment, "environment", log)
    with pytest.raises(KeyError, match=r"no inference model named 'polcy'; there are: 'policy'"):
        await launch(Interaction(Lost(), environment()), {"policy": FakeModel()}, {}, {}, config)
    with pytest.raises(KeyError, match=r"no data buffer named 'bufer'; there are: 'buffer'"):
        await launch(fake_interaction(log), {}, {"buffer": FakeBuffer()}, {"t": Waiting("bufer")}, config)
    assert log.count("environment.setup") == log.count("agent.setup") == 0


async def test_a_state_that_is_not_there_is_an_error_before_anything_starts(log: Log, config: dict[str, Any]) -> None:
    with pytest.raises(FileNotFoundError, match="there is no state at"):
        await launch(fake_interaction(log), {}, {}, {}, {**config, "saved_state_path": "/nowhere.state"})
    foreign = anyio.Path(config["states_dir"]) / "foreign.state"
    await foreign.mkdir(parents=True)
    with pytest.raises(ValueError, match=r"is not a saved state: it has no MANIFEST\.json"):
        await launch(fake_interaction(log), {}, {}, {}, {**config, "saved_state_path": str(foreign)})
    assert log.names() == []


async def test_a_states_directory_has_one_owner(log: Log, config: dict[str, Any]) -> None:
    async with start(fake_interaction(log), {}, {}, {}, config):
        with pytest.raises(StatesDirLocked, match=rf"process {os.getpid()}"):
            await launch(fake_interaction(Log()), {}, {}, {}, config)


async def test_a_config_object_works_as_a_mapping_does(log: Log, config: dict[str, Any]) -> None:
    await launch(fake_interaction(log), {}, {}, {}, LaunchConfig(**config, max_uptime=0.01))


# --- run ---


async def test_run_on_a_running_loop_says_what_to_use(log: Log, config: dict[str, Any]) -> None:
    with pytest.raises(BlockingCall, match="await launch"):
        run(fake_interaction(log), {}, {}, {}, config)


def test_run_in_another_thread_than_the_main_one(log: Log, config: dict[str, Any]) -> None:
    errors: list[BaseException] = []

    def target() -> None:
        try:
            run(fake_interaction(log), {}, {}, {}, {**config, "max_uptime": 0.01})
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    assert errors == []
    assert len(list_states(config["states_dir"])) == 1


SCRIPT = """
import sys, threading
from pamiq_async import *

class Still(Environment):
    def observe(self): return 0
    def affect(self, action): pass

class Stepper(Agent):
    steps = 0
    def step(self, observation):
        self.steps += 1
        if self.steps == 3:
            print("ready", flush=True)
            if "hang" in sys.argv: threading.Event().wait()

interaction = FixedIntervalInteraction.with_sleep_adjustor(Stepper(), Still(), 0.001)
run(interaction, {}, {}, {}, {"states_dir": sys.argv[1], "web_api_address": None, "shutdown_timeout": 60.0})
print("ended", flush=True)
"""


def script(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(SCRIPT))
    process = subprocess.Popen(
        [sys.executable, path, tmp_path / "states", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_run_in_order(tmp_path: Path, number: int) -> None:
    process = script(tmp_path)
    process.send_signal(number)
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, output) == (0, "ended\n"), errors
    assert [manifest.reason for manifest, _ in list_states(tmp_path / "states")] == ["shutdown"]


def test_a_second_signal_gives_up_compute_that_hangs(tmp_path: Path) -> None:
    process = script(tmp_path, "hang")
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "ShutdownTimeout" in errors
    assert "Stepper.step" in errors
    assert list_states(tmp_path / "states") == []


async def test_a_shutdown_over_http_tells_of_the_error_that_ended_the_system(log: Log, config: dict[str, Any]) -> None:
    config["web_api_address"] = ("localhost", 0)
    interaction = fake_interaction(log, agent={"fails_in": "teardown"})
    with pytest.raises(Boom):  # noqa: PT012
        async with start(interaction, {}, {}, {}, config) as system, aiohttp.ClientSession() as client:
            assert system.web_api_address is not None
            host, port = system.web_api_address
            async with client.post(f"http://{host}:{port}/api/shutdown") as answer:
                assert (answer.status, await answer.json()) == (500, {"error": "Internal server error"})


# --- What hangs, or ends, in odd places ---


async def test_a_condition_that_hangs_does_not_keep_the_system_from_ending(log: Log, config: dict[str, Any]) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hang() -> bool:
        entered.set()
        return not leave.wait(20)

    config |= {"save_state_condition": hang, "shutdown_timeout": 0.05}
    async with start(fake_interaction(log), {}, {}, {}, config) as system:
        await asyncio.to_thread(entered.wait, 10)
    assert system.status is SystemStatus.ENDED
    assert await reasons(config) == ["shutdown"]
    leave.set()


async def test_a_hook_that_ignores_being_cancelled_is_left_behind_and_named(
    log: Log, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pamiq_async.runtime.ending.GRACE", 0.05)
    leave = asyncio.Event()

    async def observe(self: Any) -> None:
        log.add("environment", "observe")
        while not leave.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await leave.wait()

    interaction = fake_interaction(log)
    type(interaction.environment).observe = observe
    with pytest.raises(ShutdownTimeout, match=r"inference did not end .* ignores being cancelled"):
        async with start(interaction, {}, {}, {}, {**config, "shutdown_timeout": 0.05}):
            await log.seen("environment.observe")
    leave.set()
    await asyncio.sleep(0.01)  # for the test's own sake: the task ends


@pytest.mark.parametrize("async_hooks", [False, True], ids=["def", "async def"])
async def test_an_error_in_teardown_is_not_lost_when_training_ends_at_a_pause_point(
    log: Log, config: dict[str, Any], async_hooks: bool
) -> None:
    class Long(fake(Trainer, "trainer", log, async_hooks=async_hooks, fails_in="teardown")):  # type: ignore[misc]
        async def train(self) -> None:
            log.add("trainer", "train")
            while True:
                await self.apause_point()
                await asyncio.sleep(0.001)

    with pytest.raises(Boom, match=r"trainer\.teardown"):
        async with start(fake_interaction(log), {}, {}, {"long": Long()}, config):
            await log.seen("trainer.train")


async def test_an_error_beside_an_end_of_interaction_is_not_lost(log: Log, config: dict[str, Any]) -> None:
    def end() -> None:
        raise EndOfInteraction

    interaction = fake_interaction(log, agent={"fails_in": "teardown"}, environment={"setup": end})
    with pytest.raises(Boom, match=r"agent\.teardown"):
        await launch(interaction, {}, {}, {}, config)


async def test_shutdown_waits_until_a_snapshot_is_whole(log: Log, config: dict[str, Any]) -> None:
    entered, leave = threading.Event(), threading.Event()

    def save(_: Path) -> None:
        if log.count("agent.save_state") == 1:
            entered.set()
            leave.wait(10)

    interaction = fake_interaction(log, agent={"save_state": save})
    async with start(interaction, {}, {}, {}, config) as system:
        saving = asyncio.create_task(system.save_state())
        await asyncio.to_thread(entered.wait, 10)
        system.request_shutdown()
        await asyncio.sleep(0.01)
        assert (system.clock.is_paused(), log.count("agent.on_resumed")) == (True, 0)
        leave.set()
        await saving
    assert await reasons(config) == ["command", "shutdown"]


async def test_a_task_that_a_hook_cancelled_itself_is_an_error_that_says_so(log: Log, config: dict[str, Any]) -> None:
    async def teardown(self: Any) -> None:
        task = asyncio.create_task(asyncio.sleep(100))
        task.cancel()
        await task

    interaction = fake_interaction(log)
    type(interaction.agent).teardown = teardown
    with pytest.raises(RuntimeError, match="suppress the CancelledError"):
        await launch(interaction, {}, {}, {}, {**config, "max_uptime": 0.01})


async def test_a_component_can_be_copied_while_it_serves(log: Log, config: dict[str, Any]) -> None:
    class Still(Environment[int, int]):
        def observe(self) -> int:
            return 0

        def affect(self, action: int) -> None:
            copies.append(copy.deepcopy(self))
            pickle.dumps(vars(self))
            raise EndOfInteraction

    copies: list[Still] = []
    await launch(Interaction(fake(Agent, "agent", log)(), Still()), {}, {}, {}, config)
    async with start(Interaction(fake(Agent, "agent", log)(), copies[0]), {}, {}, {}, config):
        pass  # a copy is another component


async def test_a_system_is_started_once(log: Log, config: dict[str, Any]) -> None:
    starting = start(fake_interaction(log), {}, {}, {}, config)
    async with starting as system:
        with pytest.raises(RuntimeError, match="was started already"):
            await starting
        assert system.status is SystemStatus.ACTIVE


async def test_a_hook_may_steer_another_system(log: Log, config: dict[str, Any], tmp_path: Path) -> None:
    other_config = {**config, "states_dir": tmp_path / "other"}
    async with start(fake_interaction(Log()), {}, {}, {}, other_config) as other:

        async def observe(self: Any) -> None:
            await other.pause()
            raise EndOfInteraction

        interaction = fake_interaction(log)
        type(interaction.environment).observe = observe
        await launch(interaction, {}, {}, {}, config)
        assert other.status is SystemStatus.PAUSED


async def test_a_hook_on_the_lane_may_ask_for_the_end(log: Log, config: dict[str, Any]) -> None:
    interaction = fake_interaction(log, environment={"observe": lambda: starting.system.request_shutdown()})
    starting = start(interaction, {}, {}, {}, config)
    async with starting as system:
        await system.wait()
    assert await reasons(config) == ["shutdown"]


def test_run_leaves_signal_handlers_as_they_were(log: Log, config: dict[str, Any]) -> None:
    def mine(*_: Any) -> None: ...

    before = signal.signal(signal.SIGTERM, mine)
    try:
        run(fake_interaction(log), {}, {}, {}, {**config, "max_uptime": 0.01})
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)


def test_states_go_to_one_directory_whatever_becomes_of_the_working_one(
    log: Log, config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    interaction = fake_interaction(log, agent={"setup": lambda: monkeypatch.chdir(tmp_path / "elsewhere")})
    run(interaction, {}, {}, {}, {**config, "states_dir": "mine", "max_uptime": 0.01})
    assert len(list_states(tmp_path / "mine")) == 1


async def test_a_states_directory_that_cannot_be_made_is_an_error_that_says_so(
    log: Log, config: dict[str, Any], tmp_path: Path
) -> None:
    await anyio.Path(tmp_path / "file").write_text("in the way")
    with pytest.raises(StatesDirUnusable, match=r"set LaunchConfig\.states_dir"):
        await launch(fake_interaction(log), {}, {}, {}, {**config, "states_dir": tmp_path / "file"})


async def test_pause_points_outside_of_acting_return_at_once(log: Log, config: dict[str, Any]) -> None:
    def pause_here(*_: Any) -> None:
        pause_point()

    hooks = dict.fromkeys(("setup", "on_paused", "on_resumed", "save_state", "teardown"), pause_here)
    async with start(fake_interaction(log, agent=hooks), {}, {}, {}, config) as system:
        await system.pause()
        await system.save_state()
    assert await reasons(config) == ["command", "shutdown"]
