"""How the acting role steps: on its lane, on the loop, and at an interval."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from typing_extensions import override

from pamiq_async import (
    Agent,
    Environment,
    FixedIntervalInteraction,
    Interaction,
    IntervalAdjustor,
    LaunchConfig,
    System,
    SystemStatus,
    Trainer,
    nonblocking,
    start,
    time,
)
from pamiq_async.hooks import Lane, describe
from pamiq_async.launcher import Starting
from pamiq_async.runtime.wiring import Components
from pamiq_async.testing import ManualClock, run_steps
from tests.fakes import FakeBuffer, Log, fake, fake_interaction


class Echo(Agent[Any, Any]):
    def step(self, observation: Any) -> Any:
        return observation


class AsyncEcho(Agent[Any, Any]):
    async def step(self, observation: Any) -> Any:
        return observation


class Counter(Environment[int, int]):
    def __init__(self) -> None:
        self.count = 0

    @nonblocking
    def observe(self) -> int:
        self.count += 1
        return self.count

    @nonblocking
    def affect(self, action: int) -> None: ...


async def test_steps_that_never_wait_leave_the_loop_its_turns(config: dict[str, Any]) -> None:
    counter = Counter()
    async with start(Interaction(AsyncEcho(), counter), {}, {}, {}, config):
        turns = 0
        while counter.count < 50_000:
            await asyncio.sleep(0)
            turns += 1
    assert turns > 1, "steps took the loop for themselves"


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What goes to the lane of the acting role, from now on."""
    trips: list[str] = []
    run = Lane.run

    async def noted(lane: Lane, function: Any, *args: Any) -> Any:
        if lane.name == "pamiq-inference":
            trips.append(describe(function))
        return await run(lane, function, *args)

    monkeypatch.setattr(Lane, "run", noted)
    return trips


async def test_a_run_of_blocking_steps_is_one_trip_to_the_lane(
    log: Log, config: dict[str, Any], trips: list[str]
) -> None:
    async with start(fake_interaction(log, interval=None), {}, {}, {}, config):
        await log.seen("agent.step", 5)
        trips.clear()
        await log.seen_again("agent.step", 1000)
        assert trips == []


async def test_neighbouring_blocking_hooks_share_a_trip(log: Log, config: dict[str, Any], trips: list[str]) -> None:
    interaction = fake_interaction(log, environment={"async_hooks": False}, interval=None)

    async def observe(self: Any) -> int:
        log.add("environment", "observe")
        return 0

    type(interaction.environment).observe = observe
    async with start(interaction, {}, {}, {}, config):
        await log.seen("environment.affect")
        before, steps = len(trips), log.count("environment.affect")
        await log.seen_again("environment.affect", 100)
        assert abs((len(trips) - before) - (log.count("environment.affect") - steps)) <= 1


@pytest.mark.parametrize("agent", [Echo, AsyncEcho], ids=["def", "async def"])
async def test_a_pause_cuts_the_wait_between_steps_short_and_the_rest_is_waited_after_it(
    config: dict[str, Any], agent: type[Agent[Any, Any]]
) -> None:
    counter = Counter()
    interaction = FixedIntervalInteraction.with_sleep_adjustor(agent(), counter, 1000.0)
    async with start(interaction, {}, {}, {}, config) as system:
        while counter.count < 1:
            await asyncio.sleep(0)
        await system.pause()  # and does not wait for 1000 s
        await system.resume()
        await system.pause()
        await system.resume()
        assert counter.count == 1, "a pause does not make the next step come early"
        system.clock.set_time_scale(1e6)
        while counter.count < 2:
            await asyncio.sleep(0)


async def test_a_part_that_setup_replaces_is_the_one_that_acts(log: Log, config: dict[str, Any]) -> None:
    class Late(Agent[Any, Any]):
        def setup(self) -> None:
            interaction.environment = fake(Environment, "real", log)()

        def step(self, observation: Any) -> None: ...

    interaction = Interaction(Late(), fake(Environment, "placeholder", log)())
    async with start(interaction, {}, {}, {}, config):
        await log.seen("real.affect")
    assert log.count("placeholder.observe") == 0


async def test_a_step_of_the_users_own_that_waits_inside_can_be_paused_too(log: Log, config: dict[str, Any]) -> None:
    class Noting(FixedIntervalInteraction[Any, Any]):
        @override
        def step(self) -> None:
            log.add("interaction", "step")
            super().step()

    counter = Counter()
    interaction = Noting.with_sleep_adjustor(Echo(), counter, 1000.0)
    async with start(interaction, {}, {}, {}, config) as system:
        await log.seen("interaction.step")
        await system.pause()
        await system.resume()
        assert counter.count == log.count("interaction.step") == 1
        system.clock.set_time_scale(1e6)
        await log.seen("interaction.step", 3)


@pytest.mark.parametrize("is_async", [False, True], ids=["def", "async def"])
async def test_an_adjustor_of_the_users_own_paces(log: Log, config: dict[str, Any], is_async: bool) -> None:
    class Adjustor(IntervalAdjustor):
        if is_async:

            async def adjust_impl(self) -> None:
                log.add("adjustor", "adjust")
        else:

            def adjust_impl(self) -> None:
                log.add("adjustor", "adjust")

    interaction = FixedIntervalInteraction(
        fake(Agent, "agent", log)(), fake(Environment, "environment", log)(), Adjustor(0.01)
    )
    async with start(interaction, {}, {}, {}, config):
        await log.seen("agent.step", 3)
    names = [n for n in log.names() if n in ("adjustor.adjust", "agent.step")]
    assert names[:4] == ["agent.step", "adjustor.adjust"] * 2
    assert (threading.get_ident() in log.threads("adjustor")) is is_async


async def test_steps_keep_to_the_interval_of_system_time(log: Log, config: dict[str, Any]) -> None:
    starts: list[float] = []

    def note(_: Any) -> None:
        starts.append(time.perf_counter())

    interaction = fake_interaction(log, agent={"step": note}, interval=5.0)
    async with start(interaction, {}, {}, {}, {**config, "time_scale": 200.0}):
        await log.seen("agent.step", 11)
    due = [start - starts[0] - 5.0 * n for n, start in enumerate(starts[:11])]
    assert min(due) > -0.5, "none is early, but for what the first was late"


async def test_statistics_are_there_while_running_and_afterwards(log: Log, config: dict[str, Any]) -> None:
    async with start(fake_interaction(log), {}, {}, {}, config) as system:
        await log.seen("agent.step", 3)
        running = system.statistics()
        system.web_api_address = "::1", 8391
        html = system._repr_html_()
    ended = system.statistics()
    assert running.status is SystemStatus.ACTIVE
    assert running.step_times.count >= 2
    assert running.step_rate > 0
    assert "<th>status</th><td>active</td>" in html
    assert "<th>control server</th><td>[::1]:8391</td>" in html
    assert ended.status is SystemStatus.ENDED
    assert ended.states_saved == 1


async def test_figures_can_be_sent_as_json_at_any_time(log: Log, config: dict[str, Any]) -> None:
    components = Components.check(fake_interaction(log), {}, {"buffer": FakeBuffer()}, {})
    system = System(components, LaunchConfig(**config))
    json.dumps(system.figures(), allow_nan=False)
    async with Starting(system):
        await log.seen("agent.step", 3)
        figures = system.figures()
    json.dumps(figures, allow_nan=False)
    assert figures["steps"] == figures["step_times"]["count"] >= 2
    assert "status" not in figures
    assert system.figures() == system.figures(), "after the end nothing changes"


async def test_each_log_line_begins_a_new_interval(
    log: Log, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    config["log_tick_time_statistics_interval"] = 0.01
    async with start(fake_interaction(log), {}, {}, {}, config) as system:
        while sum("steps in the last" in record.message for record in caplog.records) < 2:
            await log.seen_again("agent.step")
    figures = system.statistics()
    assert figures.recent.seconds < figures.uptime
    assert figures.recent.step_times.count < figures.steps


def lasting(*seconds: float) -> Any:
    """What a hook does that takes so long in system time, call by call."""
    durations = iter(seconds)
    return lambda *_: time.sleep(next(durations, 0.0))


@pytest.mark.parametrize("async_hooks", [False, True])
async def test_overruns_are_counted(async_hooks: bool, log: Log) -> None:
    agent = {"step": lasting(0.5, 1.5, 0.25, 4.0)}
    interaction = fake_interaction(log, agent=agent, environment={"async_hooks": async_hooks}, interval=1.0)
    assert (await run_steps(interaction, steps=5)).overruns == 2


async def test_a_training_between_two_steps_is_no_overrun(log: Log) -> None:
    class Slow(Trainer):
        def train(self) -> None:
            time.sleep(5.0)

    figures = await run_steps(fake_interaction(log, interval=1.0), {}, {}, {"slow": Slow()}, steps=5)
    assert figures.uptime >= 20.0
    assert figures.overruns == 0


async def test_a_pause_between_two_steps_is_no_overrun(log: Log, config: dict[str, Any]) -> None:
    clock, paused = ManualClock(), threading.Event()
    agent = {"step": lambda *_: paused.wait(), "on_paused": lambda: clock.advance(100.0)}
    components = Components.check(fake_interaction(log, agent=agent, interval=1.0), {}, {}, {})
    async with Starting(System(components, LaunchConfig(**config), clock=clock)) as system:
        await log.seen("agent.step")
        pausing = asyncio.create_task(system.pause())
        while system.status is SystemStatus.ACTIVE:
            await asyncio.sleep(0)
        paused.set()  # only now does the step end
        await pausing
        await system.resume()
        await log.seen("agent.step", 2)
        assert system.statistics().overruns == 0


async def test_the_log_says_how_long_steps_take_also_before_the_first(
    log: Log, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    logged = asyncio.Event()

    async def observe(self: Any) -> int:
        while not any("steps" in record.message for record in caplog.records):
            await asyncio.sleep(0.001)
        logged.set()
        return 0

    interaction = fake_interaction(log)
    type(interaction.environment).observe = observe
    async with start(interaction, {}, {}, {}, {**config, "log_tick_time_statistics_interval": 0.01}):
        await logged.wait()
    assert "0 steps" in caplog.text
