"""How a system ends: who asks for it, which error it ends with, and how long it waits for what."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

import anyio

from ..exceptions import EndOfInteraction, ShutdownTimeout, attach
from ..lifecycle import Role

logger = logging.getLogger(__name__)

R = TypeVar("R")

GRACE = 1.0
"""Real seconds that compute still has once it was given up, so that what does not hang can end in order."""


class Ending:
    """The end of one system.

    Args:
        timeout: real seconds that running compute has to end, once asked to.
        on_request: called when the end is asked for, once.
    """

    def __init__(self, timeout: float, on_request: Callable[[], None]) -> None:
        self.error: BaseException | None = None
        self.requested = asyncio.Event()
        self._timeout = timeout
        self._on_request = on_request
        self._given_up = asyncio.Event()

    def request(self) -> None:
        """Ask for the end; asking again changes nothing."""
        if not self.requested.is_set():
            logger.info("shutting down")
            self.requested.set()
            self._on_request()

    def give_up_compute(self) -> None:
        """From now on wait no longer than a second for anything that computes."""
        self._given_up.set()

    def record(self, error: BaseException, where: str) -> None:
        """Ask for the end because of an error: the first is kept, later ones are attached to it.

        An EndOfInteraction is no error.
        """
        if isinstance(error, EndOfInteraction):
            logger.info("the interaction has ended%s", f": {error}" if str(error) else "")
        elif self.error is None:
            self.error = error
        elif error is not self.error:
            attach(self.error, error, where)
            logger.error("a second error %s", where, exc_info=error)
        self.request()

    async def within_deadline(self, wait: Coroutine[Any, Any, Any]) -> bool:
        """Wait for something that should end now; returns whether it did in time."""
        waiting = asyncio.create_task(wait)
        given_up = asyncio.create_task(self._given_up.wait())
        try:
            await asyncio.wait({waiting, given_up}, timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED)
            if given_up.done():
                await asyncio.wait({waiting}, timeout=min(GRACE, self._timeout))
            return waiting.done()
        finally:
            waiting.cancel()
            given_up.cancel()

    async def bounded(self, work: Coroutine[Any, Any, R], where: str, roles: Iterable[Role]) -> R | None:
        """Do work of components while starting or ending, in a task of its own that no cancellation tears apart.

        Once the end was asked for it has its time, then the lanes of `roles` are given up. An error is recorded.

        Returns:
            What the work gives; None if it was not done.
        """
        task = asyncio.create_task(work)
        requested = asyncio.create_task(self.requested.wait())
        with anyio.CancelScope(shield=True):
            while not task.done() and not self.requested.is_set():
                try:
                    await asyncio.wait({task, requested}, return_when=asyncio.FIRST_COMPLETED)
                except asyncio.CancelledError:  # by the end of the loop
                    self.request()
            requested.cancel()
            if not await self.within_deadline(asyncio.wait({task})):
                for role in roles:
                    self.give_up(role)
                task.cancel()
                await asyncio.wait({task}, timeout=GRACE)
        if not task.done() or task.cancelled():
            if not any(role.lane.is_abandoned for role in roles):
                self.record(ShutdownTimeout(f"{where}: no end within {self._timeout:g} s (shutdown_timeout)"), where)
            return None
        if (error := task.exception()) is not None:
            self.record(error, where)
            return None
        return task.result()

    def give_up(self, role: Role) -> None:
        """Stop waiting for a role that is still at work. If its thread hangs, that is an error."""
        running = role.running()
        if role.lane.is_busy:
            logger.error("%s did not end and is given up; it is running %s:\n%s", role.name, running, role.lane.stack())
            role.lane.abandon()
            error = ShutdownTimeout(
                f"{role.name} did not end within {self._timeout:g} s (shutdown_timeout): it is running {running}. "
                f"Its thread was left behind, and no final state was saved"
            )
            self.record(error, f"in {role.name}")
        elif role in role.gate.roles:
            logger.warning("%s did not end within %g s and was cancelled in %s", role.name, self._timeout, running)


async def to_the_end(work: Coroutine[Any, Any, R]) -> R:
    """Do work that must not be torn apart: cancellations are held back until it is done.

    Raises:
        CancelledError: it was cancelled meanwhile.
        Exception: what the work raised.
    """
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as cancellation:
                cancelled = cancellation
    if cancelled is not None:
        if not task.cancelled() and (error := task.exception()) is not None:
            attach(cancelled, error, "while being cancelled")
        raise cancelled
    return task.result()
