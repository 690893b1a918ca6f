"""When trainers train, and when they do not."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from pamiq_async import Agent, Environment, FixedIntervalInteraction, SystemStatus, Trainer, start
from tests.fakes import FakeBuffer, Log, fake


class Hand(Environment[Any, Any]):
    """Lets a test decide when there is something to observe."""

    def __init__(self) -> None:
        self.taps: asyncio.Queue[int] = asyncio.Queue()

    async def observe(self) -> int:
        return await self.taps.get()

    def affect(self, action: Any) -> None: ...


class Collecting(Agent[int, None]):
    def on_data_collectors_attached(self) -> None:
        self.collector = self.get_data_collector("buffer")

    def step(self, observation: int) -> None:
        self.collector.collect(observation)


def hand_driven() -> tuple[Hand, FixedIntervalInteraction[Any, Any]]:
    hand = Hand()
    return hand, FixedIntervalInteraction.with_sleep_adjustor(Collecting(), hand, 1e-6)


async def ends(hand: Hand, system: Any) -> None:
    """Let the step that waits for a tap end, so that shutdown need not wait for it."""
    system.request_shutdown()
    hand.taps.put_nowait(-1)


@pytest.mark.parametrize("async_hooks", [False, True], ids=["def", "async def"])
async def test_a_waiting_trainer_is_woken_by_the_data_it_waits_for(
    log: Log, config: dict[str, Any], async_hooks: bool
) -> None:
    hand, interaction = hand_driven()
    trainer = fake(Trainer, "trainer", log, async_hooks=async_hooks)("buffer", 3, 2)
    if not async_hooks:  # as a user's own is_trainable is asked again now and then
        del type(trainer).is_trainable
    async with start(interaction, {}, {"buffer": FakeBuffer()}, {"t": trainer}, config) as system:
        for observation in (1, 2):
            hand.taps.put_nowait(observation)
        hand.taps.put_nowait(3)
        await log.seen("trainer.teardown", 1)
        hand.taps.put_nowait(4)
        hand.taps.put_nowait(5)
        await log.seen("trainer.teardown", 2)
        assert log.count("trainer.train") == 2
        await ends(hand, system)


async def test_nobody_asks_a_waiting_trainer(config: dict[str, Any]) -> None:
    asked = 0

    class Waiting(Trainer):
        def _missing_items(self) -> int:
            nonlocal asked
            asked += 1
            return super()._missing_items()

        def train(self) -> None: ...

    hand, interaction = hand_driven()
    trainer = Waiting("buffer", 100, 1)
    async with start(interaction, {}, {"buffer": FakeBuffer()}, {"t": trainer}, config) as system:
        await asyncio.sleep(0.3)
        assert asked <= 2, "once for is_trainable, once for how many items to wait for"
        await ends(hand, system)


async def test_an_is_trainable_of_the_users_own_is_asked_again(log: Log, config: dict[str, Any]) -> None:
    class Moody(Trainer):
        asked = 0

        def is_trainable(self) -> bool:
            self.asked += 1
            return self.asked == 3

        def train(self) -> None:
            log.add("trainer", "train")

    hand, interaction = hand_driven()
    async with start(interaction, {}, {"buffer": FakeBuffer()}, {"t": Moody()}, config) as system:
        await log.seen("trainer.train")
        await ends(hand, system)


async def test_trainers_take_turns_also_across_pauses(log: Log, config: dict[str, Any]) -> None:
    go_on = threading.Semaphore(0)

    class Slow(Trainer):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def train(self) -> None:
            log.add(self.name, "train")
            go_on.acquire(timeout=10)

    hand, interaction = hand_driven()
    trainers = {name: Slow(name) for name in ("a", "b", "c")}
    async with start(interaction, {}, {"buffer": FakeBuffer()}, trainers, config) as system:
        for name, count in (("a", 1), ("b", 1), ("c", 1), ("a", 2), ("b", 2)):
            await log.seen(f"{name}.train", count)
            pausing = asyncio.create_task(system.pause())
            while system.status is not SystemStatus.PAUSING:
                await asyncio.sleep(0)  # a turn of the loop, no wait
            hand.taps.put_nowait(0)
            go_on.release()
            await pausing
            await system.resume()
        await log.seen("c.train", 2)
        system.request_shutdown()
        hand.taps.put_nowait(0)
        go_on.release(10)  # also those who begin just before the end
    assert log.names()[:6] == ["a.train", "b.train", "c.train"] * 2


async def test_an_async_trainer_does_not_hold_up_a_blocking_one(log: Log, config: dict[str, Any]) -> None:
    hand, interaction = hand_driven()
    trainers = {
        "blocking": fake(Trainer, "blocking", log)(),
        "async": fake(Trainer, "async", log, async_hooks=True)(),
    }
    async with start(interaction, {}, {"buffer": FakeBuffer()}, trainers, config) as system:
        await log.seen("blocking.train", 3)
        await log.seen("async.train", 3)
        await ends(hand, system)
    assert log.threads("async") == {threading.get_ident()}
    assert threading.get_ident() not in log.threads("blocking")


async def test_trainings_are_counted(log: Log, config: dict[str, Any]) -> None:
    hand, interaction = hand_driven()
    async with start(
        interaction, {}, {"buffer": FakeBuffer()}, {"t": fake(Trainer, "t", log)("buffer", 1, 1)}, config
    ) as system:
        hand.taps.put_nowait(1)
        await log.seen("t.teardown")
        await ends(hand, system)
    figures = system.statistics()
    assert figures.trainings["t"].count >= 1
    assert figures.buffers["buffer"].added >= 1
    assert figures.buffers["buffer"].size == figures.buffers["buffer"].added
