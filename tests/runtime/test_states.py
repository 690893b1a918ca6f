"""Saving and loading by a running system."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anyio
import pytest

from pamiq_async import Agent, SystemStatus, Trainer, launch, start
from pamiq_async.data.impls import SequentialBuffer
from pamiq_async.exceptions import DurabilityUnknown, InvalidState, PickleRefused
from pamiq_async.hooks import nonblocking
from pamiq_async.state_persistence import LatestStatesKeeper, StatesKeeper, StateStore, list_states, read_manifest
from tests.fakes import Boom, FakeModel, Log, fake, fake_interaction


async def states(config: dict[str, Any]) -> list[tuple[Any, Path]]:
    return await asyncio.to_thread(list_states, config["states_dir"])


class WatchedKeeper(LatestStatesKeeper):
    """Tells a waiting test of each state saved and each removed."""

    def __init__(self, config: dict[str, Any], max_keep: int = -1) -> None:
        super().__init__(config["states_dir"], max_keep)
        self._loop = asyncio.get_running_loop()
        self.saved: asyncio.Queue[Path] = asyncio.Queue()
        self.removed: asyncio.Queue[Path] = asyncio.Queue()

    def append(self, path: Path) -> None:
        self._loop.call_soon_threadsafe(self.saved.put_nowait, path)

    def cleanup(self) -> list[Path]:
        removed = super().cleanup()
        for path in removed:
            self._loop.call_soon_threadsafe(self.removed.put_nowait, path)
        return removed


async def test_a_state_has_its_five_parts_and_a_manifest(log: Log, config: dict[str, Any]) -> None:
    models, data = {"m": FakeModel()}, {"d": SequentialBuffer(10)}
    trainers = {"t": fake(Trainer, "trainer", log)()}
    await launch(fake_interaction(log), models, data, trainers, {**config, "max_uptime": 0.05})
    [(manifest, path)] = await states(config)
    assert set(manifest.files) == {
        "models/m",
        "data/d/buffer.msgpack",
        "data/d/user.msgpack",
        "trainers/t/trainer.json",
        "time.json",
    }
    assert (manifest.format, manifest.sequence, manifest.reason) == (1, 1, "shutdown")
    clock = json.loads(await (anyio.Path(path) / "time.json").read_text())
    assert manifest.system_time == pytest.approx(clock["time"], abs=1e-3)


async def test_components_are_saved_in_order(log: Log, config: dict[str, Any]) -> None:
    trainers = {"t": fake(Trainer, "trainer", log)()}
    await launch(fake_interaction(log), {}, {}, trainers, {**config, "max_uptime": 0.05})
    assert [n for n in log.names() if n.endswith("save_state")] == [
        "agent.save_state",
        "environment.save_state",
        "trainer.save_state",
    ]


async def test_latest_goes_on_from_the_newest_state(log: Log, config: dict[str, Any]) -> None:
    class Counter(Agent[Any, int]):
        count = 0

        def step(self, observation: Any) -> int:
            self.count += 1
            log.add("agent", "step")
            return self.count

        def save_state(self, path: Path) -> None:
            path.write_text(str(self.count))

        def load_state(self, path: Path) -> None:
            self.count = int(path.read_text())

    config["saved_state_path"] = "latest"
    model = FakeModel()
    model.value = 7
    first = fake_interaction(log)
    first.agent = Counter()
    async with start(first, {"m": model}, {}, {}, config):
        await log.seen("agent.step", 5)
    second = fake_interaction(log)
    second.agent, fresh = Counter(), FakeModel()
    async with start(second, {"m": fresh}, {}, {}, config):
        await log.seen_again("agent.step")
    assert second.agent.count > first.agent.count >= 5
    assert (fresh.value, fresh.inference_model.value) == (7, 7)
    assert [manifest.sequence for manifest, _ in await states(config)] == [1, 2]


async def test_latest_passes_over_a_damaged_state(
    log: Log, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async with start(fake_interaction(log), {}, {}, {}, config) as system:
        caplog.set_level("INFO")
        good = await system.save_state()
        bad = await system.save_state()
    [_, _, (_, final)] = await states(config)
    for path in (bad, final):
        await (anyio.Path(path) / "time.json").write_text("{}")
    async with start(fake_interaction(Log()), {}, {}, {}, {**config, "saved_state_path": "latest"}):
        pass
    assert f"loaded state {good}" in caplog.text
    assert [r.message for r in caplog.records if "passed over" in r.message and final.name in r.message]


async def test_latest_refuses_to_start_afresh_if_no_state_verifies(log: Log, config: dict[str, Any]) -> None:
    await launch(fake_interaction(log), {}, {}, {}, {**config, "max_uptime": 0.01})
    [(_, path)] = await states(config)
    await (anyio.Path(path) / "time.json").unlink()
    with pytest.raises(InvalidState, match="none of the 1 states"):
        await launch(fake_interaction(Log()), {}, {}, {}, {**config, "saved_state_path": "latest"})


async def test_a_damaged_state_touches_no_component(log: Log, config: dict[str, Any]) -> None:
    await launch(fake_interaction(Log()), {}, {}, {}, {**config, "max_uptime": 0.01})
    [(_, path)] = await states(config)
    await (anyio.Path(path) / "time.json").write_text("{}")
    with pytest.raises(InvalidState, match=r"time\.json"):
        await launch(fake_interaction(log), {}, {}, {}, {**config, "saved_state_path": path})
    assert log.names() == []


async def test_states_are_saved_at_intervals_of_system_time(log: Log, config: dict[str, Any]) -> None:
    keeper = WatchedKeeper(config)
    config |= {"save_state_interval": 10.0, "time_scale": 1000.0, "states_keeper": keeper}
    async with start(fake_interaction(log, interval=1.0), {}, {}, {}, config):
        for _ in range(3):
            await keeper.saved.get()
    assert {manifest.reason for manifest, _ in (await states(config))[:3]} == {"periodic"}


@pytest.mark.parametrize("kind", ["def", "async def", "nonblocking"])
async def test_a_condition_saves(log: Log, config: dict[str, Any], kind: str) -> None:
    asked = 0

    def condition() -> bool:
        nonlocal asked
        asked += 1
        return asked == 2

    async def acondition() -> bool:
        return condition()

    conditions = {"def": condition, "async def": acondition, "nonblocking": nonblocking(condition)}
    keeper = WatchedKeeper(config)
    config |= {"save_state_condition": conditions[kind], "states_keeper": keeper}
    async with start(fake_interaction(log), {}, {}, {}, config):
        await keeper.saved.get()
    assert [manifest.reason for manifest, _ in await states(config)] == ["condition", "shutdown"]


async def test_an_automatic_save_that_fails_is_logged_and_tried_again(
    log: Log, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    def fail_once(path: Path) -> None:
        if log.count("agent.save_state") == 1:
            raise Boom("disk full")

    keeper = WatchedKeeper(config)
    config |= {"save_state_interval": 0.02, "states_keeper": keeper}
    async with start(fake_interaction(log, agent={"save_state": fail_once}), {}, {}, {}, config):
        await keeper.saved.get()
    assert "periodic save failed: Boom: disk full" in caplog.text


async def test_retention_keeps_the_newest_and_counts_the_final_one(log: Log, config: dict[str, Any]) -> None:
    foreign = anyio.Path(config["states_dir"]) / "notes.state"
    await foreign.mkdir(parents=True)
    async with start(fake_interaction(log), {}, {}, {}, {**config, "max_keep_states": 2}) as system:
        for _ in range(4):
            await system.save_state()
    assert [manifest.sequence for manifest, _ in await states(config)] == [4, 5]
    assert await foreign.is_dir()


async def test_the_loaded_state_is_never_removed(log: Log, config: dict[str, Any]) -> None:
    await launch(fake_interaction(log), {}, {}, {}, {**config, "max_uptime": 0.01})
    [(_, first)] = await states(config)
    config |= {"max_keep_states": 1, "saved_state_path": first}
    async with start(fake_interaction(log), {}, {}, {}, config) as system:
        await system.save_state()
    assert [path for _, path in await states(config)][:-1] == [first]


async def test_states_are_cleaned_up_while_running(log: Log, config: dict[str, Any]) -> None:
    keeper = WatchedKeeper(config, max_keep=1)
    config |= {"states_keeper": keeper, "states_cleanup_interval": 0.01}
    async with start(fake_interaction(log), {}, {}, {}, config) as system:
        first = await system.save_state()
        await system.save_state()
        assert await keeper.removed.get() == first


async def test_a_keeper_of_the_users_own_decides(log: Log, config: dict[str, Any]) -> None:
    class Named(StatesKeeper):
        def __init__(self) -> None:
            self.appended: list[Path] = []

        def append(self, path: Path) -> None:
            self.appended.append(path)

        def select_removal_states(self) -> Iterable[Path]:
            return self.appended

    keeper = Named()
    async with start(fake_interaction(log), {}, {}, {}, {**config, "states_keeper": keeper}) as system:
        await system.save_state()
        await system.save_state()
    assert len(keeper.appended) == 3
    assert [path for _, path in await states(config)] == keeper.appended[-1:], "the newest is never removed"


async def test_what_only_pickle_can_hold_needs_leave_to_be_loaded(
    log: Log, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    class Collecting(fake(Agent, "agent", log)):  # type: ignore[misc]
        def on_data_collectors_attached(self) -> None:
            self.get_data_collector("d").collect({1, 2})

    def interaction() -> Any:
        fresh = fake_interaction(Log())
        fresh.agent = Collecting()
        return fresh

    await launch(interaction(), {}, {"d": SequentialBuffer(5)}, {}, {**config, "max_uptime": 0.01})
    assert "buffer d (SequentialBuffer) holds builtins.set" in caplog.text
    config |= {"saved_state_path": "latest", "max_uptime": 0.01}
    with pytest.raises(PickleRefused, match="allow_pickle=True"):
        await launch(interaction(), {}, {"d": SequentialBuffer(5)}, {}, config)
    buffer = SequentialBuffer[Any](5)
    await launch(interaction(), {}, {"d": buffer}, {}, {**config, "allow_pickle": True})
    assert buffer.get_data()[0] == {1, 2}


async def test_leftovers_of_a_crash_are_cleared_at_the_start(log: Log, config: dict[str, Any]) -> None:
    leftover = anyio.Path(config["states_dir"]) / ".draft-abc"
    await leftover.mkdir(parents=True)
    await (leftover / "half").write_text("written")
    await launch(fake_interaction(log), {}, {}, {}, {**config, "max_uptime": 0.01})
    assert not await leftover.exists()


async def test_acting_goes_on_while_files_are_written(
    log: Log, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    from pamiq_async.state_persistence import StateStore

    committing, go_on = threading.Event(), threading.Event()
    commit = StateStore.commit

    def slow_commit(*args: Any) -> Path:
        committing.set()
        go_on.wait(10)
        return commit(*args)

    monkeypatch.setattr(StateStore, "commit", slow_commit)
    async with start(fake_interaction(log), {}, {}, {}, config) as system:
        saving = asyncio.create_task(system.save_state())
        await asyncio.to_thread(committing.wait, 10)
        await log.seen_again("agent.step", 3)
        assert system.status is SystemStatus.ACTIVE
        assert not saving.done()
        go_on.set()
        path = await saving
    assert (await asyncio.to_thread(read_manifest, path)).reason == "command"


async def test_a_timer_that_is_always_due_starves_nothing(log: Log, config: dict[str, Any]) -> None:
    config |= {"log_tick_time_statistics_interval": 1e-6, "max_uptime": 0.05}
    await launch(fake_interaction(log), {}, {}, {}, config)


async def test_a_component_that_fails_to_load_ends_the_launch_with_an_error_that_says_where(
    log: Log, config: dict[str, Any]
) -> None:
    await launch(fake_interaction(Log()), {}, {}, {}, {**config, "max_uptime": 0.01})
    trainer = fake(Trainer, "trainer", log, fails_in="load_state")()
    with pytest.raises(Boom) as caught:
        await launch(fake_interaction(log), {}, {}, {"t": trainer}, {**config, "saved_state_path": "latest"})
    assert "This was while 'trainers' was loaded from" in caught.value.__notes__[0]
    assert log.count("agent.step") == 0


@pytest.mark.parametrize("when", ["while running", "at the end"])
async def test_retention_does_not_rely_on_a_state_that_may_not_outlive_a_power_loss(
    log: Log, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    commit = StateStore.commit

    def doubtful(self: StateStore, *args: Any) -> Path:
        raise DurabilityUnknown(commit(self, *args), OSError("a worn disk"))

    distrusted: list[Path] = []

    class Keeper(LatestStatesKeeper):
        def distrust(self, path: Path) -> None:
            distrusted.append(path)

    config["states_keeper"] = Keeper(config["states_dir"], 3)
    system = await start(fake_interaction(log), {}, {}, {}, config)
    with monkeypatch.context() as patch:
        patch.setattr(StateStore, "commit", doubtful)
        with pytest.raises(DurabilityUnknown, match="may be gone after a power loss"):
            await (system.save_state() if when == "while running" else system.shutdown())
    if when == "while running":
        await system.shutdown()
    assert distrusted == [path for _, path in await states(config)][:1]
