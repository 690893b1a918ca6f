from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pamiq_async.lifecycle import PauseEventMixin
from pamiq_async.roles import Gate, Role
from pamiq_async.time import TimeController

# Without the extra there is only its absence to test.
if importlib.util.find_spec("torch") is None:
    collect_ignore_glob = ["test_[!i]*.py"]


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Threads beside the test's own, which end with it."""
    with ThreadPoolExecutor(4) as executor:
        yield executor


@pytest.fixture
async def role() -> AsyncIterator[Role]:
    """A role of a system that stands still."""
    role = Role("training", PauseEventMixin(), Gate(TimeController()))
    role.start_lane()
    yield role
    await role.close_lanes()
