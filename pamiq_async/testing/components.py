"""Components joined without a system, and stand-ins for those that a test is not about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from unittest.mock import MagicMock, Mock

from ..data import DataBuffer
from ..data.container import DataCollectorsDict, DataUsersDict
from ..interaction import Agent
from ..model import InferenceModel, InferenceModelsDict, TrainingModel, TrainingModelsDict
from ..trainer import Trainer
from ..trainer.container import TrainersDict


class ConnectedComponents(NamedTuple):
    """What `connect_components` made to connect with."""

    data_users: DataUsersDict
    data_collectors: DataCollectorsDict
    training_models: TrainingModelsDict
    inference_models: InferenceModelsDict


def connect_components(
    agent: Agent[Any, Any] | None = None,
    trainers: Trainer | Mapping[str, Trainer] | None = None,
    buffers: Mapping[str, DataBuffer[Any, Any]] | None = None,
    models: Mapping[str, TrainingModel[Any]] | None = None,
) -> ConnectedComponents:
    """Attach models and data to an agent and to trainers as a system would, in the same order, and start nothing.

    Afterwards a test calls hooks itself: ``agent.step(observation)``, ``trainer.run()``, or their coroutine forms.

    Args:
        agent: gets inference models and data collectors.
        trainers: one, or several by name; they get training models and data users.
        buffers: by the names by which agent and trainers ask for their data.
        models: by the names by which agent and trainers ask for them.

    Raises:
        TypeError: `agent` or `trainers` is something else; or an ``on_…_attached`` hook is `async def`, which takes a
            system.
        UnknownName: a component asks for a model or data that were not given (a KeyError).
    """
    if isinstance(agent, Trainer | Mapping):
        raise TypeError(f"agent is {agent!r}; the agent comes first, or None, then trainers, buffers and models")
    if isinstance(trainers, Trainer):
        trainers = {"trainer": trainers}
    if not isinstance(trainers, Mapping | None):
        raise TypeError(f"trainers is {trainers!r}; it must be a Trainer, or a mapping of names to Trainers")

    training_models = TrainingModelsDict(models or {})
    data_users = DataUsersDict.from_data_buffers(buffers)
    connected = ConnectedComponents(
        data_users, data_users.data_collectors_dict, training_models, training_models.inference_models_dict
    )
    if agent is not None:
        agent.attach_inference_models(connected.inference_models)
        agent.attach_data_collectors(connected.data_collectors)
    named_trainers = TrainersDict(trainers or {})
    named_trainers.attach_training_models(training_models)
    named_trainers.attach_data_users(data_users)
    return connected


def create_mock_models(has_inference_model: bool = True, inference_thread_only: bool = False) -> tuple[Mock, Mock]:
    """A training model and an inference model that answer everything with mocks; the one has the other.

    Args:
        has_inference_model: whether they are joined, and agents get the inference model.
        inference_thread_only: whether trainers are refused the training model.
    """
    inference_model = Mock(InferenceModel)
    training_model = Mock(TrainingModel)
    training_model.has_inference_model = has_inference_model
    training_model.inference_thread_only = inference_thread_only
    training_model.parameter_count = None
    training_model.as_frozen.return_value = training_model
    if has_inference_model:
        training_model.inference_model = inference_model
    return training_model, inference_model


def create_mock_buffer(max_queue_size: int = 1) -> MagicMock:
    """A buffer that holds nothing, whatever is added, and answers everything with mocks.

    Args:
        max_queue_size: how many items may wait to be added.
    """
    buffer = MagicMock(DataBuffer)
    buffer.max_queue_size = max_queue_size
    return buffer
