from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pamiq_async.data import DataUsersDict
from pamiq_async.data.impls import SequentialBuffer
from pamiq_async.hooks import Lane
from pamiq_async.model import TrainingModelsDict
from pamiq_async.trainer import Trainer, TrainersDict

calls: list[str] = []


@pytest.fixture(autouse=True)
def no_calls_yet() -> None:
    calls.clear()


class Recording(Trainer):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def train(self) -> None: ...

    def on_training_models_attached(self) -> None:
        calls.append(f"{self.name} models")

    def on_data_users_attached(self) -> None:
        calls.append(f"{self.name} data")

    def on_paused(self) -> None:
        calls.append(f"{self.name} paused")

    def on_resumed(self) -> None:
        calls.append(f"{self.name} resumed")

    def save_state(self, path: Path) -> None:
        calls.append(f"{self.name} saves {path.name}")

    def load_state(self, path: Path) -> None:
        calls.append(f"{self.name} loads {path.name}")


class AsyncRecording(Recording):
    async def on_paused(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().on_paused()


def trainers() -> TrainersDict:
    return TrainersDict({"second": Recording("b"), "first": Recording("a")})


@pytest.mark.parametrize(
    ("hook", "args", "expected"),
    [
        (TrainersDict.attach_training_models, [TrainingModelsDict()], ["b models", "a models"]),
        (TrainersDict.attach_data_users, [DataUsersDict()], ["b data", "a data"]),
        (TrainersDict.on_paused, [], ["b paused", "a paused"]),
        (TrainersDict.on_resumed, [], ["b resumed", "a resumed"]),
        (TrainersDict.load_state, [Path("trainers")], ["b loads second", "a loads first"]),
    ],
)
def test_each_trainer_is_told_in_the_order_given(hook: Any, args: list[Any], expected: list[str]) -> None:
    hook(trainers(), *args)
    assert calls == expected


def test_trainers_are_saved_by_name_in_a_directory_of_theirs(tmp_path: Path) -> None:
    trainers().save_state(tmp_path / "trainers")
    assert calls == ["b saves second", "a saves first"]
    assert (tmp_path / "trainers").is_dir()


async def test_a_trainer_with_async_hooks_is_told_too(lane: Lane) -> None:
    some = TrainersDict({"x": AsyncRecording("x"), "y": Recording("y")})
    await lane.run(some.on_paused)
    assert calls == ["x paused", "y paused"]


@pytest.mark.parametrize("name", ["", "a/b", ".hidden"])
def test_a_name_must_be_a_file_name(name: str) -> None:
    with pytest.raises(ValueError, match="the name of a trainer is"):
        TrainersDict({name: Recording("x")})


def test_states_come_back_by_name(tmp_path: Path) -> None:
    class Plain(Trainer):
        def train(self) -> None: ...

    data = DataUsersDict.from_data_buffers(buffer=SequentialBuffer[int](5))
    saved, loaded = (TrainersDict({name: Plain("buffer", 0, 1) for name in ["a", "b"]}) for _ in range(2))
    for trainers in (saved, loaded):
        trainers.attach_data_users(data)
    data["buffer"].collector.collect(0)
    saved["b"].run()
    saved.save_state(tmp_path / "trainers")
    loaded.load_state(tmp_path / "trainers")
    assert [loaded["a"].is_trainable(), loaded["b"].is_trainable()] == [True, False]
