"""The calls and their answers, alone and mounted, and an agent that lives with an application."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import math
from collections.abc import AsyncIterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import anyio
import numpy as np
import pytest
from aiohttp import web

from pamiq_async import SystemStatus, start
from pamiq_async.exceptions import PauseTimeout, SystemEnded
from pamiq_async.web import SYSTEM, app, cleanup_ctx, control_app
from tests.fakes import Boom, Log, fake_interaction

COMMANDS = ["/api/pause", "/api/resume", "/api/save-state", "/api/shutdown"]


# --- The calls --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", SystemStatus)
async def test_status_is_the_phase(system: Any, client_of: Any, status: SystemStatus) -> None:
    client = await client_of(control_app(system))
    system.status = status

    answer = await client.get("/api/status")

    assert (answer.status, await answer.json()) == (200, {"status": status.value})
    assert answer.content_type == "application/json"


async def test_head_of_status_is_its_answer_without_body(system: Any, client_of: Any) -> None:
    client = await client_of(control_app(system))

    answer = await client.head("/api/status")

    assert (answer.status, await answer.read()) == (200, b"")


@pytest.mark.parametrize(
    ("path", "calls", "body"),
    [
        ("/api/pause", ["pause"], {"result": "ok"}),
        ("/api/resume", ["resume"], {"result": "ok"}),
        ("/api/save-state", ["save_state"], {"result": "ok", "state": "saved.state"}),
        ("/api/shutdown", ["request_shutdown", "wait_finished"], {"result": "ok"}),
    ],
)
async def test_a_command_is_carried_out_and_then_answered(
    system: Any, client_of: Any, path: str, calls: list[str], body: dict[str, str]
) -> None:
    client = await client_of(control_app(system))

    answer = await client.post(path)

    assert (answer.status, await answer.json()) == (200, body)
    assert system.calls == calls
    assert system.done == calls[-1:]


@pytest.mark.parametrize("path", ["/", "/api", "/api/", "/api/status/", "/api/stop", "/api/PAUSE", "/api/%0Apause"])
async def test_an_unknown_path_is_404(system: Any, client_of: Any, path: str) -> None:
    client = await client_of(control_app(system))

    for method in ("GET", "POST"):
        answer = await client.request(method, path)
        assert (answer.status, await answer.json()) == (404, {"error": "Invalid API endpoint"})


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/api/status", "GET,HEAD"),
        ("OPTIONS", "/api/status", "GET,HEAD"),
        ("GET", "/api/pause", "POST"),
        ("PUT", "/api/resume", "POST"),
        ("OPTIONS", "/api/shutdown", "POST"),
        ("DELETE", "/api/save-state", "POST"),
    ],
)
async def test_a_wrong_method_is_405_and_names_the_right_one(
    system: Any, client_of: Any, method: str, path: str, allowed: str
) -> None:
    client = await client_of(control_app(system))

    answer = await client.request(method, path)

    assert (answer.status, await answer.json()) == (405, {"error": "Invalid API method"})
    assert answer.headers["Allow"] == allowed
    assert system.calls == []


async def test_head_of_a_command_does_nothing(system: Any, client_of: Any) -> None:
    client = await client_of(control_app(system))

    answer = await client.head("/api/shutdown")

    assert answer.status == 405
    assert system.calls == []


# --- Figures ----------------------------------------------------------------------------------------------


async def test_figures_come_with_the_status(system: Any, client_of: Any) -> None:
    client = await client_of(control_app(system))
    system.figures = lambda: {"steps": 12, "trainings": {"coach": {"count": 3}}, "saves": (1, 2)}

    answer = await (await client.get("/api/status")).json()

    assert answer == {"status": "active", "steps": 12, "trainings": {"coach": {"count": 3}}, "saves": [1, 2]}


async def test_figures_do_not_hide_the_status(system: Any, client_of: Any) -> None:
    client = await client_of(control_app(system))
    system.figures = lambda: {"status": 12}

    assert await (await client.get("/api/status")).json() == {"status": "active"}


async def test_what_is_not_a_number_is_null(system: Any, client_of: Any) -> None:
    client = await client_of(control_app(system))
    system.figures = lambda: {"mean": math.nan, "times": {"max": math.inf, "min": [-math.inf, 0.5]}}

    answer = await (await client.get("/api/status")).text()

    # Python's own parser would take the NaN of a careless server, others do not.
    assert answer == '{"status":"active","mean":null,"times":{"max":null,"min":[null,0.5]}}'


async def test_figures_may_be_of_types_like_those_of_json(system: Any, client_of: Any) -> None:
    client = await client_of(control_app(system))
    system.figures = lambda: {"mean": np.float64(0.5), "max": np.float64(math.nan), "times": MappingProxyType({"n": 1})}

    answer = await (await client.get("/api/status")).json()

    assert answer == {"status": "active", "mean": 0.5, "max": None, "times": {"n": 1}}


async def test_figures_are_asked_for_no_more_than_ten_times_a_second(system: Any, client_of: Any) -> None:
    client = await client_of(control_app(system))
    asked = itertools.count()
    system.figures = lambda: {"asked": next(asked)}

    answers = [await (await client.get("/api/status")).json() for _ in range(2)]

    assert answers == [{"status": "active", "asked": 0}] * 2


async def test_the_status_is_never_old(system: Any, client_of: Any) -> None:
    client = await client_of(control_app(system))
    system.figures = lambda: {"steps": 12}
    await client.get("/api/status")
    system.status = SystemStatus.PAUSED

    assert await (await client.get("/api/status")).json() == {"status": "paused", "steps": 12}


async def test_figures_are_asked_for_again_later(system: Any, client_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "FIGURES_AGE", -1.0)  # at once
    client = await client_of(control_app(system))
    asked = itertools.count()
    system.figures = lambda: {"asked": next(asked)}

    answers = [await (await client.get("/api/status")).json() for _ in range(2)]

    assert [answer["asked"] for answer in answers] == [0, 1]


# --- Consoles of pamiq-core -------------------------------------------------------------------------------

OLDER_CONSOLE = {"User-Agent": "python-httpx/0.28.1", "Accept": "*/*"}


@pytest.mark.parametrize(
    ("status", "number"),
    [
        (SystemStatus.ACTIVE, 1),
        (SystemStatus.PAUSING, 2),
        (SystemStatus.PAUSED, 3),
        (SystemStatus.RESUMING, 4),
        (SystemStatus.SHUTTING_DOWN, 5),
        (SystemStatus.ENDED, 6),
    ],
)
async def test_an_older_console_is_told_a_number_and_the_name(
    system: Any, client_of: Any, status: SystemStatus, number: int
) -> None:
    client = await client_of(control_app(system))
    system.status = status
    system.figures = lambda: {"steps": 12}

    answer = await client.get("/api/status", headers=OLDER_CONSOLE)

    assert await answer.json() == {"status": number, "name": status.value, "steps": 12}


@pytest.mark.parametrize(
    "headers",
    [
        {"User-Agent": "python-httpx/0.28.1", "Accept": "application/json"},
        {"User-Agent": "python-httpx/0.28.1", "Accept": "application/json, */*"},
        {"User-Agent": "my-script (python-httpx/0.28.1)", "Accept": "*/*"},
        {"User-Agent": "curl/8.7.1", "Accept": "*/*"},
        {"User-Agent": "Python/3.11 aiohttp/3.14.5", "Accept": "*/*"},
        {"User-Agent": "", "Accept": "*/*"},
    ],
)
async def test_all_others_are_told_the_word(system: Any, client_of: Any, headers: dict[str, str]) -> None:
    client = await client_of(control_app(system))

    answer = await client.get("/api/status", headers=headers)

    assert await answer.json() == {"status": "active"}


async def test_a_caller_without_user_agent_is_told_the_word(system: Any, client_of: Any) -> None:
    client = await client_of(control_app(system))

    answer = await client.get("/api/status", skip_auto_headers=["User-Agent", "Accept"])

    assert await answer.json() == {"status": "active"}


# --- Failures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/pause", "/api/resume", "/api/shutdown"])
async def test_a_failure_inside_is_500_and_logged(
    system: Any, client_of: Any, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    client = await client_of(control_app(system))
    system.fails_with = Boom("the secret of the agent")

    answer = await client.post(path)

    assert (answer.status, await answer.json()) == (500, {"error": "Internal server error"})
    assert f"POST {path} failed" in caplog.text
    assert "the secret of the agent" in caplog.text


@pytest.mark.parametrize("path", COMMANDS[:3])
async def test_a_pause_that_timed_out_is_504_with_its_message(system: Any, client_of: Any, path: str) -> None:
    client = await client_of(control_app(system))
    system.fails_with = PauseTimeout("interaction is running Walker.step")

    answer = await client.post(path)

    assert (answer.status, await answer.json()) == (504, {"error": "interaction is running Walker.step"})


async def test_a_save_that_failed_is_500_with_its_message(system: Any, client_of: Any) -> None:
    client = await client_of(control_app(system))
    system.fails_with = OSError(28, "No space left on device")

    answer = await client.post("/api/save-state")

    message = "The state could not be saved: OSError: [Errno 28] No space left on device"
    assert (answer.status, await answer.json()) == (500, {"error": message})


@pytest.mark.parametrize("path", COMMANDS[:3])
async def test_a_command_that_comes_too_late_is_409(system: Any, client_of: Any, path: str) -> None:
    client = await client_of(control_app(system))
    system.fails_with = SystemEnded("the system is shutting down or has ended")

    answer = await client.post(path)

    assert (answer.status, await answer.json()) == (409, {"error": "the system is shutting down or has ended"})


async def test_a_command_that_was_cancelled_inside_is_500(system: Any, client_of: Any) -> None:
    client = await client_of(control_app(system))
    system.fails_with = asyncio.CancelledError()

    answer = await client.post("/api/pause")

    assert (answer.status, await answer.json()) == (500, {"error": "Internal server error"})


async def test_calls_go_on_after_a_failure(system: Any, client_of: Any) -> None:
    client = await client_of(control_app(system))
    system.fails_with = Boom()
    await client.post("/api/pause")
    system.fails_with = None

    assert (await client.post("/api/pause")).status == 200


# --- Waiting for the outcome ------------------------------------------------------------------------------


def test_an_answer_comes_before_older_clients_give_up() -> None:
    assert app.ANSWER_WITHIN == 4.0


@pytest.mark.parametrize("path", COMMANDS)
async def test_a_command_that_takes_long_is_answered_with_202_and_goes_on(
    system: Any, client_of: Any, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(app, "ANSWER_WITHIN", 0.01)
    client = await client_of(control_app(system))
    system.may_finish.clear()

    answer = await client.post(path)

    assert (answer.status, await answer.json()) == (202, {"result": "accepted"})
    assert "Preference-Applied" not in answer.headers
    assert system.done == []
    system.may_finish.set()
    await system.has_done(1)


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        (["respond-async"], "respond-async"),
        (["Respond-Async"], "respond-async"),
        (["handling=lenient, respond-async"], "respond-async"),
        (["wait=0"], "wait=0"),
        (['wait = "000" ; by=patience'], "wait=0"),
        (["wait=0, wait=60"], "wait=0"),
        (["return=minimal", "wait=0"], "wait=0"),
        (["wait=0", "respond-async"], "wait=0"),
    ],
)
async def test_a_client_may_prefer_not_to_wait(system: Any, client_of: Any, prefer: list[str], applied: str) -> None:
    client = await client_of(control_app(system))
    system.may_finish.clear()

    answer = await client.post("/api/save-state", headers=[("Prefer", value) for value in prefer])

    assert (answer.status, await answer.json()) == (202, {"result": "accepted"})
    assert answer.headers["Preference-Applied"] == applied
    system.may_finish.set()
    await system.has_done(1)


@pytest.mark.parametrize("prefer", ["wait=60", "respond-async, wait=60", "wait=999999999"])
async def test_a_client_may_prefer_to_wait_longer(
    system: Any, client_of: Any, monkeypatch: pytest.MonkeyPatch, prefer: str
) -> None:
    monkeypatch.setattr(app, "ANSWER_WITHIN", 0.0)
    client = await client_of(control_app(system))
    system.may_finish.clear()

    asking = asyncio.create_task(client.post("/api/save-state", headers={"Prefer": prefer}))
    await system.called(1)
    system.may_finish.set()
    answer = await asking

    assert (answer.status, await answer.json()) == (200, {"result": "ok", "state": "saved.state"})
    assert answer.headers["Preference-Applied"] == prefer.removeprefix("respond-async, ")


@pytest.mark.parametrize("prefer", ["", ",", "wait", "wait=", "wait=-1", "wait=1.5", "wait=²", "wait=" + "9" * 5000])
async def test_a_preference_that_makes_no_sense_is_ignored(
    system: Any, client_of: Any, monkeypatch: pytest.MonkeyPatch, prefer: str
) -> None:
    monkeypatch.setattr(app, "ANSWER_WITHIN", 0.0)
    client = await client_of(control_app(system))
    system.may_finish.clear()

    answer = await client.post("/api/pause", headers={"Prefer": prefer})

    assert answer.status == 202
    assert "Preference-Applied" not in answer.headers
    system.may_finish.set()
    await system.has_done(1)


# --- The queue --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("queue_size", [1, 3])
async def test_more_commands_than_may_wait_get_503(system: Any, client_of: Any, queue_size: int) -> None:
    client = await client_of(control_app(system, queue_size=queue_size))
    system.may_finish.clear()
    asking = [asyncio.create_task(client.post("/api/pause")) for _ in range(1 + queue_size)]
    await system.called(1 + queue_size)

    refused = await client.post("/api/save-state")
    system.may_finish.set()
    answers = await asyncio.gather(*asking)

    assert (refused.status, await refused.json()) == (503, {"error": "Command queue is full, try again later"})
    assert {answer.status for answer in answers} == {200}
    assert "save_state" not in system.calls


async def test_a_command_answered_with_202_keeps_its_place(system: Any, client_of: Any) -> None:
    client = await client_of(control_app(system))
    system.may_finish.clear()
    for _ in range(2):
        await client.post("/api/pause", headers={"Prefer": "respond-async"})

    assert (await client.post("/api/pause")).status == 503

    system.may_finish.set()
    await system.has_done(2)
    assert (await client.post("/api/pause")).status == 200


async def test_shutdown_and_status_do_not_queue(system: Any, client_of: Any) -> None:
    client = await client_of(control_app(system))
    system.may_finish.clear()
    for _ in range(2):
        await client.post("/api/pause", headers={"Prefer": "respond-async"})

    shutdown = await client.post("/api/shutdown", headers={"Prefer": "respond-async"})
    status = await client.get("/api/status")

    assert shutdown.status == 202
    assert await status.json() == {"status": "shutting down"}
    system.may_finish.set()
    await system.has_done(3)


@pytest.mark.parametrize("queue_size", [0, -1])
def test_a_queue_that_holds_nothing_is_refused(system: Any, queue_size: int) -> None:
    with pytest.raises(ValueError, match=f"queue_size is {queue_size}; it must be at least 1"):
        control_app(system, queue_size=queue_size)


# --- A client that goes away ------------------------------------------------------------------------------


async def test_a_command_goes_on_when_its_client_goes_away(system: Any, client_of: Any) -> None:
    client = await client_of(control_app(system))  # served so that a handler is cancelled then
    system.may_finish.clear()
    asking = asyncio.create_task(client.post("/api/save-state"))
    await system.called(1)

    asking.cancel()
    await asyncio.wait({asking})
    assert (await client.get("/api/status")).status == 200  # the server has noticed by now
    system.may_finish.set()

    await system.has_done(1)


async def test_a_failure_that_nobody_waits_for_is_not_reported_as_forgotten(system: Any, client_of: Any) -> None:
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
    client = await client_of(control_app(system))
    system.fails_with = Boom()
    system.may_finish.clear()
    asking = asyncio.create_task(client.post("/api/pause"))
    await system.called(1)
    asking.cancel()
    await asyncio.wait({asking})
    await client.get("/api/status")

    system.may_finish.set()
    await system.has_done(1)
    await client.get("/api/status")
    gc.collect()

    assert reports == []


# --- Mounted in an application ----------------------------------------------------------------------------


@pytest.fixture
def passed() -> list[str]:
    """Paths that went through the middleware of `host`."""
    return []


@pytest.fixture
def host(passed: list[str]) -> web.Application:
    """An application with a page and a middleware of its own."""

    @web.middleware
    async def counts(request: web.Request, handler: Any) -> web.StreamResponse:
        passed.append(request.path)
        return await handler(request)

    async def page(request: web.Request) -> web.Response:
        return web.Response(text="a page")

    async def broken(request: web.Request) -> web.Response:
        raise web.HTTPGone

    app = web.Application(middlewares=[counts])
    app.add_routes([web.get("/", page), web.get("/broken", broken)])
    return app


async def test_a_mounted_app_answers_below_its_path(
    system: Any, client_of: Any, host: web.Application, passed: list[str]
) -> None:
    host.add_subapp("/agent", control_app(system))
    client = await client_of(host)

    status = await client.get("/agent/api/status")
    saved = await client.post("/agent/api/save-state")

    assert await status.json() == {"status": "active"}
    assert await saved.json() == {"result": "ok", "state": "saved.state"}
    assert passed == ["/agent/api/status", "/agent/api/save-state"]


async def test_a_mounted_app_leaves_the_pages_around_it_alone(
    system: Any, client_of: Any, host: web.Application
) -> None:
    host.add_subapp("/agent", control_app(system, token="t0ken"))
    client = await client_of(host)
    foreign = {"Origin": "http://evil.example", "Host": "evil.example"}

    assert await (await client.get("/", headers=foreign)).text() == "a page"
    assert (await client.get("/broken")).status == 410
    assert await (await client.get("/missing")).text() == "404: Not Found"
    assert (await client.get("/api/status")).status == 404


async def test_a_mounted_app_answers_errors_below_its_path_in_json(
    system: Any, client_of: Any, host: web.Application
) -> None:
    host.add_subapp("/agent", control_app(system))
    client = await client_of(host)

    missing = await client.get("/agent/api/missing")
    wrong = await client.get("/agent/api/pause")
    system.fails_with = OSError("disk is full")
    failed = await client.post("/agent/api/save-state")

    assert (missing.status, await missing.json()) == (404, {"error": "Invalid API endpoint"})
    assert (wrong.status, await wrong.json()) == (405, {"error": "Invalid API method"})
    assert await failed.json() == {"error": "The state could not be saved: OSError: disk is full"}


async def test_a_mounted_app_guards_its_calls(system: Any, client_of: Any, host: web.Application) -> None:
    host.add_subapp("/agent", control_app(system))
    client = await client_of(host)

    answer = await client.post("/agent/api/shutdown", headers={"Origin": "http://evil.example"})

    assert answer.status == 403
    assert system.calls == []


async def test_a_mounted_app_without_a_system_says_so_in_the_log(
    client_of: Any, host: web.Application, caplog: pytest.LogCaptureFixture
) -> None:
    host.add_subapp("/agent", control_app())
    client = await client_of(host)

    answer = await client.get("/agent/api/status")

    assert (answer.status, await answer.json()) == (500, {"error": "Internal server error"})
    assert "control_app() has no system: give it one" in caplog.text


# --- An agent that lives with an application --------------------------------------------------------------


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    return {"states_dir": tmp_path / "states", "web_api_address": None}


async def states_in(config: dict[str, Any]) -> list[str]:
    return await anyio.to_thread.run_sync(lambda: [path.name for path in config["states_dir"].glob("*.state")])


async def test_an_agent_starts_and_ends_with_the_application(
    client_of: Any, host: web.Application, log: Log, config: dict[str, Any]
) -> None:
    host.cleanup_ctx.append(cleanup_ctx(start(fake_interaction(log), {}, {}, {}, config)))
    host.add_subapp("/agent", control_app())

    client = await client_of(host)
    await log.seen("agent.step")
    answer = await (await client.get("/agent/api/status")).json()
    await client.close()

    assert answer["status"] == "active"
    assert host[SYSTEM].status is SystemStatus.ENDED
    assert log.names()[-2:] == ["agent.save_state", "environment.save_state"]
    assert len(await states_in(config)) == 1


async def test_a_mounted_app_steers_a_real_agent(
    client_of: Any, host: web.Application, log: Log, config: dict[str, Any]
) -> None:
    host.cleanup_ctx.append(cleanup_ctx(start(fake_interaction(log), {}, {}, {}, config)))
    host.add_subapp("/agent", control_app())
    client = await client_of(host)

    async def call(method: str, path: str) -> dict[str, str]:
        return await (await client.request(method, f"/agent/api/{path}")).json()

    assert await call("POST", "pause") == {"result": "ok"}
    assert (await call("GET", "status"))["status"] == "paused"
    assert await call("POST", "resume") == {"result": "ok"}
    await log.seen_again("agent.step")
    saved = await call("POST", "save-state")
    assert saved == {"result": "ok", "state": (await states_in(config))[0]}


async def test_a_mounted_app_answers_ended_once_the_system_has_ended(
    client_of: Any, host: web.Application, log: Log, config: dict[str, Any]
) -> None:
    host.cleanup_ctx.append(cleanup_ctx(start(fake_interaction(log), {}, {}, {}, config)))
    host.add_subapp("/agent", control_app())
    client = await client_of(host)

    first = await client.post("/agent/api/shutdown")
    await host[SYSTEM].wait()
    second = await client.post("/agent/api/shutdown")
    status = await client.get("/agent/api/status")
    too_late = await client.post("/agent/api/pause")

    assert [await answer.json() for answer in (first, second)] == [{"result": "ok"}] * 2
    assert (await status.json())["status"] == "ended"
    assert too_late.status == 409
    assert await (await client.get("/")).text() == "a page"


async def test_an_agent_ends_when_the_applications_startup_fails_after_it(
    client_of: Any, host: web.Application, log: Log, config: dict[str, Any]
) -> None:
    async def fails(_: web.Application) -> AsyncIterator[None]:
        await log.seen("agent.step")
        raise Boom
        yield

    host.cleanup_ctx.append(cleanup_ctx(start(fake_interaction(log), {}, {}, {}, config)))
    host.cleanup_ctx.append(fails)
    runner = web.AppRunner(host)

    with pytest.raises(Boom):
        await runner.setup()
    await runner.cleanup()

    assert host[SYSTEM].status is SystemStatus.ENDED
    assert log.count("agent.teardown") == 1
    assert len(await states_in(config)) == 1


async def test_an_agent_that_fails_to_start_fails_the_applications_startup(
    host: web.Application, log: Log, config: dict[str, Any]
) -> None:
    interaction = fake_interaction(log, agent={"fails_in": "setup"})
    host.cleanup_ctx.append(cleanup_ctx(start(interaction, {}, {}, {}, config)))
    runner = web.AppRunner(host)

    with pytest.raises(Boom, match=r"agent\.setup"):
        await runner.setup()
    await runner.cleanup()

    assert SYSTEM not in host
    assert await states_in(config) == []


async def test_an_agent_that_fails_leaves_the_application_running_and_its_error_comes_at_the_end(
    client_of: Any, host: web.Application, log: Log, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    interaction = fake_interaction(log, agent={"fails_in": "step"})
    host.cleanup_ctx.append(cleanup_ctx(start(interaction, {}, {}, {}, config)))
    host.add_subapp("/agent", control_app())
    client = await client_of(host)
    with pytest.raises(Boom):
        await host[SYSTEM].wait()

    status = await (await client.get("/agent/api/status")).json()
    page = await (await client.get("/")).text()
    with pytest.raises(Boom, match=r"agent\.step"):
        await client.close()

    assert status["status"] == "ended"
    assert page == "a page"
    assert "the system ended with Boom: agent.step" in caplog.text


async def test_two_agents_live_in_one_application_each_below_its_path(
    client_of: Any, host: web.Application, tmp_path: Path
) -> None:
    for name in ("left", "right"):
        control = control_app()
        config = {"states_dir": tmp_path / name, "web_api_address": None}
        control.cleanup_ctx.append(cleanup_ctx(start(fake_interaction(Log()), {}, {}, {}, config)))
        host.add_subapp(f"/{name}", control)
    client = await client_of(host)

    await client.post("/left/api/pause")

    assert (await (await client.get("/left/api/status")).json())["status"] == "paused"
    assert (await (await client.get("/right/api/status")).json())["status"] == "active"


async def test_a_second_agent_in_the_same_application_is_refused(
    host: web.Application, log: Log, tmp_path: Path
) -> None:
    for name in ("left", "right"):
        config = {"states_dir": tmp_path / name, "web_api_address": None}
        host.cleanup_ctx.append(cleanup_ctx(start(fake_interaction(log), {}, {}, {}, config)))
    runner = web.AppRunner(host)

    with pytest.raises(RuntimeError, match=r"add the second one to a control_app\(\) of its own"):
        await runner.setup()
    await runner.cleanup()

    assert host[SYSTEM].status is SystemStatus.ENDED
    assert await states_in({"states_dir": tmp_path / "right"}) == []


async def test_the_log_of_a_mounted_app_does_not_show_the_token(
    system: Any, client_of: Any, host: web.Application, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    control = control_app(system, token="open-sesame")
    host.add_subapp("/agent", control)
    client = await client_of(host)
    system.fails_with = Boom()

    answer = await client.post("/agent/api/pause", headers={"Authorization": "Bearer open-sesame"})

    assert answer.status == 500
    assert "/agent/api/pause failed" in caplog.text
    assert "open-sesame" not in caplog.text + repr(control)
