"""How a system ends: who asks for it, which error it ends with, and how long it waits for what."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar, cast

import anyio

from ..exceptions import EndOfInteraction, ShutdownTimeout, attach
from ..roles import Role

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
        task = asyncio.create_task(_outcome(work))
        requested = asyncio.create_task(self.requested.wait())
        with anyio.CancelScope(shield=True):
            while not task.done() and not self.requested.is_set():
                try:
                    await asyncio.wait({task, requested}, return_when=asyncio.FIRST_COMPLETED)
                except asyncio.CancelledError:  # by the end of the loop
                    self.request()
            requested.cancel()
            if not await self.within_deadline(asyncio.wait({task})):
                await self.give_up({task: where}, roles)
        if not task.done() or task.cancelled():
            return None
        result, error = task.result()
        if error is not None:
            self.record(error, where)
        return result

    async def give_up(self, tasks: Mapping[asyncio.Task[Any], str], roles: Iterable[Role]) -> None:
        """Stop waiting for tasks, each with what it does, and for roles that are still at work.

        What does not let itself be stopped is an error.
        """
        for role in roles:
            self._give_up_role(role)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=GRACE)
        for task, what in tasks.items():
            if not task.done():
                self.record(ShutdownTimeout(f"{what} did not end {self._in_time} and ignores being cancelled"), what)

    def _give_up_role(self, role: Role) -> None:
        running = role.running()
        if role.lane.is_busy:
            logger.error("%s did not end and is given up; it is running %s:\n%s", role.name, running, role.lane.stack())
            role.lane.abandon()
            error = ShutdownTimeout(
                f"{role.name} did not end {self._in_time}: it is running {running}. "
                f"Its thread was left behind, and no final state was saved"
            )
            self.record(error, f"in {role.name}")
        elif role in role.gate.roles:
            logger.warning("%s did not end %s and was cancelled in %s", role.name, self._in_time, running)

    @property
    def _in_time(self) -> str:
        if self._given_up.is_set():
            return "before it was given up"
        return f"within {self._timeout:g} s (shutdown_timeout)"


async def to_the_end(work: Coroutine[Any, Any, R]) -> R:
    """Do work that must not be torn apart: cancellations are held back until it is done.

    Raises:
        CancelledError: it was cancelled meanwhile.
        Exception: what the work raised.
    """
    task = asyncio.create_task(_outcome(work))
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as cancellation:
                cancelled = cancellation
    result, error = task.result()
    if cancelled is not None:
        if error is not None:
            attach(cancelled, error, "while being cancelled")
        raise cancelled
    if error is not None:
        raise error
    return cast(R, result)


async def _outcome(work: Coroutine[Any, Any, R]) -> tuple[R | None, BaseException | None]:
    """Carry an error as a value: a SystemExit raised in a task would leave the loop at once."""
    try:
        return await work, None
    except BaseException as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        return None, error
