"""Models by name."""

from __future__ import annotations

from collections import UserDict
from pathlib import Path
from typing import Any

from typing_extensions import override

from ..exceptions import UnknownName
from ..hooks import pass_on
from ..state_persistence.mixin import PersistentStateMixin, check_name
from .interface import InferenceModel, TrainingModel


class InferenceModelsDict(UserDict[str, InferenceModel]):
    """The inference models of a system."""

    def __missing__(self, name: str) -> InferenceModel:
        raise UnknownName("inference model", name, self)


class TrainingModelsDict(UserDict[str, TrainingModel[Any]], PersistentStateMixin):
    """The training models of a system. Their states are saved by name."""

    @override
    def __setitem__(self, name: str, model: TrainingModel[Any]) -> None:
        super().__setitem__(check_name(name, "model"), model)

    @override
    def __getitem__(self, name: str) -> TrainingModel[Any]:
        """Give a model to a trainer.

        Raises:
            UnknownName: there is none of that name, or it is for inference alone (a KeyError).
        """
        model = self.data.get(name)
        if model is None or model.inference_thread_only is True:
            known = [n for n, m in self.data.items() if m.inference_thread_only is not True]
            remark = "" if model is None else f"; {name!r} is inference_thread_only, so trainers can't get it"
            raise UnknownName("training model", name, known, remark)
        return model

    @property
    def inference_models_dict(self) -> InferenceModelsDict:
        """The inference sides of those models that have one."""
        return InferenceModelsDict(
            {name: model.inference_model for name, model in self.data.items() if model.has_inference_model}
        )

    @override
    def save_state(self, path: Path) -> None:
        path.mkdir()
        for name, model in self.data.items():
            pass_on(model.save_state, path / name)

    @override
    def load_state(self, path: Path) -> None:
        """Load each model, and publish what it loaded."""
        for name, model in self.data.items():
            pass_on(model.load_state, path / name)
            pass_on(model.sync)
