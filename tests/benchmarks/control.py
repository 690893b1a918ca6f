"""Asking the control server of either package, over one connection that stays open."""

from __future__ import annotations

import http.client
import json
from time import sleep


def connect(port: int) -> http.client.HTTPConnection:
    """Wait until a server answers."""
    for _ in range(200):
        connection = http.client.HTTPConnection("localhost", port, timeout=60)
        try:
            status(connection)
        except (OSError, http.client.HTTPException):
            sleep(0.1)
        else:
            return connection
    raise ConnectionError(f"there is no control server at port {port}")


def status(connection: http.client.HTTPConnection) -> object:
    """The word, or pamiq-core's number, for the phase of the system."""
    return call(connection, "GET", "/api/status")["status"]


def call(connection: http.client.HTTPConnection, method: str, path: str) -> dict[str, object]:
    """What the server answers."""
    connection.request(method, path)
    answer: dict[str, object] = json.loads(connection.getresponse().read())
    return answer
