from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

# Without the extra there is only its absence to test.
if importlib.util.find_spec("torch") is None:
    collect_ignore_glob = ["test_[!i]*.py"]


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Threads beside the test's own, which end with it."""
    with ThreadPoolExecutor(4) as executor:
        yield executor
