"""Who may call the control server.

Any web page that is open in a browser on this machine can send requests to loopback addresses. So a call must name a
host of ours (a page can rebind its own name to 127.0.0.1), must not come from another origin, and where a token is
set it must carry it.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Collection

from aiohttp import web
from yarl import URL

MAX_BODY_BYTES = 4096


class Guard:
    """Decides whether a request is let in.

    Args:
        token: what every call must carry, if there is one.
        allowed_hosts: host names, without port, that calls may be addressed to besides loopback; with a token the
            host does not matter.
    """

    def __init__(self, token: str | None, allowed_hosts: Collection[str] = ()) -> None:
        self._token = None if token is None else token.encode()
        self._allowed_hosts = {host.lower() for host in allowed_hosts}

    async def check(self, request: web.Request) -> None:
        """Let the request pass.

        Raises:
            web.HTTPException: it must not.
        """
        self._check_token(request)
        self._check_host(request)
        _check_origin(request)
        await _check_body(request)

    def _check_token(self, request: web.Request) -> None:
        if self._token is None:
            return
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        matches = hmac.compare_digest(token.strip().encode("utf-8", "surrogateescape"), self._token)
        if scheme.lower() != "bearer" or not matches:
            raise web.HTTPUnauthorized(
                reason="Needs a valid 'Authorization: Bearer' token", headers={"WWW-Authenticate": "Bearer"}
            )

    def _check_host(self, request: web.Request) -> None:
        if self._token is not None:
            return
        host = _host_name(request.headers.get("Host", ""))
        if host is None or not (is_loopback(host) or host in self._allowed_hosts):
            raise web.HTTPForbidden(reason="Host not allowed")


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine alone."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host_name(header: str) -> str | None:
    try:
        host = URL(f"http://{header}").host
    except ValueError:
        return None
    return None if host is None else host.lower()


def _check_origin(request: web.Request) -> None:
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("Host"):
        raise web.HTTPForbidden(reason="Origin not allowed")
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise web.HTTPForbidden(reason="Origin not allowed")


async def _check_body(request: web.Request) -> None:
    length = request.content_length or 0
    if length <= MAX_BODY_BYTES and request.can_read_body:
        length = 0
        while length <= MAX_BODY_BYTES and (chunk := await request.content.readany()):
            length += len(chunk)
    if length > MAX_BODY_BYTES:
        raise web.HTTPRequestEntityTooLarge(max_size=MAX_BODY_BYTES, actual_size=length)
