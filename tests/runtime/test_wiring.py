from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from pamiq_async import Agent, Environment, Interaction, ModularEnvironment, Sensor, Trainer, start
from pamiq_async.exceptions import ComponentInUse
from pamiq_async.runtime.wiring import Components, claim, release
from tests.fakes import FakeBuffer, FakeModel, Log, fake


class Still(Environment[Any, Any]):
    def observe(self) -> None: ...

    def affect(self, action: Any) -> None: ...


class Idle(Agent[Any, Any]):
    def step(self, observation: Any) -> None: ...


def components(interaction: Interaction[Any, Any] | None = None, **parts: Any) -> Components:
    given: dict[str, Any] = {"models": {}, "data": {}, "trainers": {}, **parts}
    return Components.check(interaction or Interaction(Idle(), Still()), **given)


def test_one_buffer_cannot_have_two_names() -> None:
    buffer = FakeBuffer()
    with pytest.raises(ComponentInUse, match=r"data\['b'\] and data\['a'\] are the same FakeBuffer"):
        components(data={"a": buffer, "b": buffer})


def test_one_model_can_have_two_names() -> None:
    model = FakeModel()
    assert len(components(models={"a": model, "b": model}).models) == 2


def test_one_agent_cannot_be_child_of_two() -> None:
    child = Idle()
    parent = Idle({"left": Idle({"hand": child}), "right": Idle({"hand": child})})
    with pytest.raises(ComponentInUse, match=r"interaction\.agent\.right\.hand and interaction\.agent\.left\.hand"):
        components(Interaction(parent, Still()))


def test_one_sensor_cannot_be_read_by_two() -> None:
    class Eye(Sensor[int]):
        def read(self) -> int:
            return 0

    eye = Eye()
    environment = ModularEnvironment.from_dict({"left": eye, "right": eye}, {})
    with pytest.raises(ComponentInUse, match=r"environment\.sensor\.right and interaction\.environment\.sensor\.left"):
        components(Interaction(Idle(), environment))


def test_an_agent_that_serves_one_system_cannot_serve_another() -> None:
    agent, first, second = Idle(), object(), object()
    serving = components(Interaction(agent, Still()))
    claim(serving, first)
    claim(serving, first)
    other = components(Interaction(agent, Still()))
    with pytest.raises(ComponentInUse, match=r"interaction\.agent \(Idle\)"):
        claim(other, second)
    release(other, second)  # was never its own
    with pytest.raises(ComponentInUse):
        claim(other, second)
    release(serving, first)
    claim(other, second)


def test_a_refused_claim_claims_nothing() -> None:
    trainer = fake(Trainer, "trainer", Log())()
    owner = object()
    claim(components(trainers={"t": trainer}), owner)
    interaction = Interaction(Idle(), Still())
    with pytest.raises(ComponentInUse):
        claim(components(interaction, trainers={"t": trainer}), object())
    claim(components(interaction), object())


def test_names_that_cannot_be_files_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'\.\./b'; it names a file in saved states"):
        components(data={"../b": FakeBuffer()})
    with pytest.raises(ValueError, match="the name of a model is ''"):
        components(models={"": FakeModel()})
    with pytest.raises(ValueError, match="the name of a trainer"):
        components(trainers={"a/b": fake(Trainer, "trainer", Log())()})


async def test_models_are_logged_at_start_with_their_sizes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pamiq_async")
    config = {"states_dir": tmp_path, "web_api_address": None}
    async with start(Interaction(Idle(), Still()), {"policy": FakeModel()}, {}, {}, config):
        assert "models: policy (parameters not counted)" in caplog.messages
