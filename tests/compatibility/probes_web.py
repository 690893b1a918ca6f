"""Control over HTTP: real calls to a running system's own server."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.compatibility.probing import Group, recording, run_system

probe = Group("Control over HTTP")

Pamiq = ModuleType
Call = Callable[..., tuple[int, Any]]

PAUSED = (3, "paused")
ACTIVE = (1, "active")


def served(pamiq: Pamiq, path: Path, ask: Callable[[Call], Any], *, step_time: float = 0.005) -> Any:
    """Run a system with its control server, ask it something from another thread, and shut it down."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    answers: list[Any] = []
    log: list[str] = []

    def call(method: str, route: str, **headers: str) -> tuple[int, Any]:
        request = urllib.request.Request(f"http://localhost:{port}{route}", method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def client() -> None:
        try:
            wait_until(lambda: status(call) in ACTIVE and "agent.step" in log)
            answers.append(ask(call))
        finally:
            with contextlib.suppress(urllib.error.URLError):  # it has ended already
                wait_until(lambda: call("POST", "/api/shutdown")[0] < 300)

    thread = threading.Thread(target=client)
    thread.start()
    try:
        run_system(
            pamiq,
            pamiq.Interaction(
                recording(pamiq.Agent, "agent", log, step=lambda self, observation: time.sleep(step_time)),
                recording(pamiq.Environment, "env", []),
            ),
            states_dir=path / "states",
            web_api_address=("localhost", port),
            max_uptime=20.0,
        )
    finally:
        thread.join()
    return answers[0]


def status(call: Call) -> Any:
    try:
        return call("GET", "/api/status")[1].get("status")
    except urllib.error.URLError:
        return None  # not there yet


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.005)


@probe(
    "console",
    "console.SystemStatus",
    "console.SystemStatus.status_name",
    differs="a word, which needs no table",
    guide="| `GET /api/status` |",
)
def status_answer(pamiq: Pamiq, path: Path) -> Any:
    """`GET /api/status`: its code, and the status"""
    return served(pamiq, path, lambda call: (call("GET", "/api/status")[0], call("GET", "/api/status")[1]["status"]))


@probe("web")
def pause_and_resume(pamiq: Pamiq, path: Path) -> Any:
    """`POST /api/pause`, `/api/resume`: the answers, and that the status follows"""

    def ask(call: Call) -> Any:
        paused = call("POST", "/api/pause")
        wait_until(lambda: status(call) in PAUSED)
        resumed = call("POST", "/api/resume")
        wait_until(lambda: status(call) in ACTIVE)
        return paused, resumed

    return served(pamiq, path, ask)


@probe("web", differs="it is when it was done", guide="| a command is answered |")
def when_a_command_is_answered(pamiq: Pamiq, path: Path) -> Any:
    """steps take 0.3 s: when `POST /api/pause` is answered, is the system paused?"""

    def ask(call: Call) -> Any:
        call("POST", "/api/pause")
        return status(call) in PAUSED

    return served(pamiq, path, ask, step_time=0.3)


@probe("web", differs="the saved state's name is told", guide="| `save-state` |")
def saving(pamiq: Pamiq, path: Path) -> Any:
    """`POST /api/save-state`: its code, and what the answer holds"""

    def ask(call: Call) -> Any:
        code, answer = call("POST", "/api/save-state")
        wait_until(lambda: any((path / "states").glob("*.state")))
        return code, sorted(answer), answer["result"]

    return served(pamiq, path, ask)


@probe("web")
def shutting_down(pamiq: Pamiq, path: Path) -> Any:
    """`POST /api/shutdown`: the answer; the system ends"""
    return served(pamiq, path, lambda call: call("POST", "/api/shutdown"))


@probe("web")
def wrong_calls(pamiq: Pamiq, path: Path) -> Any:
    """an unknown path; a wrong method"""
    return served(pamiq, path, lambda call: [call("GET", "/api/nothing"), call("GET", "/api/pause")])


@probe("web")
def full_queue(pamiq: Pamiq, path: Path) -> Any:
    """steps take 0.8 s, three commands at once: the answer to the third"""

    def ask(call: Call) -> Any:
        for route in ("/api/pause", "/api/save-state"):
            call("POST", route, Prefer="respond-async")
            time.sleep(0.1)  # so that the first is being carried out before the second waits
        return call("POST", "/api/save-state", Prefer="respond-async")

    return served(pamiq, path, ask, step_time=0.8)


@probe("web", differs="a web page elsewhere must not stop an agent", guide="| a request from a web page |")
def from_a_web_page(pamiq: Pamiq, path: Path) -> Any:
    """`POST /api/pause` by a page of another origin"""
    return served(pamiq, path, lambda call: call("POST", "/api/pause", Origin="http://evil.example")[0])
