"""A server of its own: where it listens, and how it ends with its system."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pamiq_async import System, SystemStatus, start
from pamiq_async.exceptions import ControlAddressError, PamiqError
from pamiq_async.web import server
from pamiq_async.web.server import serve
from tests.fakes import Log, fake_interaction


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    return {"states_dir": tmp_path / "states", "web_api_address": ("localhost", 0)}


@contextlib.contextmanager
def taken_port(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((host, port))
        other.listen()
        yield other.getsockname()[1]


def has_ipv6() -> bool:
    try:
        with taken_port("::1"):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


def resolves_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Have host names mean these addresses."""

    async def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in addresses
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


def address_of(system: System) -> str:
    assert system.web_api_address is not None
    host, port = system.web_api_address
    return f"http://{host}:{port}"


def is_free(port: int) -> bool:
    try:
        with taken_port(port=port):
            return True
    except OSError:
        return False


# --- Where it listens ---------------------------------------------------------------------------------------


async def test_port_0_takes_a_free_one_and_tells_it(system: Any) -> None:
    async with serve(system, ("127.0.0.1", 0)) as (host, port), aiohttp.ClientSession() as session:
        answer = await session.get(f"http://{host}:{port}/api/status")

        assert (await answer.json())["status"] == "active"


async def test_the_address_is_logged(system: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async with serve(system, ("127.0.0.1", 0)) as (_, port):
        assert f"control server on http://127.0.0.1:{port}" in caplog.text


@needs_ipv6
async def test_an_ipv6_address_is_logged_in_brackets(system: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async with serve(system, ("::1", 0)) as (_, port), aiohttp.ClientSession() as session:
        assert f"control server on http://[::1]:{port}" in caplog.text
        assert (await session.get(f"http://[::1]:{port}/api/status")).status == 200


@needs_ipv6
async def test_both_addresses_of_a_name_have_one_port(system: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    resolves_to(monkeypatch, "127.0.0.1", "::1", "127.0.0.1")
    async with serve(system, ("localhost", 0)) as (_, port):
        monkeypatch.undo()
        async with aiohttp.ClientSession() as session:
            for address in ("127.0.0.1", "[::1]"):
                assert (await session.get(f"http://{address}:{port}/api/status")).status == 200


async def test_an_address_that_this_machine_has_not_is_left_out(system: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    resolves_to(monkeypatch, "::2", "127.0.0.1")
    async with serve(system, ("robot", 0), token="open-sesame") as (_, port):
        monkeypatch.undo()
        async with aiohttp.ClientSession(headers={"Authorization": "Bearer open-sesame"}) as session:
            assert (await session.get(f"http://127.0.0.1:{port}/api/status")).status == 200


async def test_a_host_without_any_address_here_is_an_error(system: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    resolves_to(monkeypatch, "192.0.2.1")

    with pytest.raises(ControlAddressError, match=r"can't listen on robot:8319: Cannot assign requested address"):
        async with serve(system, ("robot", 8319), token="open-sesame"):
            pass


async def test_a_family_that_the_machine_does_not_know_is_left_out(
    system: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoIPv6(socket.socket):
        def __init__(self, family: int = -1, *args: Any, **kwargs: Any) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            super().__init__(family, *args, **kwargs)

    resolves_to(monkeypatch, "::1", "127.0.0.1")
    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", NoIPv6)
        listeners = await server._listen("localhost", 0, needs_loopback=True)

    with contextlib.ExitStack() as closing:
        names = [closing.enter_context(listener).getsockname()[0] for listener in listeners]
    assert names == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 70, "a..b"])
async def test_an_unknown_host_is_an_error_that_names_it(system: Any, host: str) -> None:
    with pytest.raises(ControlAddressError, match=f"names the host {host!r}, which is unknown"):
        async with serve(system, (host, 0)):
            pass


async def test_a_port_in_use_is_an_error_that_names_the_address(system: Any) -> None:
    with taken_port() as port, pytest.raises(ControlAddressError) as caught:
        async with serve(system, ("127.0.0.1", port)):
            pass

    assert str(caught.value) == (
        f"the control server can't listen on 127.0.0.1:{port}: Address already in use; "
        f"choose another web_api_address (port 0 takes a free one, None runs without)"
    )
    assert isinstance(caught.value, PamiqError)
    assert isinstance(caught.value, OSError)


@needs_ipv6
async def test_a_port_in_use_for_one_family_is_an_error(system: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with taken_port("::1") as port:
        resolves_to(monkeypatch, "127.0.0.1", "::1")
        with pytest.raises(ControlAddressError, match=f"localhost:{port}: Address already in use"):
            async with serve(system, ("localhost", port)):
                pass

    assert is_free(port)


@needs_ipv6
async def test_a_free_port_is_looked_for_until_it_is_free_for_both_families(
    system: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The system gives out free ports of its own choice; here the first one is taken for IPv6.
    with taken_port("::1") as taken:
        offered = [taken]

        class Offering(socket.socket):
            def bind(self, address: Any) -> None:
                if address[1] == 0 and offered:
                    address = (address[0], offered.pop(), *address[2:])
                super().bind(address)

        resolves_to(monkeypatch, "127.0.0.1", "::1")
        monkeypatch.setattr(socket, "socket", Offering)
        async with serve(system, ("localhost", 0)) as (_, port):
            assert offered == []
            assert port != taken


# --- Beyond this machine ------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_beyond_loopback_it_does_not_listen_without_a_token(system: Any, host: str) -> None:
    with pytest.raises(ControlAddressError, match=r"reachable from other machines \(.*\).*set web_api_token"):
        async with serve(system, (host, 0)):
            pass


async def test_a_name_with_one_address_beyond_loopback_needs_a_token(
    system: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolves_to(monkeypatch, "127.0.0.1", "192.0.2.1")

    with pytest.raises(ControlAddressError, match=r"reachable from other machines \(192\.0\.2\.1\)"):
        async with serve(system, ("robot", 0)):
            pass


async def test_beyond_loopback_it_listens_with_a_token(system: Any) -> None:
    async with serve(system, ("0.0.0.0", 0), token="open-sesame") as (_, port), aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{port}/api/status"

        assert (await session.get(url)).status == 401
        assert (await session.get(url, headers={"Authorization": "Bearer open-sesame"})).status == 200


async def test_the_name_it_listens_on_is_one_that_calls_may_be_addressed_to(
    system: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolves_to(monkeypatch, "127.0.0.1")
    async with serve(system, ("Robot", 0)) as (_, port):
        monkeypatch.undo()
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{port}/api/status"
            assert (await session.get(url, headers={"Host": f"robot:{port}"})).status == 200
            assert (await session.get(url, headers={"Host": f"other:{port}"})).status == 403


# --- Its end ------------------------------------------------------------------------------------------------


async def test_the_port_is_free_after_the_block(system: Any) -> None:
    async with serve(system, ("127.0.0.1", 0)) as (_, port):
        assert not is_free(port)

    assert is_free(port)


async def test_the_port_is_free_when_the_server_cannot_start(system: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(_: Any) -> None:
        raise OSError("out of file descriptors")

    with taken_port() as port:
        pass
    monkeypatch.setattr(aiohttp.web.SockSite, "start", fails)

    with pytest.raises(OSError, match="out of file descriptors"):
        async with serve(system, ("127.0.0.1", port)):
            pass

    assert is_free(port)


async def test_an_answer_in_flight_is_given_before_the_server_closes(system: Any) -> None:
    system.may_finish.clear()
    async with aiohttp.ClientSession() as session:
        async with serve(system, ("127.0.0.1", 0)) as (host, port):
            asking = asyncio.create_task(session.post(f"http://{host}:{port}/api/shutdown"))
            await system.called(2)
            system.may_finish.set()
        answer = await asking

    assert (answer.status, await answer.json()) == (200, {"result": "ok"})


async def test_the_server_does_not_wait_for_ever_for_a_client(system: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CLOSE_WITHIN", 0.01)
    system.may_finish.clear()
    async with aiohttp.ClientSession() as session:
        async with serve(system, ("127.0.0.1", 0)) as (host, port):
            asking = asyncio.create_task(session.post(f"http://{host}:{port}/api/pause", headers={"Prefer": "wait=60"}))
            await system.called(1)
        with pytest.raises(aiohttp.ClientError):
            await asking

    system.may_finish.set()
    await system.has_done(1)


async def test_a_command_goes_on_when_its_client_goes_away(system: Any) -> None:
    system.may_finish.clear()
    async with serve(system, ("127.0.0.1", 0)) as (host, port):
        async with aiohttp.ClientSession() as session:
            asking = asyncio.create_task(session.post(f"http://{host}:{port}/api/save-state"))
            await system.called(1)
            asking.cancel()
            await asyncio.wait({asking})
        system.may_finish.set()
        await system.has_done(1)


# --- Around a real system -----------------------------------------------------------------------------------


async def test_a_system_is_steered_by_its_own_server(log: Log, config: dict[str, Any]) -> None:
    async with start(fake_interaction(log), {}, {}, {}, config) as system, aiohttp.ClientSession() as session:
        base = address_of(system)

        async def call(method: str, path: str) -> dict[str, str]:
            return await (await session.request(method, f"{base}/api/{path}")).json()

        assert (await call("GET", "status"))["status"] == "active"
        assert await call("POST", "pause") == {"result": "ok"}
        assert await call("POST", "pause") == {"result": "ok"}
        assert system.status is SystemStatus.PAUSED
        saved = await call("POST", "save-state")
        assert saved["result"] == "ok"
        assert saved["state"].endswith(".state")
        assert (await call("GET", "status"))["status"] == "paused"
        assert await call("POST", "resume") == {"result": "ok"}
        assert (await call("GET", "status"))["status"] == "active"


async def test_shutdown_by_http_is_answered_before_the_server_closes_and_frees_the_port(
    log: Log, config: dict[str, Any]
) -> None:
    async with aiohttp.ClientSession() as session:
        system = await start(fake_interaction(log), {}, {}, {}, config)
        base = address_of(system)

        answer = await session.post(f"{base}/api/shutdown")
        await system.wait()

        assert (answer.status, await answer.json()) == (200, {"result": "ok"})
        assert log.count("agent.save_state") == 1
        assert system.web_api_address is not None
        assert is_free(system.web_api_address[1])


async def test_the_status_while_a_system_ends_is_shutting_down(log: Log, config: dict[str, Any]) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def teardown() -> None:
        entered.set()
        await leave.wait()

    interaction = fake_interaction(log)
    interaction.agent.teardown = teardown
    system = await start(interaction, {}, {}, {}, config)
    async with aiohttp.ClientSession() as session:
        base = address_of(system)
        accepted = await session.post(f"{base}/api/shutdown", headers={"Prefer": "respond-async"})
        await entered.wait()

        status = await session.get(f"{base}/api/status")
        too_late = await session.post(f"{base}/api/pause")
        again = asyncio.create_task(session.post(f"{base}/api/shutdown"))
        leave.set()
        await system.wait()

        assert accepted.status == 202
        assert (await status.json())["status"] == "shutting down"
        assert too_late.status == 409
        assert (await again).status == 200


async def test_a_port_in_use_is_an_error_before_anything_is_started(
    log: Log, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with taken_port() as port:
        starting = start(fake_interaction(log), {}, {}, {}, config | {"web_api_address": ("127.0.0.1", port)})
        with pytest.raises(ControlAddressError, match=f"can't listen on 127.0.0.1:{port}: Address already in use"):
            await starting

    assert log.calls == []
    assert starting.system.status is SystemStatus.ENDED


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_an_address_beyond_loopback_without_a_token_is_refused_before_anything_is_started(
    log: Log, config: dict[str, Any], host: str
) -> None:
    starting = start(fake_interaction(log), {}, {}, {}, config | {"web_api_address": (host, 0)})

    with pytest.raises(ControlAddressError, match="whoever reaches it can stop the agent: set web_api_token"):
        await starting

    assert log.calls == []


async def test_an_address_beyond_loopback_is_served_with_a_token(log: Log, config: dict[str, Any]) -> None:
    config |= {"web_api_address": ("0.0.0.0", 0), "web_api_token": "open-sesame"}
    async with start(fake_interaction(log), {}, {}, {}, config) as system, aiohttp.ClientSession() as session:
        base = address_of(system)

        assert (await session.post(f"{base}/api/shutdown")).status == 401
        assert system.status is SystemStatus.ACTIVE
        answer = await session.get(f"{base}/api/status", headers={"Authorization": "Bearer open-sesame"})
        assert (await answer.json())["status"] == "active"


async def test_two_systems_are_steered_side_by_side(tmp_path: Path) -> None:
    configs = [{"states_dir": tmp_path / name, "web_api_address": ("localhost", 0)} for name in ("left", "right")]
    logs = [Log(), Log()]
    async with (
        start(fake_interaction(logs[0]), {}, {}, {}, configs[0]) as left,
        start(fake_interaction(logs[1]), {}, {}, {}, configs[1]) as right,
        aiohttp.ClientSession() as session,
    ):
        assert address_of(left) != address_of(right)
        await session.post(f"{address_of(left)}/api/pause")

        assert (left.status, right.status) == (SystemStatus.PAUSED, SystemStatus.ACTIVE)
        await session.post(f"{address_of(left)}/api/shutdown")
        await left.wait()
        await logs[1].seen_again("agent.step")
        assert (await (await session.get(f"{address_of(right)}/api/status")).json())["status"] == "active"


async def test_the_configured_queue_size_is_that_of_the_server(log: Log, config: dict[str, Any]) -> None:
    config |= {"web_api_command_queue_size": 2}
    entered, leave = asyncio.Event(), asyncio.Event()

    async def save_state(_: Path) -> None:
        entered.set()
        await leave.wait()

    interaction = fake_interaction(log)
    interaction.agent.save_state = save_state
    async with start(interaction, {}, {}, {}, config) as system, aiohttp.ClientSession() as session:
        base = address_of(system)
        headers = {"Prefer": "respond-async"}

        async def call() -> int:
            return (await session.post(f"{base}/api/save-state", headers=headers)).status

        first = await call()
        await entered.wait()
        statuses = [first, await call(), await call(), await call()]
        leave.set()

        assert statuses == [202, 202, 202, 503]
