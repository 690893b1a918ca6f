"""A system that does what a test says, and a client for applications around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from pamiq_async import SystemStatus


class FakeSystem:
    """Carries a command out as soon as `may_finish` is set."""

    def __init__(self) -> None:
        self.status = SystemStatus.ACTIVE
        self.calls: list[str] = []
        self.done: list[str] = []
        self.fails_with: BaseException | None = None
        self.may_finish = asyncio.Event()
        self.may_finish.set()
        self._changed = asyncio.Condition()

    async def pause(self) -> None:
        await self._carry_out("pause")

    async def resume(self) -> None:
        await self._carry_out("resume")

    async def save_state(self) -> Path:
        await self._carry_out("save_state")
        return Path("somewhere") / "saved.state"

    def request_shutdown(self) -> None:
        self.calls.append("request_shutdown")
        self.status = SystemStatus.SHUTTING_DOWN

    async def wait_finished(self) -> None:
        await self._carry_out("wait_finished")
        self.status = SystemStatus.ENDED

    async def called(self, count: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.calls) >= count)

    async def has_done(self, count: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.done) >= count)

    async def _carry_out(self, command: str) -> None:
        await self._note(self.calls, command)
        await self.may_finish.wait()
        await self._note(self.done, command)
        if self.fails_with is not None:
            raise self.fails_with

    async def _note(self, notes: list[str], command: str) -> None:
        async with self._changed:
            notes.append(command)
            self._changed.notify_all()


@pytest.fixture
async def system() -> FakeSystem:
    return FakeSystem()


Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def client_of() -> AsyncIterator[Callable[[web.Application], Awaitable[Client]]]:
    """Serves an application."""
    async with AsyncExitStack() as open_clients:

        async def client_of(app: web.Application) -> Client:
            return await open_clients.enter_async_context(TestClient(TestServer(app)))

        yield client_of
