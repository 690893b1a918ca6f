"""The interactive console: commands typed at a prompt that shows what the system is doing."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple

from ..exceptions import PamiqError
from ..web import ControlClient
from .commands import carry_out
from .text import in_columns, printable

if TYPE_CHECKING:  # an extra, imported when a console opens
    from prompt_toolkit import PromptSession
    from prompt_toolkit.input import Input
    from prompt_toolkit.output import Output

STATUS_INTERVAL = 1.0
"""Seconds between two looks at the system's status."""

STATUS_WITHIN = 5.0
"""Seconds after which a system that does not tell its status is shown to give no answer."""


class Command(NamedTuple):
    """What can be typed."""

    name: str
    short: tuple[str, ...]
    help: str


COMMANDS = (
    Command("pause", ("p",), "stand still between two steps"),
    Command("resume", ("r",), "go on after a pause"),
    Command("save", ("s",), "save a state"),
    Command("status", (), "what the system is doing"),
    Command("shutdown", (), "end the system, after asking"),
    Command("help", ("h", "?"), "show this list"),
    Command("quit", ("q",), "leave the console, the system goes on (also Ctrl-D)"),
)

_AT_ONCE = ("status", "shutdown")

_NAMES = {typed: command.name for command in COMMANDS for typed in (command.name, *command.short)}


def main(host: str = "localhost", port: int = 8319, token: str | None = None, path: str = "") -> int:
    """Open the console on this terminal until it is left; gives the exit code."""
    try:
        from prompt_toolkit.patch_stdout import patch_stdout
    except ModuleNotFoundError:
        print("the console needs prompt-toolkit: pip install 'pamiq-async[console]'", file=sys.stderr)
        return 1
    if not sys.stdin.isatty():
        print("the console needs a terminal; a script takes 'pamiq-async pause' and the like", file=sys.stderr)
        return 1

    client = ControlClient(host, port, token=token, path=path)

    async def converse() -> None:
        async with client:
            await Console(client, new_session(), new_question()).run()

    # What is printed while someone types goes above the prompt.
    with patch_stdout():
        try:
            asyncio.run(converse())
        except KeyboardInterrupt:
            return 130
    return 0


def new_session(input: Input | None = None, output: Output | None = None) -> PromptSession[str]:
    """Make the prompt: Tab completes, the arrow keys bring back what was typed since the console opened."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.shortcuts import CompleteStyle

    return PromptSession(
        completer=WordCompleter([command.name for command in COMMANDS]),
        complete_while_typing=False,
        complete_style=CompleteStyle.READLINE_LIKE,  # needs no lines below the prompt
        input=input,
        output=output,
    )


def new_question(input: Input | None = None, output: Output | None = None) -> PromptSession[str]:
    """Make a prompt whose answers are not among the commands that the arrow keys bring back."""
    from prompt_toolkit import PromptSession

    return PromptSession(input=input, output=output)


class Console:
    """Reads commands and has them carried out, while the prompt follows the system's status.

    Commands run beside the prompt, so that one can type during a long one; they take turns in the order in which they
    were given, only a shutdown does not wait.
    """

    def __init__(
        self,
        client: ControlClient,
        session: PromptSession[str],
        question: PromptSession[str],
        *,
        write: Callable[[str], object] = print,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._session = session
        self._question = question
        self._write = write
        self._sleep = sleep
        self._status = "offline"
        self._under_way: list[str] = []
        self._turn = asyncio.Lock()
        self._commands = asyncio.TaskGroup()
        self._left = False

    async def run(self) -> None:
        """Read commands until the console is left or has shut the system down; those under way are waited for."""
        self._write("'help' lists the commands")
        if trouble := await self._look():
            self._write(printable(trouble))
        async with asyncio.TaskGroup() as background:
            following = background.create_task(self._follow_status())
            async with self._commands:
                while not self._left:
                    await self._read_command()
                if self._under_way:
                    self._write(f"waiting for: {', '.join(self._under_way)} (Ctrl-C leaves at once)")
            following.cancel()

    def prompt(self) -> str:
        """Make the prompt's text, anew each time that it is drawn."""
        return f"pamiq-async ({', '.join([self._status, *(f'{name} under way' for name in self._under_way)])}) > "

    # --- Status -------------------------------------------------------------------------------------------

    async def _follow_status(self) -> None:
        while True:
            await self._sleep(STATUS_INTERVAL)
            await self._look()

    async def _look(self) -> str:
        """Learn the status; gives the reason if that can't be done."""
        trouble = ""
        try:
            async with asyncio.timeout(STATUS_WITHIN):
                self._status = (await self._client.status()).value
        except PermissionError as error:
            self._status, trouble = "refused", str(error)
        except TimeoutError:
            self._status, trouble = "no answer", f"no answer within {STATUS_WITHIN:g} s"
        except PamiqError as error:
            self._status, trouble = "offline", str(error)
        self._session.app.invalidate()
        return trouble

    # --- Commands -----------------------------------------------------------------------------------------

    async def _read_command(self) -> None:
        try:
            words = (await self._session.prompt_async(self.prompt)).split()
        except KeyboardInterrupt:
            return  # takes back the line
        except EOFError:
            self._left = True
            return
        if not words:
            return
        name = _NAMES.get(words[0].lower())
        if name is None:
            self._write(_unknown(words[0]))
        elif words[1:]:
            self._write(f"{name} stands alone; what is {' '.join(words[1:])!r}?")
        elif name == "help":
            self._write(_help())
        elif name == "quit":
            self._left = True
        elif name != "shutdown" or await self._confirmed():
            self._begin(name)

    async def _confirmed(self) -> bool:
        try:
            answer = await self._question.prompt_async("Shut the system down? [y/N] ")
        except (KeyboardInterrupt, EOFError):
            answer = ""
        if answer.strip().lower() in ("y", "yes"):
            return True
        self._write("not shut down")
        return False

    def _begin(self, name: str) -> None:
        self._under_way.append(name)
        self._commands.create_task(self._carry_out(name))

    async def _carry_out(self, name: str) -> None:
        try:
            async with contextlib.nullcontext() if name in _AT_ONCE else self._turn:
                self._write(await carry_out(self._client, name))
        except PamiqError as error:
            self._write(f"{name} failed: {printable(str(error))}")
        else:
            if name == "shutdown":
                self._leave()
        finally:
            self._under_way.remove(name)
        await self._look()

    def _leave(self) -> None:
        self._left = True
        for session in (self._session, self._question):
            if session.app.is_running and not session.app.is_done:
                session.app.erase_when_done = True  # its status is out of date
                session.app.exit(exception=EOFError())


def _unknown(typed: str) -> str:
    near = difflib.get_close_matches(typed.lower(), [command.name for command in COMMANDS], n=1)
    meant = f", did you mean {near[0]!r}?" if near else "."
    return f"there is no command {typed!r}{meant} There are: {', '.join(command.name for command in COMMANDS)}"


def _help() -> str:
    return in_columns((", ".join((command.name, *command.short)), command.help) for command in COMMANDS)
