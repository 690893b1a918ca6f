from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from pamiq_async import nonblocking
from pamiq_async.hooks import Lane, home_lane, pass_on
from pamiq_async.model import InferenceModel, TrainingModel


class Doubler(InferenceModel):
    factor = 2

    def infer(self, value: int, offset: int = 0) -> tuple[int, int]:
        return self.factor * value + offset, threading.get_ident()


class AsyncDoubler(InferenceModel):
    async def infer(self, value: int, offset: int = 0) -> tuple[int, int]:
        await asyncio.sleep(0)
        return 2 * value + offset, threading.get_ident()


class InlineDoubler(InferenceModel):
    @nonblocking
    def infer(self, value: int, offset: int = 0) -> tuple[int, int]:
        return 2 * value + offset, threading.get_ident()


class Trainable(TrainingModel[Doubler]):
    factor = 2

    def _create_inference_model(self) -> Doubler:
        return Doubler()

    def forward(self, value: int, offset: int = 0) -> int:
        return self.factor * value + offset

    def sync_impl(self, inference_model: Doubler) -> None:
        inference_model.factor = self.factor


# --- Inferring --------------------------------------------------------------------------------------------


def test_calling_a_model_is_inferring() -> None:
    assert Doubler()(3, offset=1) == Doubler().infer(3, offset=1) == (7, threading.get_ident())


async def test_outside_of_a_system_ainfer_runs_on_some_worker_thread() -> None:
    value, thread = await Doubler().ainfer(3, offset=1)
    assert value == 7
    assert thread != threading.get_ident()


async def test_in_a_system_ainfer_runs_on_the_roles_lane(lane: Lane) -> None:
    lanes_thread = await lane.run(threading.get_ident)
    token = home_lane.set(lane)
    assert await Doubler().ainfer(3, offset=1) == (7, lanes_thread)
    home_lane.reset(token)


async def test_ainfer_leaves_the_loop_free() -> None:
    may_answer = threading.Event()

    class Slow(InferenceModel):
        def infer(self) -> str:
            assert may_answer.wait(20)
            return "answer"

    answer = asyncio.create_task(Slow().ainfer())
    await asyncio.sleep(0)
    may_answer.set()  # the loop gets here although infer blocks
    assert await answer == "answer"


@pytest.mark.parametrize("model", [AsyncDoubler(), InlineDoubler()])
async def test_ainfer_of_a_model_that_does_not_block_stays_on_the_loop(model: InferenceModel) -> None:
    assert await model.ainfer(3, offset=1) == (7, threading.get_ident())


async def test_ainfer_can_be_used_by_an_async_hook_that_a_blocking_one_passes_on_to(lane: Lane) -> None:
    answers = []

    async def child_setup() -> None:
        answers.append(await Doubler().ainfer(3))

    def parent_setup() -> None:
        pass_on(child_setup)

    await lane.run(parent_setup)
    assert answers == [(6, await lane.run(threading.get_ident))]


async def test_an_error_of_infer_comes_out_of_ainfer() -> None:
    class Broken(InferenceModel):
        def infer(self) -> None:
            raise LookupError("no weights")

    with pytest.raises(LookupError, match="no weights"):
        await Broken().ainfer()


# --- The two sides ----------------------------------------------------------------------------------------


def test_calling_a_training_model_is_forward() -> None:
    assert Trainable()(3, offset=1) == Trainable().forward(3, offset=1) == 7


def test_the_inference_model_is_made_once_and_when_needed() -> None:
    made = []

    class Counting(Trainable):
        def _create_inference_model(self) -> Doubler:
            made.append(self)
            return Doubler()

    model = Counting()
    assert made == []
    assert model.inference_model is model.inference_model
    assert made == [model]


def test_a_model_without_inference_model_says_so() -> None:
    model = Trainable(has_inference_model=False)
    assert not model.has_inference_model
    with pytest.raises(RuntimeError, match="Trainable was made with has_inference_model=False"):
        model.inference_model  # noqa: B018


def test_a_model_for_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="has_inference_model is False and inference_thread_only is True"):
        Trainable(False, True)


def test_both_sides_are_there_by_default() -> None:
    model = Trainable()
    assert (model.has_inference_model, model.inference_thread_only) == (True, False)


def test_leaving_out_the_base_class_means_its_defaults() -> None:
    class Hasty(Trainable):
        def __init__(self) -> None:
            self.factor = 5

    model = Hasty()
    model.sync()
    assert model.inference_model.infer(1)[0] == 5


def test_a_model_that_knows_no_difference_is_frozen_as_it_is() -> None:
    model = Trainable()
    assert model.as_frozen() is model


# --- Publishing -------------------------------------------------------------------------------------------


def test_sync_publishes_to_the_inference_model() -> None:
    model = Trainable()
    model.inference_model  # noqa: B018
    model.factor = 10
    assert model.inference_model.infer(1)[0] == 2
    model.sync()
    assert model.inference_model.infer(1)[0] == 10


@pytest.mark.parametrize("sides", [{"has_inference_model": False}, {"inference_thread_only": True}])
def test_sync_has_nothing_to_do_where_one_side_alone_is_used(sides: dict[str, bool]) -> None:
    class OneSided(Trainable):
        def sync_impl(self, inference_model: Doubler) -> None:
            raise AssertionError("nothing to publish")

    OneSided(**sides).sync()


async def test_sync_may_be_async(lane: Lane) -> None:
    class Async(Trainable):
        async def sync_impl(self, inference_model: Doubler) -> None:
            await asyncio.sleep(0)
            inference_model.factor = self.factor

    model = Async()
    model.factor = 10
    await lane.run(model.sync)
    assert model.inference_model.infer(1)[0] == 10


@pytest.mark.parametrize("missing", ["_create_inference_model", "forward", "sync_impl"])
def test_a_training_model_needs_all_three_methods(missing: str) -> None:
    names = {"_create_inference_model", "forward", "sync_impl"} - {missing}
    methods: dict[str, Any] = {name: lambda self, *args: None for name in names}
    with pytest.raises(TypeError, match=missing):
        type("Incomplete", (TrainingModel,), methods)()


def test_an_inference_model_needs_infer() -> None:
    with pytest.raises(TypeError, match="infer"):
        InferenceModel()  # type: ignore[abstract]


def test_a_model_without_state_writes_nothing(tmp_path: Path) -> None:
    Trainable().save_state(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
