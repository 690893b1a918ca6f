from __future__ import annotations

import importlib
import subprocess
import sys

import pytest


def test_without_gymnasium_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    monkeypatch.delitem(sys.modules, "pamiq_async.gym", raising=False)

    with pytest.raises(ModuleNotFoundError, match=r"needs Gymnasium, .* pip install 'pamiq-async\[gym\]'"):
        importlib.import_module("pamiq_async.gym")


def test_gymnasium_is_not_imported_with_the_package() -> None:
    program = "import sys, pamiq_async; sys.exit('gymnasium' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
