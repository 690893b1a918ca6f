"""The control calls as an aiohttp application, to be served alone or mounted in another."""

from __future__ import annotations

import asyncio
import logging
import math
import re
import reprlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec
from aiohttp import hdrs, web

from ..exceptions import PauseTimeout, SystemEnded
from ..lifecycle import SystemStatus
from .guard import Guard

logger = logging.getLogger(__name__)

ANSWER_WITHIN = 4.0
"""Seconds after which a command that is not done is answered with 202; older clients give up after five."""

FIGURES_AGE = 0.1
"""Seconds that figures may be old, so that clients who ask often cost little."""


class Controllable(Protocol):
    """What the control calls need of a system. One that is `Measurable`, too, has its figures told with its status."""

    @property
    def status(self) -> SystemStatus:
        """Its phase."""

    async def pause(self) -> None:
        """Stand still."""

    async def resume(self) -> None:
        """Go on."""

    async def save_state(self) -> Path:
        """Save a state and return its path."""

    def request_shutdown(self) -> None:
        """Begin to end."""

    async def wait_finished(self) -> None:
        """Wait until all but the control server has ended."""


@runtime_checkable
class Measurable(Protocol):
    """What a system may offer besides."""

    def figures(self) -> Mapping[str, Any]:
        """What it knows about its own running, by name; values as JSON has them. What is not a number becomes null."""


SYSTEM: web.AppKey[Any] = web.AppKey("pamiq_async_system", object)
"""Where an application keeps the `System` that `cleanup_ctx` started."""


def control_app(
    system: Controllable | None = None,
    *,
    token: str | None = None,
    allowed_hosts: Collection[str] = (),
    queue_size: int = 1,
) -> web.Application:
    """Make an application of the control calls, to mount in another: ``app.add_subapp("/agent", ...)``.

    It lives as long as the application around it, which may be longer than the system: once that has ended, the
    status is "ended", shutdown is "ok", and other commands are refused with a 409.

    Args:
        system: what to control; None: the one that `cleanup_ctx` started with the application it is mounted in.
        token: if set, every call needs ``Authorization: Bearer …``. Without one, only callers on this machine are
            let in; set one behind a reverse proxy, where every caller seems to be on this machine.
        allowed_hosts: without a token, host names besides loopback that calls may be addressed to.
        queue_size: commands that may wait while one is being carried out; more get a 503.

    Raises:
        TypeError, ValueError: an argument is of no use.
    """
    if queue_size < 1:
        raise ValueError(f"queue_size is {queue_size!r}; it must be at least 1")
    guard = Guard(token, allowed_hosts)
    calls = _Calls(system, queue_size)
    app = web.Application(middlewares=[_answers_errors(guard)])
    app.add_routes(
        [
            web.get("/api/status", calls.status),
            web.post("/api/pause", calls.pause),
            web.post("/api/resume", calls.resume),
            web.post("/api/save-state", calls.save_state),
            web.post("/api/shutdown", calls.shutdown),
        ]
    )
    return app


def cleanup_ctx(
    starting: AbstractAsyncContextManager[Controllable],
) -> Callable[[web.Application], AsyncIterator[None]]:
    """Start an agent with an aiohttp application and end it with it.

    ``app.cleanup_ctx.append(cleanup_ctx(start(...)))``; handlers find the system as ``request.config_dict[SYSTEM]``,
    and so does a `control_app()` that is mounted in the application. An agent that ends earlier leaves the application
    running; the error that ended it, if one did, is raised when the application is cleaned up.

    An application has one system. For a second agent take a `control_app()` of its own and add the context to that.
    """

    async def context(app: web.Application) -> AsyncIterator[None]:
        if SYSTEM in app:
            raise RuntimeError(
                "this application has a system already; add the second one to a control_app() of its own"
            )
        async with starting as system:
            app[SYSTEM] = system
            yield

    return context


class _Calls:
    """The handlers."""

    def __init__(self, system: Controllable | None, queue_size: int) -> None:
        self._system = system
        self._queue_size = queue_size
        self._commands: set[asyncio.Task[Any]] = set()
        self._figures: Mapping[str, Any] = {}
        self._figures_time = -math.inf

    async def status(self, request: web.Request) -> web.Response:
        system = self._of(request)
        status = _status_for(request, system.status)
        now = asyncio.get_running_loop().time()
        if now - self._figures_time > FIGURES_AGE:
            self._figures = system.figures() if isinstance(system, Measurable) else {}
            self._figures_time = now
        # As JSON has no NaN and no infinity, msgspec writes null.
        body = msgspec.json.encode({**status, **self._figures, **status}, enc_hook=_plain)
        return web.Response(body=body, content_type="application/json", charset="utf-8")

    async def pause(self, request: web.Request) -> web.Response:
        return await self._carry_out(request, self._of(request).pause)

    async def resume(self, request: web.Request) -> web.Response:
        return await self._carry_out(request, self._of(request).resume)

    async def save_state(self, request: web.Request) -> web.Response:
        return await self._carry_out(request, self._of(request).save_state)

    async def shutdown(self, request: web.Request) -> web.Response:
        system = self._of(request)
        system.request_shutdown()  # not a command that waits for others
        return await self._answer(request, asyncio.ensure_future(system.wait_finished()))

    def _of(self, request: web.Request) -> Controllable:
        system: Controllable | None = self._system or request.config_dict.get(SYSTEM)
        if system is None:
            raise LookupError(
                "control_app() has no system: give it one, or start one in an application around it with cleanup_ctx()"
            )
        return system

    async def _carry_out(self, request: web.Request, command: Callable[[], Awaitable[Any]]) -> web.Response:
        if len(self._commands) > self._queue_size:
            return _error(503, "Command queue is full, try again later")
        task = asyncio.ensure_future(command())
        self._commands.add(task)
        task.add_done_callback(self._commands.discard)
        return await self._answer(request, task)

    async def _answer(self, request: web.Request, task: asyncio.Future[Any]) -> web.Response:
        task.add_done_callback(_look_at_outcome)
        patience, headers = _patience(request)
        done, _ = await asyncio.wait({task}, timeout=patience)
        if not done:
            return web.json_response({"result": "accepted"}, status=202, headers=headers)
        if task.cancelled():
            raise RuntimeError("the command was cancelled")
        try:
            result = task.result()
        except PauseTimeout as error:
            return _error(504, str(error))
        except SystemEnded as error:
            return _error(409, str(error))
        except Exception as error:
            if request.path.endswith("/api/save-state"):
                return _error(500, f"The state could not be saved: {type(error).__name__}: {error}")
            raise
        answer = {"result": "ok"}
        if isinstance(result, Path):
            answer["state"] = result.name
        return web.json_response(answer, headers=headers)


_NUMBERS = {status: number for number, status in enumerate(SystemStatus, start=1)}


def _status_for(request: web.Request, status: SystemStatus) -> dict[str, Any]:
    """The status in the words of SystemStatus, or in numbers for the consoles of pamiq-core.

    Those count the phases from 1 and stop with an error at a word. Their requests show nothing of them but the library
    that they use, httpx, with all that it sends by default: an httpx user who asks for JSON gets words, too.
    """
    is_older_console = request.headers.get(hdrs.USER_AGENT, "").startswith("python-httpx/") and (
        request.headers.get(hdrs.ACCEPT) == "*/*"
    )
    return {"status": _NUMBERS[status], "name": status.value} if is_older_console else {"status": status.value}


def _plain(value: Any) -> Any:
    """What msgspec does not know, in types that it does; float64 of NumPy is a float, too."""
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"figures have {reprlib.repr(value)}, which JSON has no word for")


def _look_at_outcome(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()  # control has logged it; nobody may be left to tell


def _patience(request: web.Request) -> tuple[float, dict[str, str]]:
    """Seconds to wait for the outcome by the Prefer header (RFC 7240), and the header that says it was heeded."""
    preferences: dict[str, str] = {}
    for preference in ",".join(request.headers.getall("Prefer", [])).split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        preferences.setdefault(name.strip().lower(), value.strip().strip('"'))
    seconds = preferences.get("wait", "")
    if re.fullmatch("[0-9]{1,9}", seconds):
        return float(seconds), {"Preference-Applied": f"wait={int(seconds)}"}
    if "respond-async" in preferences:
        return 0.0, {"Preference-Applied": "respond-async"}
    return ANSWER_WITHIN, {}


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": message}, status=status, headers=headers)


_MESSAGES = {404: "Invalid API endpoint", 405: "Invalid API method", 413: "Request body too large"}


def _answers_errors(guard: Guard) -> Any:
    @web.middleware
    async def middleware(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            await guard.check(request)
            return await handler(request)
        except web.HTTPException as error:
            kept = {k: v for k, v in error.headers.items() if k in ("Allow", "WWW-Authenticate")}
            return _error(error.status, _MESSAGES.get(error.status, error.reason), kept)
        except Exception:
            logger.exception("%s %s failed", request.method, request.rel_url.raw_path)
            return _error(500, "Internal server error")

    return middleware
