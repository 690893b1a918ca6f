"""Agents and trainers under test, without a system."""

from __future__ import annotations

from unittest.mock import MagicMock, Mock, call

import pytest
from typing_extensions import override

from pamiq_async import Agent, DataBuffer, InferenceModel, Trainer, TrainingModel
from pamiq_async.data.impls import SequentialBuffer
from pamiq_async.testing import connect_components, create_mock_buffer, create_mock_models
from tests.fakes import FakeModel


class Player(Agent[float, float]):
    def __init__(self, order: list[str] | None = None) -> None:
        super().__init__()
        self.order = [] if order is None else order

    @override
    def on_inference_models_attached(self) -> None:
        self.order.append("the agent's models")
        self.policy = self.get_inference_model("policy")

    @override
    def on_data_collectors_attached(self) -> None:
        self.order.append("the agent's data")
        self.collector = self.get_data_collector("moves")

    def step(self, observation: float) -> float:
        self.collector.collect(observation)
        return self.policy(observation)


class AsyncPlayer(Player):
    async def step(self, observation: float) -> float:  # type: ignore[override]
        return super().step(observation)


class Coach(Trainer):
    def __init__(self, order: list[str] | None = None, min_new_data_count: int = 0) -> None:
        super().__init__("moves", 0, min_new_data_count)
        self.order = [] if order is None else order

    @override
    def on_training_models_attached(self) -> None:
        self.order.append("the trainer's models")
        self.policy = self.get_training_model("policy")

    @override
    def on_data_users_attached(self) -> None:
        self.order.append("the trainer's data")
        self.moves = self.get_data_user("moves")

    def train(self) -> None:
        self.policy.value = len(self.moves.get_data())  # type: ignore[attr-defined]


class AsyncCoach(Coach):
    async def train(self) -> None:  # type: ignore[override]
        super().train()


# --- connect_components -----------------------------------------------------------------------------------


def test_an_agent_can_be_stepped() -> None:
    agent, model = Player(), FakeModel()
    model.value = 3
    connected = connect_components(agent, None, {"moves": SequentialBuffer(2)}, {"policy": model})

    assert agent.step(0.5) == 3
    assert connected.data_users["moves"].get_data() == [0.5]


async def test_an_async_agent_can_be_stepped() -> None:
    agent = AsyncPlayer()
    connected = connect_components(agent, None, {"moves": SequentialBuffer(2)}, {"policy": FakeModel()})

    assert await agent.step(0.5) == 0
    assert connected.data_users["moves"].get_data() == [0.5]


def test_a_blocking_trainer_can_be_run_and_says_whether_it_trained() -> None:
    trainer, model = Coach(min_new_data_count=2), FakeModel()
    connected = connect_components(trainers=trainer, buffers={"moves": SequentialBuffer(5)}, models={"policy": model})
    connected.data_collectors["moves"].collect(1)

    assert trainer.run() is False
    connected.data_collectors["moves"].collect(2)
    assert trainer.run() is True
    assert connected.inference_models["policy"]() == model.value == 2


async def test_an_async_trainer_can_be_run() -> None:
    trainer, model = AsyncCoach(), FakeModel()
    connect_components(trainers=trainer, buffers={"moves": SequentialBuffer(5)}, models={"policy": model})

    assert await trainer.arun() is True


def test_several_trainers_share_models_and_data() -> None:
    coaches = {"first": Coach(), "second": Coach()}
    connect_components(None, coaches, {"moves": SequentialBuffer(5)}, {"policy": FakeModel()})

    assert coaches["first"].moves is coaches["second"].moves
    assert coaches["first"].policy is coaches["second"].policy


def test_components_are_attached_in_the_order_of_a_system() -> None:
    order: list[str] = []
    connect_components(Player(order), Coach(order), {"moves": SequentialBuffer(5)}, {"policy": FakeModel()})

    assert order == ["the agent's models", "the agent's data", "the trainer's models", "the trainer's data"]


def test_what_was_made_to_connect_with_comes_back() -> None:
    models = {
        "both": FakeModel(),
        "training": FakeModel(has_inference_model=False),
        "inference": FakeModel(inference_thread_only=True),
    }
    connected = connect_components(buffers={"moves": SequentialBuffer(5)}, models=models)

    assert connected._fields == ("data_users", "data_collectors", "training_models", "inference_models")
    assert list(connected.data_users) == list(connected.data_collectors) == ["moves"]
    assert connected.data_users["moves"].collector is connected.data_collectors["moves"]
    assert connected.training_models["training"] is models["training"]
    assert sorted(connected.inference_models) == ["both", "inference"]
    with pytest.raises(KeyError, match="inference_thread_only"):
        connected.training_models["inference"]


def test_nothing_need_be_given() -> None:
    assert [dict(part) for part in connect_components()] == [{}, {}, {}, {}]


def test_components_can_be_connected_again() -> None:
    agent = Player()
    for _ in range(2):
        connect_components(agent, None, {"moves": SequentialBuffer(5)}, {"policy": FakeModel()})


def test_a_missing_model_is_named() -> None:
    with pytest.raises(KeyError, match="no inference model named 'policy'; there are: none"):
        connect_components(Player(), None, {"moves": SequentialBuffer(5)}, {})


def test_the_agent_comes_first() -> None:
    with pytest.raises(TypeError, match="the agent comes first"):
        connect_components(Coach())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="it must be a Trainer, or a mapping"):
        connect_components(None, Player())  # type: ignore[arg-type]


def test_mocks_of_agents_and_trainers_are_attached_to() -> None:
    agent, trainer = Mock(Agent), Mock(Trainer)
    connected = connect_components(agent, trainer)

    agent.attach_inference_models.assert_called_once_with(connected.inference_models)
    agent.attach_data_collectors.assert_called_once_with(connected.data_collectors)
    trainer.attach_training_models.assert_called_once_with(connected.training_models)
    trainer.attach_data_users.assert_called_once_with(connected.data_users)


# --- Mocks ------------------------------------------------------------------------------------------------


def test_a_mock_of_an_agent_steps_without_await() -> None:
    agent = Mock(spec=Agent)
    agent.step.return_value = "left"

    assert agent.step("wall") == "left"


def test_mock_models_are_joined() -> None:
    training_model, inference_model = create_mock_models()

    assert isinstance(training_model, TrainingModel)
    assert isinstance(inference_model, InferenceModel)
    assert training_model.inference_model is inference_model
    assert (training_model.has_inference_model, training_model.inference_thread_only) == (True, False)


def test_mock_models_have_no_other_attributes_than_models() -> None:
    for model in create_mock_models():
        with pytest.raises(AttributeError):
            model.no_such_thing  # noqa: B018


def test_a_mock_model_can_do_without_an_inference_model() -> None:
    training_model, inference_model = create_mock_models(has_inference_model=False)
    connected = connect_components(models={"policy": training_model})

    assert training_model.inference_model is not inference_model
    assert not connected.inference_models


def test_a_mock_model_can_be_for_inference_alone() -> None:
    training_model, _ = create_mock_models(inference_thread_only=True)

    with pytest.raises(KeyError, match="inference_thread_only"):
        connect_components(models={"policy": training_model}).training_models["policy"]


def test_an_agent_and_a_trainer_work_with_mocks_alone() -> None:
    agent, trainer, buffer = Player(), Coach(), create_mock_buffer()
    training_model, inference_model = create_mock_models()
    inference_model.return_value = 0.25
    buffer.get_data.return_value = [1, 2, 3]
    connect_components(agent, trainer, {"moves": buffer}, {"policy": training_model})

    assert agent.step("wall") == 0.25  # type: ignore[arg-type, comparison-overlap]
    assert trainer.run() is True
    assert training_model.value == 3
    assert buffer.add.call_args_list == [call("wall")]
    training_model.sync.assert_called_once_with()


def test_a_mock_model_is_frozen_as_it_is() -> None:
    training_model, _ = create_mock_models()
    trainer = Coach()
    connect_components(None, trainer, {"moves": create_mock_buffer()}, {"policy": training_model})

    assert trainer.get_frozen_model("policy") is training_model


def test_a_mock_buffer_holds_nothing() -> None:
    buffer = create_mock_buffer()
    buffer.add(1)

    assert isinstance(buffer, DataBuffer)
    assert isinstance(buffer, MagicMock)
    assert (buffer.max_queue_size, len(buffer)) == (1, 0)
    assert create_mock_buffer(5).max_queue_size == 5
