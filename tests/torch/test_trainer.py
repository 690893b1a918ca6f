from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, Optimizer, lr_scheduler

from pamiq_async.data.container import DataUsersDict
from pamiq_async.exceptions import UnknownName
from pamiq_async.hooks import Lane, acall, home_lane
from pamiq_async.model import TrainingModelsDict
from pamiq_async.roles import Role
from pamiq_async.torch import OptimizersSetup, TorchTrainer, TorchTrainingModel
from tests.fakes import FakeBuffer, FakeModel

DATA = torch.arange(6.0).view(3, 2)


def module() -> nn.Linear:
    linear = nn.Linear(2, 1)
    nn.init.ones_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


class Fitting(TorchTrainer):
    """Trains its model "m" by one step of each optimizer and scheduler."""

    created = 0

    def __init__(self, create: Callable[[Any], OptimizersSetup]) -> None:
        super().__init__()
        self.create = create

    def create_optimizers(self) -> OptimizersSetup:
        self.created += 1
        return self.create(self.get_torch_training_model("m", nn.Linear).model.parameters())

    def train(self) -> None:
        train(self.get_torch_training_model("m"), self.optimizers, self.lr_schedulers)


def train(model: Any, optimizers: dict[str, Any], schedulers: dict[str, Any]) -> None:
    for optimizer in optimizers.values():

        def closure(optimizer: Any = optimizer) -> torch.Tensor:
            optimizer.zero_grad()
            loss = (model(DATA) - 1).square().mean()
            loss.backward()
            return loss

        loss = optimizer.step(closure)
    for scheduler in schedulers.values():
        if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
            scheduler.step(loss.item())
        else:
            scheduler.step()


def attached(trainer: TorchTrainer, **models: Any) -> Any:
    trainer.attach_training_models(TrainingModelsDict(models or {"m": TorchTrainingModel(module())}))
    trainer.attach_data_users(DataUsersDict())
    return trainer


def test_it_warms_up_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    monkeypatch.setattr("pamiq_async.torch.trainer.warm_up", lambda: events.append("warm-up"))

    class Listening(Fitting):
        def on_training_models_attached(self) -> None:
            events.append("attached")

    attached(Listening(only_adam))
    assert events == ["warm-up", "attached"]


def only_adam(parameters: Any) -> OptimizersSetup:
    return {"adam": Adam(parameters, lr=0.1)}


def adam_and_step(parameters: Any) -> OptimizersSetup:
    adam = Adam(parameters, lr=0.1)
    return {"adam": adam}, {"step": lr_scheduler.StepLR(adam, 2)}


def weight(trainer: TorchTrainer) -> torch.Tensor:
    return trainer.get_torch_training_model("m", nn.Linear).model.weight.detach()


def trained_alone(create: Callable[[Any], OptimizersSetup], times: int) -> torch.Tensor:
    """What PyTorch alone makes of it."""
    linear = module()
    created = create(linear.parameters())
    optimizers, schedulers = created if isinstance(created, tuple) else (created, {})
    for _ in range(times):
        train(linear, optimizers, schedulers)
    return linear.weight.detach()


# --- Optimizers -----------------------------------------------------------------------------------------------------


def test_positions_of_the_arguments_are_those_of_a_trainer() -> None:
    class Training(TorchTrainer):
        def __init__(self) -> None:
            super().__init__("buffer", 2, 1)

        def create_optimizers(self) -> OptimizersSetup:
            return {}

        def train(self) -> None: ...

    trainer = Training()
    users = DataUsersDict.from_data_buffers({"buffer": FakeBuffer()})
    trainer.attach_data_users(users)
    trainer.attach_training_models(TrainingModelsDict())
    users["buffer"].collector.collect(1)
    assert trainer.run() is False
    users["buffer"].collector.collect(2)
    assert trainer.run() is True
    assert trainer.run() is False


def test_optimizers_are_there_to_train_with() -> None:
    trainer = attached(Fitting(only_adam))
    assert (trainer.optimizers, trainer.lr_schedulers) == ({}, {})
    trainer.run()
    assert list(trainer.optimizers) == ["adam"]
    assert trainer.lr_schedulers == {}


def test_schedulers_are_too() -> None:
    trainer = attached(Fitting(adam_and_step))
    trainer.run()
    assert (list(trainer.optimizers), list(trainer.lr_schedulers)) == (["adam"], ["step"])


def test_optimizers_are_created_once_and_kept() -> None:
    trainer = attached(Fitting(adam_and_step))
    trainer.run()
    kept = dict(trainer.optimizers), dict(trainer.lr_schedulers)
    for _ in range(4):
        trainer.run()
    assert trainer.created == 1
    assert (trainer.optimizers, trainer.lr_schedulers) == kept
    assert torch.equal(weight(trainer), trained_alone(adam_and_step, 5))


def test_optimizers_that_a_trainer_clears_are_created_anew() -> None:
    class Forgetful(Fitting):
        def setup(self) -> None:
            self.optimizers.clear()
            super().setup()

    trainer = attached(Forgetful(only_adam))
    trainer.run()
    trainer.run()
    assert trainer.created == 2
    assert trainer.optimizers["adam"].state_dict()["state"][0]["step"] == 1


def test_the_model_is_published_after_each_training() -> None:
    model = TorchTrainingModel(module())
    inference = model.inference_model
    trainer = attached(Fitting(only_adam), m=model)
    for _ in range(2):
        trainer.run()
        assert torch.equal(inference(DATA), model(DATA).detach())


def test_what_create_optimizers_gives_must_be_named() -> None:
    with pytest.raises(TypeError, match=r"Fitting\.create_optimizers\(\) gave Adam; it must give a dict of optimizers"):
        attached(Fitting(Adam)).run()  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"gave dict, list; .* or a pair of dicts"):
        attached(Fitting(lambda p: ({"adam": Adam(p)}, []))).run()  # type: ignore[arg-type]


def test_in_a_second_system_new_optimizers_go_on_from_the_old_ones() -> None:
    model = TorchTrainingModel(module())
    trainer = attached(Fitting(adam_and_step), m=model)
    for _ in range(3):
        trainer.run()
    other = TorchTrainingModel(module())
    other.model.load_state_dict(model.model.state_dict())
    attached(trainer, m=other)
    for _ in range(3):
        trainer.run()
    assert trainer.created == 2
    assert torch.equal(other.model.weight, trained_alone(adam_and_step, 6))


# --- Models ---------------------------------------------------------------------------------------------------------


def test_a_model_is_given_by_its_name() -> None:
    model = TorchTrainingModel(module())
    trainer = attached(Fitting(only_adam), m=model)
    assert trainer.get_torch_training_model("m") is trainer.get_torch_training_model("m", nn.Linear) is model


def test_other_models_are_refused() -> None:
    trainer = attached(Fitting(only_adam), m=TorchTrainingModel(module()), fake=FakeModel())
    with pytest.raises(TypeError, match="'fake' is a FakeModel, not a TorchTrainingModel"):
        trainer.get_torch_training_model("fake")
    with pytest.raises(TypeError, match="'m' is a Linear, not a Conv2d"):
        trainer.get_torch_training_model("m", nn.Conv2d)
    with pytest.raises(UnknownName, match="'m', 'fake'"):
        trainer.get_torch_training_model("x")


def test_a_frozen_model_is_given_by_its_name() -> None:
    model = TorchTrainingModel(module())
    trainer = attached(Fitting(only_adam), m=model)
    assert trainer.get_torch_frozen_model("m") is trainer.get_torch_frozen_model("m", nn.Linear) is model.as_frozen()


def test_other_frozen_models_are_refused() -> None:
    trainer = attached(Fitting(only_adam), m=TorchTrainingModel(module()), fake=FakeModel())
    with pytest.raises(TypeError, match="'fake' is a FakeModel, not a TorchTrainingModel"):
        trainer.get_torch_frozen_model("fake")
    with pytest.raises(TypeError, match="'m' is a Linear, not a Conv2d"):
        trainer.get_torch_frozen_model("m", nn.Conv2d)


# --- State ----------------------------------------------------------------------------------------------------------

SCHEDULERS: dict[str, Callable[[Optimizer], lr_scheduler.LRScheduler]] = {
    "chained": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(o), lr_scheduler.ExponentialLR(o, 0.9)]
    ),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, 10),
    "cyclic": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, 3),
    "function": lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 0.9**epoch),
    "one cycle": lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=20),
    "plateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0, threshold=1.0),
    "sequential": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.ConstantLR(o), lr_scheduler.ExponentialLR(o, 0.9)], [3]
    ),
    "steps": lambda o: lr_scheduler.MultiStepLR(o, [2, 4]),
    "warm restarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 4),
}
OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    "adam": lambda p: Adam(p, lr=0.1, amsgrad=True),
    "adamw, tensor lr": lambda p: torch.optim.AdamW(p, lr=torch.tensor(0.1)),
    "lbfgs": lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=2),
    "rmsprop": lambda p: torch.optim.RMSprop(p, momentum=0.9, centered=True),
    "sgd": lambda p: SGD(p, lr=0.01, momentum=0.9, nesterov=True),
}


def continued(create: Callable[[Any], OptimizersSetup], path: Path) -> torch.Tensor:
    """Train three times, save, load into another trainer and model, train three times."""
    first = attached(Fitting(create))
    for _ in range(3):
        first.run()
    first.save_state(path / "trainer")
    first.get_torch_training_model("m").save_state(path / "model")

    second = attached(Fitting(create))
    second.get_torch_training_model("m").load_state(path / "model")
    second.load_state(path / "trainer")
    for _ in range(3):
        second.run()
    return weight(second)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_goes_on_from_a_state_exactly(name: str, tmp_path: Path) -> None:
    def create(parameters: Any) -> OptimizersSetup:
        return {"a name/with a slash": OPTIMIZERS[name](parameters)}

    assert torch.equal(continued(create, tmp_path), trained_alone(create, 6))


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler_goes_on_from_a_state_exactly(name: str, tmp_path: Path) -> None:
    def create(parameters: Any) -> OptimizersSetup:
        optimizer = SGD(parameters, lr=0.01, momentum=0.9)
        return {"optimizer": optimizer}, {"scheduler": SCHEDULERS[name](optimizer)}

    assert torch.equal(continued(create, tmp_path), trained_alone(create, 6))


def test_a_scheduler_may_hold_what_is_not_data(tmp_path: Path) -> None:
    class Halving(lr_scheduler.LRScheduler):
        def __init__(self, optimizer: Optimizer) -> None:
            self.function = lambda rate: rate / 2
            super().__init__(optimizer)

        def get_lr(self) -> list[Any]:
            return [self.function(group["lr"]) for group in self.optimizer.param_groups]

    def create(parameters: Any) -> OptimizersSetup:
        optimizer = SGD(parameters, lr=0.01)
        return {"optimizer": optimizer}, {"scheduler": Halving(optimizer)}

    assert torch.equal(continued(create, tmp_path), trained_alone(create, 6))


def test_numpys_numbers_in_an_optimizer_are_saved(tmp_path: Path) -> None:
    def create(parameters: Any) -> OptimizersSetup:
        return {"sgd": SGD(parameters, lr=numpy.float64(0.01))}

    assert torch.equal(continued(create, tmp_path), trained_alone(create, 6))


def test_an_optimizer_that_holds_other_objects_is_an_error_that_says_where(tmp_path: Path) -> None:
    trainer = attached(Fitting(only_adam))
    trainer.run()
    trainer.optimizers["adam"].param_groups[0]["note"] = object()
    with pytest.raises(TypeError, match=r"the state of Fitting.*\['adam'\].*\['note'\] is a builtins\.object"):
        trainer.save_state(tmp_path / "trainer")


def test_a_state_holds_no_pickle_and_no_code(tmp_path: Path) -> None:
    trainer = attached(Fitting(adam_and_step))
    trainer.run()
    trainer.save_state(tmp_path / "trainer")
    assert sorted(file.name for file in (tmp_path / "trainer").iterdir()) == ["optimizers.pt", "trainer.json"]
    loaded = torch.load(tmp_path / "trainer" / "optimizers.pt", weights_only=True)
    assert loaded["optimizers"]["adam"]["state"][0]["step"] == 1
    assert loaded["lr_schedulers"]["step"]["last_epoch"] == 1


async def test_a_state_is_written_while_the_agent_acts(role: Role, tmp_path: Path) -> None:
    trainer = attached(Fitting(only_adam))
    trainer.run()
    (write,) = await role.save(trainer.save_state, tmp_path / "trainer")
    assert await asyncio.to_thread(os.listdir, tmp_path / "trainer") == ["trainer.json"]
    await asyncio.to_thread(write)
    other = attached(Fitting(only_adam))
    await asyncio.to_thread(other.load_state, tmp_path / "trainer")
    other.setup()
    assert other.optimizers["adam"].state_dict()["state"][0]["step"] == 1


def test_a_state_that_waits_for_its_optimizer_is_saved_again(tmp_path: Path) -> None:
    first, second, third = (attached(Fitting(adam_and_step)) for _ in range(3))
    first.run()
    first.save_state(tmp_path / "1")
    second.load_state(tmp_path / "1")
    second.save_state(tmp_path / "2")  # before it ever trained
    third.load_state(tmp_path / "2")
    third.run()
    assert third.optimizers["adam"].state_dict()["state"][0]["step"] == 2


def test_a_state_may_be_older_than_the_first_training(tmp_path: Path) -> None:
    attached(Fitting(only_adam)).save_state(tmp_path / "trainer")
    trainer = attached(Fitting(only_adam))
    trainer.load_state(tmp_path / "trainer")
    trainer.run()
    assert trainer.optimizers["adam"].state_dict()["state"][0]["step"] == 1


def test_a_trainer_that_has_trained_can_be_set_back(tmp_path: Path) -> None:
    trainer = attached(Fitting(adam_and_step))
    trainer.run()
    trainer.save_state(tmp_path / "trainer")
    trainer.run()
    trainer.load_state(tmp_path / "trainer")
    trainer.run()
    assert trainer.optimizers["adam"].state_dict()["state"][0]["step"] == 2
    assert trainer.lr_schedulers["step"].last_epoch == 2


def test_a_state_is_used_once(tmp_path: Path) -> None:
    first, second = attached(Fitting(only_adam)), attached(Fitting(only_adam))
    first.run()
    first.save_state(tmp_path / "trainer")
    second.load_state(tmp_path / "trainer")
    second.run()
    second.optimizers.clear()
    second.run()
    assert second.optimizers["adam"].state_dict()["state"][0]["step"] == 1


def test_an_optimizer_that_is_new_begins_afresh(tmp_path: Path) -> None:
    first = attached(Fitting(only_adam))
    first.run()
    first.save_state(tmp_path / "trainer")

    second = attached(Fitting(lambda p: {"adam": Adam(parameters := list(p)), "new": Adam(parameters)}))
    second.load_state(tmp_path / "trainer")
    second.run()
    steps = {name: o.state_dict()["state"][0]["step"].item() for name, o in second.optimizers.items()}
    assert steps == {"adam": 2, "new": 1}


def test_a_state_of_an_optimizer_that_is_gone_is_an_error_and_not_lost(tmp_path: Path) -> None:
    first = attached(Fitting(only_adam))
    first.run()
    first.save_state(tmp_path / "1")

    second = attached(Fitting(lambda p: {"sgd": SGD(p, lr=0.1)}))
    second.load_state(tmp_path / "1")
    with pytest.raises(UnknownName, match=r"no optimizer named 'adam'; there are: 'sgd'\. Of that name is a state"):
        second.run()
    second.save_state(tmp_path / "2")
    third = attached(Fitting(only_adam))
    third.load_state(tmp_path / "2")
    third.run()
    assert third.optimizers["adam"].state_dict()["state"][0]["step"] == 2


# --- Coroutines -----------------------------------------------------------------------------------------------------


async def test_hooks_may_be_coroutines(tmp_path: Path) -> None:
    class Async(Fitting):
        async def setup(self) -> None:  # type: ignore[override]
            super().setup()
            await asyncio.sleep(0)

        async def train(self) -> None:  # type: ignore[override]
            await asyncio.sleep(0)
            super().train()

        async def save_state(self, path: Path) -> None:  # type: ignore[override]
            super().save_state(path)

        async def load_state(self, path: Path) -> None:  # type: ignore[override]
            super().load_state(path)

    lane = Lane("pamiq-test")
    lane.start()
    token = home_lane.set(lane)
    first, second = attached(Async(adam_and_step)), attached(Async(adam_and_step))
    await first.arun()
    await acall(first.save_state, tmp_path / "trainer")
    await acall(second.load_state, tmp_path / "trainer")
    await second.arun()
    assert second.optimizers["adam"].state_dict()["state"][0]["step"] == 2
    home_lane.reset(token)
    await lane.close()
