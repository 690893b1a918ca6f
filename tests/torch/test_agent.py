from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from torch import nn

from pamiq_async.exceptions import NotAttached, UnknownName
from pamiq_async.model import InferenceModelsDict
from pamiq_async.torch import TorchAgent, TorchInferenceModel, TorchTrainingModel
from tests.fakes import FakeInferenceModel


class Acting(TorchAgent[torch.Tensor, torch.Tensor]):
    def step(self, observation: torch.Tensor) -> torch.Tensor:
        return self.get_torch_inference_model("linear", nn.Linear)(observation)


@pytest.fixture
def agent() -> Acting:
    agent = Acting()
    models: dict[str, Any] = {
        "linear": TorchTrainingModel(nn.Linear(2, 2)).inference_model,
        "fake": FakeInferenceModel(),
    }
    agent.attach_inference_models(InferenceModelsDict(models))
    return agent


def test_a_model_is_given_by_its_name(agent: Acting) -> None:
    model = agent.get_torch_inference_model("linear")
    assert type(model) is TorchInferenceModel
    assert model is agent.get_torch_inference_model("linear", nn.Linear)
    assert agent.step(torch.ones(1, 2)).shape == (1, 2)


def test_a_model_that_is_not_pytorchs_is_refused(agent: Acting) -> None:
    with pytest.raises(ValueError, match="'fake' is a FakeInferenceModel, not a TorchInferenceModel"):
        agent.get_torch_inference_model("fake")


def test_a_module_of_another_class_is_refused(agent: Acting) -> None:
    with pytest.raises(TypeError, match="the module of model 'linear' is a Linear, not a Conv2d"):
        agent.get_torch_inference_model("linear", nn.Conv2d)


def test_a_model_that_is_not_there_is_refused(agent: Acting) -> None:
    with pytest.raises(UnknownName, match="'linear', 'fake'"):
        agent.get_torch_inference_model("liner")


def test_an_agent_outside_of_a_system_has_no_models() -> None:
    with pytest.raises(NotAttached):
        Acting().get_torch_inference_model("linear")


def test_a_mock_is_given_where_no_class_is_asked_for() -> None:
    agent = Acting()
    agent.attach_inference_models(InferenceModelsDict({"mock": TorchInferenceModel(MagicMock())}))
    assert agent.get_torch_inference_model("mock")
