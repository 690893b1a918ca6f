"""What learns."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any

from typing_extensions import override

from ..data.buffer import checked_size
from ..data.container import DataUsersDict
from ..data.interface import DataUser
from ..exceptions import ErrorCollector, InvalidState, NotAttached
from ..hooks import Hook, Kind, acall, describe, kind_of, on_loop, pass_on, put_off_on_loop
from ..lifecycle import PauseEventMixin
from ..model.container import TrainingModelsDict
from ..model.interface import TrainingModel
from ..roles import apause_point, pause_point
from ..state_persistence.codec import load_json
from ..state_persistence.mixin import PersistentStateMixin


class Trainer(ABC, PersistentStateMixin, PauseEventMixin):
    """Trains models on collected data, again and again, whenever it is trainable.

    A training is `setup`, `train`, `sync_models`, `teardown`. Each of these may be `def`, which runs on the worker
    thread of the trainers, or `async def`, which runs on the event loop. The trainers of a system take turns.

    Args:
        training_condition_data_user: name of the buffer whose data decide whether it is time to train; None: always.
        min_buffer_size: how many items that buffer must hold.
        min_new_data_count: how many must have arrived since the last training.

    Raises:
        TypeError: a number is not a whole one.
        ValueError: a number is negative, or given without a buffer's name.
    """

    _condition_name: str | None = None
    _min_buffer_size = 0
    _min_new_data_count = 0
    _training_models: TrainingModelsDict | None = None
    _data_users: DataUsersDict | None = None
    _synced_models: Mapping[str, TrainingModel[Any]] = {}
    _added_at_last_training = 0

    def __init__(
        self,
        training_condition_data_user: str | None = None,
        min_buffer_size: int = 0,
        min_new_data_count: int = 0,
    ) -> None:
        super().__init__()
        for name, number in (("min_buffer_size", min_buffer_size), ("min_new_data_count", min_new_data_count)):
            if checked_size(name, number, at_least=0) and training_condition_data_user is None:
                raise ValueError(f"{name} is {number!r}, but training_condition_data_user does not name a buffer")
        self._condition_name = training_condition_data_user
        self._min_buffer_size = min_buffer_size
        self._min_new_data_count = min_new_data_count

    # Wiring

    def attach_training_models(self, training_models: TrainingModelsDict) -> None:
        """Called by the system before anything starts; hook in with `on_training_models_attached`."""
        self._training_models = training_models
        self._synced_models = {}
        pass_on(self.on_training_models_attached)

    def on_training_models_attached(self) -> Awaitable[None] | None:
        """Called when `get_training_model` can be used."""

    def attach_data_users(self, data_users: DataUsersDict) -> None:
        """Called by the system before anything starts; hook in with `on_data_users_attached`."""
        self._data_users = data_users
        if self._condition_name is not None:
            self.get_data_user(self._condition_name)  # an unknown name is an error now, not at the first training
        pass_on(self.on_data_users_attached)

    def on_data_users_attached(self) -> Awaitable[None] | None:
        """Called when `get_data_user` can be used."""

    def get_training_model(self, name: str) -> TrainingModel[Any]:
        """The training side of a model, which is synced after each training from now on.

        Raises:
            UnknownName: there is none of that name, or it is for inference alone (a KeyError).
            NotAttached: the trainer is not part of a system yet.
        """
        model = self._model(name)
        self._synced_models = {**self._synced_models, name: model}
        return model

    def get_frozen_model(self, name: str) -> TrainingModel[Any]:
        """A model to read, such as a teacher, a target or an encoder that another trainer trains.

        It is not synced on this trainer's account. What else sets it apart is for its kind to say, in
        `TrainingModel.as_frozen`: PyTorch's is in evaluation mode, has no gradients and is the version that was
        published last, whoever trains the model; a kind that says nothing gives the model itself.

        Raises:
            UnknownName: there is none of that name, or it is for inference alone (a KeyError).
            NotAttached: the trainer is not part of a system yet.
        """
        return self._model(name).as_frozen()

    def get_data_user(self, name: str) -> DataUser[Any]:
        """The using end of a buffer.

        Raises:
            UnknownName: there is none of that name (a KeyError).
            NotAttached: the trainer is not part of a system yet.
        """
        if self._data_users is None:
            raise NotAttached(self, "data users", "on_data_users_attached")
        return self._data_users[name]

    # Hooks

    def is_trainable(self) -> bool | Awaitable[bool]:
        """Whether it is time to train: the buffer holds enough items, and enough of them are new."""
        return self._missing_items() <= 0

    def setup(self) -> Awaitable[None] | None:
        """Called before each training."""

    @abstractmethod
    def train(self) -> Awaitable[None] | None:
        """Train. Call `pause_point` now and then if it takes long."""

    @put_off_on_loop
    def sync_models(self) -> Awaitable[None] | None:
        """Publish the models that `get_training_model` gave."""
        for model in self._synced_models.values():
            pass_on(model.sync)
        return None

    def teardown(self) -> Awaitable[None] | None:
        """Called after each training, also after one that failed."""

    # Running

    def run(self) -> bool:
        """Train once, if it is time to; returns whether it was.

        Raises:
            TypeError: a hook is `async def`.
        """
        for hook in self._hooks():
            if kind_of(hook) is Kind.LOOP:
                raise TypeError(f"{describe(hook)} is async def, so run() can't call it; use 'await trainer.arun()'")
        if not self.is_trainable():
            return False
        self._mark_data_as_seen()
        self.setup()
        errors = ErrorCollector()
        with errors.collect("in training"):
            self.train()
            self.sync_models()
        with errors.collect(f"in {type(self).__qualname__}.teardown"):
            self.teardown()
        errors.raise_collected()
        return True

    async def arun(self) -> bool:
        """`run` for coroutines; its hooks may be `def` or `async def`."""
        if not await acall(self.is_trainable):
            return False
        self._mark_data_as_seen()
        await acall(self.setup)
        errors = ErrorCollector()
        with errors.collect("in training"):
            await acall(self.train)
            await acall(self.sync_models)
        with errors.collect(f"in {type(self).__qualname__}.teardown"):
            await acall(self.teardown)
        errors.raise_collected()
        return True

    def pause_point(self) -> None:
        """Let a pause or shutdown in; for long `train` loops. See `pamiq_async.pause_point`.

        Raises:
            SystemShutdown: the system is shutting down; let it pass through.
        """
        pause_point()

    async def apause_point(self) -> None:
        """`pause_point` for an `async def` `train`."""
        await apause_point()

    # State

    @override
    @put_off_on_loop
    def save_state(self, path: Path) -> Awaitable[None] | None:
        path.mkdir(exist_ok=True)
        state = {"added_at_last_training": self._added_at_last_training}
        (path / "trainer.json").write_text(json.dumps(state), encoding="utf-8")
        return None

    @override
    @put_off_on_loop
    def load_state(self, path: Path) -> Awaitable[None] | None:
        file = path / "trainer.json"
        if not file.exists():  # a subclass that saves without super() saved nothing of this
            return None
        added = load_json(file, dict[str, int]).get("added_at_last_training", -1)
        if added < 0:
            raise InvalidState(f"{file}: not what a trainer saved: it needs 'added_at_last_training', 0 or more")
        self._added_at_last_training = added
        return None

    def _model(self, name: str) -> TrainingModel[Any]:
        if self._training_models is None:
            raise NotAttached(self, "models", "on_training_models_attached")
        return self._training_models[name]

    # For the runtime

    def _runs_on_lane(self) -> bool:
        """Whether all its hooks are blocking, so that `run` can be called on the worker thread."""
        return all(kind_of(hook) is Kind.LANE for hook in [self.run, *self._hooks()])

    def _hooks(self) -> list[Hook]:
        return [self.is_trainable, self.setup, self.train, self.sync_models, self.teardown]

    def _condition(self) -> DataUser[Any] | None:
        """The data that decide about training; None if the user's own `is_trainable` does, or nothing."""
        if self._condition_name is None or type(self).is_trainable is not Trainer.is_trainable:
            return None
        return self.get_data_user(self._condition_name)

    def _missing_items(self) -> int:
        """How many items must arrive, at least, before it is time to train."""
        if self._condition_name is None:
            return 0
        user = self.get_data_user(self._condition_name)
        if on_loop():  # an async def is_trainable asks; the buffer belongs to the lane, so count what waits instead
            size = user.known_size + user.waiting_count
        else:
            user.update()
            size = len(user)
        added = self._arrived_items()
        if self._added_at_last_training > added:  # the data start anew
            self._added_at_last_training = 0
        new = added - self._added_at_last_training
        return max(self._min_buffer_size - size, self._min_new_data_count - new)

    def _mark_data_as_seen(self) -> None:
        if self._condition_name is not None:
            self._added_at_last_training = self._arrived_items()

    def _arrived_items(self) -> int:
        """How many items of the condition's buffer ever came, those included that this training will move in."""
        assert self._condition_name is not None
        user = self.get_data_user(self._condition_name)
        return user.added_count + user.waiting_count
