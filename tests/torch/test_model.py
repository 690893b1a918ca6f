from __future__ import annotations

import asyncio
import functools
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pamiq_async.model import TrainingModelsDict
from pamiq_async.roles import Role
from pamiq_async.torch import TorchInferenceModel, TorchTrainingModel, default_infer_procedure


class Scale(nn.Module):
    """Multiplies by its weight, which begins as 1."""

    def __init__(self, size: int = 2) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.constant = 3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * x

    def twice(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * self(x)


def set_weight(model: TorchTrainingModel[Scale], value: float) -> None:
    with torch.no_grad():
        model.model.weight.fill_(value)


ONES = torch.ones(2)


# --- Making one -----------------------------------------------------------------------------------------------------


def test_positions_of_the_arguments_are_pamiq_cores(tmp_path: Path) -> None:
    torch.save({"weight": torch.full((2,), 5.0)}, tmp_path / "weights.pt")
    model = TorchTrainingModel(Scale(), True, False, "cpu", torch.float64, "twice", str(tmp_path / "weights.pt"), False)
    assert torch.equal(model.inference_model(ONES), torch.full((2,), 10.0, dtype=torch.float64))


def test_device_and_dtype_are_as_given() -> None:
    model = TorchTrainingModel(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), device="meta", dtype=torch.float16)
    for side in (model.model, model.inference_model._module):
        assert {(tensor.device.type, tensor.dtype) for tensor in side.parameters()} == {("meta", torch.float16)}
        assert side[1].num_batches_tracked.dtype == torch.int64  # a count


def test_without_device_and_dtype_it_stays_as_it_is() -> None:
    model = TorchTrainingModel(nn.Linear(2, 2, device="meta", dtype=torch.float64))
    assert (model.model.weight.device.type, model.model.weight.dtype) == ("meta", torch.float64)


def test_the_module_given_is_the_one_that_is_trained() -> None:
    module = Scale()
    assert TorchTrainingModel(module, device="cpu", dtype=torch.float64).model is module


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
def test_it_begins_with_pretrained_parameters_on_both_sides(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)({"weight": torch.full((2,), 5.0)}, file)
    model = TorchTrainingModel(Scale(), pretrained_parameter_file=file)
    assert torch.equal(model(ONES), 5 * ONES)
    assert torch.equal(model.inference_model(ONES), 5 * ONES)


def test_pretrained_parameters_must_fit(tmp_path: Path) -> None:
    torch.save({"other": torch.ones(2)}, tmp_path / "weights.pt")
    with pytest.raises(RuntimeError, match="other"):
        TorchTrainingModel(Scale(), pretrained_parameter_file=tmp_path / "weights.pt")


def test_a_module_without_tensors_will_do(tmp_path: Path) -> None:
    model = TorchTrainingModel(nn.Tanh())
    model.sync()
    model.save_state(tmp_path / "model")
    model.load_state(tmp_path / "model")
    assert torch.equal(model.inference_model(torch.zeros(2)), torch.zeros(2))


@pytest.mark.parametrize("mock", [MagicMock(), MagicMock(spec=nn.Module)])
def test_a_mock_will_do(mock: MagicMock, tmp_path: Path) -> None:
    model = TorchTrainingModel(mock, device="cpu", dtype=torch.float32)
    model.forward("x")
    mock.assert_called_once_with("x")
    model.inference_model.infer("y")
    model.sync()
    model.save_state(tmp_path / "model")
    model.load_state(tmp_path / "model")
    assert model.model is mock


# --- Size -----------------------------------------------------------------------------------------------------------


def test_parameters_are_counted() -> None:
    module = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5))
    module[0].requires_grad_(False)
    assert TorchTrainingModel(module).parameter_count == 3 * 5 + 5 + 2 * 5


def test_tied_parameters_are_counted_once() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    module[1].weight = module[0].weight
    assert TorchTrainingModel(module).parameter_count == 16 + 4 + 4


def test_parameters_without_a_size_yet_are_not_counted() -> None:
    model = TorchTrainingModel(nn.Sequential(nn.Linear(3, 3), nn.LazyLinear(2)))
    assert model.parameter_count is None
    model(torch.ones(1, 3))
    assert model.parameter_count == 12 + 8


@pytest.mark.parametrize("mock", [MagicMock(), MagicMock(spec=nn.Module)])
def test_a_mock_has_no_number_of_parameters(mock: MagicMock) -> None:
    assert TorchTrainingModel(mock).parameter_count is None


def test_the_log_at_the_start_can_tell_the_sizes() -> None:
    models = TrainingModelsDict(policy=TorchTrainingModel(nn.Linear(999, 2)), noise=TorchTrainingModel(nn.Dropout()))
    assert models.describe() == "policy (2,000 parameters), noise (0 parameters)"


# --- Inferring ------------------------------------------------------------------------------------------------------


def test_inference_is_in_eval_mode_from_its_first_call() -> None:
    model = TorchTrainingModel(nn.Dropout(0.5))
    x = torch.ones(1000)
    assert torch.equal(model.inference_model(x), x)
    model.sync()
    assert torch.equal(model.inference_model(x), x)


def test_training_stays_in_train_mode() -> None:
    model = TorchTrainingModel(nn.Dropout(0.5))
    x = torch.ones(1000)
    for _ in range(2):
        assert not torch.equal(model(x), x)
        model.sync()


def test_a_module_left_in_eval_mode_returns_to_train_mode_and_frozen_parts_stay_frozen() -> None:
    model = TorchTrainingModel(nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2)))
    model.model[1].eval()
    model.sync()
    assert (model.model[0].training, model.model[1].training) == (True, False)
    model.model.eval()
    model.sync()
    assert model.model[0].training


def test_inference_has_no_gradients() -> None:
    model = TorchTrainingModel(Scale())
    answer = model.inference_model(ONES)
    assert answer.is_inference()
    assert not answer.requires_grad
    assert model(ONES).requires_grad


async def test_coroutines_infer_elsewhere() -> None:
    thread: list[int] = []

    def procedure(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
        thread.append(threading.get_ident())
        assert torch.is_inference_mode_enabled()
        return module(x)

    model = TorchTrainingModel(Scale(), inference_procedure=procedure)
    assert torch.equal(await model.inference_model.ainfer(ONES), ONES)
    assert thread != [threading.get_ident()]


def test_arguments_go_to_the_modules_device() -> None:
    inference = TorchTrainingModel(Scale(), device="meta", inference_procedure="twice").inference_model
    assert inference(torch.ones(2)).device.type == "meta"
    inference = TorchTrainingModel(Scale(), device="meta").inference_model
    assert inference(x=torch.ones(2)).device.type == "meta"


def test_a_procedure_gets_the_module_first() -> None:
    def procedure(module: Scale, x: torch.Tensor, factor: float) -> torch.Tensor:
        return module(x) * factor * module.constant

    inference = TorchTrainingModel(Scale(), inference_procedure=procedure).inference_model
    assert torch.equal(inference(ONES, factor=2), 6 * ONES)


def test_a_method_that_is_not_there_is_refused() -> None:
    with pytest.raises(AttributeError, match="inference_procedure is 'thrice', but Scale has no such method"):
        TorchTrainingModel(Scale(), inference_procedure="thrice")


def test_an_attribute_is_no_method() -> None:
    with pytest.raises(ValueError, match="'constant', but that is no method of Scale"):
        TorchTrainingModel(Scale(), inference_procedure="constant")


def test_answers_do_not_change_when_the_module_is_trained() -> None:
    class Remembering(Scale):
        def forward(self) -> Any:
            return {"itself": self.weight, "view": [self.weight.detach()[:1]], "other": "x"}

    model = TorchTrainingModel(Remembering())
    answers = [model.inference_model()]
    for version in (2, 3, 4):
        set_weight(model, version)
        model.sync()
        answers.append(model.inference_model())
    for version, answer in enumerate(answers, start=1):
        assert torch.equal(answer["itself"], version * ONES)
        assert torch.equal(answer["view"][0], version * ONES[:1])
        assert answer["other"] == "x"


def test_an_inference_model_can_be_made_of_any_module() -> None:
    inference = TorchInferenceModel(nn.Dropout(), default_infer_procedure)
    assert torch.equal(inference(ONES), ONES)
    assert torch.equal(TorchInferenceModel(nn.Dropout()).infer(ONES), ONES)


# --- Unwrapping -----------------------------------------------------------------------------------------------------


def test_unwrap_lends_the_module_without_gradients() -> None:
    inference = TorchTrainingModel(Scale()).inference_model
    with inference.unwrap() as module:
        assert type(module) is Scale
        assert not module.training
        assert torch.is_inference_mode_enabled()
        assert torch.equal(inference(ONES), ONES)  # infer within it is no deadlock
    assert not torch.is_inference_mode_enabled()


def test_unwrap_with_gradients() -> None:
    with TorchTrainingModel(Scale()).inference_model.unwrap(inference_mode=False) as module:
        assert module(ONES).requires_grad


def test_nothing_is_published_while_the_module_is_lent(threads: ThreadPoolExecutor) -> None:
    model = TorchTrainingModel(Scale())
    inference = model.inference_model
    set_weight(model, 2)
    with inference.unwrap() as module:
        syncing = threads.submit(model.sync)
        while inference._lock._due is None:
            pass
        assert torch.equal(module.weight, ONES)
    syncing.result()
    assert torch.equal(inference(ONES), 2 * ONES)


def test_publishing_from_within_is_refused() -> None:
    model = TorchTrainingModel(Scale())
    with model.inference_model.unwrap(), pytest.raises(RuntimeError, match="from within its own infer"):
        model.sync()


# --- The two sides --------------------------------------------------------------------------------------------------


def test_sync_publishes_and_the_module_stays_the_same() -> None:
    model = TorchTrainingModel(Scale())
    module, weight = model.model, model.model.weight
    inference = model.inference_model
    for version in (2, 3):
        set_weight(model, version)
        assert torch.equal(inference(ONES), (version - 1) * ONES)
        model.sync()
        assert torch.equal(inference(ONES), version * ONES)
        assert torch.equal(model(ONES), version * ONES)
    assert model.model is module
    assert module.weight is weight


def test_an_optimizer_made_once_goes_on_over_publishing() -> None:
    published, alone = TorchTrainingModel(Scale()), Scale()
    published.inference_model  # noqa: B018
    optimizers = [torch.optim.Adam(module.parameters(), lr=0.1) for module in (published.model, alone)]
    for _ in range(5):
        for module, optimizer in zip((published.model, alone), optimizers, strict=True):
            optimizer.zero_grad()
            module(ONES).sum().backward()
            optimizer.step()
        published.sync()
    assert torch.equal(published.model.weight, alone.weight)
    assert torch.equal(published.inference_model(ONES), alone.weight)


def test_a_module_that_only_agents_use_is_shared() -> None:
    module = nn.Dropout()
    model = TorchTrainingModel(module, inference_thread_only=True)
    with model.inference_model.unwrap() as lent:
        assert lent is module
    assert not module.training
    model.sync()
    assert not module.training


def test_a_module_that_agents_do_not_use_is_not_copied() -> None:
    class NotToBeCopied(Scale):
        def __deepcopy__(self, memo: Any) -> Any:
            raise AssertionError

    TorchTrainingModel(NotToBeCopied(), has_inference_model=False).sync()
    TorchTrainingModel(NotToBeCopied(), inference_thread_only=True).inference_model(ONES)


def test_a_module_that_can_not_be_copied_is_an_error_that_says_so() -> None:
    module = Scale()
    module.lock = threading.Lock()
    with pytest.raises(TypeError, match=r"Scale can't be copied for inference by copy\.deepcopy \(TypeError: .*lock"):
        TorchTrainingModel(module).inference_model  # noqa: B018


def test_the_copy_can_be_made_in_inference_mode() -> None:
    model = TorchTrainingModel(Scale())
    with torch.inference_mode():
        inference = model.inference_model
    with inference.unwrap(inference_mode=False) as module:
        assert not module.weight.is_inference()


def test_a_module_that_grew_is_copied_anew() -> None:
    model = TorchTrainingModel(nn.Sequential(Scale()))
    inference = model.inference_model
    model.model.append(Scale())
    set_weight(TorchTrainingModel(model.model[1]), 5)
    model.sync()
    assert torch.equal(inference(ONES), 5 * ONES)
    assert torch.equal(nn.Sequential(nn.Dropout(0.5), model.model)[1](ONES), 5 * ONES)
    with inference.unwrap() as module:
        assert not module.training


def test_layers_that_find_their_size_while_training_are_published() -> None:
    model = TorchTrainingModel(nn.LazyLinear(2))
    inference = model.inference_model
    model(torch.ones(1, 3))
    model.sync()
    assert torch.equal(inference(torch.ones(1, 3)), model(torch.ones(1, 3)))


def test_a_recurrent_module_is_published() -> None:
    model = TorchTrainingModel(nn.LSTM(2, 3))
    x = torch.ones(1, 2)
    inference = model.inference_model
    with torch.no_grad():
        for parameter in model.model.parameters():
            parameter.fill_(0.5)
    assert not torch.equal(inference(x)[0], model(x)[0])
    model.sync()
    assert torch.equal(inference(x)[0], model(x)[0])


# --- Frozen ---------------------------------------------------------------------------------------------------------

SIDES = pytest.mark.parametrize("has_inference_model", [True, False])  # in either case it is trained


class Noisy(Scale):
    """Such that train mode shows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + (100 if self.training else 0)


@SIDES
def test_frozen_it_is_in_eval_mode_and_without_gradients(has_inference_model: bool) -> None:
    frozen = TorchTrainingModel(Noisy(), has_inference_model).as_frozen()
    answer = frozen(ONES.clone().requires_grad_())
    assert torch.equal(answer, ONES)
    assert not answer.requires_grad
    assert not frozen.model.training
    assert not frozen.model.weight.requires_grad


@SIDES
def test_the_module_that_is_trained_is_not_frozen(has_inference_model: bool) -> None:
    model = TorchTrainingModel(Noisy(), has_inference_model)
    model.as_frozen()(ONES)
    assert model.model.training
    assert model(ONES).requires_grad


def test_frozen_it_is_what_agents_use() -> None:
    model = TorchTrainingModel(Scale())
    with model.inference_model.unwrap() as module:
        assert model.as_frozen().model is module


@SIDES
def test_frozen_it_changes_when_it_is_published(has_inference_model: bool) -> None:
    model = TorchTrainingModel(Scale(), has_inference_model)
    frozen = model.as_frozen()
    set_weight(model, 5)
    assert torch.equal(frozen(ONES), ONES)
    model.sync()
    assert torch.equal(frozen(ONES), 5 * ONES)


@SIDES
def test_frozen_it_is_loaded_too(has_inference_model: bool, tmp_path: Path) -> None:
    model, other = TorchTrainingModel(Scale()), TorchTrainingModel(Scale(), has_inference_model)
    set_weight(model, 5)
    model.save_state(tmp_path / "model")
    frozen = other.as_frozen()
    other.load_state(tmp_path / "model")
    assert torch.equal(frozen(ONES), 5 * ONES)


@SIDES
def test_a_module_that_grew_is_still_frozen(has_inference_model: bool) -> None:
    model = TorchTrainingModel(nn.Sequential(Scale()), has_inference_model)
    frozen = model.as_frozen()
    model.model.append(Scale())
    model.sync()
    assert len(frozen.model) == 2
    assert not any(parameter.requires_grad for parameter in frozen.model.parameters())


def test_answers_of_a_frozen_model_can_be_trained_on() -> None:
    student, teacher = nn.Linear(2, 2), TorchTrainingModel(nn.Linear(2, 2)).as_frozen()
    student(teacher(ONES)).sum().backward()
    assert student.weight.grad is not None


def test_gradients_pass_through_the_module_of_a_frozen_model_if_asked_to() -> None:
    critic = TorchTrainingModel(Scale(3)).as_frozen()
    action = torch.ones(3, requires_grad=True)
    critic.model(action).sum().backward()
    assert torch.equal(action.grad, torch.ones(3))
    assert critic.model.weight.grad is None


def test_answers_of_a_frozen_model_do_not_change_when_it_is_published() -> None:
    class Showing(Scale):
        def forward(self) -> torch.Tensor:  # type: ignore[override]
            return self.weight

    model = TorchTrainingModel(Showing())
    answer = model.as_frozen()()
    set_weight(model, 5)
    model.sync()
    assert torch.equal(answer, ONES)


def test_a_model_is_frozen_once() -> None:
    model = TorchTrainingModel(Scale())
    assert model.as_frozen() is model.as_frozen() is model.as_frozen().as_frozen()


def test_frozen_a_mock_will_do() -> None:
    mock = MagicMock()
    mock.__deepcopy__ = lambda memo: mock
    assert TorchTrainingModel(mock).as_frozen()("x") is mock.return_value


# --- State ----------------------------------------------------------------------------------------------------------


def test_a_state_is_loaded_and_published(tmp_path: Path) -> None:
    model = TorchTrainingModel(Scale())
    set_weight(model, 5)
    model.save_state(tmp_path / "model")

    other = TorchTrainingModel(Scale())
    inference = other.inference_model
    other.load_state(tmp_path / "model")
    assert torch.equal(other(ONES), 5 * ONES)
    assert torch.equal(inference(ONES), 5 * ONES)


def test_a_state_can_be_loaded_before_there_is_an_inference_side(tmp_path: Path) -> None:
    model = TorchTrainingModel(Scale())
    set_weight(model, 5)
    model.save_state(tmp_path / "model")

    other = TorchTrainingModel(Scale())
    other.load_state(tmp_path / "model")
    assert torch.equal(other.inference_model(ONES), 5 * ONES)


def test_a_module_that_only_agents_use_has_a_state_too(tmp_path: Path) -> None:
    model = TorchTrainingModel(Scale(), inference_thread_only=True)
    set_weight(model, 5)
    model.save_state(tmp_path / "model")

    other = TorchTrainingModel(Scale(), inference_thread_only=True)
    other.load_state(tmp_path / "model")
    assert torch.equal(other.inference_model(ONES), 5 * ONES)


def test_a_state_is_loaded_onto_the_device_and_dtype_of_the_module(tmp_path: Path) -> None:
    model = TorchTrainingModel(Scale(), dtype=torch.float64)
    set_weight(model, 5)
    model.save_state(tmp_path / "model")

    other = TorchTrainingModel(Scale(), dtype=torch.float32)
    other.load_state(tmp_path / "model")
    assert torch.equal(other(ONES), 5 * ONES)
    assert other.model.weight.dtype == torch.float32


def test_tied_parameters_are_loaded_tied(tmp_path: Path) -> None:
    def tied() -> TorchTrainingModel[nn.Sequential]:
        module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        module[1].weight = module[0].weight
        return TorchTrainingModel(module)

    model, other = tied(), tied()
    model.save_state(tmp_path / "model")
    other.load_state(tmp_path / "model")
    assert other.model[0].weight is other.model[1].weight
    assert torch.equal(other(torch.ones(1, 2)), model(torch.ones(1, 2)))


def test_what_a_module_keeps_besides_tensors_is_saved(tmp_path: Path) -> None:
    class Counting(Scale):
        count = 0

        def get_extra_state(self) -> Any:
            return {"count": self.count}

        def set_extra_state(self, state: Any) -> None:
            self.count = state["count"]

    model = TorchTrainingModel(Counting())
    model.model.count = 7
    model.save_state(tmp_path / "model")
    other = TorchTrainingModel(Counting())
    other.load_state(tmp_path / "model")
    assert other.model.count == 7


async def test_it_is_written_while_the_agent_acts(role: Role, tmp_path: Path) -> None:
    model = TorchTrainingModel(Scale())
    set_weight(model, 5)
    (write,) = await role.save(model.save_state, tmp_path / "model")
    assert await asyncio.to_thread(os.listdir, tmp_path) == []
    await asyncio.to_thread(write)
    set_weight(model, 6)
    await asyncio.to_thread(model.load_state, tmp_path / "model")
    assert torch.equal(model(ONES), 5 * ONES)


async def test_what_the_agent_might_change_is_saved_before_it_acts(role: Role, tmp_path: Path) -> None:
    model = TorchTrainingModel(Scale(), inference_thread_only=True)
    assert await role.save(model.save_state, tmp_path / "model") == []
    set_weight(model, 6)
    await asyncio.to_thread(model.load_state, tmp_path / "model")
    assert torch.equal(model(ONES), ONES)


async def test_a_fixed_module_of_the_agents_is_written_while_it_acts(role: Role, tmp_path: Path) -> None:
    module = nn.BatchNorm1d(2).requires_grad_(False)
    model = TorchTrainingModel(module, inference_thread_only=True)
    (write,) = await role.save(model.save_state, tmp_path / "model")
    module.running_mean.fill_(7)  # buffers may be what it remembers
    await asyncio.to_thread(write)
    await asyncio.to_thread(model.load_state, tmp_path / "model")
    assert torch.equal(module.running_mean, torch.zeros(2))


def test_states_of_several_models_lie_side_by_side(tmp_path: Path) -> None:
    models = {"a.b": TorchTrainingModel(Scale()), "a": TorchTrainingModel(Scale())}
    set_weight(models["a"], 5)
    TrainingModelsDict(models).save_state(tmp_path / "models")
    others = {"a.b": TorchTrainingModel(Scale()), "a": TorchTrainingModel(Scale())}
    TrainingModelsDict(others).load_state(tmp_path / "models")
    assert torch.equal(others["a"].inference_model(ONES), 5 * ONES)
    assert torch.equal(others["a.b"].inference_model(ONES), ONES)


# --- Compiling ------------------------------------------------------------------------------------------------------


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What was traced by `torch.compile`, and then run as it is: that needs no C++ compiler."""
    traced: list[Any] = []

    def backend(graph: Any, inputs: list[Any]) -> Any:
        traced.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    yield traced
    torch.compiler.reset()


@pytest.mark.parametrize("module", [Scale(), nn.Sequential(Scale()), nn.LayerNorm(2)], ids=lambda m: type(m).__name__)
def test_each_side_is_compiled_once_and_stays_so_over_publishing(graphs: list[Any], module: nn.Module) -> None:
    model = TorchTrainingModel(module, compile=True)
    for version in (2, 3, 4):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.fill_(version)
        model.sync()
        assert torch.equal(model.inference_model(ONES), model(ONES))
    assert len(graphs) == 2


def test_a_shared_module_is_compiled_once(graphs: list[Any]) -> None:
    model = TorchTrainingModel(Scale(), inference_thread_only=True, compile=True)
    for _ in range(2):
        assert torch.equal(model.inference_model(ONES), ONES)
    assert len(graphs) == 1


def test_without_compile_nothing_is(graphs: list[Any]) -> None:
    model = TorchTrainingModel(Scale())
    model.inference_model(ONES)
    model(ONES)
    assert graphs == []


def test_errors_of_a_compiled_module_itself_are_left_alone(graphs: list[Any]) -> None:
    with pytest.raises(TypeError) as caught:
        TorchTrainingModel(Scale(), compile=True).forward()
    assert not hasattr(caught.value, "__notes__")


def test_an_error_of_the_compiler_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    def backend(graph: Any, inputs: list[Any]) -> Any:
        raise LookupError("no compiler")

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    model = TorchTrainingModel(Scale(), compile=True)
    for call in (model, model.inference_model):
        with pytest.raises(Exception, match="no compiler") as caught:
            call(ONES)
        assert "needs a C++ compiler" in caught.value.__notes__[0]
    torch.compiler.reset()


COMPILED = """
import torch
from torch import nn
from pamiq_async.torch import TorchTrainingModel

model = TorchTrainingModel(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), compile=True)
x = torch.ones(1, 2)
assert torch.allclose(model.inference_model(x), model(x))
print("compiled", torch._dynamo.utils.counters["inductor"])
"""


def run_compiled(directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {"TORCHINDUCTOR_CACHE_DIR": str(directory), "TORCHINDUCTOR_COMPILE_THREADS": "1", **environment}
    return subprocess.run(
        [sys.executable, "-c", COMPILED], env=os.environ | environment, capture_output=True, text=True, check=False
    )


@pytest.mark.timeout(180)
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_compiling_works(tmp_path: Path) -> None:
    result = run_compiled(tmp_path)
    assert result.stdout.startswith("compiled"), result.stderr
    assert list(tmp_path.rglob("*.so"))


@pytest.mark.timeout(60)
def test_without_a_compiler_the_error_says_what_is_missing(tmp_path: Path) -> None:
    result = run_compiled(tmp_path, PATH=str(tmp_path), CXX="")
    assert result.returncode != 0
    assert "torch.compile needs a C++ compiler" in result.stderr
    assert "leave compile=True out" in result.stderr
