"""Models, trainers and agents of PyTorch in a running system."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Adam, lr_scheduler

from pamiq_async import Environment, FixedIntervalInteraction, start
from pamiq_async.data.impls import SequentialBuffer
from pamiq_async.state_persistence import verify
from pamiq_async.torch import OptimizersSetup, TorchAgent, TorchTrainer, TorchTrainingModel
from pamiq_async.torch.weights import load_data, save_weights
from tests.fakes import Log

X = torch.arange(8.0).view(4, 2)


class Net(nn.Sequential):
    """Begins with the same weights always."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        with torch.no_grad():
            for number, parameter in enumerate(self.parameters()):
                parameter.copy_(torch.linspace(-1, 1 + number, parameter.numel()).view_as(parameter))


def optimizers_for(net: nn.Module) -> tuple[dict[str, Any], dict[str, Any]]:
    adam = Adam(net.parameters(), lr=0.1)
    return {"adam": adam}, {"steps": lr_scheduler.StepLR(adam, 2)}


def train_once(net: Any, optimizer: Any, scheduler: Any) -> None:
    optimizer.zero_grad()
    (net(X) - 1).square().mean().backward()
    optimizer.step()
    scheduler.step()


class World(Environment[torch.Tensor, Any]):
    def observe(self) -> torch.Tensor:
        return X

    def affect(self, action: Any) -> None: ...


class Acting(TorchAgent[torch.Tensor, torch.Tensor]):
    """Acts on its net, and on the dropout that it alone uses."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self.log = log
        self.actions: list[torch.Tensor] = []

    def on_inference_models_attached(self) -> None:
        self.net = self.get_torch_inference_model("net", Net)
        self.dropout = self.get_torch_inference_model("dropout")

    def on_data_collectors_attached(self) -> None:
        self.collector = self.get_data_collector("actions")

    def step(self, observation: torch.Tensor) -> torch.Tensor:
        action = self.net(self.dropout(observation))
        self.collector.collect(action.tolist())
        self.actions.append(action)
        self.log.add("agent", "step")
        return action


class AsyncActing(Acting):
    async def step(self, observation: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        action: torch.Tensor = await self.net.ainfer(await self.dropout.ainfer(observation))
        self.actions.append(action)
        self.log.add("agent", "step")
        return action


class Training(TorchTrainer):
    """Trains a certain number of times."""

    def __init__(self, log: Log, times: int) -> None:
        super().__init__()
        self.log = log
        self.times = times

    def is_trainable(self) -> bool:
        return self.times > 0

    def create_optimizers(self) -> OptimizersSetup:
        self.model = self.get_torch_training_model("net", Net)
        return optimizers_for(self.model.model)

    def train(self) -> None:
        self.get_data_user("actions").update()
        self.times -= 1
        train_once(self.model, self.optimizers["adam"], self.lr_schedulers["steps"])

    def teardown(self) -> None:
        super().teardown()
        self.log.add("trainer", "teardown")


class Run:
    """The parts of a system whose trainer trains `times` times."""

    def __init__(self, tmp_path: Path, times: int, agent: type[Acting] = Acting, **config: Any) -> None:
        self.log = Log()
        self.agent = agent(self.log)
        self.net = TorchTrainingModel(Net())
        self.trainer = Training(self.log, times)
        self.times = times
        self.config = {"states_dir": tmp_path / "states", "web_api_address": None, **config}

    def start(self) -> Any:
        return start(
            FixedIntervalInteraction.with_sleep_adjustor(self.agent, World(), 0.001),
            {"net": self.net, "dropout": TorchTrainingModel(nn.Dropout(), inference_thread_only=True)},
            {"actions": SequentialBuffer(10)},
            {"trainer": self.trainer},
            self.config,
        )

    async def trained(self) -> None:
        await self.log.seen("trainer.teardown", self.times)
        await self.log.seen_again("agent.step", 2)  # the last one began after that


def reference(times: int) -> tuple[Net, Any, Any]:
    """What PyTorch alone makes of it."""
    net = Net()
    (optimizer,), (scheduler,) = (made.values() for made in optimizers_for(net))
    for _ in range(times):
        train_once(net, optimizer, scheduler)
    return net, optimizer, scheduler


def same(a: Any, b: Any) -> bool:
    """Bit for bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@pytest.mark.parametrize("agent", [Acting, AsyncActing], ids=["def", "async def"])
async def test_an_agent_acts_on_what_is_learnt_meanwhile(tmp_path: Path, agent: type[Acting]) -> None:
    run = Run(tmp_path, 3, agent)
    async with run.start():
        await run.trained()
    versions = [reference(times)[0].eval() for times in range(4)]
    with torch.no_grad():
        answers = [net(X) for net in versions]
    seen = [next(n for n, answer in enumerate(answers) if torch.equal(answer, action)) for action in run.agent.actions]
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0, 3)


async def test_a_paused_system_is_saved_and_resumed_from_latest_exactly(tmp_path: Path) -> None:
    first = Run(tmp_path, 3)
    async with first.start() as system:
        await first.trained()
        await system.pause()
        await system.save_state()
        await system.resume()
        await first.log.seen_again("agent.step")

    second = Run(tmp_path, 3, saved_state_path="latest")  # without leave to unpickle
    async with second.start():
        await second.trained()
    net, optimizer, scheduler = reference(6)
    assert same(dict(second.net.model.state_dict()), dict(net.state_dict()))
    assert same(second.trainer.optimizers["adam"].state_dict(), optimizer.state_dict())
    assert same(second.trainer.lr_schedulers["steps"].state_dict(), scheduler.state_dict())


async def test_a_state_is_of_one_moment_though_the_agent_acts_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, loop = Run(tmp_path, 1000), asyncio.get_running_loop()

    def slowly(state: Any, path: Path) -> None:
        asyncio.run_coroutine_threadsafe(run.log.seen_again("agent.step", 20), loop).result()
        save_weights(state, path)

    async with run.start() as system:
        await run.log.seen("trainer.teardown", 3)
        with monkeypatch.context() as patch:
            patch.setattr("pamiq_async.torch.model.save_weights", slowly)
            path = await system.save_state()
        run.trainer.times = 0

    net = TorchTrainingModel(Net())
    await asyncio.to_thread(net.load_state, path / "models" / "net")
    optimizers = await asyncio.to_thread(load_data, path / "trainers" / "trainer" / "optimizers.pt")
    trained = int(optimizers["optimizers"]["adam"]["state"][0]["step"])
    assert same(dict(net.model.state_dict()), dict(reference(trained)[0].state_dict()))


async def test_the_first_action_after_resuming_is_that_of_the_saved_model(tmp_path: Path) -> None:
    first = Run(tmp_path, 2)
    async with first.start():
        await first.trained()
    second = Run(tmp_path, 0, saved_state_path="latest")
    async with second.start():
        await second.log.seen("agent.step")
    assert torch.equal(second.agent.actions[0], first.agent.actions[-1])


async def test_a_state_verifies_and_holds_no_pickle(tmp_path: Path) -> None:
    run = Run(tmp_path, 1)
    async with run.start() as system:
        await run.trained()
        path = await system.save_state()
    manifest = await asyncio.to_thread(verify, path)
    files = sorted(name for name in manifest.files if name.startswith(("models", "trainers")))
    assert files == [
        "models/dropout.safetensors",
        "models/net.safetensors",
        "trainers/trainer/optimizers.pt",
        "trainers/trainer/trainer.json",
    ]
