"""Systems that run for some steps, the same way each time."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from pamiq_async import (
    Agent,
    EndOfInteraction,
    Environment,
    FixedIntervalInteraction,
    Interaction,
    LaunchConfig,
    Trainer,
    time,
)
from pamiq_async.data.impls import SequentialBuffer
from pamiq_async.testing import create_mock_models, run_steps
from tests.fakes import Boom, FakeModel, Log, fake, fake_interaction


@pytest.fixture
def log() -> Log:
    return Log()


async def test_exactly_so_many_steps_are_taken(log: Log) -> None:
    statistics = await run_steps(fake_interaction(log, interval=None), steps=7)

    assert log.count("agent.step") == statistics.step_times.count == 7
    assert log.names()[-2:] == ["agent.save_state", "environment.save_state"]


@pytest.mark.parametrize(("per_training", "trainings"), [(None, 7), (1, 7), (3, 2), (7, 1), (8, 0)])
async def test_trainers_take_their_turns(log: Log, per_training: int | None, trainings: int) -> None:
    config = {"steps_per_training": per_training}
    trainers = {"t": fake(Trainer, "trainer", log)()}
    statistics = await run_steps(fake_interaction(log), {}, {}, trainers, config, steps=7)

    assert log.count("trainer.train") == statistics.trainings["t"].count == trainings


async def test_waiting_takes_no_real_time(log: Log) -> None:
    times: list[float] = []
    interaction = fake_interaction(log, interval=3600.0, agent={"step": lambda _: times.append(time.time())})
    statistics = await run_steps(interaction, steps=4)

    assert times == [0, 3600, 7200, 10800]
    assert statistics.step_rate == 4 / 10800


@pytest.mark.parametrize("async_hooks", [False, True], ids=["def", "async def"])
async def test_sleeping_takes_no_real_time(async_hooks: bool) -> None:
    class Sleeper(Environment[float, Any]):
        def observe(self) -> float:
            time.sleep(1000)
            return time.time()

        def affect(self, action: Any) -> None: ...

    class AsyncSleeper(Sleeper):
        async def observe(self) -> float:  # type: ignore[override]
            await asyncio.gather(time.asleep(1000), time.asleep(500))
            return time.time()

    class Watch(Agent[float, None]):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[float] = []

        def step(self, observation: float) -> None:
            self.seen.append(observation)

    agent = Watch()
    await run_steps(Interaction(agent, (AsyncSleeper if async_hooks else Sleeper)()), steps=3)
    assert agent.seen == [1000, 2000, 3000]


async def test_a_pause_by_the_clock_does_not_end_a_wait_too_early(log: Log, tmp_path: Path) -> None:
    config = LaunchConfig(states_dir=tmp_path, save_state_interval=5.0)
    trainers = {"t": fake(Trainer, "trainer", log)()}
    await run_steps(fake_interaction(log, interval=1.0), {}, {}, trainers, config, steps=50)

    assert log.count("agent.step") == 50


async def test_the_same_seed_gives_the_same_result() -> None:
    async def result(seed: int) -> tuple[float, float]:
        class Walk(Environment[float, float]):
            position = 0.0

            def observe(self) -> float:
                return self.position

            def affect(self, action: float) -> None:
                self.position += action * random.random()

        class Walker(Agent[float, float]):
            @override
            def on_data_collectors_attached(self) -> None:
                self.walked = self.get_data_collector("walked")

            def step(self, observation: float) -> float:
                self.walked.collect(observation)
                return float(self.get_inference_model("model")()) + 1

        class Learn(Trainer):
            def train(self) -> None:
                model = self.get_training_model("model")
                model.value = sum(self.get_data_user("walked").get_data())  # type: ignore[attr-defined]

        random.seed(seed)
        walk, model = Walk(), FakeModel()
        interaction = FixedIntervalInteraction.with_sleep_adjustor(Walker(), walk, 0.1)
        model.save_state = lambda path: None  # type: ignore[method-assign]
        await run_steps(interaction, {"model": model}, {"walked": SequentialBuffer(5)}, {"learn": Learn()}, steps=30)
        return walk.position, model.value

    assert await result(1) == await result(1) != await result(2)


async def test_a_run_that_ends_by_itself_is_shorter(log: Log) -> None:
    def observe() -> None:
        if log.count("environment.observe") == 4:
            raise EndOfInteraction

    statistics = await run_steps(fake_interaction(log, environment={"observe": observe}), steps=100)
    assert statistics.step_times.count == 3


async def test_an_error_is_raised_as_itself(log: Log) -> None:
    with pytest.raises(Boom, match=r"agent\.step"):
        await run_steps(fake_interaction(log, agent={"fails_in": "step"}), steps=3)


async def test_it_works_with_mock_models(log: Log) -> None:
    training_model, inference_model = create_mock_models()

    class Caller(Agent[Any, Any]):
        def step(self, observation: Any) -> Any:
            return self.get_inference_model("model")(observation)

    environment = fake(Environment, "environment", log, observe=lambda: 5)()
    await run_steps(Interaction(Caller(), environment), {"model": training_model}, steps=2)

    assert inference_model.call_args_list == [((5,),)] * 2
    training_model.save_state.assert_called_once()


async def test_states_are_kept_where_the_config_says(log: Log, tmp_path: Path) -> None:
    config = {"states_dir": tmp_path / "states"}
    await run_steps(fake_interaction(log), config=config, steps=1)
    await run_steps(fake_interaction(log), config={**config, "saved_state_path": "latest"}, steps=1)

    assert log.count("agent.load_state") == 1


def test_without_a_config_nothing_is_left_behind(log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    asyncio.run(run_steps(fake_interaction(log), steps=1))

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("steps", "error"), [(0, ValueError), (1.5, TypeError), (True, TypeError)])
async def test_steps_are_a_whole_number(log: Log, steps: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="steps is"):
        await run_steps(fake_interaction(log), steps=steps)
