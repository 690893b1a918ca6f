"""Serving the control calls on an address of their own, on the running loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiohttp import web
from yarl import URL

from ..exceptions import ControlAddressError
from .app import Controllable, control_app
from .guard import is_loopback

logger = logging.getLogger(__name__)

CLOSE_WITHIN = 5.0
"""Seconds that answers in flight have when the server closes."""

_PORT_ATTEMPTS = 10

_Place = tuple[int, tuple[Any, ...]]


@contextlib.asynccontextmanager
async def serve(
    system: Controllable, address: tuple[str, int], *, token: str | None = None, queue_size: int = 1
) -> AsyncIterator[tuple[str, int]]:
    """Serve the control calls within the block; gives the host and the real port.

    Raises:
        ControlAddressError: the address is in use, unknown, or beyond loopback without a token.
    """
    host, port = address
    app = control_app(system, token=token, allowed_hosts=[host], queue_size=queue_size)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_WITHIN)
    with contextlib.ExitStack() as sockets:
        listeners = await _listen(host, port, needs_loopback=token is None)
        for listener in listeners:
            sockets.callback(listener.close)
        real_port: int = listeners[0].getsockname()[1]
        try:
            await runner.setup()
            for listener in listeners:
                await web.SockSite(runner, listener).start()
            logger.info("control server on %s", URL.build(scheme="http", host=host, port=real_port))
            yield host, real_port
        finally:
            await runner.cleanup()


async def _listen(host: str, port: int, *, needs_loopback: bool) -> list[socket.socket]:
    """A listening socket for each address of `host`, all with one port."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ControlAddressError(f"web_api_address names the host {host!r}, which is unknown: {error}") from error
    places = list(dict.fromkeys((family, where) for family, _, _, _, where in found))
    beyond = [str(where[0]) for _, where in places if not is_loopback(str(where[0]))]
    if beyond and needs_loopback:
        raise ControlAddressError(
            f"web_api_address ({host!r}, {port}) is reachable from other machines ({', '.join(beyond)}), and whoever "
            f"reaches it can stop the agent: set web_api_token, or listen on 'localhost'"
        )
    # A port that is free for one family may be taken for the next one.
    attempts = 1 if port else _PORT_ATTEMPTS
    while True:
        attempts -= 1
        try:
            return _listen_at(places, port)
        except OSError as error:
            if attempts and error.errno == errno.EADDRINUSE:
                continue
            raise ControlAddressError(
                f"the control server can't listen on {host}:{port}: {error.strerror}; "
                f"choose another web_api_address (port 0 takes a free one, None runs without)"
            ) from error


def _listen_at(places: Sequence[_Place], port: int) -> list[socket.socket]:
    listeners: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for family, where in places:
            try:
                listeners.append(_listener(family, (where[0], port, *where[2:])))
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                missing = error  # a name may have addresses of a family that this machine has not
            else:
                port = listeners[0].getsockname()[1]
        if missing is not None and not listeners:
            raise missing
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _listener(family: int, address: tuple[Any, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(128)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
