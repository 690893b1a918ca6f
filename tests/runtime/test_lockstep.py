"""Deterministic mode: acting and training take turns, and a run gives the same each time."""

from __future__ import annotations

import asyncio
import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from typing_extensions import override

from pamiq_async import (
    Agent,
    EndOfInteraction,
    Environment,
    FixedIntervalInteraction,
    Interaction,
    ModularEnvironment,
    Sensor,
    SystemStatus,
    Trainer,
    launch,
    pause_point,
    start,
)
from pamiq_async.data.impls import RandomReplacementBuffer
from pamiq_async.interaction import Actuator
from pamiq_async.state_persistence import codec, load_pickle, save_pickle
from tests.fakes import FakeModel, Log, fake

STEPS_PER_TRAINING = 7
SOME_STEPS = 40


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    return {
        "states_dir": tmp_path / "states",
        "web_api_address": None,
        "steps_per_training": STEPS_PER_TRAINING,
        "allow_pickle": False,
    }


# --- A system in which everything depends on everything before --------------------------------------------


class Record(Environment[float, float]):
    """Gives recorded numbers, and is used up after some."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.position = 0
        self.actions: list[float] = []

    def observe(self) -> float:
        if self.position == self.steps:
            raise EndOfInteraction("all is read")
        self.position += 1
        return 1 / self.position

    def affect(self, action: float) -> None:
        self.actions.append(action)

    @override
    def save_state(self, path: Path) -> None:
        save_pickle((self.position, self.actions), path)

    @override
    def load_state(self, path: Path) -> None:
        self.position, self.actions = load_pickle(path)


class AsyncRecord(Record):
    async def observe(self) -> float:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().observe()


class Explorer(Agent[float, float]):
    """Acts by its model and by chance."""

    @override
    def on_inference_models_attached(self) -> None:
        self.model = self.get_inference_model("model")

    @override
    def on_data_collectors_attached(self) -> None:
        self.collector = self.get_data_collector("data")

    @override
    def setup(self) -> None:
        random.random()  # must not shift what a resumed run draws

    def step(self, observation: float) -> float:
        action = self.model() + observation * random.random() + float(numpy.random.random())
        self.collector.collect(action)
        return action


class AsyncExplorer(Explorer):
    async def step(self, observation: float) -> float:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().step(observation)


class Fit(Trainer):
    """Changes the model by what it draws from the data, in a way in which the order shows."""

    def __init__(self, factor: float, new_items: int) -> None:
        super().__init__("data", 1, new_items)
        self.factor = factor

    @override
    def on_training_models_attached(self) -> None:
        self.model = self.get_training_model("model")

    @override
    def on_data_users_attached(self) -> None:
        self.data = self.get_data_user("data")

    def train(self) -> None:
        pause_point()
        items = self.data.get_data()
        self.model.value = self.factor * self.model.value + random.choice(items)


class AsyncFit(Fit):
    async def train(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        items = self.data.get_data()
        self.model.value = self.factor * self.model.value + random.choice(items)


class FloatModel(FakeModel):
    value: float = 0.0  # type: ignore[assignment]

    @override
    def load_state(self, path: Path) -> None:
        self.value = float(path.read_text())


class Run:
    """One life of such a system, or a part of it."""

    def __init__(self, *, steps: int = SOME_STEPS, with_async: bool = False) -> None:
        self.record = (AsyncRecord if with_async else Record)(steps)
        self.model = FloatModel()
        # Smaller than what one round collects: what is dropped, and when it is moved, must not depend on saves.
        self.buffer = RandomReplacementBuffer[float](5, replace_probability=0.9)
        self.parts = (
            Interaction((AsyncExplorer if with_async else Explorer)(), self.record),
            {"model": self.model},
            {"data": self.buffer},
            {"first": Fit(0.5, 0), "second": (AsyncFit if with_async else Fit)(0.7, 3)},
        )

    def result(self) -> Any:
        return {
            "actions": self.record.actions,
            "model": self.model.value,
            "data": self.buffer.get_data(),
            "random": (random.getstate(), numpy.random.get_state()[1].tolist()),  # type: ignore[index]
        }


def seed(number: int) -> None:
    random.seed(number)
    numpy.random.seed(number)


@pytest.fixture(autouse=True)
def global_generators() -> Any:
    before = random.getstate(), numpy.random.get_state()
    yield
    random.setstate(before[0])
    numpy.random.set_state(before[1])


with_and_without_async = pytest.mark.parametrize("with_async", [False, True], ids=["def", "async def"])


async def lived(config: dict[str, Any], *, number: int = 1, **options: Any) -> Any:
    seed(number)
    run = Run(**options)
    await launch(*run.parts, config)
    return run.result()


# --- Order ------------------------------------------------------------------------------------------------


@with_and_without_async
async def test_each_trainer_has_one_turn_after_every_n_steps(
    log: Log, config: dict[str, Any], with_async: bool
) -> None:
    environment = fake(Environment, "environment", log, observe=ends_after(11), async_hooks=with_async)()
    trainers = {name: fake(Trainer, name, log, async_hooks=with_async and name == "b")() for name in ("a", "b")}
    await launch(
        Interaction(fake(Agent, "agent", log)(), environment), {}, {}, trainers, {**config, "steps_per_training": 4}
    )

    hooks = [call.name for call in log.calls if call.hook in ("step", "train")]
    turns = ["agent.step"] * 4 + ["a.train", "b.train"]
    assert hooks == turns * 2 + ["agent.step"] * 3


async def test_a_trainer_that_is_not_trainable_is_passed_over(log: Log, config: dict[str, Any]) -> None:
    environment = fake(Environment, "environment", log, observe=ends_after(2 * STEPS_PER_TRAINING + 1))()
    trainers = {
        "idle": fake(Trainer, "idle", log, is_trainable=lambda: False)(),
        "busy": fake(Trainer, "busy", log)(),
    }
    await launch(Interaction(fake(Agent, "agent", log)(), environment), {}, {}, trainers, config)

    assert (log.count("idle.is_trainable"), log.count("idle.train")) == (2, 0)
    assert log.count("busy.train") == 2


async def test_without_trainers_steps_go_on(log: Log, config: dict[str, Any]) -> None:
    environment = fake(Environment, "environment", log, observe=ends_after(3 * STEPS_PER_TRAINING))()
    await launch(Interaction(fake(Agent, "agent", log)(), environment), {}, {}, {}, config)

    assert log.count("agent.step") == 3 * STEPS_PER_TRAINING


async def test_sensors_that_could_be_read_at_the_same_time_are_read_in_order(config: dict[str, Any]) -> None:
    order: list[str] = []

    class Slow(Sensor[None]):
        async def read(self) -> None:  # type: ignore[override]
            order.append("slow begins")
            await asyncio.sleep(0)
            order.append("slow ends")

    class Quick(Sensor[None]):
        async def read(self) -> None:  # type: ignore[override]
            order.append("quick")
            if order.count("quick") == 2:
                raise EndOfInteraction

    class Nowhere(Actuator[Any]):
        def operate(self, action: Any) -> None: ...

    class Still(Agent[Any, Any]):
        def step(self, observation: Any) -> dict[str, None]:
            return {"nowhere": None}

    sensors = {"slow": Slow(), "quick": Quick()}
    environment = ModularEnvironment.from_dict(sensors, {"nowhere": Nowhere()})
    await launch(Interaction(Still(), environment), {}, {}, {}, config)

    assert order == ["slow begins", "slow ends", "quick"] * 2


async def test_an_error_keeps_later_sensors_from_being_read(config: dict[str, Any]) -> None:
    class Broken(Sensor[None]):
        async def read(self) -> None:  # type: ignore[override]
            raise EndOfInteraction

    class Later(Sensor[None]):
        reads = 0

        async def read(self) -> None:  # type: ignore[override]
            self.reads += 1

    later = Later()
    environment = ModularEnvironment.from_dict({"broken": Broken(), "later": later}, {})
    await launch(Interaction(fake(Agent, "agent", Log())(), environment), {}, {}, {}, config)

    assert later.reads == 0


# --- Same seed, same result -------------------------------------------------------------------------------


@with_and_without_async
async def test_the_same_seed_gives_the_same_result(config: dict[str, Any], with_async: bool) -> None:
    first, again = [await lived(config, with_async=with_async) for _ in range(2)]

    assert first == again
    assert first["model"] != 0
    assert first != await lived(config, number=2, with_async=with_async)


@with_and_without_async
async def test_pauses_and_saves_change_nothing(config: dict[str, Any], with_async: bool) -> None:
    seed(1)
    run = Run(steps=sys.maxsize, with_async=with_async)
    async with start(*run.parts, config) as system:
        for _ in range(5):
            await system.save_state()
            await system.pause()
            await system.resume()
        run.record.steps = run.record.position + SOME_STEPS
        await system.wait()

    assert run.result() == await lived(config, steps=run.record.steps, with_async=with_async)


@with_and_without_async
@pytest.mark.parametrize("steps_before", [1, STEPS_PER_TRAINING - 1, STEPS_PER_TRAINING, STEPS_PER_TRAINING + 2, 30])
async def test_a_run_that_is_resumed_gives_what_it_would_have_given_in_one(
    config: dict[str, Any], with_async: bool, steps_before: int
) -> None:
    in_one = await lived(config, with_async=with_async)

    await lived(config, steps=steps_before, with_async=with_async)
    resumed = await lived({**config, "saved_state_path": "latest"}, number=99, with_async=with_async)

    assert resumed == in_one


async def test_a_run_that_is_shut_down_between_two_turns_goes_on_with_the_second(config: dict[str, Any]) -> None:
    in_one = await lived(config)

    seed(1)
    run = Run()
    first = run.parts[3]["first"]
    async with start(*run.parts, config) as system:
        loop, asked = asyncio.get_running_loop(), threading.Event()

        def shut_down() -> None:
            system.request_shutdown()
            asked.set()

        def teardown() -> None:
            loop.call_soon_threadsafe(shut_down)
            asked.wait()

        first.teardown = teardown  # type: ignore[method-assign]
        await system.wait()
    trainings = system.statistics().trainings
    assert (trainings["first"].count, trainings["second"].count) == (1, 0)

    assert await lived({**config, "saved_state_path": "latest"}, number=99) == in_one


async def test_a_state_of_a_system_that_trained_concurrently_can_be_gone_on_with(config: dict[str, Any]) -> None:
    await lived({**config, "steps_per_training": None}, steps=5)
    result = await lived({**config, "saved_state_path": "latest"}, steps=20)

    assert len(result["actions"]) == 20


async def test_a_state_can_be_gone_on_with_concurrently(config: dict[str, Any]) -> None:
    await lived(config, steps=5)  # five items wait
    run = Run(steps=5)
    await launch(*run.parts, {**config, "saved_state_path": "latest", "steps_per_training": None})

    assert len(run.buffer) == 5


async def test_a_step_that_waits_at_its_end_is_counted_by_a_save_meanwhile(log: Log, config: dict[str, Any]) -> None:
    class OwnStep(FixedIntervalInteraction[Any, Any]):
        @override
        def step(self) -> None:
            super().step()

    parts = fake(Agent, "agent", log)(), fake(Environment, "environment", log)()
    trainers = {"t": fake(Trainer, "trainer", log)()}
    async with start(OwnStep.with_sleep_adjustor(*parts, 1000.0), {}, {}, trainers, config) as system:
        await log.seen("environment.affect")
        path = await system.save_state()

    saved = await asyncio.to_thread(codec.load, path / "lockstep")
    assert saved["steps_left"] == STEPS_PER_TRAINING - 1


# --- Pauses -----------------------------------------------------------------------------------------------


async def test_trainers_are_told_of_pauses(log: Log, config: dict[str, Any]) -> None:
    interaction = Interaction(fake(Agent, "agent", log)(), fake(Environment, "environment", log)())
    async with start(interaction, {}, {}, {"t": fake(Trainer, "trainer", log)()}, config) as system:
        await log.seen("trainer.train")
        await system.pause()
        assert (log.count("trainer.on_paused"), log.count("trainer.on_resumed")) == (1, 0)
        await system.resume()
        assert (log.count("trainer.on_paused"), log.count("trainer.on_resumed")) == (1, 1)
        await log.seen_again("trainer.train")


async def test_a_pause_waits_for_a_training_to_end_even_at_a_pause_point(log: Log, config: dict[str, Any]) -> None:
    closed = threading.Event()

    def train() -> None:
        closed.wait()
        pause_point()
        log.add("trainer", "after_pause_point")

    interaction = Interaction(fake(Agent, "agent", log)(), fake(Environment, "environment", log)())
    async with start(interaction, {}, {}, {"t": fake(Trainer, "trainer", log, train=train)()}, config) as system:
        await log.seen("trainer.train")
        pausing = asyncio.create_task(system.pause())
        while system.status is not SystemStatus.PAUSING:
            await asyncio.sleep(0)
        closed.set()
        await pausing
        assert log.count("trainer.after_pause_point") == 1


async def test_shutdown_ends_a_training_at_its_pause_point(log: Log, config: dict[str, Any]) -> None:
    def train() -> None:
        while True:
            pause_point()

    interaction = Interaction(fake(Agent, "agent", log)(), fake(Environment, "environment", log)())
    async with start(interaction, {}, {}, {"t": fake(Trainer, "trainer", log, train=train)()}, config) as system:
        await log.seen("trainer.train")
        await system.shutdown()


async def test_an_error_in_a_training_ends_the_system(log: Log, config: dict[str, Any]) -> None:
    interaction = Interaction(fake(Agent, "agent", log)(), fake(Environment, "environment", log)())
    with pytest.raises(Exception, match=r"trainer\.train"):
        await launch(interaction, {}, {}, {"t": fake(Trainer, "trainer", log, fails_in="train")()}, config)
    assert log.count("agent.step") == STEPS_PER_TRAINING


def ends_after(steps: int) -> Callable[[], int]:
    given = 0

    def observe() -> int:
        nonlocal given
        if given == steps:
            raise EndOfInteraction
        given += 1
        return given

    return observe
