from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pamiq_async import Agent, DataCollector, Environment, InferenceModel, Interaction, start
from pamiq_async.data.container import DataCollectorsDict
from pamiq_async.exceptions import NotAttached, UnknownName
from pamiq_async.interaction import acall, call
from pamiq_async.model.container import InferenceModelsDict
from pamiq_async.roles import Role
from tests.fakes import FakeBuffer, FakeInferenceModel, FakeModel


class Plain(Agent[Any, Any]):
    """Asks for nothing, decides on what it sees."""

    def step(self, observation: Any) -> Any:
        return observation


class Curious(Plain):
    """Writes down when it is attached, and gets hold of what it is told to."""

    def __init__(
        self,
        name: str,
        seen: list[str],
        children: Mapping[str, Agent[Any, Any]] | None = None,
        *,
        collector: str | None = None,
    ) -> None:
        super().__init__(children)
        self.name = name
        self.seen = seen
        self.collector_name = collector
        self.model: InferenceModel | None = None
        self.collector: DataCollector[Any] | None = None

    def on_inference_models_attached(self) -> None:
        self.seen.append(f"{self.name}: models")
        self.model = self.get_inference_model("policy")

    def on_data_collectors_attached(self) -> None:
        self.seen.append(f"{self.name}: collectors")
        if self.collector_name is not None:
            self.collector = self.get_data_collector(self.collector_name)


@pytest.fixture
def models() -> InferenceModelsDict:
    return InferenceModelsDict({"policy": FakeInferenceModel(), "value": FakeInferenceModel()})


@pytest.fixture
def collectors() -> DataCollectorsDict:
    return DataCollectorsDict({"steps": DataCollector(10), "dreams": DataCollector(10)})


def test_parents_are_attached_before_their_children(
    models: InferenceModelsDict, collectors: DataCollectorsDict
) -> None:
    seen: list[str] = []
    tree = Curious("a", seen, {"b": Curious("b", seen, {"d": Curious("d", seen)}), "c": Curious("c", seen)})

    tree.attach_inference_models(models)
    tree.attach_data_collectors(collectors)

    assert seen == [f"{name}: {what}" for what in ("models", "collectors") for name in "abdc"]


def test_children_get_the_same_models(models: InferenceModelsDict) -> None:
    child = Curious("child", [])
    parent = Curious("parent", [], {"child": child})

    parent.attach_inference_models(models)

    assert parent.model is child.model is models["policy"]


def test_each_agent_has_a_collector_for_itself(collectors: DataCollectorsDict) -> None:
    child = Curious("child", [], collector="dreams")
    parent = Curious("parent", [], {"child": child}, collector="steps")

    parent.attach_data_collectors(collectors)

    assert parent.collector is collectors["steps"]
    assert child.collector is collectors["dreams"]


def test_a_collector_that_the_parent_has_is_refused_to_the_child(collectors: DataCollectorsDict) -> None:
    child = Curious("child", [], collector="steps")
    parent = Curious("parent", [], {"child": child}, collector="steps")

    message = "no free data collector named 'steps'; there are: 'dreams'; 'steps' was acquired before, and is exclusive"
    with pytest.raises(KeyError, match=f"^{re.escape(message)}$"):
        parent.attach_data_collectors(collectors)


def test_an_unknown_model_is_answered_with_those_there_are(models: InferenceModelsDict) -> None:
    agent = Plain()
    agent.attach_inference_models(models)

    with pytest.raises(UnknownName, match="no inference model named 'plan'; there are: 'policy', 'value'"):
        agent.get_inference_model("plan")


def test_an_unknown_collector_is_answered_with_those_there_are(collectors: DataCollectorsDict) -> None:
    agent = Plain()
    agent.attach_data_collectors(collectors)

    with pytest.raises(UnknownName, match="no data collector named 'plans'; there are: 'steps', 'dreams'"):
        agent.get_data_collector("plans")


def test_models_are_not_there_before_they_are_attached() -> None:
    with pytest.raises(NotAttached, match=r"Plain has no models yet: .* get them in on_inference_models_attached\(\)"):
        Plain().get_inference_model("policy")


def test_collectors_are_not_there_before_they_are_attached() -> None:
    with pytest.raises(NotAttached, match=r"has no data collectors yet: .* in on_data_collectors_attached\(\)"):
        Plain().get_data_collector("steps")


def test_the_constructor_of_the_base_class_may_be_left_out(
    models: InferenceModelsDict, collectors: DataCollectorsDict, tmp_path: Path
) -> None:
    class Forgetful(Plain):
        def __init__(self) -> None:
            self.remembers = False

    agent = Forgetful()

    agent.attach_inference_models(models)
    agent.attach_data_collectors(collectors)
    agent.setup()
    agent.on_paused()
    agent.on_resumed()
    agent.save_state(tmp_path / "agent")
    agent.load_state(tmp_path / "agent")
    agent.teardown()

    assert agent.get_inference_model("value") is models["value"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "../up", ".hidden", "a/b", "a\\b", "x" * 201])
def test_a_childs_name_must_be_a_file_name(name: str) -> None:
    with pytest.raises(ValueError, match="the name of a child agent is"):
        Plain({name: Plain()})


def test_a_childs_name_must_be_a_string() -> None:
    with pytest.raises(TypeError, match="the name of a child agent is 1; it must be a str"):
        Plain({1: Plain()})  # type: ignore[dict-item]


def test_a_child_must_be_an_agent() -> None:
    with pytest.raises(TypeError, match="child agent 'left' is 'hand'; it must be an Agent"):
        Plain({"left": "hand"})  # type: ignore[dict-item]


def test_later_changes_of_the_given_mapping_do_not_matter() -> None:
    children: dict[str, Agent[Any, Any]] = {}
    agent = Plain(children)

    children["late"] = Plain()

    assert agent._children() == {}


async def test_attach_hooks_may_be_async(
    models: InferenceModelsDict, collectors: DataCollectorsDict, role: Role
) -> None:
    class Patient(Curious):
        async def on_inference_models_attached(self) -> None:  # type: ignore[override]
            super().on_inference_models_attached()

        async def on_data_collectors_attached(self) -> None:  # type: ignore[override]
            super().on_data_collectors_attached()

    seen: list[str] = []
    agent = Patient("a", seen, {"b": Curious("b", seen), "c": Patient("c", seen, collector="steps")})

    await role.call(agent.attach_inference_models, models)
    await role.call(agent.attach_data_collectors, collectors)

    assert seen == [f"{name}: {what}" for what in ("models", "collectors") for name in "abc"]


class Slow(Agent[int, int]):
    async def step(self, observation: int) -> int:  # type: ignore[override]
        return observation * 2


async def test_a_parent_with_a_plain_step_calls_a_child_whose_step_is_async(role: Role) -> None:
    class Parent(Plain):
        def step(self, observation: int) -> int:
            return 1 + int(call(self._agents["child"].step, observation))

    assert await role.call(Parent({"child": Slow()}).step, 10) == 21


async def test_a_parent_with_an_async_step_calls_a_child_whose_step_is_plain(role: Role) -> None:
    class Parent(Plain):
        async def step(self, observation: int) -> int:
            return 1 + int(await acall(self._agents["child"].step, observation))

    assert await role.call(Parent({"child": Plain()}).step, 10) == 11


async def test_a_system_attaches_models_and_collectors(tmp_path: Path) -> None:
    class Nothing(Environment[Any, Any]):
        def observe(self) -> Any: ...

        def affect(self, action: Any) -> None: ...

    agent = Curious("a", [], {"b": Curious("b", [], collector="steps")})

    config = {"states_dir": tmp_path, "web_api_address": None}
    async with start(Interaction(agent, Nothing()), {"policy": FakeModel()}, {"steps": FakeBuffer()}, {}, config):
        assert agent.seen == ["a: models", "a: collectors"]
        assert isinstance(agent.model, FakeInferenceModel)
