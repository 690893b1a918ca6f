"""Calling a control server: `ControlClient` from coroutines, `BlockingControlClient` from everything else."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from ipaddress import IPv4Address
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
from yarl import URL

from .._version import __version__
from ..exceptions import (
    AnswerTimeout,
    BlockingCall,
    CallRefused,
    CommandFailed,
    CommandQueueFull,
    NotAControlServer,
    PamiqError,
    PauseTimeout,
    ServerUnreachable,
    SystemEnded,
)
from ..hooks import on_loop
from ..lifecycle import SystemStatus

R = TypeVar("R")

CONNECT_WITHIN = 10.0
"""Seconds after which a host that does not react counts as unreachable."""

_WAY_THERE_AND_BACK = 5.0  # seconds that an answer may take besides what the server was asked to wait
_LONGEST_WAIT = 999_999_999  # seconds, as many digits as the server reads
_LONGEST_ANSWER = 2**20  # bytes; a report of thousands of trainers is shorter

_ERRORS: Mapping[int, type[PamiqError]] = {
    401: CallRefused,
    403: CallRefused,
    409: SystemEnded,
    500: CommandFailed,
    503: CommandQueueFull,
    504: PauseTimeout,
}


class ControlClient:
    """Steers a system from another program, over HTTP; use it in ``async with``.

    A command returns when it is done, as the methods of `System` do. A caller that is cancelled does not take its
    command back.

    Args:
        host: name or address of the control server.
        port: its port.
        token: its token, if it has one.
        timeout: seconds to wait for the outcome of a command, rounded up to whole ones, and for other answers.
        path: below which a `control_app` is mounted, such as ``"/agent"``.

    Raises:
        ValueError: `timeout` is not positive, or nobody could have such a host, port, token or path.
        ServerUnreachable: out of any call: nobody answers.
        NotAControlServer: out of any call: something else answers.
        CallRefused: out of any call: the token is missing or wrong, or the server wants no calls from here.
        AnswerTimeout: out of any call: the outcome is not known after `timeout`; a command goes on.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 8319,
        *,
        token: str | None = None,
        timeout: float = 60.0,
        path: str = "",
    ) -> None:
        if not timeout > 0:
            raise ValueError(f"timeout is {timeout!r}; it must be a positive number of seconds, or inf")
        if token is not None and not re.fullmatch(r"[!-~]+", token):
            raise ValueError("token (not shown) must be None, or printable ASCII characters without spaces")
        self.url = _url(host, port, path)
        # What is not compressed is not longer than it seems.
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"pamiq_async/{__version__}",
        }
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        if self._session is not None:
            raise RuntimeError("this ControlClient is in use by another 'async with'; make one for each")
        # A connection for each call: one that was kept may belong to a server that is gone.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def status(self) -> SystemStatus:
        """The system's phase."""
        return SystemStatus((await self.report())["status"])

    async def report(self) -> dict[str, Any]:
        """All that the server tells about the system: ``"status"``, and its figures by name."""
        report = await self._call("GET", "status", self._timeout)
        if report.get("status") not in [status.value for status in SystemStatus]:
            raise self._no_control_server(f"its status is {report.get('status')!r}")
        return report

    async def pause(self) -> None:
        """Have the system stand still.

        Raises:
            PauseTimeout: a role did not park; the system goes on.
            SystemEnded: the system is shutting down or has ended.
            CommandQueueFull: the server does not take the command now.
            CommandFailed: for a reason that the server's log has.
        """
        await self._command("pause")

    async def resume(self) -> None:
        """Have the system go on; raises what `pause` does."""
        await self._command("resume")

    async def save_state(self) -> str:
        """Have a state saved and return its name; raises what `pause` does, and says why if it could not be saved."""
        name = (await self._command("save-state")).get("state")
        if not isinstance(name, str):
            raise self._no_control_server("it does not name the saved state")
        return name

    async def shutdown(self) -> None:
        """Have the system end in order, and return when it has.

        Raises:
            CommandFailed: it ended with an error, which its log has.
        """
        await self._command("shutdown")

    async def _command(self, name: str) -> dict[str, Any]:
        wait = math.ceil(min(self._timeout, _LONGEST_WAIT))
        answer = await self._call("POST", name, wait + _WAY_THERE_AND_BACK, Prefer=f"wait={wait}")
        if answer.get("result") == "accepted":
            raise AnswerTimeout(f"{name} is not done after {wait} s; {self.url} goes on with it")
        if answer.get("result") != "ok":
            raise self._no_control_server(f"it answers {name} with {answer!r}")
        return answer

    async def _call(self, method: str, name: str, timeout: float, **headers: str) -> dict[str, Any]:
        """What the server answers, unless that is an error."""
        if self._session is None:
            raise RuntimeError("a ControlClient makes calls in 'async with ControlClient(...) as client' only")
        limits = aiohttp.ClientTimeout(total=None if timeout == math.inf else timeout, sock_connect=CONNECT_WITHIN)
        try:
            async with self._session.request(
                method,
                self.url / "api" / name,
                headers={**self._headers, **headers},
                timeout=limits,
                allow_redirects=False,
            ) as response:
                status, reason = response.status, response.reason
                body = await self._read(response)
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
            raise self._unreachable(error) from error
        except aiohttp.ClientError as error:
            raise self._no_control_server("it does not speak HTTP") from error
        except TimeoutError:
            raise AnswerTimeout(f"no answer from {self.url} to {name} within {timeout:g} s") from None
        answer = _as_object(body)
        if answer is not None:
            if status in (200, 202):
                return answer
            if status in _ERRORS and isinstance(answer.get("error"), str):
                raise _ERRORS[status](answer["error"])
        raise self._no_control_server(f"it answers {name} with {status} {reason}")

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """The body, if it is said to be JSON: what listens may send anything, also without end."""
        body = bytearray()
        if response.content_type == "application/json":
            async for part in response.content.iter_any():
                body += part
                if len(body) > _LONGEST_ANSWER:
                    raise self._no_control_server(f"its answer is longer than {_LONGEST_ANSWER >> 20} MiB")
        return bytes(body)

    def _unreachable(self, error: Exception) -> ServerUnreachable:
        cause = getattr(error, "os_error", error)
        number = getattr(cause, "errno", None) or 0
        # asyncio puts a text of its own into strerror; errors of name look-ups have numbers of their own.
        why = os.strerror(number) if number > 0 else getattr(cause, "strerror", None) or str(error)
        return ServerUnreachable(
            f"no control server answers at {self.url}: {why}; is the system running, and are host and port its own?"
        )

    def _no_control_server(self, why: str) -> NotAControlServer:
        return NotAControlServer(f"what listens at {self.url} is no control server of pamiq_async: {why}")


def _url(host: str, port: int, path: str) -> URL:
    """Where the calls are; refuses what aiohttp or a look-up of the name would refuse later, and less clearly."""
    if not 0 < port <= 65535:
        raise ValueError(f"port is {port!r}; it must be in 1..65535")
    if path and not path.startswith("/"):
        raise ValueError(f"path is {path!r}; it must begin with '/'")
    try:
        url = URL.build(scheme="http", host=host, port=port)
        name = url.raw_host or ""
        if name.replace(".", "").isdigit():
            IPv4Address(name)  # other ways to write one, such as 127.1, are not everybody's
        name.encode("idna")
    except ValueError as error:
        raise ValueError(f"host is {host!r}; it must be a name or an address, without a port: {error}") from None
    return url.with_path(path.rstrip("/"))


def _as_object(body: bytes) -> dict[str, Any] | None:
    """The JSON object that `body` is, if it is one."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


class BlockingControlClient:
    """`ControlClient` for code that blocks: scripts, threads.

    Methods, arguments and errors are those of `ControlClient`. It holds nothing between two calls, so that it may be
    used by several threads, and need not be closed; that it is a context manager is for the sake of likeness.

    Raises:
        BlockingCall: out of any call: it was made on a running event loop.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 8319,
        *,
        token: str | None = None,
        timeout: float = 60.0,
        path: str = "",
    ) -> None:
        self._client = partial(ControlClient, host, port, token=token, timeout=timeout, path=path)
        self.url = self._client().url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def status(self) -> SystemStatus:
        """The system's phase."""
        return self._run(ControlClient.status)

    def report(self) -> dict[str, Any]:
        """All that the server tells about the system: ``"status"``, and its figures by name."""
        return self._run(ControlClient.report)

    def pause(self) -> None:
        """Have the system stand still."""
        self._run(ControlClient.pause)

    def resume(self) -> None:
        """Have the system go on."""
        self._run(ControlClient.resume)

    def save_state(self) -> str:
        """Have a state saved and return its name."""
        return self._run(ControlClient.save_state)

    def shutdown(self) -> None:
        """Have the system end in order, and return when it has."""
        self._run(ControlClient.shutdown)

    def _run(self, call: Callable[[ControlClient], Coroutine[Any, Any, R]]) -> R:
        if on_loop():
            raise BlockingCall(
                f"BlockingControlClient.{call.__name__}() would block the event loop: use 'async with "
                f"ControlClient(...)' here, or call it in a thread"
            )

        async def connected() -> R:
            async with self._client() as client:
                return await call(client)

        # With a loop_factory the thread's own event loop, if it has set one, is left alone.
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            return runner.run(connected())
