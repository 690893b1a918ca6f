from __future__ import annotations

import asyncio
import contextlib
import io
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

pytest.importorskip("prompt_toolkit", reason="an extra that is not installed")

from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from pamiq_async import SystemStatus
from pamiq_async.console import prompt
from pamiq_async.console.prompt import Console, new_question, new_session
from pamiq_async.exceptions import AnswerTimeout, CallRefused, CommandFailed, PamiqError, ServerUnreachable

CTRL_C, CTRL_D, ENTER = "\x03", "\x04", "\r"


class FakeClient:
    """A system that does as it is told, at once or when `go_on` is set."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.answer: SystemStatus | PamiqError = SystemStatus.ACTIVE
        self.failure: PamiqError | None = None
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def status(self) -> SystemStatus:
        if isinstance(self.answer, PamiqError):
            raise self.answer
        return self.answer

    async def report(self) -> dict[str, object]:
        return {"status": (await self.status()).value, "step_rate": 99.8}

    async def pause(self) -> None:
        await self.carry_out("pause", SystemStatus.PAUSED)

    async def resume(self) -> None:
        await self.carry_out("resume", SystemStatus.ACTIVE)

    async def save_state(self) -> str:
        await self.carry_out("save", self.answer)
        return "then.state"

    async def shutdown(self) -> None:
        self.calls.append("shutdown")
        self.answer = ServerUnreachable("nobody answers")

    async def carry_out(self, name: str, status: SystemStatus | PamiqError) -> None:
        self.calls.append(name)
        await self.go_on.wait()
        if self.failure:
            raise self.failure
        self.answer = status


class Terminal:
    """Someone who types at a console and reads what it prints."""

    def __init__(self, keys: PipeInput) -> None:
        self.keys = keys
        self.client = FakeClient()
        self.lines: list[str] = []
        self.looks: asyncio.Queue[None] = asyncio.Queue()
        self.session = new_session(keys, DummyOutput())
        self.console = Console(
            self.client,  # type: ignore[arg-type]
            self.session,
            new_question(keys, DummyOutput()),
            write=self.lines.append,
            sleep=lambda seconds: self.looks.get(),
        )

    def type(self, *lines: str) -> None:
        self.keys.send_text("".join(line + ENTER for line in lines))

    async def run(self, *lines: str) -> list[str]:
        """Type lines and leave; gives what was printed but for the greeting."""
        self.type(*lines, "quit")
        await self.console.run()
        return self.lines[1:]

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        running = asyncio.create_task(self.console.run())
        yield
        self.type("quit")
        await running

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await asyncio.sleep(0)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with create_pipe_input() as keys:
        # So that typing and reading on the loop can't block it, nor seem to.
        os.set_blocking(keys.pipe.read_fd, False)
        os.set_blocking(keys.pipe.write_fd, False)
        yield Terminal(keys)


@pytest.mark.parametrize(
    ("typed", "call", "said"),
    [
        ("pause", "pause", "paused"),
        ("p", "pause", "paused"),
        ("resume", "resume", "resumed"),
        ("r", "resume", "resumed"),
        ("save", "save", "saved then.state"),
        ("s", "save", "saved then.state"),
        ("  PAUSE ", "pause", "paused"),
    ],
)
async def test_commands_and_their_letters_are_carried_out(terminal: Terminal, typed: str, call: str, said: str) -> None:
    printed = await terminal.run(typed)

    assert terminal.client.calls == [call]
    assert said in printed


async def test_status_tells_what_the_system_reports(terminal: Terminal) -> None:
    terminal.client.answer = SystemStatus.PAUSED

    assert "status     paused\nstep rate  99.8/s" in await terminal.run("status")


@pytest.mark.parametrize("typed", ["help", "h", "?"])
async def test_help_lists_every_command(terminal: Terminal, typed: str) -> None:
    [text] = await terminal.run(typed)

    assert [line.split()[0].rstrip(",") for line in text.splitlines()] == [c.name for c in prompt.COMMANDS]


async def test_an_empty_line_does_nothing(terminal: Terminal) -> None:
    assert await terminal.run("", "   ") == []


async def test_an_unknown_command_is_answered_with_the_nearest_and_the_list(terminal: Terminal) -> None:
    assert await terminal.run("puase") == [
        "there is no command 'puase', did you mean 'pause'? "
        "There are: pause, resume, save, status, shutdown, help, quit"
    ]


async def test_a_command_with_something_after_it_is_not_carried_out(terminal: Terminal) -> None:
    assert await terminal.run("save my state") == ["save stands alone; what is 'my state'?"]
    assert terminal.client.calls == []


async def test_a_command_that_fails_says_why_and_the_console_goes_on(terminal: Terminal) -> None:
    terminal.client.failure = CommandFailed("the disk is full")

    printed = await terminal.run("save", "pause")

    assert "save failed: the disk is full" in printed
    assert terminal.client.calls == ["save", "pause"]


# --- Leaving ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", ["quit\r", "q\r", CTRL_D])
async def test_quit_and_ctrl_d_leave(terminal: Terminal, keys: str) -> None:
    terminal.keys.send_text(keys)

    await terminal.console.run()

    assert terminal.client.calls == []


async def test_ctrl_c_takes_back_the_line(terminal: Terminal) -> None:
    terminal.keys.send_text("pau" + CTRL_C)

    await terminal.run("resume")

    assert terminal.client.calls == ["resume"]


@pytest.mark.parametrize("answer", ["y", "Y", "yes"])
async def test_a_confirmed_shutdown_ends_the_system_and_the_console(terminal: Terminal, answer: str) -> None:
    terminal.type("shutdown", answer)

    await terminal.console.run()

    assert terminal.client.calls == ["shutdown"]
    assert terminal.lines[-1] == "ended"


@pytest.mark.parametrize("keys", ["n\r", "\r", "shutdown\r", CTRL_C, CTRL_D])
async def test_a_shutdown_that_is_not_confirmed_does_not_happen(terminal: Terminal, keys: str) -> None:
    terminal.keys.send_text("shutdown\r" + keys)

    assert await terminal.run() == ["not shut down"]
    assert terminal.client.calls == []


async def test_a_shutdown_that_fails_leaves_the_console_open(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        raise CommandFailed("a step hangs")

    monkeypatch.setattr(terminal.client, "shutdown", fail)
    async with terminal.open():
        terminal.type("shutdown", "y")
        await terminal.until(lambda: "shutdown failed: a step hangs" in terminal.lines)
        terminal.type("pause")
        await terminal.until(lambda: "paused" in terminal.lines)


async def test_answers_to_the_question_are_not_among_earlier_commands(terminal: Terminal) -> None:
    await terminal.run("pause", "shutdown", "n")

    assert terminal.session.history.get_strings() == ["pause", "shutdown", "quit"]


# --- Commands that take long ------------------------------------------------------------------------------


async def test_a_long_command_shows_in_the_prompt_which_can_be_typed_at(terminal: Terminal) -> None:
    terminal.client.go_on.clear()
    async with terminal.open():
        terminal.type("save", "help")
        await terminal.until(lambda: len(terminal.lines) == 2)  # the greeting, the help

        assert terminal.console.prompt() == "pamiq-async (active, save under way) > "
        terminal.client.go_on.set()
        await terminal.until(lambda: "saved then.state" in terminal.lines)

        assert terminal.console.prompt() == "pamiq-async (active) > "


async def test_commands_take_turns_in_the_order_given(terminal: Terminal) -> None:
    terminal.client.go_on.clear()
    async with terminal.open():
        terminal.type("save", "pause", "help")
        await terminal.until(lambda: len(terminal.lines) == 2)

        assert terminal.client.calls == ["save"]
        assert terminal.console.prompt() == "pamiq-async (active, save under way, pause under way) > "
        terminal.client.go_on.set()

    assert terminal.client.calls == ["save", "pause"]


async def test_a_shutdown_does_not_wait_for_its_turn(terminal: Terminal) -> None:
    terminal.client.go_on.clear()
    terminal.type("save", "shutdown", "y")
    running = asyncio.create_task(terminal.console.run())
    await terminal.until(lambda: "ended" in terminal.lines)

    terminal.client.failure = ServerUnreachable("nobody answers")
    terminal.client.go_on.set()
    await running

    assert terminal.lines[-1] == "save failed: nobody answers"


async def test_leaving_waits_for_what_is_under_way(terminal: Terminal) -> None:
    terminal.client.go_on.clear()
    running = asyncio.create_task(terminal.run("save"))
    await terminal.until(lambda: "waiting for: save (Ctrl-C leaves at once)" in terminal.lines)
    assert not running.done()

    terminal.client.go_on.set()

    assert (await running)[-1] == "saved then.state"


# --- The status in the prompt -----------------------------------------------------------------------------


async def test_the_prompt_follows_the_status(terminal: Terminal) -> None:
    async with terminal.open():
        await terminal.until(lambda: terminal.console.prompt() == "pamiq-async (active) > ")

        terminal.client.answer = SystemStatus.SHUTTING_DOWN
        terminal.looks.put_nowait(None)
        await terminal.until(lambda: terminal.console.prompt() == "pamiq-async (shutting down) > ")

        terminal.client.answer = ServerUnreachable("nobody answers")
        terminal.looks.put_nowait(None)
        await terminal.until(lambda: terminal.console.prompt() == "pamiq-async (offline) > ")

        terminal.client.answer = CallRefused("the token is wrong")
        terminal.looks.put_nowait(None)
        await terminal.until(lambda: terminal.console.prompt() == "pamiq-async (refused) > ")

    assert terminal.lines == ["'help' lists the commands"]


async def test_a_system_that_does_not_tell_its_status_gives_no_answer(terminal: Terminal) -> None:
    terminal.client.answer = AnswerTimeout("no answer within 60 s")

    assert await terminal.run() == ["no answer within 5 s"]
    assert terminal.console.prompt() == "pamiq-async (no answer) > "


async def test_why_no_system_answers_is_said_once(terminal: Terminal) -> None:
    terminal.client.answer = ServerUnreachable("nobody answers")
    for _ in range(3):
        terminal.looks.put_nowait(None)

    assert await terminal.run() == ["nobody answers"]


async def test_the_prompt_shows_what_a_command_brought_about(terminal: Terminal) -> None:
    async with terminal.open():
        terminal.type("pause")

        await terminal.until(lambda: terminal.console.prompt() == "pamiq-async (paused) > ")


# --- The terminal -----------------------------------------------------------------------------------------


def test_commands_are_completed() -> None:
    with create_pipe_input() as keys:
        completer = new_session(keys, DummyOutput()).completer
    assert completer is not None

    found = completer.get_completions(Document("s"), CompleteEvent(completion_requested=True))

    assert [completion.text for completion in found] == ["save", "status", "shutdown"]


def test_without_the_extra_one_line_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "prompt_toolkit"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "prompt_toolkit", None)

    assert prompt.main() == 1
    assert capsys.readouterr().err == "the console needs prompt-toolkit: pip install 'pamiq-async[console]'\n"


def test_without_a_terminal_one_line_names_what_scripts_take(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("pause\n"))

    assert prompt.main() == 1
    assert "needs a terminal" in capsys.readouterr().err
