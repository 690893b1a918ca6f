"""PyTorch. Asked of pamiq_async alone where the other package and PyTorch can't be installed together."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from tests.compatibility.probing import Group, attempt

probe = Group("PyTorch", needs="torch")

Pamiq = ModuleType


def linear(inputs: int = 2, outputs: int = 1) -> Any:
    import torch

    torch.manual_seed(0)
    return torch.nn.Linear(inputs, outputs)


@probe("torch", "torch.get_device", "torch.default_infer_procedure")
def devices(pamiq: Pamiq) -> Any:
    """the device of a module, and of one without parameters; a call with tensors, by position and by name"""
    import torch

    module = linear()
    answer = pamiq.torch.default_infer_procedure(module, torch.ones(3, 2))
    named = pamiq.torch.default_infer_procedure(module, input=torch.ones(2))
    device = pamiq.torch.get_device(torch.nn.Identity(), torch.device("meta"))
    return str(pamiq.torch.get_device(module)), str(device), tuple(answer.shape), tuple(named.shape)


def model(pamiq: Pamiq, **kwargs: Any) -> Any:
    return pamiq.torch.TorchTrainingModel(linear(), **kwargs)


@probe(
    *[f"torch.TorchTrainingModel{member}" for member in ("", ".forward", ".sync_impl")],
    *[f"torch.TorchInferenceModel{member}" for member in ("", ".infer", ".unwrap")],
)
def two_sides(pamiq: Pamiq) -> Any:
    """gradients on the training side alone; after `sync` both sides are the same"""
    import torch

    both = model(pamiq, device="cpu", dtype=torch.float64)
    observation = torch.ones(2, dtype=torch.float64)
    trained, acting = both(observation), both.inference_model(observation)
    with torch.no_grad():
        both.model.weight.fill_(3.0)
    before = bool(both.inference_model(observation) == acting)
    both.sync()
    with both.inference_model.unwrap(inference_mode=True) as module:
        after = bool((module.weight == 3).all())
    return [trained.requires_grad, acting.requires_grad], str(acting.dtype), before, after


@probe("torch.TorchTrainingModel")
def inference_procedures(pamiq: Pamiq) -> Any:
    """by a callable, by a method's name, by a name that is none; inference-thread-only shares the module"""
    import torch

    class Policy(torch.nn.Linear):
        def act(self, observation: Any) -> str:
            return f"act {tuple(observation.shape)}"

    make = pamiq.torch.TorchTrainingModel
    shared = make(linear(), inference_thread_only=True)
    with shared.inference_model.unwrap() as module:
        is_shared = module is shared.model
    return (
        make(Policy(2, 1), inference_procedure=lambda module, x: type(module).__name__).inference_model(torch.ones(2)),
        make(Policy(2, 1), inference_procedure="act").inference_model(torch.ones(2)),
        attempt(make, Policy(2, 1), inference_procedure="atc"),
        is_shared,
    )


@probe("torch.TorchTrainingModel.save_state", "torch.TorchTrainingModel.load_state")
def model_state(pamiq: Pamiq, path: Path) -> Any:
    """loaded by another model, on both sides; the file's format"""
    import torch

    saved, loaded = model(pamiq), model(pamiq)
    with torch.no_grad():
        saved.model.weight.fill_(3.0)
    acting = loaded.inference_model
    saved.save_state(path / "policy")
    loaded.load_state(path / "policy")
    loaded.sync()
    with acting.unwrap() as module:
        acts = bool((module.weight == 3).all())
    return bool((loaded.model.weight == 3).all()), acts, [file.suffix for file in path.iterdir()]


TRAINER = ("", ".create_optimizers", ".get_torch_training_model", ".setup", ".teardown", ".save_state", ".load_state")


def make_trainer(pamiq: Pamiq, log: list[str]) -> Any:
    import torch

    class Trainer(pamiq.torch.TorchTrainer):
        def on_training_models_attached(self) -> None:
            self.policy = self.get_torch_training_model("policy", torch.nn.Linear)

        def create_optimizers(self) -> Any:
            log.append("create")
            optimizer = torch.optim.Adam(self.policy.model.parameters(), lr=0.1)
            return {"adam": optimizer}, {"step": torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)}

        def train(self) -> None:
            self.optimizers["adam"].zero_grad()
            self.policy(torch.ones(2)).sum().backward()
            self.optimizers["adam"].step()
            self.lr_schedulers["step"].step()

    return Trainer()


@probe(
    *[f"torch.TorchTrainer{member}" for member in TRAINER],
    *[f"torch.{name}" for name in ("OptimizersSetup", "OptimizersDict", "LRSchedulersDict", "StateDict")],
)
def optimizers(pamiq: Pamiq, path: Path) -> Any:
    """the state of optimizers and schedulers lives on over trainings and a restart"""
    rates = []
    for number in range(2):
        trainer = make_trainer(pamiq, [])
        pamiq.testing.connect_components(trainers=trainer, models={"policy": model(pamiq)})
        if number:
            trainer.load_state(path / "trainer")
        trainer.run()
        trainer.run()
        rates.append(trainer.optimizers["adam"].param_groups[0]["lr"])
        if not number:
            trainer.save_state(path / "trainer")
    steps = trainer.optimizers["adam"].state_dict()["state"][0]["step"].item()
    return rates, steps


@probe("torch.TorchTrainer.create_optimizers")
def how_often_optimizers_are_made(pamiq: Pamiq) -> Any:
    """how often `create_optimizers` is called in three trainings"""
    log: list[str] = []
    trainer = make_trainer(pamiq, log)
    pamiq.testing.connect_components(trainers=trainer, models={"policy": model(pamiq)})
    for _ in range(3):
        trainer.run()
    return len(log)


@probe("torch.TorchAgent", "torch.TorchAgent.get_torch_inference_model", "torch.TorchTrainer.get_torch_training_model")
def models_by_class(pamiq: Pamiq) -> Any:
    """a model by name and class: the right one, a wrong one, what is no PyTorch model, an unknown one"""
    import torch

    class Actor(pamiq.torch.TorchAgent):
        def step(self, observation: Any) -> None: ...

    agent, trainer = Actor(), make_trainer(pamiq, [])
    models = {"policy": model(pamiq), "mock": pamiq.testing.create_mock_models()[0]}
    pamiq.testing.connect_components(agent, trainer, models=models)
    asked = [
        ("policy", torch.nn.Linear),
        ("policy", torch.nn.Conv1d),
        ("mock", torch.nn.Module),
        ("x", torch.nn.Module),
    ]
    return [
        [value if isinstance(value, str) else type(value).__name__ for value in answers]
        for answers in (
            [attempt(agent.get_torch_inference_model, *args) for args in asked],
            [attempt(trainer.get_torch_training_model, *args) for args in asked],
        )
    ]
