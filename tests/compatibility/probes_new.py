"""What pamiq_async has beyond the other package. The same questions show that it is not there."""

from __future__ import annotations

import asyncio
import threading
import urllib.request
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.compatibility.probing import Group, attempt, recording, run_system

probe = Group("Only in pamiq_async", new=True)

Pamiq = ModuleType


def pair(pamiq: Pamiq, **agent: Any) -> Any:
    return pamiq.Interaction(recording(pamiq.Agent, "agent", [], **agent), recording(pamiq.Environment, "env", []))


@probe("start", "System", "SystemStatus")
def steering(pamiq: Pamiq, path: Path) -> Any:
    """a system in one's own loop: paused twice, resumed, saved, shut down"""

    async def main() -> Any:
        config = {"states_dir": path / "states", "web_api_address": None}
        async with pamiq.start(pair(pamiq), {}, {}, {}, config) as system:
            seen = [system.status.value]
            await system.pause()
            await system.pause()
            seen.append(system.status.value)
            await system.resume()
            seen.append(system.status.value)
            saved = await system.save_state()
            await system.shutdown()
            return [*seen, system.status.value], saved, system.statistics() is not None

    seen, saved, has_statistics = asyncio.run(main())
    return seen, saved.is_dir(), has_statistics


@probe("run")
def blocking_entry(pamiq: Pamiq, path: Path) -> Any:
    """blocks; on a running loop it is refused"""

    async def main() -> Any:
        return attempt(pamiq.run, pair(pamiq), {}, {}, {})

    config = {"states_dir": path / "states", "web_api_address": None, "max_uptime": 0.05}
    return pamiq.run(pair(pamiq), {}, {}, {}, config), asyncio.run(main())


@probe("EndOfInteraction")
def ending_from_within(pamiq: Pamiq, path: Path) -> Any:
    """raised in a hook: a normal end, after which a state is there"""

    def step(self: Any, observation: Any) -> Any:
        raise pamiq.EndOfInteraction

    attempt_to_end = pamiq.EndOfInteraction
    run_system(pamiq, pair(pamiq, step=step), states_dir=path / "states")
    return issubclass(attempt_to_end, pamiq.PamiqError), len(list((path / "states").glob("*.state")))


@probe("nonblocking")
def where_hooks_run(pamiq: Pamiq, path: Path) -> Any:
    """`def`, `async def` and `@nonblocking def` in one interaction: which run on the loop's thread"""
    on_loop: dict[str, bool] = {}

    def note(name: str) -> None:
        on_loop[name] = threading.current_thread() is threading.main_thread()

    class Mixed(pamiq.Environment):
        async def observe(self) -> int:
            note("async def")
            return 1

        @pamiq.nonblocking
        def affect(self, action: Any) -> None:
            note("@nonblocking def")
            raise pamiq.EndOfInteraction

    agent = recording(pamiq.Agent, "agent", [], step=lambda self, observation: note("def"))
    run_system(pamiq, pamiq.Interaction(agent, Mixed()), states_dir=path / "states")
    return on_loop


@probe("SensorsDict", "ActuatorsDict", "Interaction.astep")
def at_the_same_time(pamiq: Pamiq) -> Any:
    """sensors with `async def read` in one dict are read at the same time"""
    both = asyncio.Barrier(2)

    class Eye(pamiq.Sensor):
        async def read(self) -> str:
            await both.wait()  # until the other one is being read, too
            return "seen"

    environment = pamiq.ModularEnvironment.from_dict({"left": Eye(), "right": Eye()}, {})
    seen: list[Any] = []
    agent = recording(pamiq.Agent, "agent", [], step=lambda self, observation: seen.append(dict(observation)))

    async def main() -> None:
        async with asyncio.timeout(5):
            await pamiq.Interaction(agent, environment).astep()

    asyncio.run(main())
    return seen


@probe("InferenceModel.ainfer")
def inferring(pamiq: Pamiq) -> Any:
    """`await model.ainfer(...)` computes on another thread than the loop's"""

    class Acting(pamiq.InferenceModel):
        def infer(self, value: int) -> Any:
            return value * 2, threading.current_thread() is threading.main_thread()

    return asyncio.run(Acting().ainfer(4))


@probe("Trainer.arun", "pause_point", "Trainer.pause_point")
def training(pamiq: Pamiq) -> Any:
    """an `async def train`, by `run` and by `arun`; a pause point outside of a system returns at once"""

    class Learner(pamiq.Trainer):
        async def train(self) -> None:
            self.pause_point()

    return attempt(Learner().run), asyncio.run(Learner().arun()), pamiq.pause_point()


@probe("time.asleep")
def sleeping(pamiq: Pamiq) -> Any:
    """`time.asleep` on a loop, and `time.sleep` there"""

    async def main() -> Any:
        return await pamiq.time.asleep(0.001), attempt(pamiq.time.sleep, 0.001)

    return asyncio.run(main())


@probe("DataUser.clear")
def forgetting(pamiq: Pamiq) -> Any:
    """forgets what is in the buffer and what waits"""
    users = pamiq.data.DataUsersDict.from_data_buffers(items=pamiq.data.impls.SequentialBuffer(3))
    collector = users.data_collectors_dict.acquire("items")
    collector.collect(1)
    users["items"].update()
    collector.collect(2)
    users["items"].clear()
    return users["items"].get_data(), len(users["items"])


@probe("LatestValueSensor")
def slow_sensor(pamiq: Pamiq) -> Any:
    """a sensor that hangs, read at once: the fallback"""
    may_go_on = threading.Event()
    slow = recording(pamiq.Sensor, "slow", [], read=lambda self: may_go_on.wait(5))
    sensor = pamiq.LatestValueSensor(slow, timeout=1.0, default="dark")
    sensor.setup()
    value = sensor.read()
    may_go_on.set()
    sensor.teardown()
    return value


@probe("FixedIntervalInteraction", "Agent.on_interval_set")
def telling_the_interval(pamiq: Pamiq) -> Any:
    """components are told the interval before `setup`"""
    told: list[Any] = []
    agent = recording(pamiq.Agent, "agent", told, on_interval_set=lambda self, interval: told.append(interval))
    environment = recording(pamiq.Environment, "env", [])
    pamiq.FixedIntervalInteraction.with_sleep_adjustor(agent, environment, 0.1).setup()
    return told if told[0] == 0.1 else attempt(getattr, agent, "no such hook")


@probe("LaunchConfig.saved_state_path")
def latest(pamiq: Pamiq, path: Path) -> Any:
    """`saved_state_path="latest"`: a fresh start first, then the newest state"""
    loads = []
    for _ in range(2):
        log: list[str] = []
        interaction = pamiq.Interaction(recording(pamiq.Agent, "agent", log), recording(pamiq.Environment, "env", []))
        run_system(pamiq, interaction, states_dir=path / "states", saved_state_path="latest", max_uptime=0.05)
        loads.append("agent.load_state agent" in log)
    return loads


@probe("LaunchConfig.steps_per_training", "testing.run_steps")
def taking_turns(pamiq: Pamiq) -> Any:
    """deterministic mode: trainers take their turn after every second step; six steps of it"""
    log: list[str] = []
    agent = recording(pamiq.Agent, "agent", [], step=lambda self, observation: log.append("step"))
    trainer = recording(pamiq.Trainer, "trainer", [], train=lambda self: log.append("train"))
    interaction = pamiq.Interaction(agent, recording(pamiq.Environment, "env", []))
    config = {"steps_per_training": 2}
    asyncio.run(pamiq.testing.run_steps(interaction, trainers={"t": trainer}, config=config, steps=6))
    return log[:6]


@probe("LaunchConfig.web_api_token", "LaunchConfig.shutdown_timeout", "exceptions")
def guarded(pamiq: Pamiq, path: Path) -> Any:
    """an address beyond this machine without a token is refused"""
    config = {"web_api_address": ("0.0.0.0", 0), "states_dir": path / "states", "shutdown_timeout": 5.0}
    return attempt(run_system, pamiq, pair(pamiq), **config), pamiq.LaunchConfig(web_api_token="t").web_api_token


@probe("web.control_app", "web.cleanup_ctx")
def inside_an_application(pamiq: Pamiq, path: Path) -> Any:
    """mounted in an aiohttp application of one's own"""
    from aiohttp import web

    async def main() -> Any:
        app = web.Application()
        config = {"states_dir": path / "states", "web_api_address": None}
        starting = pamiq.start(pair(pamiq), {}, {}, {}, config)
        app.cleanup_ctx.append(pamiq.web.cleanup_ctx(starting))
        app.add_subapp("/agent/", pamiq.web.control_app(starting.system))
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            url = f"http://127.0.0.1:{port}/agent/api/status"
            with await asyncio.to_thread(urllib.request.urlopen, url) as response:
                return response.status
        finally:
            await runner.cleanup()

    return asyncio.run(main())
