"""Models by name."""

from __future__ import annotations

import json
from collections import UserDict
from pathlib import Path
from typing import Any

from typing_extensions import override

from ..exceptions import InvalidState, UnknownName
from ..hooks import pass_on
from ..state_persistence.codec import load_json
from ..state_persistence.mixin import PersistentStateMixin, check_name
from .interface import InferenceModel, TrainingModel


class InferenceModelsDict(UserDict[str, InferenceModel]):
    """The inference models of a system."""

    def __missing__(self, name: str) -> InferenceModel:
        raise UnknownName("inference model", name, self)


class TrainingModelsDict(UserDict[str, TrainingModel[Any]], PersistentStateMixin):
    """The training models of a system. Their states are saved by name.

    A model may have several names. Its state is saved once, under the first.
    """

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

    @property
    def aliases(self) -> dict[str, str]:
        """The further names of models that have several, and the first name of each."""
        first_names: dict[int, str] = {}
        names = {name: first_names.setdefault(id(model), name) for name, model in self.data.items()}
        return {name: first for name, first in names.items() if name != first}

    def describe(self) -> str:
        """The models' names and how many parameters each has, in one line."""
        aliases = self.aliases
        return ", ".join(
            f"{name} = {aliases[name]}" if name in aliases else f"{name} ({_size(model)})"
            for name, model in self.data.items()
        )

    @override
    def save_state(self, path: Path) -> None:
        path.mkdir()
        aliases = self.aliases
        if aliases:
            (path / _ALIASES).write_text(json.dumps(aliases), encoding="utf-8")
        for name, model in self.data.items():
            if name not in aliases:
                pass_on(model.save_state, path / name)

    @override
    def load_state(self, path: Path) -> None:
        """Load each model, and publish what it loaded."""
        aliases = self.aliases
        file = path / _ALIASES
        saved_as = load_json(file, dict[str, str]) if file.exists() else {}
        try:
            for name in saved_as.values():
                check_name(name, "model")
        except ValueError as error:
            raise InvalidState(f"{file}: {error}") from None
        for name, model in self.data.items():
            if name not in aliases:
                pass_on(model.load_state, path / saved_as.get(name, name))
                pass_on(model.sync)


_ALIASES = ".aliases.json"  # no model's name begins with a dot


def _size(model: TrainingModel[Any]) -> str:
    count = model.parameter_count
    return f"{count:,} parameters" if isinstance(count, int) else "parameters not counted"
