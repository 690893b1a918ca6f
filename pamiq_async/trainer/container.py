"""Trainers by name."""

from __future__ import annotations

from collections import UserDict
from pathlib import Path

from typing_extensions import override

from ..data.container import DataUsersDict
from ..hooks import pass_on
from ..lifecycle import PauseEventMixin
from ..model.container import TrainingModelsDict
from ..state_persistence.mixin import PersistentStateMixin, check_name
from .trainer import Trainer


class TrainersDict(UserDict[str, Trainer], PersistentStateMixin, PauseEventMixin):
    """The trainers of a system, in the order in which they take turns. Their states are saved by name."""

    @override
    def __setitem__(self, name: str, trainer: Trainer) -> None:
        super().__setitem__(check_name(name, "trainer"), trainer)

    def attach_training_models(self, training_models: TrainingModelsDict) -> None:
        """Attach to each trainer."""
        for trainer in self.values():
            pass_on(trainer.attach_training_models, training_models)

    def attach_data_users(self, data_users: DataUsersDict) -> None:
        """Attach to each trainer."""
        for trainer in self.values():
            pass_on(trainer.attach_data_users, data_users)

    @override
    def on_paused(self) -> None:
        for trainer in self.values():
            pass_on(trainer.on_paused)

    @override
    def on_resumed(self) -> None:
        for trainer in self.values():
            pass_on(trainer.on_resumed)

    @override
    def save_state(self, path: Path) -> None:
        path.mkdir()
        for name, trainer in self.items():
            pass_on(trainer.save_state, path / name)

    @override
    def load_state(self, path: Path) -> None:
        for name, trainer in self.items():
            pass_on(trainer.load_state, path / name)
