"""Serving the control calls on an address of their own, on the running loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import AsyncIterator

from aiohttp import web

from ..exceptions import ControlAddressError
from .app import Controllable, control_app
from .guard import is_loopback

logger = logging.getLogger(__name__)

CLOSE_WITHIN = 5.0
"""Seconds that answers in flight have when the server closes."""


@contextlib.asynccontextmanager
async def serve(
    system: Controllable, address: tuple[str, int], *, token: str | None = None, queue_size: int = 1
) -> AsyncIterator[tuple[str, int]]:
    """Serve the control calls within the block; gives the host and the real port.

    Raises:
        ControlAddressError: the address is in use, unknown, or beyond loopback without a token.
    """
    host, port = address
    sockets = await _bind(host, port, needs_loopback=token is None)
    real_port = sockets[0].getsockname()[1]
    app = control_app(system, token=token, allowed_hosts=[host], queue_size=queue_size)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_WITHIN)
    try:
        await runner.setup()
        for listener in sockets:
            await web.SockSite(runner, listener).start()
        logger.info("control server on http://%s:%d", host, real_port)
        yield host, real_port
    finally:
        await runner.cleanup()
        for listener in sockets:
            listener.close()


async def _bind(host: str, port: int, *, needs_loopback: bool) -> list[socket.socket]:
    """A listening socket for each address of `host`, all with one port."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ControlAddressError(f"web_api_address names the host {host!r}, which is unknown: {error}") from error
    places = list(dict.fromkeys((family, where) for family, _, _, _, where in found))
    beyond = [str(where[0]) for _, where in places if not is_loopback(str(where[0]))]
    if beyond and needs_loopback:
        raise ControlAddressError(
            f"web_api_address ({host!r}, {port}) is reachable from other machines ({', '.join(beyond)}), and whoever "
            f"reaches it can stop the agent: set web_api_token, or listen on 'localhost'"
        )
    sockets: list[socket.socket] = []
    first_error: OSError | None = None
    for family, where in places:
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((where[0], sockets[0].getsockname()[1] if sockets else port, *where[2:]))
            listener.listen(128)
            listener.setblocking(False)
        except OSError as error:
            listener.close()
            first_error = first_error or error
            continue
        sockets.append(listener)
    if first_error is not None and (not sockets or first_error.errno in (errno.EADDRINUSE, errno.EACCES)):
        for listener in sockets:
            listener.close()
        raise ControlAddressError(
            f"the control server can't listen on {host}:{port}: {first_error.strerror}; "
            f"choose another web_api_address (port 0 takes a free one, None runs without)"
        ) from first_error
    return sockets
