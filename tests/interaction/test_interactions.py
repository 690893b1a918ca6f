from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from pamiq_async import (
    Actuator,
    Agent,
    Environment,
    FixedIntervalInteraction,
    Interaction,
    IntervalAdjustor,
    ModularEnvironment,
    Sensor,
    SensorsDict,
    SensorWrapper,
    SleepIntervalAdjustor,
    SystemStatus,
    start,
    time,
)
from pamiq_async.roles import Role
from pamiq_async.time import TimeController
from tests.fakes import Log, fake

Made = Callable[[str, Callable[..., Any]], Callable[..., Any]]

KINDS = ("def", "async def", "@nonblocking def")
MIXTURES = sorted(product(KINDS, repeat=3))


class World:
    """Counts observations, decides on their tenfold, keeps the actions. Each hook is of a kind of its own."""

    def __init__(self, made: Made, kinds: tuple[str, str, str]) -> None:
        self.time = 0
        self.actions: list[int] = []
        observe, step, affect = (
            made(kind, function) for kind, function in zip(kinds, (self.observe, self.step, self.act), strict=True)
        )
        hooks = {"observe": staticmethod(observe), "affect": staticmethod(affect)}
        self.environment: Environment[int, int] = type("WorldEnvironment", (Environment,), hooks)()
        self.agent: Agent[int, int] = type("WorldAgent", (Agent,), {"step": staticmethod(step)})()

    def observe(self) -> int:
        self.time += 1
        return self.time

    def step(self, observation: int) -> int:
        return observation * 10

    def act(self, action: int) -> None:
        self.actions.append(action)


@pytest.fixture
def log() -> Log:
    return Log()


# --- A step -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kinds", MIXTURES, ids=", ".join)
async def test_a_step_does_the_same_with_hooks_of_any_kind(kinds: tuple[str, str, str], made: Made, role: Role) -> None:
    world = World(made, kinds)
    interaction = Interaction(world.agent, world.environment)

    await interaction.astep()  # outside of a system
    await role.call(interaction.astep)
    await role.call(interaction.flow().arun)
    await role.call(interaction.step)  # on the lane
    await role.call(lambda: interaction.step())

    assert world.actions == [10, 20, 30, 40, 50]


@pytest.mark.parametrize("kinds", [k for k in MIXTURES if "async def" not in k], ids=", ".join)
def test_a_step_needs_no_loop_where_no_hook_does(kinds: tuple[str, str, str], made: Made) -> None:
    world = World(made, kinds)

    Interaction(world.agent, world.environment).step()

    assert world.actions == [10]


@pytest.mark.parametrize("kinds", [k for k in MIXTURES if "async def" in k], ids=", ".join)
def test_an_async_hook_is_refused_in_plain_code(kinds: tuple[str, str, str], made: Made) -> None:
    world = World(made, kinds)

    with pytest.raises(TypeError, match="is async def and can't be called from plain code outside of a system"):
        Interaction(world.agent, world.environment).step()


async def test_a_step_may_be_called_in_a_notebook(made: Made) -> None:
    world = World(made, ("def", "def", "def"))

    Interaction(world.agent, world.environment).step()

    assert world.actions == [10]


async def test_neighbouring_blocking_hooks_share_the_lane(made: Made, role: Role) -> None:
    threads = []
    world = World(made, ("def", "def", "async def"))
    world.step = lambda observation: threads.append(threading.get_ident())  # type: ignore[method-assign]
    world.observe = lambda: threads.append(threading.get_ident())  # type: ignore[method-assign]

    interaction = Interaction(*parts_of(made, world, ("def", "def", "async def")))
    await role.call(interaction.astep)

    assert set(threads) == {await role.call(threading.get_ident)}


def parts_of(made: Made, world: World, kinds: tuple[str, str, str]) -> tuple[Any, Any]:
    hooks = {"observe": staticmethod(made(kinds[0], world.observe)), "affect": staticmethod(made(kinds[2], world.act))}
    return (
        type("A", (Agent,), {"step": staticmethod(made(kinds[1], world.step))})(),
        type("E", (Environment,), hooks)(),
    )


@pytest.mark.parametrize("hook", ["setup", "on_paused", "on_resumed", "save_state", "load_state", "teardown"])
def test_hooks_reach_the_agent_before_the_environment(hook: str, log: Log, tmp_path: Path) -> None:
    interaction = Interaction(fake(Agent, "agent", log)(), fake(Environment, "environment", log)())

    getattr(interaction, hook)(*([tmp_path / "interaction"] if hook.endswith("_state") else []))

    assert log.names() == [f"agent.{hook}", f"environment.{hook}"]


def test_states_are_named_agent_and_environment(log: Log, tmp_path: Path) -> None:
    parts = {
        name: fake(base, name, log, save_state=lambda path: path.write_text("me"))()
        for name, base in (("agent", Agent), ("environment", Environment))
    }

    Interaction(**parts).save_state(tmp_path / "interaction")

    assert sorted(path.name for path in (tmp_path / "interaction").iterdir()) == ["agent", "environment"]


@pytest.mark.parametrize(
    ("swapped", "message"),
    [(True, r"agent is <.*FakeEnvironment.*>; it must be an Agent"), (False, "environment is None; it must be an Env")],
)
def test_parts_of_the_wrong_type_are_refused(swapped: bool, message: str, log: Log) -> None:
    agent, environment = fake(Agent, "agent", log)(), fake(Environment, "environment", log)()

    with pytest.raises(TypeError, match=message):
        Interaction(environment, agent) if swapped else Interaction(agent, None)  # type: ignore[arg-type]


# --- A step of the user's own -----------------------------------------------------------------------------


class Counted(Interaction[Any, Any]):
    steps = 0

    def step(self) -> None:
        super().step()
        self.steps += 1


class AsyncCounted(Interaction[Any, Any]):
    steps = 0

    async def step(self) -> None:  # type: ignore[override]
        await super().astep()
        self.steps += 1


@pytest.mark.parametrize("own", [Counted, AsyncCounted])
@pytest.mark.parametrize("kinds", MIXTURES, ids=", ".join)
async def test_a_step_of_ones_own_calls_the_inherited_one(
    own: type[Counted | AsyncCounted], kinds: tuple[str, str, str], made: Made, role: Role
) -> None:
    world = World(made, kinds)
    interaction = own(world.agent, world.environment)

    await role.call(interaction.flow().arun)  # as a system does
    await role.call(interaction.step)
    assert (world.actions, interaction.steps) == ([10, 20], 2)

    await role.call(interaction.astep)
    assert world.actions == [10, 20, 30]


async def test_the_twin_runs_a_plain_step_of_ones_own(made: Made, role: Role) -> None:
    world = World(made, ("async def", "def", "@nonblocking def"))
    interaction = Counted(world.agent, world.environment)

    await role.call(interaction.astep)

    assert interaction.steps == 1


# --- Fixed intervals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kinds", MIXTURES, ids=", ".join)
async def test_steps_are_an_interval_apart_with_hooks_of_any_kind(
    kinds: tuple[str, str, str], made: Made, role: Role, clock: TimeController
) -> None:
    world = World(made, kinds)
    interaction = FixedIntervalInteraction.with_sleep_adjustor(world.agent, world.environment, 0.5)
    await role.call(interaction.setup)
    begin = time.perf_counter()

    await role.call(interaction.astep)
    assert time.perf_counter() - begin == 0.5
    await role.call(interaction.step)
    assert time.perf_counter() - begin == 1.0
    await role.call(interaction.astep)
    assert time.perf_counter() - begin == 1.5
    assert world.actions == [10, 20, 30]


def test_setup_starts_the_schedule(clock: Any, log: Log) -> None:
    interaction = FixedIntervalInteraction.with_sleep_adjustor(
        fake(Agent, "agent", log)(), fake(Environment, "environment", log)(), 1.0, offset=0.25
    )
    clock.now += 5.0

    interaction.setup()

    assert interaction.adjustor.deadline == clock.now + 0.75


def test_the_sleep_adjustor_gets_interval_and_offset(log: Log) -> None:
    interaction = FixedIntervalInteraction.with_sleep_adjustor(
        fake(Agent, "agent", log)(), fake(Environment, "environment", log)(), 1.0, 0.25
    )

    assert isinstance(interaction.adjustor, SleepIntervalAdjustor)
    assert (interaction.adjustor.interval, interaction.adjustor.offset) == (1.0, 0.25)


def test_a_number_in_place_of_an_adjustor_is_refused_with_the_way_out(log: Log) -> None:
    with pytest.raises(TypeError, match=r"adjustor is 0\.1; .* FixedIntervalInteraction\.with_sleep_adjustor"):
        FixedIntervalInteraction(
            fake(Agent, "agent", log)(),
            fake(Environment, "environment", log)(),
            0.1,  # type: ignore[arg-type]
        )


class CountedFixed(FixedIntervalInteraction[Any, Any]):
    begun = ended = 0

    def step(self) -> None:
        self.begun += 1
        super().step()
        self.ended += 1


class AsyncCountedFixed(FixedIntervalInteraction[Any, Any]):
    begun = ended = 0

    async def step(self) -> None:  # type: ignore[override]
        self.begun += 1
        await super().astep()
        self.ended += 1


OWN_FIXED = [CountedFixed, AsyncCountedFixed]


@pytest.mark.parametrize("own", OWN_FIXED)
@pytest.mark.parametrize("kinds", MIXTURES, ids=", ".join)
async def test_a_step_of_ones_own_waits_once(
    own: type[CountedFixed | AsyncCountedFixed], kinds: tuple[str, str, str], made: Made, role: Role, clock: Any
) -> None:
    world = World(made, kinds)
    interaction = own.with_sleep_adjustor(world.agent, world.environment, 1.0)
    await role.call(interaction.setup)
    begin = clock.now

    for step in (interaction.flow().arun, interaction.astep, interaction.step):
        await role.call(step)

    assert clock.now - begin == 3.0
    assert world.actions == [10, 20, 30]


class AsyncWait(IntervalAdjustor):
    waits = 0

    async def adjust_impl(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        self.waits += 1


class PlainWait(IntervalAdjustor):
    waits = 0

    def adjust_impl(self) -> None:
        self.waits += 1


@pytest.mark.parametrize("wait", [AsyncWait, PlainWait])
@pytest.mark.parametrize("own", [FixedIntervalInteraction, *OWN_FIXED])
@pytest.mark.parametrize("asynchronous", [True, False], ids=["async hooks", "plain hooks"])
async def test_a_system_waits_once_a_step(
    wait: type[AsyncWait | PlainWait],
    own: type[FixedIntervalInteraction[Any, Any]],
    asynchronous: bool,
    log: Log,
    tmp_path: Path,
) -> None:
    adjustor = wait(1.0)
    interaction = own(
        fake(Agent, "agent", log, async_hooks=asynchronous)(), fake(Environment, "environment", log)(), adjustor
    )

    async with start(interaction, {}, {}, {}, {"states_dir": tmp_path, "web_api_address": None}) as system:
        await log.seen("environment.affect", 10)
        await system.pause()

        assert log.count("environment.affect") - adjustor.waits in (0, 1)  # the last wait may have been cut short


@pytest.mark.parametrize("own", OWN_FIXED)
@pytest.mark.parametrize("asynchronous", [True, False], ids=["async hooks", "plain hooks"])
async def test_a_long_wait_in_a_step_of_ones_own_is_cut_short_but_the_step_is_not_torn(
    own: type[CountedFixed | AsyncCountedFixed], asynchronous: bool, log: Log, tmp_path: Path
) -> None:
    interaction = own.with_sleep_adjustor(
        fake(Agent, "agent", log, async_hooks=asynchronous)(), fake(Environment, "environment", log)(), interval=1e6
    )

    async with start(interaction, {}, {}, {}, {"states_dir": tmp_path, "web_api_address": None}) as system:
        await log.seen("environment.affect")

        await system.pause()
        assert system.status is SystemStatus.PAUSED
        assert (interaction.begun, interaction.ended) == (1, 0)

        await system.resume()
        await log.seen("environment.on_resumed")
        assert log.count("environment.affect") == 1

    assert (interaction.begun, interaction.ended) == (1, 1)
    assert log.count("environment.teardown") == 1


# --- One place to state the interval --------------------------------------------------------------------------


class Told(Sensor[Any]):
    interval: float | None = None
    was_told_before_setup = False

    def read(self) -> Any: ...

    @override
    def on_interval_set(self, interval: float) -> None:
        self.interval = interval

    @override
    def setup(self) -> None:
        self.was_told_before_setup = self.interval is not None


class AsyncTold(Told):
    async def on_interval_set(self, interval: float) -> None:  # type: ignore[override]
        self.interval = interval


class Unmoved(Actuator[Any]):
    def operate(self, action: Any) -> None: ...


@pytest.mark.parametrize("told", [Told, AsyncTold])
async def test_every_component_is_told_the_interval_before_setup(told: type[Told], log: Log, role: Role) -> None:
    sensors = {"left": told(), "right": told()}
    environment = ModularEnvironment(SensorWrapper(SensorsDict(sensors), lambda value: value), Unmoved())
    agent = fake(Agent, "agent", log)()
    interaction = FixedIntervalInteraction.with_sleep_adjustor(agent, environment, 0.1, offset=0.02)

    await role.call(interaction.setup)

    assert [(s.interval, s.was_told_before_setup) for s in sensors.values()] == [(0.1, True)] * 2


async def test_a_setup_that_is_async_tells_the_interval_too(log: Log, role: Role) -> None:
    class OwnSetup(FixedIntervalInteraction[Any, Any]):
        async def setup(self) -> None:  # type: ignore[override]
            super().setup()

    sensor = Told()
    interaction = OwnSetup.with_sleep_adjustor(fake(Agent, "agent", log)(), ModularEnvironment(sensor, Unmoved()), 0.1)
    await role.call(interaction.setup)

    assert (sensor.interval, sensor.was_told_before_setup) == (0.1, True)


async def test_without_an_interval_nobody_is_told(log: Log, role: Role) -> None:
    sensor = Told()
    await role.call(Interaction(fake(Agent, "agent", log)(), ModularEnvironment(sensor, Unmoved())).setup)

    assert sensor.interval is None
