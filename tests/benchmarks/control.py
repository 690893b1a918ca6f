"""Asking the control server of either package, over one connection that stays open.

The client does as little as can be done: one from a library takes longer for an answer than the server.
"""

from __future__ import annotations

import json
import socket
from time import sleep
from typing import Any


class Connection:
    """To the control server at a port of this machine.

    Raises:
        OSError: nobody answers.
    """

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("localhost", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._host = f"localhost:{port}"

    def call(self, method: str, path: str) -> dict[str, Any]:
        """What the server answers."""
        self._socket.sendall(f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        received = b""
        while True:
            received += self._receive()
            head, end, body = received.partition(b"\r\n\r\n")
            if end and len(body) == int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0]):
                answer: dict[str, Any] = json.loads(body)
                return answer

    def status(self) -> object:
        """The word, or pamiq-core's number, for the phase of the system."""
        return self.call("GET", "/api/status")["status"]

    def _receive(self) -> bytes:
        received = self._socket.recv(65536)
        if not received:
            raise ConnectionError(f"{self._host} hung up")
        return received


def connect(port: int) -> Connection:
    """Wait until a server answers."""
    for _ in range(200):
        try:
            connection = Connection(port)
            connection.status()
        except OSError:
            sleep(0.1)
        else:
            return connection
    raise ConnectionError(f"there is no control server at port {port}")
