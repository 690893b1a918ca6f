"""What the command line prints, and its exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from pamiq_async import SystemStatus, __version__, start
from pamiq_async.console import cli
from pamiq_async.exceptions import ServerUnreachable
from pamiq_async.state_persistence import PersistentStateMixin, StateStore
from pamiq_async.web import control_app
from pamiq_async.web.server import serve
from tests.fakes import Log, fake_interaction


class FakeSystem:
    """Does at once what it is asked for."""

    status = SystemStatus.ACTIVE
    fails_with: Exception | None = None

    async def pause(self) -> None:
        await self._becomes(SystemStatus.PAUSED)

    async def resume(self) -> None:
        await self._becomes(SystemStatus.ACTIVE)

    async def save_state(self) -> Path:
        await self._becomes(self.status)
        return Path("somewhere") / "saved.state"

    def request_shutdown(self) -> None:
        self.status = SystemStatus.SHUTTING_DOWN

    async def wait_finished(self) -> None:
        await self._becomes(SystemStatus.ENDED)

    def figures(self) -> dict[str, Any]:
        return {"uptime": 7512.0, "trainings": {"coach": {"count": 3}}}

    async def _becomes(self, status: SystemStatus) -> None:
        if self.fails_with is not None:
            raise self.fails_with
        self.status = status


class Printed(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Awaitable[Printed]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the program in a thread, since it blocks."""
    monkeypatch.delenv(cli.TOKEN_VARIABLE, raising=False)

    async def run(*arguments: object) -> Printed:
        def main() -> int:
            try:
                return cli.main([str(argument) for argument in arguments])
            except SystemExit as leaving:  # must not end the thread's pool
                return int(leaving.code or 0)

        code = await asyncio.to_thread(main)
        return Printed(code, *capsys.readouterr())

    return run


@pytest.fixture
def system() -> FakeSystem:
    return FakeSystem()


@pytest.fixture
async def address(system: FakeSystem) -> AsyncIterator[tuple[str, ...]]:
    """Options that name the fake system's server."""
    async with serve(system, ("127.0.0.1", 0)) as (host, port):
        yield "--host", host, "--port", str(port)


@pytest.fixture
def states_dir(tmp_path: Path) -> Path:
    """A directory with two states."""

    class Weights(PersistentStateMixin):
        def save_state(self, path: Path) -> None:
            path.write_bytes(b"weights")

    store = StateStore(tmp_path / "states")
    store.register("weights", Weights())
    store.save_state()
    store.save_state()
    return store.states_dir


# --- Steering ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "becomes", "out"),
    [
        ("pause", SystemStatus.PAUSED, "paused\n"),
        ("resume", SystemStatus.ACTIVE, "resumed\n"),
        ("save", SystemStatus.ACTIVE, "saved saved.state\n"),
        ("shutdown", SystemStatus.ENDED, "ended\n"),
    ],
)
async def test_a_command_says_what_was_done(
    run: Run, system: FakeSystem, address: tuple[str, ...], command: str, becomes: SystemStatus, out: str
) -> None:
    assert await run(command, *address) == (0, out, "")
    assert system.status is becomes


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("pause", {"result": "ok"}),
        ("resume", {"result": "ok"}),
        ("save", {"result": "ok", "state": "saved.state"}),
        ("shutdown", {"result": "ok"}),
        ("status", {"status": "active", "uptime": 7512.0, "trainings": {"coach": {"count": 3}}}),
    ],
)
async def test_scripts_get_json(run: Run, address: tuple[str, ...], command: str, answer: dict[str, Any]) -> None:
    code, out, err = await run(command, *address, "--json")

    assert (code, json.loads(out), err) == (0, answer, "")


async def test_status_shows_the_figures(run: Run, address: tuple[str, ...]) -> None:
    printed = await run("status", *address)

    assert printed.out.splitlines() == [
        "status          active",
        "uptime          2 h 05 min",
        "training coach  count 3",
    ]


async def test_options_may_stand_before_the_command_and_after_it(run: Run, address: tuple[str, ...]) -> None:
    before = await run("--json", *address, "save")
    after = await run("save", "--json", *address)
    both = await run("--port", "1", "--json", "save", *address)

    assert before == after == both == (0, '{"result": "ok", "state": "saved.state"}\n', "")


async def test_a_token_is_taken_from_the_command_line_or_the_environment(
    run: Run, system: FakeSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(system, ("127.0.0.1", 0), token="open-sesame") as (host, port):
        address = ("--host", host, "--port", port)
        without = await run("pause", *address)
        given = await run("pause", *address, "--token", "open-sesame")
        monkeypatch.setenv(cli.TOKEN_VARIABLE, "open-sesame")
        known = await run("pause", *address)

    assert without == (1, "", "pamiq-async pause: Needs a valid 'Authorization: Bearer' token\n")
    assert given == known == (0, "paused\n", "")


async def test_a_token_that_nobody_could_have_does_not_matter_where_none_is_needed(
    run: Run, states_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cli.TOKEN_VARIABLE, "open sesame")

    assert (await run("states", states_dir)).code == 0
    assert (await run("status")).code == 2


async def test_calls_may_be_below_a_path(run: Run, system: FakeSystem) -> None:
    app = web.Application()
    app.add_subapp("/agent", control_app(system))
    async with TestServer(app) as server:
        address = ("--host", "127.0.0.1", "--port", server.port)

        assert await run("pause", *address, "--path", "/agent") == (0, "paused\n", "")
        assert (await run("pause", *address)).code == 3


async def test_a_timeout_may_be_infinite(run: Run, address: tuple[str, ...]) -> None:
    assert (await run("--timeout", "inf", "status", *address)).code == 0
    assert (await run("--timeout", "inf", "pause", *address)).code == 0


async def test_a_real_system_is_steered(run: Run, tmp_path: Path) -> None:
    config = {"states_dir": tmp_path / "states", "web_api_address": ("localhost", 0)}
    async with start(fake_interaction(Log()), {}, {}, {}, config) as system:
        assert system.web_api_address is not None
        port = system.web_api_address[1]

        assert (await run("pause", "--port", port)).code == 0
        assert system.status is SystemStatus.PAUSED
        assert (await run("status", "--port", port)).out.startswith("status")
        saved = await run("save", "--port", port)
        assert (await run("shutdown", "--port", port)).code == 0
        await system.wait()

    listed = await run("states", tmp_path / "states")
    assert listed.code == 0
    assert saved.out.removeprefix("saved ").strip() in listed.out
    assert re.findall("command|shutdown", listed.out) == ["command", "shutdown"]


# --- What goes wrong --------------------------------------------------------------------------------------


async def test_what_the_system_says_no_to_is_exit_code_1(
    run: Run, system: FakeSystem, address: tuple[str, ...]
) -> None:
    system.fails_with = OSError(28, "No space left on device")

    printed = await run("save", *address)

    assert printed == (
        1,
        "",
        "pamiq-async save: The state could not be saved: OSError: [Errno 28] No space left on device\n",
    )


async def test_nobody_there_is_exit_code_3(run: Run) -> None:
    code, out, err = await run("status", "--host", "127.0.0.1", "--port", "1")

    assert (code, out) == (3, "")
    assert err.startswith("pamiq-async status: no control server answers at http://127.0.0.1:1: Connection refused")
    assert err.count("\n") == 1


@contextlib.asynccontextmanager
async def server_that_answers(answer: Any, status: int = 200) -> AsyncIterator[tuple[str, ...]]:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response(answer, status=status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app) as server:
        yield "--host", "127.0.0.1", "--port", str(server.port)


async def test_something_else_there_is_exit_code_3(run: Run) -> None:
    async with server_that_answers({"hello": "world"}) as address:
        code, _, err = await run("status", *address)

    assert code == 3
    assert "is no control server of pamiq_async" in err


async def test_a_command_that_is_still_under_way_is_exit_code_4(run: Run) -> None:
    async with server_that_answers({"result": "accepted"}, 202) as address:
        code, out, err = await run("save", *address, "--timeout", "3")

    assert (code, out) == (4, "")
    assert "save-state is not done after 3 s" in err


async def test_what_a_server_says_is_printed_on_one_line_and_does_not_steer_the_terminal(run: Run) -> None:
    async with server_that_answers({"error": "one\ntwo\x1b[31m"}, 500) as address:
        assert await run("pause", *address) == (1, "", "pamiq-async pause: one two?[31m\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["stop"], "invalid choice: 'stop'"),
        (["status", "--port", "http"], "invalid int value: 'http'"),
        (["status", "--port", "70000"], "port is 70000; it must be in 1..65535"),
        (["status", "--host", "localhost:8319"], "host is 'localhost:8319'; it must be a name or an address"),
        (["status", "--timeout", "0"], "'0' is not a positive number of seconds"),
        (["status", "--timeout", "nan"], "'nan' is not a positive number of seconds"),
        (["status", "--timeout", "soon"], "invalid number of seconds value: 'soon'"),
        (["status", "--token", "open sesame"], "token (not shown)"),
        (["states"], "the following arguments are required: DIR"),
        (["states", "/no/such/place"], "there is no directory '/no/such/place'"),
        (["watch", "--interval", "-1"], "'-1' is not a positive number of seconds"),
        (["watch", "--interval", "inf"], "'inf' is more than a day"),
        (["watch", "--interval", "soon"], "invalid number of seconds value: 'soon'"),
        (["status", "--path", "agent"], "path is 'agent'; it must begin with '/'"),
        (["console", "--json"], "unrecognized arguments: --json"),
        (["--json", "console"], "console takes no --json"),
        (["--timeout", "5", "keyboard"], "keyboard takes no --timeout"),
        (["--host", "robot", "states", "."], "states takes no --host"),
    ],
)
async def test_a_command_line_that_makes_no_sense_is_exit_code_2(run: Run, arguments: list[str], message: str) -> None:
    code, out, err = await run(*arguments)

    assert (code, out) == (2, "")
    assert message in err


async def test_ctrl_c_is_exit_code_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.BlockingControlClient, "report", interrupt)

    assert await run("status") == (130, "", "")


async def test_help_tells_the_exit_codes_and_where_the_token_is_hidden(run: Run) -> None:
    for arguments in (["--help"], ["status", "--help"]):
        code, out, _ = await run(*arguments)
        assert code == 0
        assert "4    the outcome is not known in time" in out
        assert "PAMIQ_ASYNC_TOKEN" in out


async def test_the_token_is_not_in_the_help(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cli.TOKEN_VARIABLE, "open-sesame")

    assert "open-sesame" not in (await run("status", "--help")).out


async def test_version_is_the_packages(run: Run) -> None:
    assert await run("--version") == (0, f"pamiq-async {__version__}\n", "")


# --- Watching ---------------------------------------------------------------------------------------------


async def test_watch_prints_a_json_object_per_line_until_the_system_has_ended(
    run: Run, system: FakeSystem, address: tuple[str, ...]
) -> None:
    system.status = SystemStatus.ENDED

    code, out, err = await run("watch", *address, "--json")

    assert (code, err) == (0, "")
    assert [json.loads(line)["status"] for line in out.splitlines()] == ["ended"]


@pytest.mark.skipif(find_spec("rich") is None, reason="an extra that is not installed")
async def test_watch_draws_the_figures(run: Run, system: FakeSystem, address: tuple[str, ...]) -> None:
    system.status = SystemStatus.ENDED

    code, out, _ = await run("watch", *address)

    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        [f"127.0.0.1:{address[-1]}"],
        ["status", "ended"],
        ["uptime", "2", "h", "05", "min"],
        ["training", "coach", "count", "3"],
    ]


async def test_a_system_that_is_gone_without_a_shutdown_is_exit_code_3(
    run: Run, system: FakeSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [{"status": "active"}, ServerUnreachable("nobody there")]

    def report(_: object) -> dict[str, Any]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(cli.BlockingControlClient, "report", report)

    code, out, err = await run("watch", "--json", "--interval", "0.01", "--patience", "0.001")

    assert [json.loads(line)["status"] for line in out.splitlines()] == ["active", "offline"]
    assert (code, err) == (3, "pamiq-async watch: nobody there\n")


async def test_watching_nobody_is_exit_code_3(run: Run) -> None:
    assert (await run("watch", "--host", "127.0.0.1", "--port", "1", "--json")).code == 3


async def test_watch_without_its_library_says_what_to_install(
    run: Run, address: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "pamiq_async.console.screen", raising=False)
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setitem(sys.modules, "rich.console", None)

    code, out, err = await run("watch", *address)

    assert (code, out) == (1, "")
    assert "pip install 'pamiq-async[console]'" in err


# --- States -----------------------------------------------------------------------------------------------


async def test_states_are_listed(run: Run, states_dir: Path) -> None:
    code, out, err = await run("states", states_dir)

    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["SEQUENCE", "1", "2"]


async def test_a_state_that_does_not_verify_is_exit_code_1(run: Run, states_dir: Path) -> None:
    def damage() -> None:
        next(states_dir.glob("*.state/weights")).write_bytes(b"rotten!")

    await asyncio.to_thread(damage)

    verified = await run("states", states_dir, "--json")
    not_verified = await run("states", states_dir, "--json", "--no-verify")

    assert verified.code == 1
    assert sorted(state["verifies"] for state in json.loads(verified.out)) == [False, True]
    assert not_verified.code == 0
    assert [state["verifies"] for state in json.loads(not_verified.out)] == [None, None]


async def test_an_empty_directory_says_so(run: Run, tmp_path: Path) -> None:
    assert await run("states", tmp_path) == (0, f"no states in {tmp_path}\n", "")
    assert await run("states", tmp_path, "--json") == (0, "[]\n", "")


# --- The console and the keyboard -------------------------------------------------------------------------


async def test_console_opens_the_prompt(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr("pamiq_async.console.prompt.main", lambda *arguments: asked.append(arguments) or 7)

    assert (await run("console", "--host", "robot", "--port", "99", "--token", "open", "--path", "/agent")).code == 7
    assert asked == [("robot", 99, "open", "/agent")]


async def test_keyboard_hands_on_the_keys_that_are_given(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def main(*arguments: object, **keys: str) -> int:
        asked.append((arguments, keys))
        return 0

    monkeypatch.setattr("pamiq_async.console.keyboard.main", main)

    await run("keyboard")
    await run("keyboard", "--pause-keys", "f8", "--quit-keys", "f9")

    assert asked == [
        (("localhost", 8319, None, ""), {}),
        (("localhost", 8319, None, ""), {"pause_keys": "f8", "quit_keys": "f9"}),
    ]


# --- As a program -----------------------------------------------------------------------------------------

PROGRAM = [sys.executable, "-W", "error", "-m", "pamiq_async.console"]


async def test_the_module_runs_as_a_program(address: tuple[str, ...]) -> None:
    ended = await asyncio.to_thread(
        subprocess.run, [*PROGRAM, "status", *address], capture_output=True, text=True, check=False
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[0].split() == ["status", "active"]


async def test_ctrl_c_leaves_a_watching_program_without_a_word(address: tuple[str, ...]) -> None:
    # Whoever runs the tests in the background may have them ignore the signal, and so all that they start.
    heeding = "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = [sys.executable, "-c", f"{heeding}; runpy.run_module('pamiq_async.console', run_name='__main__')"]

    def watch_once() -> tuple[int, str]:
        with subprocess.Popen(
            [*program, "watch", *address, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate()
            return process.returncode, errors

    assert await asyncio.to_thread(watch_once) == (130, "")


async def test_a_reader_that_leaves_early_is_no_error(address: tuple[str, ...]) -> None:
    def print_for_nobody() -> tuple[int, str]:
        reading, writing = os.pipe()
        os.close(reading)
        with open(writing, "w") as nobody:
            ended = subprocess.run(
                [*PROGRAM, "status", *address], stdout=nobody, stderr=subprocess.PIPE, text=True, check=False
            )
        return ended.returncode, ended.stderr

    assert await asyncio.to_thread(print_for_nobody) == (141, "")
