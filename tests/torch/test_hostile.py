"""Whatever is in the files of models and optimizers: no code runs, no memory is filled, and nothing is half loaded."""

from __future__ import annotations

import contextlib
import gc
import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save as as_safetensors
from torch import nn

from pamiq_async.exceptions import InvalidState, StateNotFound, UnknownName
from pamiq_async.model import TrainingModelsDict
from pamiq_async.torch import TorchTrainer, TorchTrainingModel
from pamiq_async.torch.weights import load_data, restore_module
from tests.corpus import Bomb, big_files, corpus


class Network(nn.Module):
    """Keeps a number besides its tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.norm = nn.BatchNorm1d(2)
        self.seen = 5

    def get_extra_state(self) -> Any:
        return {"seen": self.seen}

    def set_extra_state(self, state: Any) -> None:
        self.seen = int(state["seen"])


class Training(TorchTrainer):
    def create_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.get_training_model("m").model.parameters())
        return {"adam": optimizer}, {"step": torch.optim.lr_scheduler.StepLR(optimizer, 2)}

    def train(self) -> None:
        pass


def a_trainer(model: Any) -> Training:
    trainer = Training()
    trainer.attach_training_models(TrainingModelsDict({"m": model}))
    trainer.setup()
    return trainer


def a_model() -> TorchTrainingModel[Network]:
    model = TorchTrainingModel(Network())
    _ = model.inference_model
    return model


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Another such model, and its trainer."""
    model = TorchTrainingModel(Network())
    trainer = a_trainer(model)
    model.model.linear(torch.ones(4, 3)).sum().backward()
    trainer.optimizers["adam"].step()
    trainer.lr_schedulers["step"].step()
    model.save_state(tmp_path / "m")
    trainer.save_state(tmp_path / "t")
    return tmp_path


def holds(model: TorchTrainingModel[Network]) -> Any:
    sides = model.model, model.inference_model._module
    return [[(name, repr(value)) for name, value in side.state_dict().items()] for side in sides]


def states_of(trainer: Training) -> str:
    return repr((trainer._states(), trainer._added_at_last_training))


def torch_archives(canary: Path) -> dict[str, bytes]:
    """Files such as torch.save writes, and such as it does not."""
    values: dict[str, Any] = {
        "nothing": {},
        "a number": 5,
        "a list": [torch.ones(2)],
        "no optimizers": {"optimizers": None, "lr_schedulers": {}},
        "an unknown optimizer": {"optimizers": {"x": {}}, "lr_schedulers": {}},
        "an empty optimizer": {"optimizers": {"adam": {}}, "lr_schedulers": {}},
        "groups of nonsense": {"optimizers": {"adam": {"state": 5, "param_groups": "x"}}, "lr_schedulers": {}},
        "groups without parameters": {
            "optimizers": {"adam": {"state": {}, "param_groups": [{"params": [0]}]}},
            "lr_schedulers": {},
        },
        "a method": {"optimizers": {}, "lr_schedulers": {"step": {"step": 1}}},
        "an optimizer of its own": {"optimizers": {}, "lr_schedulers": {"step": {"optimizer": 1}}},
        "extra state of nonsense": {"_extra_state": {"seen": "x"}},
        "a tensor in place of extra state": {"_extra_state": torch.ones(2)},
        "a number for a tensor": {"linear.weight": 5},
        "a tensor of another shape": {"linear.weight": torch.ones(5)},
        "keys of all kinds": {1: 2, (3,): 4},
    }
    archives = {f"archive of {kind}": saved_by_torch(value) for kind, value in values.items()}
    archives["legacy format"] = saved_by_torch({"a": torch.ones(2)}, _use_new_zipfile_serialization=False)
    whole = saved_by_torch({"a": torch.zeros(1000)})
    archives["deflated"] = repacked(whole, lambda name, content: content, zipfile.ZIP_DEFLATED)
    for kind, pickled in {
        "a bytearray": b"\x80\x02c__builtin__\nbytearray\nJ\xff\xff\xff\x3f\x85R.",
        "a tensor by its size": b"\x80\x02ctorch\nFloatTensor\nJ\xff\xff\xff\x3f\x85R.",
        "code": pickle.dumps(Bomb(canary), 2),
        "a newer protocol": b"\x80\x04N.",
        "a loop": b"\x80\x02]q\x00h\x00a.",
        "no end": b"\x80\x02]",
        "a function": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n.",
        "a class": b"\x80\x02ccollections\nOrderedDict\n.",
    }.items():
        archives[f"archive with a pickle of {kind}"] = repacked(
            whole, lambda name, content, pickled=pickled: pickled if name.endswith("data.pkl") else content
        )
    archives["a tensor beyond its storage"] = repacked(
        whole,
        lambda name, content: (
            content.replace(b"M\xe8\x03\x85", b"J\x00\x00\x00\x10\x85")  # its shape, not its storage
            if name.endswith("data.pkl")
            else content
        ),
    )
    return archives


def saved_by_torch(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def repacked(archive: bytes, change: Callable[[str, bytes], bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(buffer, "w", method) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return buffer.getvalue()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["m.safetensors", "m.rest.pt"])
def test_no_content_of_a_models_file_runs_code_or_is_half_loaded(name: str, saved: Path, tmp_path: Path) -> None:
    canary, refused = tmp_path / "canary", 0
    for kind, content in {**corpus(canary), **torch_archives(canary)}.items():
        (saved / name).write_bytes(content)
        model = a_model()
        before = holds(model)
        try:
            model.load_state(saved / "m")
        except InvalidState:
            refused += 1
            assert holds(model) == before, kind
        assert not canary.exists(), kind
    assert refused > 130


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["optimizers.pt", "trainer.json"])
def test_no_content_of_a_trainers_file_runs_code_or_is_half_loaded(name: str, saved: Path, tmp_path: Path) -> None:
    canary, refused = tmp_path / "canary", 0
    for kind, content in {**corpus(canary), **torch_archives(canary)}.items():
        (saved / "t" / name).write_bytes(content)
        trainer = a_trainer(a_model())
        before = states_of(trainer)
        try:
            trainer.load_state(saved / "t")
        except InvalidState:
            refused += 1
            assert states_of(trainer) == before, kind
        else:
            try:
                trainer.setup()  # creates the optimizers that the states have waited for
            except (InvalidState, UnknownName):
                refused += 1
                assert trainer.optimizers == {}, kind
        assert not canary.exists(), kind
    assert refused > 130


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["m.safetensors", "m.rest.pt", "t/optimizers.pt"])
def test_no_file_takes_more_than_twice_its_size(name: str, saved: Path) -> None:
    size = 8_000_000
    load = a_trainer(a_model()).load_state if name.startswith("t") else a_model().load_state
    for kind, content in {**big_files(size), **big_archives(size)}.items():
        (saved / name).write_bytes(content)
        with contextlib.suppress(InvalidState):  # once before, so that what is imported does not count
            load(saved / name[0])
        grown = growth_of_memory(lambda: load(saved / name[0]))
        # PyTorch holds a text as the file's bytes, as a piece of them and as a str, so that one takes thrice its size.
        factor = 4 if kind == "archive with a long name" else 2
        assert grown < factor * len(content) + 8_000_000, kind


def big_archives(size: int) -> dict[str, bytes]:
    whole = saved_by_torch({"a": torch.zeros(size // 4)})
    return {
        "archive": whole,
        "archive with a long name": saved_by_torch({"a" * size: torch.ones(2)}),
        "archive that is deflated": repacked(whole, lambda name, content: content * 10, zipfile.ZIP_DEFLATED),
        "tensors": as_safetensors({"linear.weight": torch.zeros(size // 4)}),
        "tensors of other names": as_safetensors({str(number): torch.zeros(0) for number in range(50_000)}),
    }


def growth_of_memory(call: Callable[[], object]) -> int:
    """By how many bytes the process grew at most."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is the present size
    before = memory("VmRSS")
    with contextlib.suppress(InvalidState):
        call()
    return memory("VmHWM") - before


def memory(field: str) -> int:
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field)]
    return int(line.split()[1]) * 1024


def test_a_header_is_as_long_as_the_module_needs(saved: Path) -> None:
    name_of_a_tensor = "layer." * 5000
    model = TorchTrainingModel(nn.ParameterDict({name_of_a_tensor.replace(".", "_"): torch.ones(1)}))
    model.save_state(saved / "long")
    model.load_state(saved / "long")


def test_a_state_without_a_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(StateNotFound, match=r"new\.safetensors.* without a model of this name"):
        a_model().load_state(tmp_path / "new")


def test_a_module_may_read_other_states_in_its_own_way(tmp_path: Path) -> None:
    class Renamed(nn.Linear):
        def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
            state_dict["weight"] = state_dict.pop("w")
            super()._load_from_state_dict(state_dict, prefix, *args)

    module = Renamed(1, 1, bias=False)
    restore_module(module, {"w": torch.full((1, 1), 7.0)}, tmp_path)
    assert module.weight.item() == 7
    with pytest.raises(InvalidState, match="Renamed"):
        restore_module(module, {"x": torch.full((1, 1), 8.0)}, tmp_path)
    assert module.weight.item() == 7


def test_what_two_tensors_share_is_counted_once(tmp_path: Path) -> None:
    tensor = torch.arange(1000.0)
    (tmp_path / "x").write_bytes(saved_by_torch([tensor, tensor[:500], tensor[500:], tensor.view(10, 100)]))
    assert torch.equal(load_data(tmp_path / "x")[0], tensor)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda whole: whole[:30], "too short for an archive"),
        (lambda whole: b"junk" + whole, "not at its end"),
        (lambda whole: whole[:-2] + b"\x01\x00" + b"x", "not an archive as PyTorch writes it"),
        (lambda whole: whole.replace(b"data.pkl", b"d" * 8), "can't be read"),
    ],
)
def test_an_archive_is_as_pytorch_writes_it(damage: Callable[[bytes], bytes], message: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(damage(saved_by_torch({"a": torch.ones(2)})))
    with pytest.raises(InvalidState, match=message):
        load_data(tmp_path / "x")


def test_a_directory_of_an_archive_holds_short_names(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x", "w") as archive:
        archive.writestr("a" * 1000, b"")
    with pytest.raises(InvalidState, match="holds more than names"):
        load_data(tmp_path / "x")
