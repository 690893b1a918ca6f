"""What `import pamiq_async` gives."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pamiq_async


@pytest.mark.parametrize("name", pamiq_async.__all__)
def test_a_public_name_is_there(name: str) -> None:
    assert getattr(pamiq_async, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nowhere'"):
        _ = pamiq_async.nowhere


@pytest.mark.parametrize("library", ["aiohttp", "gymnasium", "numpy", "prompt_toolkit", "rich", "torch"])
def test_importing_it_does_not_import_what_not_everyone_needs(library: str) -> None:
    code = f"import pamiq_async, sys; assert {library!r} not in sys.modules; pamiq_async.web.control_app"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)
