from __future__ import annotations

from pathlib import Path

import pytest

from pamiq_async.exceptions import UnknownName
from pamiq_async.model import InferenceModel, InferenceModelsDict, TrainingModel, TrainingModelsDict


class Number(InferenceModel):
    value = 0

    def infer(self) -> int:
        return self.value


class TrainableNumber(TrainingModel[Number]):
    value = 0

    def _create_inference_model(self) -> Number:
        return Number()

    def forward(self) -> int:
        return self.value

    def sync_impl(self, inference_model: Number) -> None:
        inference_model.value = self.value

    def save_state(self, path: Path) -> None:
        path.with_suffix(".txt").write_text(str(self.value))

    def load_state(self, path: Path) -> None:
        self.value = int(path.with_suffix(".txt").read_text())


def models() -> TrainingModelsDict:
    return TrainingModelsDict(
        both=TrainableNumber(),
        trained=TrainableNumber(has_inference_model=False),
        acting=TrainableNumber(inference_thread_only=True),
    )


def test_a_model_is_given_by_name() -> None:
    model = TrainableNumber()
    assert TrainingModelsDict({"policy": model})["policy"] is model


def test_an_unknown_model_lists_those_there_are() -> None:
    with pytest.raises(KeyError, match=r"no training model named 'x'; there are: 'both', 'trained'$") as caught:
        models()["x"]
    assert isinstance(caught.value, UnknownName)


def test_a_model_for_inference_alone_is_not_given_to_trainers() -> None:
    with pytest.raises(UnknownName) as caught:
        models()["acting"]
    assert str(caught.value) == (
        "no training model named 'acting'; there are: 'both', 'trained'; "
        "'acting' is inference_thread_only, so trainers can't get it"
    )


def test_agents_get_the_inference_models_there_are() -> None:
    training = models()
    inference = training.inference_models_dict
    assert list(inference) == ["both", "acting"]
    assert inference["both"] is training["both"].inference_model


def test_an_unknown_inference_model_lists_those_there_are() -> None:
    with pytest.raises(UnknownName, match=r"no inference model named 'trained'; there are: 'both', 'acting'$"):
        models().inference_models_dict["trained"]
    with pytest.raises(UnknownName, match="there are: none"):
        InferenceModelsDict()["x"]


def test_get_and_in_work_as_in_a_dict() -> None:
    inference = models().inference_models_dict
    assert "both" in inference
    assert "trained" not in inference
    assert inference.get("trained") is None


def test_a_model_that_is_put_in_later_is_there_for_agents_too() -> None:
    training = models()
    assert "late" not in training.inference_models_dict
    training["late"] = TrainableNumber()
    assert training.inference_models_dict["late"] is training["late"].inference_model


@pytest.mark.parametrize("name", ["", "a/b", ".hidden"])
def test_a_name_must_be_a_file_name(name: str) -> None:
    with pytest.raises(ValueError, match="the name of a model is"):
        TrainingModelsDict({name: TrainableNumber()})


def test_states_of_all_models_come_back_by_name(tmp_path: Path) -> None:
    saved, loaded = models(), models()
    for value, model in enumerate(saved.data.values(), start=1):
        model.value = value
    saved.save_state(tmp_path / "models")
    loaded.load_state(tmp_path / "models")
    assert [model.forward() for model in loaded.data.values()] == [1, 2, 3]


def test_what_was_loaded_is_published(tmp_path: Path) -> None:
    saved, loaded = models(), models()
    saved["both"].value = 7  # type: ignore[attr-defined]
    saved.save_state(tmp_path / "models")
    inference_model = loaded.inference_models_dict["both"]
    loaded.load_state(tmp_path / "models")
    assert inference_model.infer() == 7


class Counted(TrainableNumber):
    saves = 0

    @property
    def parameter_count(self) -> int:
        return 12345

    def save_state(self, path: Path) -> None:
        self.saves += 1
        super().save_state(path)


def test_a_model_with_several_names_is_saved_once(tmp_path: Path) -> None:
    model = Counted()
    TrainingModelsDict({"policy": model, "target": model}).save_state(tmp_path / "models")
    assert model.saves == 1


def test_a_model_with_several_names_comes_back(tmp_path: Path) -> None:
    saved, loaded = Counted(), Counted()
    saved.value = 7
    TrainingModelsDict({"policy": saved, "target": saved}).save_state(tmp_path / "models")
    TrainingModelsDict({"policy": loaded, "target": loaded}).load_state(tmp_path / "models")
    assert loaded.forward() == 7


def test_what_was_one_model_when_saved_may_be_two_when_loaded(tmp_path: Path) -> None:
    saved, policy, target = Counted(), Counted(), Counted()
    saved.value = 7
    TrainingModelsDict({"policy": saved, "target": saved}).save_state(tmp_path / "models")
    TrainingModelsDict({"policy": policy, "target": target}).load_state(tmp_path / "models")
    assert (policy.forward(), target.forward()) == (7, 7)


def test_what_was_two_models_when_saved_may_be_one_when_loaded(tmp_path: Path) -> None:
    policy, target, loaded = Counted(), Counted(), Counted()
    policy.value, target.value = 7, 8
    TrainingModelsDict({"policy": policy, "target": target}).save_state(tmp_path / "models")
    TrainingModelsDict({"policy": loaded, "target": loaded}).load_state(tmp_path / "models")
    assert loaded.forward() == 7


def test_models_are_described_with_their_parameters_by_name() -> None:
    model = Counted()
    models = TrainingModelsDict({"policy": model, "target": model, "number": TrainableNumber()})
    assert models.describe() == "policy (12,345 parameters), target = policy, number (parameters not counted)"
