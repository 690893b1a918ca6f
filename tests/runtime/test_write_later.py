"""What components leave to be written while the agent acts again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pamiq_async import System, SystemStatus, Trainer, nonblocking, pause_point, start
from pamiq_async.exceptions import ShutdownTimeout, SystemEnded
from pamiq_async.state_persistence import StateStore, list_states, read_manifest, write_later
from tests.fakes import Boom, FakeModel, Log, fake, fake_interaction


class SlowDisk(FakeModel):
    """Its writing takes until a test lets it end."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self.log = log
        self.may_end = threading.Event()
        self.fails_with: BaseException | None = None

    def save_state(self, path: Path) -> None:
        write_later(lambda: self.write(path))

    def write(self, path: Path) -> None:
        self.log.add("disk", "write")
        self.may_end.wait(20)
        if self.fails_with is not None:
            raise self.fails_with
        path.write_text(str(self.value))


@pytest.fixture
def disk(log: Log) -> Iterator[SlowDisk]:
    disk = SlowDisk(log)
    yield disk
    disk.may_end.set()


def eager(log: Log) -> Trainer:
    """A trainer that always trains."""
    return fake(Trainer, "trainer", log)()


async def numbers(config: dict[str, Any]) -> list[int]:
    return [manifest.sequence for manifest, _ in await asyncio.to_thread(list_states, config["states_dir"])]


def test_outside_of_a_system_it_is_written_at_once(tmp_path: Path, disk: SlowDisk) -> None:
    disk.may_end.set()
    store = StateStore(tmp_path)
    store.register("disk", disk)
    assert (store.save_state() / "disk").read_text() == "0"


async def test_acting_goes_on_while_it_is_written_and_training_waits(
    log: Log, config: dict[str, Any], disk: SlowDisk
) -> None:
    async with start(fake_interaction(log), {"m": disk}, {}, {"t": eager(log)}, config) as system:
        await log.seen("trainer.train")
        saving = asyncio.create_task(system.save_state())
        await log.seen("disk.write")
        await log.seen_again("agent.step", 3)
        assert system.status is SystemStatus.ACTIVE
        trained = log.count("trainer.train")
        await log.seen_again("agent.step", 3)
        assert log.count("trainer.train") == trained
        assert not saving.done()
        disk.may_end.set()
        await saving
        await log.seen_again("trainer.train")


async def test_a_trainer_that_is_at_a_pause_point_waits_there(log: Log, config: dict[str, Any], disk: SlowDisk) -> None:
    def train() -> None:
        for _ in range(10_000_000):
            log.add("trainer", "batch")
            pause_point()

    trainer = fake(Trainer, "trainer", log, train=train)()
    async with start(fake_interaction(log), {"m": disk}, {}, {"t": trainer}, config) as system:
        await log.seen("trainer.batch")
        saving = asyncio.create_task(system.save_state())
        await log.seen("disk.write")
        batches = log.count("trainer.batch")
        await log.seen_again("agent.step", 3)
        assert log.count("trainer.batch") == batches
        disk.may_end.set()
        await saving
        await log.seen_again("trainer.batch")


async def test_a_pause_need_not_wait_for_the_disk(log: Log, config: dict[str, Any], disk: SlowDisk) -> None:
    async with start(fake_interaction(log), {"m": disk}, {}, {"t": eager(log)}, config) as system:
        saving = asyncio.create_task(system.save_state())
        await log.seen("disk.write")
        await system.pause()
        assert system.status is SystemStatus.PAUSED
        disk.may_end.set()
        await saving
        trained = log.count("trainer.train")
        await system.resume()
        await log.seen("trainer.train", trained + 1)


async def test_saves_that_are_asked_for_meanwhile_become_one(log: Log, config: dict[str, Any], disk: SlowDisk) -> None:
    async with start(fake_interaction(log), {"m": disk}, {}, {}, config) as system:
        first = asyncio.create_task(system.save_state())
        await log.seen("disk.write")
        later = [asyncio.create_task(system.save_state()) for _ in range(3)]
        await log.seen_again("agent.step", 3)
        assert log.count("disk.write") == 1
        disk.may_end.set()
        path = await first
        [second] = set(await asyncio.gather(*later))
        assert second != path
    assert await numbers(config) == [1, 2, 3]


async def test_what_fails_to_be_written_fails_the_save_and_the_agent_goes_on(
    log: Log, config: dict[str, Any], disk: SlowDisk
) -> None:
    disk.may_end.set()
    async with start(fake_interaction(log), {"m": disk}, {}, {"t": eager(log)}, config) as system:
        disk.fails_with = Boom("disk full")
        with pytest.raises(Boom, match="disk full"):
            await system.save_state()
        await log.seen_again("trainer.train")
        disk.fails_with = None
        await system.save_state()
    assert await numbers(config) == [1, 2]
    assert not await asyncio.to_thread(lambda: list(config["states_dir"].glob(".draft-*")))


async def test_what_a_write_raised_says_where_it_was(log: Log, config: dict[str, Any], disk: SlowDisk) -> None:
    disk.may_end.set()
    async with start(fake_interaction(log), {"m": disk}, {}, {}, config) as system:
        disk.fails_with = Boom("disk full")
        with pytest.raises(Boom) as caught:
            await system.save_state()
        disk.fails_with = None
    assert "This was in SlowDisk.save_state" in caught.value.__notes__[0]


async def awrite() -> None: ...


@pytest.mark.parametrize("write", [Path("model"), awrite])
def test_what_is_no_plain_function_is_refused(write: Any) -> None:
    with pytest.raises(TypeError, match="must be a plain def function without arguments"):
        write_later(write)


async def test_a_write_that_makes_a_coroutine_is_a_failed_save(
    log: Log, config: dict[str, Any], disk: SlowDisk
) -> None:
    disk.may_end.set()
    async with start(fake_interaction(log), {"m": disk}, {}, {}, config) as system:
        disk.write = lambda path: awrite()  # type: ignore[assignment, method-assign, return-value]
        with pytest.raises(TypeError, match="made a coroutine"):
            await system.save_state()
        del disk.write


async def test_a_write_that_exits_is_a_failed_save(log: Log, config: dict[str, Any], disk: SlowDisk) -> None:
    disk.may_end.set()
    async with start(fake_interaction(log), {"m": disk}, {}, {}, config) as system:
        disk.fails_with = SystemExit(3)
        with pytest.raises(RuntimeError, match="raised SystemExit while a state was written"):
            await system.save_state()
        disk.fails_with = None


async def test_shutdown_waits_for_what_is_written(log: Log, config: dict[str, Any], disk: SlowDisk) -> None:
    async with start(fake_interaction(log), {"m": disk}, {}, {"t": eager(log)}, config) as system:
        saving = asyncio.create_task(system.save_state())
        await log.seen("disk.write")
        waiting = asyncio.create_task(system.save_state())
        ending = asyncio.create_task(system.shutdown())
        with pytest.raises(SystemEnded):
            await waiting
        assert not ending.done()
        disk.may_end.set()
        await saving
        await ending
    assert await numbers(config) == [1, 2]


async def test_nothing_trains_or_is_torn_down_until_it_is_written(
    log: Log, config: dict[str, Any], disk: SlowDisk
) -> None:
    def train() -> None:
        try:
            while True:
                log.add("trainer", "batch")
                pause_point()
        finally:
            log.add("trainer", "leave")

    trainer = fake(Trainer, "trainer", log, train=train)()
    async with start(fake_interaction(log), {"m": disk}, {}, {"t": trainer}, config) as system:
        await log.seen("trainer.batch")
        saving = asyncio.create_task(system.save_state())
        await log.seen("disk.write")
        ending = asyncio.create_task(system.shutdown())
        steps = -1
        while steps != (steps := log.count("agent.step")):  # until acting has ended
            await asyncio.sleep(0.01)
        assert (log.count("trainer.leave"), log.count("trainer.teardown")) == (0, 0)
        disk.may_end.set()
        await asyncio.gather(saving, ending)
    assert (log.count("trainer.leave"), log.count("trainer.teardown")) == (1, 1)


async def test_a_save_that_was_asked_for_says_so_though_a_periodic_one_was_waiting(
    log: Log, config: dict[str, Any], disk: SlowDisk
) -> None:
    asked = asyncio.Event()

    @nonblocking
    def condition() -> bool:
        asked.set()
        return not disk.may_end.is_set()

    config["save_state_condition"] = condition
    async with start(fake_interaction(log), {"m": disk}, {}, {}, config) as system:
        await log.seen("disk.write")
        asked.clear()
        await asked.wait()  # now one of that reason waits
        saving = asyncio.create_task(system.save_state())
        await asyncio.sleep(0)
        disk.may_end.set()
        path = await saving
    assert (await asyncio.to_thread(read_manifest, path)).reason == "command"


async def test_a_condition_that_asks_its_system_to_save_is_told_better(log: Log, config: dict[str, Any]) -> None:
    systems: list[System] = []

    async def condition() -> bool:
        await systems[0].save_state()
        return False

    config["save_state_condition"] = condition
    systems.append(await start(fake_interaction(log), {}, {}, {}, config))
    with pytest.raises(RuntimeError, match="return True to save"):
        await systems[0].wait()


async def test_a_write_that_hangs_is_left_behind_at_shutdown(log: Log, config: dict[str, Any], disk: SlowDisk) -> None:
    system = await start(fake_interaction(log), {"m": disk}, {}, {}, {**config, "shutdown_timeout": 0.1})
    saving = asyncio.create_task(system.save_state())
    await log.seen("disk.write")
    with pytest.raises(ShutdownTimeout):
        await system.shutdown()
    with pytest.raises(SystemEnded):
        await saving
    assert await numbers(config) == []
