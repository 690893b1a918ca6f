"""The two clients: what they ask, and what becomes of each answer."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import math
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from pamiq_async import SystemStatus, start
from pamiq_async.exceptions import (
    AnswerTimeout,
    BlockingCall,
    CallRefused,
    CommandFailed,
    CommandQueueFull,
    NotAControlServer,
    PauseTimeout,
    ServerUnreachable,
    SystemEnded,
)
from pamiq_async.web import BlockingControlClient, ControlClient, control_app
from pamiq_async.web.server import serve
from tests.fakes import Boom, Log, fake_interaction

Call = Callable[..., Awaitable[Any]]


@pytest.fixture(params=["async", "blocking"])
def call(request: pytest.FixtureRequest) -> Call:
    """Calls a method of either client, which is made for that."""

    async def call(method: str, port: int, host: str = "127.0.0.1", **options: Any) -> Any:
        if request.param == "blocking":
            return await asyncio.to_thread(getattr(BlockingControlClient(host, port, **options), method))
        async with ControlClient(host, port, **options) as client:
            return await getattr(client, method)()

    return call


@pytest.fixture
async def port(system: Any) -> AsyncIterator[int]:
    """Where the fake system is served."""
    async with serve(system, ("127.0.0.1", 0)) as (_, port):
        yield port


@contextlib.asynccontextmanager
async def server_that_answers(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        assert server.port is not None
        yield server.port


@contextlib.asynccontextmanager
async def server_that_sends(content: bytes) -> AsyncIterator[int]:
    """Sends `content` to whatever is asked, and closes the connection."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(content)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def unused_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as unused:
            unused.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


# --- Calls ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "calls", "result"),
    [
        ("pause", ["pause"], None),
        ("resume", ["resume"], None),
        ("save_state", ["save_state"], "saved.state"),
        ("shutdown", ["request_shutdown", "wait_finished"], None),
    ],
)
async def test_a_command_is_carried_out(
    call: Call, system: Any, port: int, method: str, calls: list[str], result: str | None
) -> None:
    assert await call(method, port) == result
    assert system.calls == calls


@pytest.mark.parametrize("status", SystemStatus)
async def test_status_is_the_phase(call: Call, system: Any, port: int, status: SystemStatus) -> None:
    system.status = status

    assert await call("status", port) is status


async def test_report_is_all_that_the_server_tells(call: Call, system: Any, port: int) -> None:
    system.figures = lambda: {"steps": 12, "step_times": {"mean": math.nan}}

    assert await call("report", port) == {"status": "active", "steps": 12, "step_times": {"mean": None}}


async def test_a_token_is_sent(call: Call, system: Any) -> None:
    async with serve(system, ("127.0.0.1", 0), token="open-sesame") as (_, port):
        assert await call("status", port, token="open-sesame") is SystemStatus.ACTIVE


async def test_a_command_waits_for_its_outcome_as_long_as_the_client_does(call: Call) -> None:
    asked: list[tuple[str, str | None]] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((f"{request.method} {request.path}", request.headers.get("Prefer")))
        return web.json_response({"result": "ok", "status": "active"})

    async with server_that_answers(answer) as port:
        await call("status", port, timeout=90)
        await call("pause", port, timeout=90)
        await call("pause", port, timeout=0.25)
        await call("pause", port, timeout=math.inf)

    assert asked == [
        ("GET /api/status", None),
        ("POST /api/pause", "wait=90"),
        ("POST /api/pause", "wait=1"),
        ("POST /api/pause", "wait=999999999"),
    ]


async def test_a_timeout_may_be_infinite(call: Call, system: Any, port: int) -> None:
    assert await call("status", port, timeout=math.inf) is SystemStatus.ACTIVE


async def test_calls_may_be_below_a_path(call: Call, system: Any) -> None:
    app = web.Application()
    app.add_subapp("/agent", control_app(system))
    async with TestServer(app) as server:
        await call("pause", server.port, path="/agent")
        assert await call("status", server.port, path="/agent/") is SystemStatus.ACTIVE

        with pytest.raises(NotAControlServer, match=rf"at http://127\.0\.0\.1:{server.port}/mine is no control server"):
            await call("status", server.port, path="/mine")

    assert system.calls == ["pause"]


async def test_a_caller_that_is_cancelled_does_not_take_its_command_back(system: Any, port: int) -> None:
    system.may_finish.clear()
    async with ControlClient("127.0.0.1", port) as client:
        pausing = asyncio.create_task(client.pause())
        await system.called(1)
        pausing.cancel()
        await asyncio.wait({pausing})

        system.may_finish.set()
        await system.has_done(1)


async def test_a_client_makes_many_calls_also_at_the_same_time(system: Any, port: int) -> None:
    async with ControlClient("127.0.0.1", port) as client:
        statuses = await asyncio.gather(*(client.status() for _ in range(3)))
        await client.pause()

    assert statuses == [SystemStatus.ACTIVE] * 3
    assert system.calls == ["pause"]


async def test_a_call_does_not_rely_on_the_connection_of_the_one_before() -> None:
    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(http("200 OK", b'{"result": "ok"}'))
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(answer_once, "127.0.0.1", 0)
    async with server, ControlClient("127.0.0.1", server.sockets[0].getsockname()[1]) as client:
        await client.pause()
        await client.pause()


async def test_a_real_system_is_steered(call: Call, tmp_path: Path) -> None:
    config = {"states_dir": tmp_path / "states", "web_api_address": ("localhost", 0)}
    async with start(fake_interaction(Log()), {}, {}, {}, config) as system:
        assert system.web_api_address is not None
        _, port = system.web_api_address

        await call("pause", port, host="localhost")
        assert await call("status", port, host="localhost") is SystemStatus.PAUSED
        name = await call("save_state", port, host="localhost")
        await call("resume", port, host="localhost")
        assert await call("status", port, host="localhost") is SystemStatus.ACTIVE
        await call("shutdown", port, host="localhost")

        await system.wait()
    assert await asyncio.to_thread((tmp_path / "states" / name / "MANIFEST.json").exists)


# --- Where the server is ----------------------------------------------------------------------------------


@needs_ipv6
async def test_an_ipv6_address_is_given_without_brackets(call: Call, system: Any) -> None:
    async with serve(system, ("::1", 0)) as (_, port):
        assert await call("status", port, host="::1") is SystemStatus.ACTIVE


@needs_ipv6
@pytest.mark.parametrize("listens_on", ["127.0.0.1", "::1"])
async def test_localhost_finds_a_server_that_listens_on_one_family(
    call: Call, system: Any, listens_on: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def both(loop: Any, host: str, port: int, **_: Any) -> list[Any]:
        assert host == "localhost"
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]

    async with serve(system, (listens_on, 0)) as (_, port):
        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", both)
        assert await call("status", port, host="localhost") is SystemStatus.ACTIVE


async def test_nobody_at_the_address_is_an_error_that_asks_what_to_check(call: Call) -> None:
    port = unused_port()

    with pytest.raises(ServerUnreachable) as caught:
        await call("pause", port)

    assert str(caught.value) == (
        f"no control server answers at http://127.0.0.1:{port}: Connection refused; "
        f"is the system running, and are host and port its own?"
    )


async def test_an_unknown_host_is_unreachable(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", unknown)

    with pytest.raises(ServerUnreachable, match=r"at http://robot\.invalid:8319: Name or service not known;"):
        await call("status", 8319, host="robot.invalid")


@pytest.mark.parametrize(
    "content", [b"", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"]
)
async def test_a_server_that_breaks_off_is_unreachable(call: Call, content: bytes) -> None:
    async with server_that_sends(content) as port:
        with pytest.raises(ServerUnreachable):
            await call("pause", port)


# --- Answers that are errors ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fails_with", "error", "message"),
    [
        (PauseTimeout("interaction is running Walker.step"), PauseTimeout, "interaction is running Walker.step"),
        (SystemEnded("the system has ended"), SystemEnded, "the system has ended"),
        (
            OSError(28, "No space left on device"),
            CommandFailed,
            "The state could not be saved: OSError: [Errno 28] No space left on device",
        ),
    ],
)
async def test_a_command_that_fails_is_the_error_that_it_is_for_the_system(
    call: Call, system: Any, port: int, fails_with: Exception, error: type[Exception], message: str
) -> None:
    system.fails_with = fails_with

    with pytest.raises(error) as caught:
        await call("save_state", port)

    assert str(caught.value) == message


async def test_a_failure_that_the_server_keeps_to_itself_is_one_all_the_same(
    call: Call, system: Any, port: int
) -> None:
    system.fails_with = Boom("secret")

    with pytest.raises(CommandFailed, match=r"^Internal server error$"):
        await call("pause", port)


async def test_a_full_queue_is_an_error(call: Call, system: Any, port: int) -> None:
    system.may_finish.clear()
    async with ControlClient("127.0.0.1", port) as client:
        waiting = [asyncio.create_task(client.pause()) for _ in range(2)]
        await system.called(2)

        with pytest.raises(CommandQueueFull, match="Command queue is full, try again later"):
            await call("pause", port)

        system.may_finish.set()
        await asyncio.gather(*waiting)


@pytest.mark.parametrize("token", [None, "open-barley"])
async def test_without_the_right_token_a_call_is_refused(call: Call, system: Any, token: str | None) -> None:
    async with serve(system, ("127.0.0.1", 0), token="open-sesame") as (_, port):
        with pytest.raises(CallRefused, match="Needs a valid 'Authorization: Bearer' token"):
            await call("shutdown", port, token=token)

    assert system.calls == []


async def test_a_call_that_the_guard_refuses_is_refused(call: Call, system: Any) -> None:
    app = control_app(system)

    async with TestServer(app, host="0.0.0.0") as server:
        with pytest.raises(CallRefused, match="Host not allowed"):
            await call("status", server.port, host="0.0.0.0")


@pytest.mark.parametrize("method", ["pause", "resume", "save_state", "shutdown"])
async def test_a_command_that_is_still_under_way_is_a_timeout(call: Call, method: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"result": "accepted"}, status=202)

    async with server_that_answers(answer) as port:
        with pytest.raises(AnswerTimeout, match=rf"is not done after 3 s; http://127\.0\.0\.1:{port} goes on with it"):
            await call(method, port, timeout=2.5)


async def test_a_server_that_does_not_answer_is_a_timeout(call: Call) -> None:
    gone = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        await gone.wait()
        return web.Response()

    async with server_that_answers(answer) as port:
        with pytest.raises(AnswerTimeout, match=r"no answer from http://127.* to status within 0\.05 s"):
            await call("status", port, timeout=0.05)
        gone.set()


# --- What is no control server ----------------------------------------------------------------------------


def http(status: str, body: bytes, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n", "it does not speak HTTP"),
        (http("200 OK", b"<html>", "text/html"), "it answers status with 200 OK"),
        (http("404 Not Found", b'{"error": "no such page"}'), "it answers status with 404 Not Found"),
        (http("301 Moved", b"{}"), "it answers status with 301 Moved"),
        (http("503 Service Unavailable", b"Bad day", "text/plain"), "it answers status with 503 Service Unavailable"),
        (http("500 Internal Server Error", b'{"error": 12}'), "it answers status with 500"),
        (http("200 OK", b"[1, 2]"), "it answers status with 200 OK"),
        (http("200 OK", b"{nonsense"), "it answers status with 200 OK"),
        (http("200 OK", b"\xff"), "it answers status with 200 OK"),
        (http("200 OK", b"[" * 100_000), "it answers status with 200 OK"),
        (http("200 OK", b"{}"), "its status is None"),
        (http("200 OK", b'{"status": 1}'), "its status is 1"),
        (http("200 OK", b'{"status": ["active"]}'), r"its status is \['active'\]"),
    ],
)
async def test_something_else_at_the_address_is_told_from_a_control_server(
    call: Call, content: bytes, why: str
) -> None:
    async with server_that_sends(content) as port:
        with pytest.raises(NotAControlServer, match=why) as caught:
            await call("status", port)

    assert f"what listens at http://127.0.0.1:{port} is no control server of pamiq_async" in str(caught.value)


@pytest.mark.parametrize(
    ("head", "body", "why"),
    [
        ("Content-Length: 1000000000", b" " * 2**21, "its answer is longer than 1 MiB"),
        ("Transfer-Encoding: chunked", b"200000\r\n" + b" " * 2**21, "its answer is longer than 1 MiB"),
        (
            "Content-Encoding: gzip",
            gzip.compress(b'{"status": "active"' + b" " * 2**24 + b"}"),
            "it answers status with 200 OK",
        ),
        ("Content-Encoding: gzip", b"rubbish", "it answers status with 200 OK"),
    ],
    ids=["long", "endless", "bomb", "rubbish"],
)
async def test_an_answer_is_not_read_or_unpacked_without_bounds(call: Call, head: str, body: bytes, why: str) -> None:
    content = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{head}\r\n\r\n".encode() + body
    async with server_that_sends(content) as port:
        with pytest.raises(NotAControlServer, match=why) as caught:
            await call("status", port)

    assert "\n" not in str(caught.value)


async def test_answers_are_not_to_be_compressed(call: Call) -> None:
    async def answer(request: web.Request) -> web.Response:
        response = web.json_response({"result": "ok"})
        response.enable_compression()
        return response

    async with server_that_answers(answer) as port:
        await call("pause", port)


@pytest.mark.parametrize(
    ("method", "body"), [("pause", b"{}"), ("pause", b'{"result": "done"}'), ("save_state", b'{"result": "ok"}')]
)
async def test_a_command_is_done_only_if_the_answer_says_so(call: Call, method: str, body: bytes) -> None:
    async with server_that_sends(http("200 OK", body)) as port:
        with pytest.raises(NotAControlServer):
            await call(method, port)


async def test_a_redirection_is_not_followed(call: Call) -> None:
    paths: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        paths.append(request.path)
        raise web.HTTPTemporaryRedirect("/elsewhere")

    async with server_that_answers(answer) as port:
        with pytest.raises(NotAControlServer, match="307"):
            await call("shutdown", port, token="open-sesame")  # which is not for others

    assert paths == ["/api/shutdown"]


# --- How clients are made ---------------------------------------------------------------------------------


@pytest.mark.parametrize("client", [ControlClient, BlockingControlClient])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"host": "localhost:8319"}, "host is 'localhost:8319'; it must be a name or an address, without a port"),
        ({"host": ""}, "host is ''"),
        ({"host": "[::1]"}, r"host is '\[::1\]'"),
        ({"host": "x" * 70}, "host is 'xx.*label too long"),
        ({"host": ".."}, r"host is '\.\.'"),
        ({"host": "127.1"}, r"host is '127\.1'; .*Expected 4 octets"),
        ({"path": "agent"}, "path is 'agent'; it must begin with '/'"),
        ({"port": 0}, r"port is 0; it must be in 1\.\.65535"),
        ({"port": 65536}, "port is 65536"),
        ({"timeout": 0}, "timeout is 0; it must be a positive number of seconds, or inf"),
        ({"timeout": math.nan}, "timeout is nan"),
        ({"token": ""}, "token"),
    ],
)
def test_bad_arguments_are_refused_at_once(client: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        client(**arguments)


def test_a_bad_token_is_not_shown() -> None:
    with pytest.raises(ValueError, match=r"token \(not shown\)") as caught:
        ControlClient(token="open\nsesame")

    assert "sesame" not in str(caught.value)


async def test_calls_need_the_context() -> None:
    client = ControlClient()

    with pytest.raises(RuntimeError, match="in 'async with ControlClient"):
        await client.status()
    async with client:
        pass
    with pytest.raises(RuntimeError, match="in 'async with ControlClient"):
        await client.status()


async def test_a_context_is_not_entered_twice_at_once(system: Any, port: int) -> None:
    async with ControlClient("127.0.0.1", port) as client:
        with pytest.raises(RuntimeError, match="make one for each"):
            async with client:
                pass
        assert await client.status() is SystemStatus.ACTIVE


# --- Blocking ---------------------------------------------------------------------------------------------


async def test_a_blocking_call_on_an_event_loop_is_refused() -> None:
    with pytest.raises(BlockingCall, match=r"BlockingControlClient\.pause\(\).* use 'async with ControlClient"):
        BlockingControlClient().pause()


async def test_a_blocking_client_serves_several_threads(system: Any, port: int) -> None:
    system.may_finish.clear()
    with BlockingControlClient("127.0.0.1", port) as client:
        pausing = asyncio.create_task(asyncio.to_thread(client.pause))
        await system.called(1)

        assert await asyncio.to_thread(client.status) is SystemStatus.ACTIVE

        system.may_finish.set()
        await pausing


async def test_a_blocking_client_leaves_its_threads_event_loop_alone(system: Any, port: int) -> None:
    def call() -> bool:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            BlockingControlClient("127.0.0.1", port).status()
            return asyncio.get_event_loop() is loop
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    assert await asyncio.to_thread(call)
