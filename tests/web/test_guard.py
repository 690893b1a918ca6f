"""Whose calls are let in."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, UnixConnector, web
from hypothesis import given
from hypothesis import strategies as st

from pamiq_async import LaunchConfig
from pamiq_async.web import control_app
from pamiq_async.web.guard import MAX_BODY_BYTES, Guard, is_loopback

TOKEN = "open-sesame"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
async def client(system: Any, client_of: Any) -> Any:
    return await client_of(control_app(system))


@pytest.fixture
async def token_client(system: Any, client_of: Any) -> Any:
    return await client_of(control_app(system, token=TOKEN))


async def talk(port: int, request: bytes) -> tuple[int, bytes]:
    """What a server answers to these very bytes: status and all that follows."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        answer = await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()
    return int(answer.split()[1]), answer


# --- Host: a page's own name, rebound to 127.0.0.1 ----------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:8319", "localhost.", "127.0.0.1", "127.0.0.1:80", "127.8.9.1:1", "[::1]", "[::1]:8319"],
)
async def test_a_call_addressed_to_loopback_is_let_in(client: Any, host: str) -> None:
    assert (await client.get("/api/status", headers={"Host": host})).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8319",
        "localhost.evil.example",
        "evil-localhost",
        "127.0.0.1.nip.io",
        "evil.example@localhost",
        "localhost/evil.example",
        "localhost:80:80",
        "localhost:http",
        "[::1",
        "::1",
        "[fe80::1]",
        "0.0.0.0",
        "2130706433",
        "192.168.0.2",
        "",
    ],
)
async def test_a_call_addressed_to_another_host_is_refused(system: Any, client: Any, host: str) -> None:
    answer = await client.post("/api/shutdown", headers={"Host": host})

    assert (answer.status, await answer.json()) == (403, {"error": "Host not allowed"})
    assert system.calls == []


async def test_a_call_that_names_no_host_is_refused(client: Any) -> None:
    status, _ = await talk(client.port, b"POST /api/shutdown HTTP/1.0\r\n\r\n")

    assert status == 403


async def test_other_hosts_may_be_allowed(system: Any, client_of: Any) -> None:
    client = await client_of(control_app(system, allowed_hosts=["Robot.local"]))

    assert (await client.get("/api/status", headers={"Host": "robot.LOCAL:8319"})).status == 200
    assert (await client.get("/api/status", headers={"Host": "other.local"})).status == 403


def test_a_single_string_is_no_collection_of_hosts() -> None:
    with pytest.raises(TypeError, match=r"must be a collection of names, \['robot\.local'\]"):
        Guard(None, "robot.local")


async def test_with_a_token_the_host_does_not_matter(token_client: Any) -> None:
    answer = await token_client.get("/api/status", headers={**BEARER, "Host": "robot.example"})

    assert answer.status == 200


# --- Origin: a page of another site -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "http://127.0.0.1", "http://127.0.0.1:1", "http://localhost:{port}"]
)
async def test_a_call_from_another_origin_is_refused(system: Any, client: Any, origin: str) -> None:
    answer = await client.post("/api/shutdown", headers={"Origin": origin.format(port=client.port)})

    assert (answer.status, await answer.json()) == (403, {"error": "Origin not allowed"})
    assert system.calls == []


async def test_a_call_from_a_page_of_the_same_origin_is_let_in(client: Any) -> None:
    headers = {"Origin": f"http://127.0.0.1:{client.port}", "Sec-Fetch-Site": "same-origin"}

    assert (await client.post("/api/pause", headers=headers)).status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site", "something-new"])
async def test_a_call_that_the_browser_marks_as_another_sites_is_refused(client: Any, site: str) -> None:
    answer = await client.get("/api/status", headers={"Sec-Fetch-Site": site})

    assert (answer.status, await answer.json()) == (403, {"error": "Origin not allowed"})


async def test_a_call_typed_into_the_browser_is_let_in(client: Any) -> None:
    assert (await client.get("/api/status", headers={"Sec-Fetch-Site": "none"})).status == 200


async def test_a_token_does_not_help_a_foreign_page(system: Any, token_client: Any) -> None:
    answer = await token_client.post("/api/shutdown", headers={**BEARER, "Origin": "http://evil.example"})

    assert answer.status == 403
    assert system.calls == []


async def test_no_other_origin_is_told_that_it_may_call(client: Any) -> None:
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}

    answer = await client.options("/api/shutdown", headers=headers)

    assert answer.status == 403
    assert not [name for name in answer.headers if name.startswith("Access-Control")]


# --- Callers on other machines ------------------------------------------------------------------------------


def called_from(remote: str, control: web.Application) -> web.Application:
    """An application in which all calls seem to come from `remote`, as behind a proxy that it trusts."""

    @web.middleware
    async def moves(request: web.Request, handler: Any) -> web.StreamResponse:
        return await handler(request.clone(remote=remote))

    app = web.Application(middlewares=[moves])
    app.add_subapp("/agent", control)
    return app


@pytest.mark.parametrize("remote", ["192.168.0.7", "2001:db8::1", "::ffff:192.168.0.7", "somewhere"])
async def test_without_a_token_a_caller_on_another_machine_is_refused(system: Any, client_of: Any, remote: str) -> None:
    client = await client_of(called_from(remote, control_app(system)))

    answer = await client.post("/agent/api/shutdown", headers={"Host": "localhost"})

    assert (answer.status, await answer.json()) == (403, {"error": "Calls from other machines need a token"})
    assert system.calls == []


async def test_with_a_token_a_caller_on_another_machine_is_let_in(system: Any, client_of: Any) -> None:
    client = await client_of(called_from("192.168.0.7", control_app(system, token=TOKEN)))

    assert (await client.get("/agent/api/status", headers=BEARER)).status == 200


@pytest.mark.parametrize("remote", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
async def test_a_caller_on_this_machine_is_let_in(system: Any, client_of: Any, remote: str) -> None:
    client = await client_of(called_from(remote, control_app(system)))

    assert (await client.get("/agent/api/status")).status == 200


async def test_a_caller_through_a_unix_socket_is_let_in(system: Any, tmp_path: Path) -> None:
    runner = web.AppRunner(control_app(system))
    await runner.setup()
    try:
        await web.UnixSite(runner, str(tmp_path / "socket")).start()
        async with ClientSession(connector=UnixConnector(str(tmp_path / "socket"))) as session:
            answer = await session.get("http://localhost/api/status")
            assert answer.status == 200
    finally:
        await runner.cleanup()


# --- The token ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("authorization", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER   {TOKEN} "])
async def test_the_right_token_is_let_in(token_client: Any, authorization: str) -> None:
    assert (await token_client.get("/api/status", headers={"Authorization": authorization})).status == 200


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        TOKEN,
        "Bearer",
        "Bearer ",
        "Bearer open",
        f"Bearer {TOKEN}!",
        f"Bearer {TOKEN.upper()}",
        f"Bearer {TOKEN} {TOKEN}",
        f"Basic {TOKEN}",
        f"Bearer\t{TOKEN}",
        "Bearer öffne-dich",
    ],
)
async def test_a_call_without_the_right_token_is_refused(
    system: Any, token_client: Any, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}

    answer = await token_client.post("/api/shutdown", headers=headers)

    assert (answer.status, await answer.json()) == (401, {"error": "Needs a valid 'Authorization: Bearer' token"})
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert system.calls == []


@pytest.mark.parametrize("token", [b"\xff\xfe", b"\xc3\xa9", b"\xed\xa0\x80"])
async def test_a_token_of_any_bytes_is_refused_without_a_failure(token_client: Any, token: bytes) -> None:
    request = b"GET /api/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer %b\r\n\r\n"

    status, _ = await talk(token_client.port, request % token)

    assert status == 401


async def test_unknown_paths_are_not_told_without_the_token(token_client: Any) -> None:
    assert (await token_client.get("/api/missing")).status == 401


async def test_the_token_is_in_no_log(token_client: Any, system: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    system.fails_with = OSError("disk is full")

    await token_client.post("/api/pause", headers=BEARER)
    await token_client.get("/api/status", headers={"Authorization": f"Bearer {TOKEN}-almost"})

    assert "disk is full" in caplog.text
    assert TOKEN not in caplog.text


def test_the_token_is_in_no_repr() -> None:
    config = LaunchConfig(web_api_token=TOKEN)

    assert TOKEN not in repr(config) + str(config) + repr(Guard(TOKEN))


@pytest.mark.parametrize("token", ["", " ", "open sesame", "open-sesame\n", "öffne-dich"])
def test_a_token_that_cannot_be_sent_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(ValueError, match=r"^token \(not shown\) must be None, or printable ASCII"):
        Guard(token)


# --- The body -----------------------------------------------------------------------------------------------


async def in_chunks(length: int) -> AsyncIterator[bytes]:
    for start in range(0, length, 1000):
        yield b"x" * min(1000, length - start)


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_small_body_is_ignored(client: Any, chunked: bool) -> None:
    body = in_chunks(MAX_BODY_BYTES) if chunked else b"x" * MAX_BODY_BYTES

    assert (await client.post("/api/pause", data=body)).status == 200


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_body_is_refused(system: Any, client: Any, chunked: bool) -> None:
    body = in_chunks(MAX_BODY_BYTES + 1) if chunked else b"x" * (MAX_BODY_BYTES + 1)

    answer = await client.post("/api/pause", data=body)

    assert (answer.status, await answer.json()) == (413, {"error": "Request body too large"})
    assert system.calls == []


@pytest.mark.parametrize(
    "start_of_body",
    [b"Content-Length: 10000000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n2000\r\n" + b"x" * 0x2000 + b"\r\n"],
)
async def test_a_large_body_is_refused_before_all_of_it_has_come(client: Any, start_of_body: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)

    writer.write(b"POST /api/pause HTTP/1.1\r\nHost: localhost\r\n" + start_of_body)
    status_line = await reader.readline()

    writer.close()
    await writer.wait_closed()
    assert status_line.startswith(b"HTTP/1.1 413 ")


async def test_a_body_that_grows_large_when_unpacked_is_refused(client: Any) -> None:
    answer = await client.post("/api/pause", data=b"x" * 1_000_000, compress="deflate")

    assert answer.status == 413


@pytest.mark.parametrize(
    "encoding_and_body",
    [
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"Content-Encoding: deflate\r\nContent-Length: 4\r\n\r\nxxxx",
    ],
)
async def test_a_body_that_makes_no_sense_is_refused_as_such(
    system: Any, client: Any, caplog: pytest.LogCaptureFixture, encoding_and_body: bytes
) -> None:
    status, _ = await talk(
        client.port, b"POST /api/pause HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + encoding_and_body
    )

    assert status == 400
    assert "failed" not in caplog.text
    assert system.calls == []


async def test_a_client_that_goes_away_within_its_body_does_nothing(
    system: Any, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    _, writer = await asyncio.open_connection("127.0.0.1", client.port)

    writer.write(b"POST /api/pause HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nxx")
    await writer.drain()
    await client.get("/api/status")
    writer.close()
    await writer.wait_closed()
    await client.get("/api/status")

    assert system.calls == []
    assert "failed" not in caplog.text


# --- Loopback -----------------------------------------------------------------------------------------------


@given(st.ip_addresses())
def test_only_loopback_addresses_are_loopback(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    mapped = getattr(address, "ipv4_mapped", None) or address
    loopback = ipaddress.ip_network("127.0.0.0/8") if mapped.version == 4 else ipaddress.ip_network("::1/128")

    assert is_loopback(str(address)) == (mapped in loopback)


@given(st.ip_addresses(v=4, network="127.0.0.0/8"))
def test_all_of_127_is_loopback(address: ipaddress.IPv4Address) -> None:
    assert is_loopback(str(address))
    assert is_loopback(f"::ffff:{address}")
