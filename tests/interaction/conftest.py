"""A clock that tests drive, and a role to call hooks in, as a system does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from pamiq_async import nonblocking
from pamiq_async.interaction.composite import Component
from pamiq_async.roles import Gate, Role
from pamiq_async.time import TimeController, use_time_controller


class DrivenClock(TimeController):
    """Time passes where someone waits for it, all at once, and where a test says so."""

    now = 1000.0

    def perf_counter(self) -> float:
        return self.now

    def wait_until(self, deadline: float, interrupted: Callable[[], bool] = lambda: False) -> bool:
        if interrupted():
            return False
        self.now = max(self.now, deadline)
        return True

    async def await_until(self, deadline: float, interrupted: Callable[[], bool] = lambda: False) -> bool:
        await asyncio.sleep(0)
        return self.wait_until(deadline, interrupted)


@pytest.fixture
def clock() -> Iterator[DrivenClock]:
    with use_time_controller(DrivenClock()) as clock:
        yield clock


@pytest.fixture
async def role(clock: DrivenClock) -> AsyncIterator[Role]:
    """`await role.call(hook)` calls a hook of any kind, on the role's lane or on the loop."""
    role = Role("inference", Component(), Gate(clock))
    role.start_lane()
    yield role
    await role.close_lanes()


@pytest.fixture
def made() -> Callable[[str, Callable[..., Any]], Callable[..., Any]]:
    """`made(kind, function)`: the function as a "def", "async def" or "@nonblocking def" hook."""

    def made(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def plain(*args: Any) -> Any:
            return function(*args)

        async def coroutine(*args: Any) -> Any:
            await asyncio.sleep(0)
            return function(*args)

        return {"def": plain, "async def": coroutine, "@nonblocking def": nonblocking(lambda *a: function(*a))}[kind]

    return made
