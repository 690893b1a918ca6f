from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from pamiq_async.hooks import Lane


@pytest.fixture
async def lane() -> AsyncIterator[Lane]:
    """The worker thread of a role."""
    lane = Lane("pamiq-test")
    lane.start()
    yield lane
    await lane.close()
