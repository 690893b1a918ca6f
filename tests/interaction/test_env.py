from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pamiq_async import Environment


def test_both_hooks_must_be_given() -> None:
    class Blind(Environment[Any, Any]):
        def affect(self, action: Any) -> None: ...

    with pytest.raises(TypeError, match="observe"):
        Blind()  # type: ignore[abstract]


def test_lifecycle_hooks_may_be_left_out(tmp_path: Path) -> None:
    class Silent(Environment[Any, Any]):
        def observe(self) -> Any: ...

        def affect(self, action: Any) -> None: ...

    environment = Silent()

    environment.setup()
    environment.on_paused()
    environment.on_resumed()
    environment.save_state(tmp_path / "environment")
    environment.load_state(tmp_path / "environment")
    environment.teardown()

    assert list(tmp_path.iterdir()) == []
