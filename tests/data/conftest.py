from __future__ import annotations

from collections.abc import Iterator

import pytest

from pamiq_async.time import TimeController, use_time_controller


class HandClock(TimeController):
    """A clock that a test sets by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.pause()
        self.set(0.0)

    def set(self, seconds: float) -> None:
        self.load_state_dict({"time": seconds, "perf_counter": seconds})


@pytest.fixture
def clock() -> Iterator[HandClock]:
    with use_time_controller(HandClock()) as clock:
        assert isinstance(clock, HandClock)
        yield clock
