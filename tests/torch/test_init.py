from __future__ import annotations

import importlib
import subprocess
import sys
from types import ModuleType

import pytest


@pytest.mark.parametrize("missing", ["safetensors", "torch"])
def test_without_a_dependency_the_error_names_the_extra(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in {"safetensors", "torch"} - {missing}:
        monkeypatch.setitem(sys.modules, other, sys.modules.get(other, ModuleType(other)))
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "pamiq_async.torch", raising=False)

    with pytest.raises(ModuleNotFoundError, match=rf"there is no {missing}: pip install 'pamiq-async\[torch\]'"):
        importlib.import_module("pamiq_async.torch")


def test_torch_is_not_imported_with_the_package() -> None:
    program = "import sys, pamiq_async; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_all_names_of_pamiq_cores_module_are_there() -> None:
    pytest.importorskip("torch")
    names = """
        TorchInferenceModel TorchTrainingModel default_infer_procedure get_device LRSchedulersDict OptimizersDict
        OptimizersSetup StateDict TorchTrainer TorchAgent
    """
    assert set(names.split()) <= set(importlib.import_module("pamiq_async.torch").__all__)
