from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pamiq_async import nonblocking
from pamiq_async.data import DataUsersDict
from pamiq_async.data.impls import SequentialBuffer
from pamiq_async.exceptions import NotAttached, UnknownName
from pamiq_async.hooks import Lane, acall
from pamiq_async.model import InferenceModel, TrainingModel, TrainingModelsDict
from pamiq_async.trainer import Trainer

HOOKS = ["is_trainable", "setup", "train", "sync_models", "teardown"]


class Recording(Trainer):
    """Notes which of its hooks were called, and fails where it is told to."""

    def __init__(self, *args: Any, fails_in: tuple[str, ...] = ()) -> None:
        super().__init__(*args)
        self.calls: list[str] = []
        self.fails_in = fails_in

    def note(self, hook: str) -> None:
        self.calls.append(hook)
        if hook in self.fails_in:
            raise LookupError(f"in {hook}")

    def is_trainable(self) -> bool:
        self.note("is_trainable")
        return super().is_trainable()

    def setup(self) -> None:
        self.note("setup")

    def train(self) -> None:
        self.note("train")

    def sync_models(self) -> None:
        self.note("sync_models")

    def teardown(self) -> None:
        self.note("teardown")


class AsyncRecording(Recording):
    async def is_trainable(self) -> bool:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().is_trainable()

    async def setup(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().setup()

    async def train(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().train()

    async def sync_models(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().sync_models()

    async def teardown(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().teardown()


class Plain(Trainer):
    def train(self) -> None: ...


def run(trainer: Trainer) -> bool:
    return trainer.run()


def arun(trainer: Trainer) -> bool:
    return asyncio.run(trainer.arun())


def arun_async(trainer: Trainer) -> bool:
    """With the same hooks, as coroutines."""
    trainer.__class__ = AsyncRecording
    return asyncio.run(trainer.arun())


each_way = pytest.mark.parametrize("run", [run, arun, arun_async])
Run = Callable[[Trainer], bool]


def data(**max_sizes: int) -> DataUsersDict:
    return DataUsersDict.from_data_buffers({name: SequentialBuffer[int](size) for name, size in max_sizes.items()})


def collect(users: DataUsersDict, name: str, count: int) -> None:
    for item in range(count):
        users[name].collector.collect(item)


# --- Running ----------------------------------------------------------------------------------------------


@each_way
def test_a_training_is_setup_train_sync_teardown(run: Run) -> None:
    trainer = Recording()
    assert run(trainer) is True
    assert trainer.calls == HOOKS


@each_way
def test_nothing_happens_when_it_is_not_time_to_train(run: Run) -> None:
    trainer, users = Recording("buffer", 1), data(buffer=5)
    trainer.attach_data_users(users)
    assert run(trainer) is False
    assert trainer.calls == ["is_trainable"]


@each_way
@pytest.mark.parametrize(
    ("fails_in", "calls"),
    [
        ("is_trainable", ["is_trainable"]),
        ("setup", ["is_trainable", "setup"]),
        ("train", ["is_trainable", "setup", "train", "teardown"]),
        ("sync_models", HOOKS),
        ("teardown", HOOKS),
    ],
)
def test_what_was_set_up_is_torn_down_when_a_training_fails(run: Run, fails_in: str, calls: list[str]) -> None:
    trainer = Recording(fails_in=(fails_in,))
    with pytest.raises(LookupError, match=f"in {fails_in}") as caught:
        run(trainer)
    assert trainer.calls == calls
    assert not hasattr(caught.value, "__notes__")


@each_way
@pytest.mark.parametrize("fails_in", ["train", "sync_models"])
def test_a_second_failure_in_teardown_is_attached(run: Run, fails_in: str) -> None:
    trainer = Recording(fails_in=(fails_in, "teardown"))
    with pytest.raises(LookupError, match=f"in {fails_in}") as caught:
        run(trainer)
    (note,) = caught.value.__notes__
    assert note.endswith("Recording.teardown, a second error: LookupError: in teardown")


async def test_a_training_that_is_cancelled_is_torn_down() -> None:
    started = asyncio.Event()

    class Endless(AsyncRecording):
        async def train(self) -> None:  # type: ignore[override]
            started.set()
            await asyncio.Event().wait()

    trainer = Endless()
    training = asyncio.create_task(trainer.arun())
    await started.wait()
    training.cancel()
    with pytest.raises(asyncio.CancelledError):
        await training
    assert trainer.calls == ["is_trainable", "setup", "teardown"]


@pytest.mark.parametrize("hook", HOOKS)
def test_run_refuses_async_hooks_and_names_its_twin(hook: str) -> None:
    async def override(self: Trainer) -> None:
        raise AssertionError("must not be called")

    override.__name__ = hook
    trainer = type("Mixed", (Plain,), {hook: override})()
    with pytest.raises(TypeError, match=rf"Mixed\.{hook} is async def.* 'await trainer\.arun\(\)'"):
        trainer.run()


async def test_each_hook_runs_where_its_kind_belongs() -> None:
    threads: dict[str, int] = {}

    class Mixed(Trainer):
        @nonblocking
        def is_trainable(self) -> bool:
            threads["is_trainable"] = threading.get_ident()
            return True

        def setup(self) -> None:
            threads["setup"] = threading.get_ident()

        async def train(self) -> None:  # type: ignore[override]
            threads["train"] = threading.get_ident()

    assert await Mixed().arun()
    loop = threading.get_ident()
    assert threads.pop("setup") != loop
    assert threads == {"is_trainable": loop, "train": loop}


def test_a_trainer_needs_train() -> None:
    with pytest.raises(TypeError, match="train"):
        Trainer()  # type: ignore[abstract]


# --- When it is time to train -----------------------------------------------------------------------------


def test_without_a_condition_it_is_always_time() -> None:
    assert Plain().is_trainable()


def test_the_buffer_must_hold_enough() -> None:
    trainer, users = Plain("buffer", 3), data(buffer=5)
    trainer.attach_data_users(users)
    collect(users, "buffer", 2)
    assert not trainer.is_trainable()
    collect(users, "buffer", 1)
    assert trainer.is_trainable()
    trainer.run()
    assert trainer.is_trainable()  # it still holds them


@pytest.mark.parametrize("run", [run, arun])
def test_enough_must_have_arrived_since_the_last_training(run: Run) -> None:
    trainer, users = Plain("buffer", 0, 3), data(buffer=5)
    trainer.attach_data_users(users)
    answers = []
    for _ in range(9):
        collect(users, "buffer", 1)
        answers.append(run(trainer))
    assert answers == [False, False, True] * 3


def test_asking_alone_does_not_use_new_data_up() -> None:
    trainer, users = Plain("buffer", 0, 3), data(buffer=5)
    trainer.attach_data_users(users)
    collect(users, "buffer", 3)
    assert [trainer.is_trainable() for _ in range(3)] == [True] * 3


def test_more_may_have_to_arrive_than_the_buffer_holds() -> None:
    trainer, users = Plain("buffer", 2, 6), data(buffer=2)
    trainer.attach_data_users(users)
    answers = []
    for _ in range(6):
        collect(users, "buffer", 2)
        answers.append(trainer.run())
    assert answers == [False, False, True] * 2


def test_other_buffers_do_not_matter() -> None:
    trainer, users = Plain("buffer", 1), data(buffer=5, other=5)
    trainer.attach_data_users(users)
    collect(users, "other", 3)
    assert not trainer.is_trainable()


def test_data_that_start_anew_are_new() -> None:
    trainer, users = Plain("buffer", 0, 2), data(buffer=5)
    trainer.attach_data_users(users)
    collect(users, "buffer", 4)
    trainer.run()
    fresh = data(buffer=5)  # such as when the buffer's state was not loaded
    trainer.attach_data_users(fresh)
    collect(fresh, "buffer", 2)
    assert trainer.is_trainable()


def test_data_that_were_cleared_do_not_count_again() -> None:
    trainer, users = Plain("buffer", 0, 2), data(buffer=5)
    trainer.attach_data_users(users)
    collect(users, "buffer", 4)
    trainer.run()
    users["buffer"].clear()
    assert not trainer.is_trainable()


async def test_an_async_is_trainable_counts_what_waits_and_leaves_the_buffer_to_the_lane() -> None:
    class Async(Plain):
        async def is_trainable(self) -> bool:  # type: ignore[override]
            return super().is_trainable()

    trainer, users = Async("buffer", 2, 2), data(buffer=5)
    trainer.attach_data_users(users)
    collect(users, "buffer", 2)
    assert await trainer.is_trainable()  # type: ignore[misc]
    assert len(users["buffer"]) == 0
    assert await trainer.arun()
    users["buffer"].update()  # as its train would
    assert not await trainer.is_trainable()  # type: ignore[misc]
    collect(users, "buffer", 2)
    assert await trainer.is_trainable()  # type: ignore[misc]


# --- Arguments --------------------------------------------------------------------------------------------


def test_arguments_are_taken_by_position_and_by_name() -> None:
    for trainer in [
        Plain("buffer", 2, 3),
        Plain(training_condition_data_user="buffer", min_buffer_size=2, min_new_data_count=3),
        Plain("buffer", np.int64(2), np.int64(3)),  # type: ignore[arg-type]
    ]:
        users = data(buffer=5)
        trainer.attach_data_users(users)
        collect(users, "buffer", 2)
        assert not trainer.is_trainable()
        collect(users, "buffer", 1)
        assert trainer.is_trainable()


@pytest.mark.parametrize("name", ["min_buffer_size", "min_new_data_count"])
@pytest.mark.parametrize(("value", "error"), [(-1, ValueError), (1.5, TypeError), (True, TypeError), ("1", TypeError)])
def test_a_bad_number_is_named(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"{name} is {value!r}"):
        Plain("buffer", **{name: value})


@pytest.mark.parametrize("name", ["min_buffer_size", "min_new_data_count"])
def test_a_number_needs_a_buffer(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 5, but training_condition_data_user does not name a buffer"):
        Plain(**{name: 5})


def test_a_condition_on_an_unknown_buffer_is_an_error_when_data_are_attached() -> None:
    with pytest.raises(UnknownName, match="no data buffer named 'bufer'; there are: 'buffer'"):
        Plain("bufer", 1).attach_data_users(data(buffer=5))


def test_leaving_out_the_base_class_means_its_defaults(tmp_path: Path) -> None:
    class Hasty(Trainer):
        def __init__(self) -> None:
            self.trained = 0

        def train(self) -> None:
            self.trained += 1

    trainer = Hasty()
    trainer.attach_data_users(data(buffer=5))
    trainer.attach_training_models(TrainingModelsDict())
    assert trainer.run()
    assert trainer.trained == 1
    trainer.save_state(tmp_path / "trainer")
    trainer.load_state(tmp_path / "trainer")


# --- Models and data --------------------------------------------------------------------------------------


class Weights(InferenceModel):
    version = 0

    def infer(self) -> int:
        return self.version


class TrainableWeights(TrainingModel[Weights]):
    version = 0

    def _create_inference_model(self) -> Weights:
        return Weights()

    def forward(self) -> int:
        return self.version

    def sync_impl(self, inference_model: Weights) -> None:
        inference_model.version = self.version


class AsyncSyncedWeights(TrainableWeights):
    async def sync(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        self.sync_impl(self.inference_model)


class Training(Trainer):
    def on_training_models_attached(self) -> None:
        self.policy: Any = self.get_training_model("policy")

    def train(self) -> None:
        self.policy.version += 1


@pytest.mark.parametrize("run", [run, arun])
def test_the_models_that_were_asked_for_are_published_after_each_training(run: Run) -> None:
    models = TrainingModelsDict(policy=TrainableWeights(), other=TrainableWeights())
    models["other"].version = 5  # type: ignore[attr-defined]
    trainer = Training()
    trainer.attach_training_models(models)
    run(trainer)
    run(trainer)
    assert {name: model.infer() for name, model in models.inference_models_dict.items()} == {"policy": 2, "other": 0}


async def test_a_model_may_be_published_by_a_coroutine(lane: Lane) -> None:
    models = TrainingModelsDict(policy=AsyncSyncedWeights())
    trainer = Training()
    trainer.attach_training_models(models)
    await lane.run(trainer.run)
    assert models["policy"].inference_model.infer() == 1


async def test_an_async_sync_models_can_publish_through_super() -> None:
    class Async(Training):
        async def sync_models(self) -> None:  # type: ignore[override]
            super().sync_models()

    models = TrainingModelsDict(policy=TrainableWeights())
    trainer = Async()
    trainer.attach_training_models(models)
    await trainer.arun()
    assert models["policy"].inference_model.infer() == 1


def test_models_of_an_earlier_system_are_not_published() -> None:
    trainer, old = Plain(), TrainableWeights()
    trainer.attach_training_models(TrainingModelsDict(old=old))
    trainer.get_training_model("old")
    trainer.attach_training_models(TrainingModelsDict(new=TrainableWeights()))
    old.version = 9
    trainer.run()
    assert old.inference_model.infer() == 0


def test_trainers_do_not_share_what_they_publish() -> None:
    models = TrainingModelsDict(policy=TrainableWeights())
    one, other = Training(), Plain()
    for trainer in (one, other):
        trainer.attach_training_models(models)
    models["policy"].version = 3  # type: ignore[attr-defined]
    other.run()
    assert models["policy"].inference_model.infer() == 0


def test_a_model_that_is_frozen_for_a_trainer_is_not_published_after_its_trainings() -> None:
    class Learning(Plain):
        def on_training_models_attached(self) -> None:
            self.teacher: Any = self.get_frozen_model("policy")

        def train(self) -> None:
            self.teacher.version = 3

    models = TrainingModelsDict(policy=TrainableWeights())
    trainer = Learning()
    trainer.attach_training_models(models)
    trainer.run()
    assert trainer.teacher.version == 3
    assert models["policy"].inference_model.infer() == 0


def test_a_frozen_model_may_be_trained_by_another_trainer() -> None:
    models = TrainingModelsDict(policy=TrainableWeights())
    reader, trainer = Plain(), Training()
    for one in (reader, trainer):
        one.attach_training_models(models)
    teacher = reader.get_frozen_model("policy")
    trainer.run()
    assert teacher.forward() == models["policy"].inference_model.infer() == 1


def test_unknown_names_list_those_there_are() -> None:
    trainer = Plain()
    trainer.attach_training_models(
        TrainingModelsDict(policy=TrainableWeights(), eye=TrainableWeights(inference_thread_only=True))
    )
    trainer.attach_data_users(data(buffer=5))
    for name in ["x", "eye"]:
        with pytest.raises(UnknownName, match=f"no training model named '{name}'; there are: 'policy'"):
            trainer.get_training_model(name)
        with pytest.raises(UnknownName, match=f"no training model named '{name}'; there are: 'policy'"):
            trainer.get_frozen_model(name)
    with pytest.raises(UnknownName, match="no data buffer named 'x'; there are: 'buffer'"):
        trainer.get_data_user("x")


def test_before_a_system_there_are_no_models_and_data() -> None:
    with pytest.raises(NotAttached, match=r"Plain has no models yet: .* on_training_models_attached\(\)"):
        Plain().get_training_model("policy")
    with pytest.raises(NotAttached, match=r"Plain has no models yet: .* on_training_models_attached\(\)"):
        Plain().get_frozen_model("policy")
    with pytest.raises(NotAttached, match=r"Plain has no data users yet: .* on_data_users_attached\(\)"):
        Plain().get_data_user("buffer")


def test_data_can_be_had_when_they_are_attached() -> None:
    class Using(Plain):
        def on_data_users_attached(self) -> None:
            self.user = self.get_data_user("buffer")

    trainer, users = Using(), data(buffer=5)
    trainer.attach_data_users(users)
    assert trainer.user is users["buffer"]


# --- Pause points -----------------------------------------------------------------------------------------


def test_outside_of_a_system_a_pause_point_does_nothing() -> None:
    Plain().pause_point()


async def test_outside_of_a_system_an_async_pause_point_does_nothing() -> None:
    await Plain().apause_point()


# --- State ------------------------------------------------------------------------------------------------


def test_a_state_remembers_which_data_were_seen(tmp_path: Path) -> None:
    users = data(buffer=5)
    saved, loaded = Plain("buffer", 0, 2), Plain("buffer", 0, 2)
    for trainer in (saved, loaded):
        trainer.attach_data_users(users)
    collect(users, "buffer", 3)
    saved.run()
    collect(users, "buffer", 1)
    saved.save_state(tmp_path / "trainer")
    assert loaded.is_trainable()
    loaded.load_state(tmp_path / "trainer")
    assert not loaded.is_trainable()
    collect(users, "buffer", 1)
    assert loaded.is_trainable()


def test_a_state_of_a_subclass_lies_beside_it(tmp_path: Path) -> None:
    class WithState(Plain):
        steps = 0

        def save_state(self, path: Path) -> None:
            super().save_state(path)
            (path / "steps").write_text(str(self.steps))

        def load_state(self, path: Path) -> None:
            super().load_state(path)
            self.steps = int((path / "steps").read_text())

    saved, loaded = WithState(), WithState()
    saved.steps = 5
    saved.save_state(tmp_path / "trainer")
    loaded.load_state(tmp_path / "trainer")
    assert loaded.steps == 5


def test_a_subclass_may_make_its_directory_first(tmp_path: Path) -> None:
    (tmp_path / "trainer").mkdir()
    Plain().save_state(tmp_path / "trainer")
    assert (tmp_path / "trainer" / "trainer.json").exists()


def test_a_subclass_that_saves_without_super_can_load_with_it(tmp_path: Path) -> None:
    Plain().load_state(tmp_path / "nothing was saved")


async def test_async_overrides_can_save_and_load_through_super(tmp_path: Path) -> None:
    class Async(Plain):
        async def save_state(self, path: Path) -> None:  # type: ignore[override]
            super().save_state(path)

        async def load_state(self, path: Path) -> None:  # type: ignore[override]
            super().load_state(path)

    users = data(buffer=5)
    saved, loaded = Async("buffer", 0, 1), Async("buffer", 0, 1)
    for trainer in (saved, loaded):
        trainer.attach_data_users(users)
    collect(users, "buffer", 1)
    assert await saved.arun()
    await acall(saved.save_state, tmp_path / "trainer")
    await acall(loaded.load_state, tmp_path / "trainer")
    assert not await loaded.arun()


# --- For the runtime --------------------------------------------------------------------------------------


def test_it_runs_on_the_lane_if_every_hook_blocks() -> None:
    assert Plain()._runs_on_lane()
    assert not AsyncRecording()._runs_on_lane()
    assert not type("Asked", (Plain,), {"is_trainable": nonblocking(lambda self: True)})()._runs_on_lane()


def test_data_decide_unless_the_user_does() -> None:
    users = data(buffer=5)
    for trainer, condition in [(Plain("buffer"), users["buffer"]), (Plain(), None), (Recording("buffer"), None)]:
        trainer.attach_data_users(users)
        assert trainer._condition() is condition
