"""Habits of components that were written for pamiq-core: they come along as they are."""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import threading
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

import pamiq_async
from pamiq_async import (
    Agent,
    EndOfInteraction,
    Environment,
    FixedIntervalInteraction,
    Interaction,
    ModularEnvironment,
    Sensor,
    Trainer,
    start,
    time,
)
from pamiq_async.testing import connect_components, create_mock_models, run_steps


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    return {"states_dir": tmp_path / "states", "web_api_address": None}


class Idle(Agent[Any, None]):
    def step(self, observation: Any) -> None: ...


class Void(Environment[None, Any]):
    def observe(self) -> None: ...

    def affect(self, action: Any) -> None: ...


class Motor(pamiq_async.Actuator[Any]):
    def operate(self, action: Any) -> None: ...


# --- Construction ---------------------------------------------------------------------------------


def instantiate(config: Any) -> Any:
    """As Hydra does: `_target_` is a dotted path, its first parts are modules, the rest are attributes."""
    if not isinstance(config, dict):
        return config
    arguments = {key: instantiate(value) for key, value in config.items() if key != "_target_"}
    return located(config["_target_"])(**arguments) if "_target_" in config else arguments


def located(path: str) -> Any:
    first, *rest = path.split(".")
    found: Any = importlib.import_module(first)
    module = first
    for part in rest:
        module = f"{module}.{part}"
        found = getattr(found, part, None) or importlib.import_module(module)
    return found


async def test_components_are_made_from_dotted_paths_and_keywords(config: dict[str, Any]) -> None:
    made = instantiate(
        {
            "interaction": {
                "_target_": "pamiq_async.FixedIntervalInteraction.with_sleep_adjustor",
                "agent": {"_target_": f"{__name__}.Idle"},
                "environment": {
                    "_target_": "pamiq_async.interaction.wrappers.EnvironmentWrapper",
                    "env": {"_target_": f"{__name__}.Void"},
                    "obs_wrapper": {"_target_": "pamiq_async.interaction.LambdaWrapper", "func": str},
                    "act_wrapper": {"_target_": "pamiq_async.LambdaWrapper", "func": str},
                },
                "interval": 0.01,
            },
            "data": {
                "items": {"_target_": "pamiq_async.data.impls.DictSequentialBuffer", "keys": ["x"], "max_size": 9}
            },
            "config": {"_target_": "pamiq_async.launcher.LaunchConfig", "max_uptime": 9.0, **config},
        }
    )
    statistics = await run_steps(**made, steps=3)
    assert isinstance(made["interaction"], FixedIntervalInteraction)
    assert statistics.steps == 3


def test_a_trainers_condition_is_given_by_position() -> None:
    class Learner(Trainer):
        def __init__(self) -> None:
            super().__init__("items", 2, 1)

        def train(self) -> None: ...

    learner = Learner()
    parts = connect_components(trainers=learner, buffers={"items": pamiq_async.data.impls.SequentialBuffer(9)})
    collector = parts.data_collectors.acquire("items")
    answers = []
    for number in range(3):
        collector.collect(number)
        answers.append(learner.run())
    assert answers == [False, True, True]


def test_the_constructor_of_a_base_class_may_be_left_out(tmp_path: Path) -> None:
    class Camera(Sensor[int]):
        def __init__(self, picture: int) -> None:
            self.picture = picture

        def read(self) -> int:
            return self.picture

    environment = ModularEnvironment.from_dict({"left": Camera(1), "right": Camera(2)}, {})
    environment.setup()
    environment.on_paused()
    environment.on_resumed()
    environment.save_state(tmp_path / "state")
    environment.load_state(tmp_path / "state")
    assert environment.observe() == {"left": 1, "right": 2}
    environment.teardown()


# --- Acting ---------------------------------------------------------------------------------------


async def test_a_parent_calls_the_step_of_its_child_and_a_model(config: dict[str, Any]) -> None:
    class Child(Agent[int, int]):
        def on_inference_models_attached(self) -> None:
            self.model = self.get_inference_model("policy")

        def step(self, observation: int) -> int:
            return int(self.model(observation)) + 1

    class Parent(Agent[int, int]):
        def __init__(self) -> None:
            self.child = Child()
            super().__init__(agents={"child": self.child})

        def step(self, observation: int) -> int:
            return self.child.step(observation) * 10

    acted: list[int] = []

    class World(Environment[int, int]):
        def observe(self) -> int:
            return 2

        def affect(self, action: int) -> None:
            acted.append(action)
            raise EndOfInteraction

    training, inference = create_mock_models()
    inference.side_effect = lambda value: value * 3
    async with start(Interaction(Parent(), World()), {"policy": training}, {}, {}, config) as system:
        await system.wait()
    assert acted == [70]


def test_a_mocked_agent_gives_values_and_not_coroutines() -> None:
    agent = Mock(spec=Agent)
    agent.step.return_value = "left"
    agent.setup.return_value = None
    assert (agent.step("seen"), agent.setup()) == ("left", None)


# --- Pausing --------------------------------------------------------------------------------------


async def test_a_sensor_may_sleep_when_time_goes_on(config: dict[str, Any]) -> None:
    woken = threading.Event()

    class Camera(Sensor[None]):
        def read(self) -> None: ...

        def on_resumed(self) -> None:
            time.sleep(0.01)  # until the picture is steady; in system time, which must not stand still any more
            woken.set()

    environment = ModularEnvironment(Camera(), Motor())
    async with start(Interaction(Idle(), environment), {}, {}, {}, config) as system:
        await system.pause()
        assert not woken.is_set()
        await system.resume()
        await system.pause()  # which the sensor's role takes part in after it has slept
        assert woken.is_set()


# --- The end --------------------------------------------------------------------------------------


class Careful(ModularEnvironment[Any, Any]):
    """Closes what it opened, if nobody else did."""

    closed = 0

    def teardown(self) -> None:
        super().teardown()
        type(self).closed += 1

    def __del__(self) -> None:
        self.teardown()


class Camera(Sensor[None]):
    def read(self) -> None: ...


@pytest.fixture
def careful(monkeypatch: pytest.MonkeyPatch) -> type[Careful]:
    monkeypatch.setattr(Careful, "closed", 0)
    return Careful


# An error in `__del__` would be a warning, and so an error here.
async def test_a_finalizer_may_tear_down_what_a_system_has_torn_down(
    careful: type[Careful], config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)  # what pytest has captured holds on to components
    interaction = Interaction(Idle(), careful(Camera(), Motor()))
    await run_steps(interaction, config=config, steps=1)
    assert careful.closed == 1
    del interaction
    while careful.closed < 2:  # a worker thread that has done its last job for the system may not have forgotten it yet
        gc.collect()
        await asyncio.sleep(0)
    assert careful.closed == 2


def test_a_finalizer_may_tear_down_what_was_never_set_up(careful: type[Careful]) -> None:
    careful(Camera(), Motor())
    gc.collect()
    assert careful.closed == 1


# --- States ---------------------------------------------------------------------------------------


class Counting(Idle):
    """As of today it remembers something; so older states have no file of it."""

    steps = 0

    def save_state(self, path: Path) -> None:
        super().save_state(path)
        path.mkdir(exist_ok=True)
        (path / "steps").write_text(str(self.steps))

    def load_state(self, path: Path) -> None:
        super().load_state(path)
        if (path / "steps").exists():
            self.steps = int((path / "steps").read_text())


async def saved(interaction: Interaction[Any, Any], config: dict[str, Any]) -> Path:
    async with start(interaction, {}, {}, {}, config) as system:
        return await system.save_state()


async def test_an_agent_that_has_learnt_to_remember_loads_an_older_state(config: dict[str, Any]) -> None:
    older = await saved(Interaction(Idle(), Void()), config)
    agent = Counting(agents={"new": Counting()})
    agent.steps = 7
    newer = await saved(Interaction(agent, Void()), {**config, "saved_state_path": older})
    assert agent.steps == 7

    reborn = Counting(agents={"new": Counting()})
    await saved(Interaction(reborn, Void()), {**config, "saved_state_path": newer})
    assert reborn.steps == 7
