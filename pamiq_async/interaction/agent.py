"""What decides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping
from typing import Any, Generic, TypeVar

from typing_extensions import override

from ..data.container import DataCollectorsDict
from ..data.interface import DataCollector
from ..exceptions import NotAttached
from ..hooks import pass_on
from ..model.container import InferenceModelsDict
from ..model.interface import InferenceModel
from ..state_persistence.mixin import check_name
from .composite import Composite, check_component

ObsType = TypeVar("ObsType")
ActType = TypeVar("ActType")


class Agent(Composite, ABC, Generic[ObsType, ActType]):
    """Turns observations into actions, with models that are trained meanwhile.

    Every hook may be `def`, which runs on the interaction's worker thread, or `async def`, which runs on the event
    loop. Call ``super().hook()`` without await in both.

    Args:
        agents: child agents by name. They get the same models and collectors, all hooks but `step` are passed on to
            them, and their states are saved below the parent's. The parent calls their `step` itself.

    Raises:
        TypeError: a child is not an Agent.
        ValueError: a child's name can't be a file name.
    """

    _agents: Mapping[str, Agent[Any, Any]] = {}  # so that super().__init__() may be left out
    _inference_models: InferenceModelsDict | None = None
    _data_collectors: DataCollectorsDict | None = None

    def __init__(self, agents: Mapping[str, Agent[Any, Any]] | None = None) -> None:
        super().__init__()
        self._agents = {
            check_name(name, "child agent"): check_component(agent, Agent, f"child agent {name!r}")
            for name, agent in (agents or {}).items()
        }

    @abstractmethod
    def step(self, observation: ObsType) -> ActType | Awaitable[ActType]:
        """Decide on an action."""

    def attach_inference_models(self, inference_models: InferenceModelsDict) -> None:
        """Called by the system before anything starts; hook in with `on_inference_models_attached`."""
        self._inference_models = inference_models
        pass_on(self.on_inference_models_attached)
        for agent in self._agents.values():
            pass_on(agent.attach_inference_models, inference_models)

    def on_inference_models_attached(self) -> Awaitable[None] | None:
        """Called when `get_inference_model` can be used."""

    def attach_data_collectors(self, data_collectors: DataCollectorsDict) -> None:
        """Called by the system before anything starts; hook in with `on_data_collectors_attached`."""
        self._data_collectors = data_collectors
        pass_on(self.on_data_collectors_attached)
        for agent in self._agents.values():
            pass_on(agent.attach_data_collectors, data_collectors)

    def on_data_collectors_attached(self) -> Awaitable[None] | None:
        """Called when `get_data_collector` can be used."""

    def get_inference_model(self, name: str) -> InferenceModel:
        """The inference side of a model.

        Raises:
            UnknownName: there is none of that name (a KeyError).
            NotAttached: the agent is not part of a system yet.
        """
        if self._inference_models is None:
            raise NotAttached(self, "models", "on_inference_models_attached")
        return self._inference_models[name]

    def get_data_collector(self, name: str) -> DataCollector[Any]:
        """The collector of a buffer; this agent has it for itself from then on.

        Raises:
            UnknownName: there is none of that name, or another agent has it (a KeyError).
            NotAttached: the agent is not part of a system yet.
        """
        if self._data_collectors is None:
            raise NotAttached(self, "data collectors", "on_data_collectors_attached")
        return self._data_collectors.acquire(name)

    @override
    def _children(self) -> Mapping[str, Agent[Any, Any]]:
        return self._agents
