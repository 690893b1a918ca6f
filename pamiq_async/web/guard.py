"""Who may call the control server.

Any web page that is open in a browser on this machine can send requests to loopback addresses. So a call must name a
host of ours (a page can rebind its own name to 127.0.0.1), must not come from another origin, and where a token is
set it must carry it. Without a token it must come from this machine, too: an application that the calls are mounted
in may listen anywhere.
"""

from __future__ import annotations

import functools
import hmac
import ipaddress
import re
from collections.abc import Collection

from aiohttp import web

MAX_BODY_BYTES = 4096

_HOST = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.]+)\]|(?P<name>[\w.-]+))(?::[0-9]*)?", re.ASCII)


class Guard:
    """Decides whether a request is let in.

    Args:
        token: what every call must carry, if there is one.
        allowed_hosts: host names, without port, that calls may be addressed to besides loopback; with a token the
            host does not matter.

    Raises:
        TypeError: `allowed_hosts` is a single string.
        ValueError: nobody could send such a token, or anybody could.
    """

    def __init__(self, token: str | None, allowed_hosts: Collection[str] = ()) -> None:
        if isinstance(allowed_hosts, str):
            raise TypeError(
                f"allowed_hosts is {allowed_hosts!r}; it must be a collection of names, [{allowed_hosts!r}]"
            )
        if token is not None and not re.fullmatch(r"[!-~]+", token):
            raise ValueError("token (not shown) must be None, or printable ASCII characters without spaces")
        self._token = None if token is None else token.encode()
        self._allowed_hosts = {host.lower() for host in allowed_hosts}

    async def check(self, request: web.Request) -> None:
        """Let the request pass.

        Raises:
            web.HTTPException: it must not.
        """
        if self._token is None:
            _check_caller_is_local(request)
            self._check_host(request)
        else:
            _check_token(request, self._token)
        _check_origin(request)
        await _check_body(request)

    def _check_host(self, request: web.Request) -> None:
        host = _host_name(request.headers.get("Host", ""))
        if host is None or not (is_loopback(host) or host in self._allowed_hosts):
            raise web.HTTPForbidden(reason="Host not allowed")


@functools.lru_cache(maxsize=64)  # asked with each call, and mostly for the same two
def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine alone."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # A socket for both families shows an IPv4 caller as ::ffff:127.0.0.1.
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _host_name(header: str) -> str | None:
    match = _HOST.fullmatch(header)
    return None if match is None else (match["address"] or match["name"]).lower()


def _check_token(request: web.Request, token: bytes) -> None:
    scheme, _, sent = request.headers.get("Authorization", "").partition(" ")
    matches = hmac.compare_digest(sent.strip().encode("utf-8", "surrogateescape"), token)
    if scheme.lower() != "bearer" or not matches:
        raise web.HTTPUnauthorized(
            reason="Needs a valid 'Authorization: Bearer' token", headers={"WWW-Authenticate": "Bearer"}
        )


def _check_caller_is_local(request: web.Request) -> None:
    # A caller through a Unix socket has an empty name.
    if request.remote is None or not (request.remote == "" or is_loopback(request.remote)):
        raise web.HTTPForbidden(reason="Calls from other machines need a token")


def _check_origin(request: web.Request) -> None:
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("Host"):
        raise web.HTTPForbidden(reason="Origin not allowed")
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise web.HTTPForbidden(reason="Origin not allowed")


async def _check_body(request: web.Request) -> None:
    """No call has a body that matters; a small one is read and forgotten."""
    length = request.content_length or 0
    if length <= MAX_BODY_BYTES and request.can_read_body:
        length = 0
        try:
            while length <= MAX_BODY_BYTES and (chunk := await request.content.readany()):
                length += len(chunk)
        except (web.RequestPayloadError, ConnectionError) as error:
            raise web.HTTPBadRequest(reason="Invalid request body") from error
    if length > MAX_BODY_BYTES:
        raise web.HTTPRequestEntityTooLarge(max_size=MAX_BODY_BYTES, actual_size=length)
