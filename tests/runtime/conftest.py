from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fakes import Log


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """A directory for states, and no control server."""
    return {"states_dir": tmp_path / "states", "web_api_address": None}
