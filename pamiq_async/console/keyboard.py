"""Global hot keys: keys that steer the system whichever window has the focus."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol

import attrs

from ..exceptions import PamiqError
from ..lifecycle import SystemStatus
from ..web import ControlClient
from .commands import carry_out
from .text import printable

# With the option key held, the keys of a Mac give other characters.
_ON_MAC = sys.platform == "darwin"
PAUSE_KEYS = "alt+shift+∏" if _ON_MAC else "alt+shift+p"
RESUME_KEYS = "alt+shift+‰" if _ON_MAC else "alt+shift+r"
SAVE_KEYS = "alt+shift+í" if _ON_MAC else "alt+shift+s"

MODIFIERS = ("alt", "cmd", "ctrl", "shift")

LOOK_INTERVAL = 1.0
"""Seconds between two looks at whether the listener still runs."""

_X_META = (0xFFE7, 0xFFE8)  # what X makes of an alt key that is pressed, or released, while shift is held


class ListenerThread(Protocol):
    """A thread of the backend that hands on what is pressed and released."""

    def start(self) -> None:
        """Begin to listen."""

    def stop(self) -> None:
        """Begin to end."""

    def is_alive(self) -> bool:
        """Whether it listens."""


class Backend(Protocol):
    """What is used of `pynput.keyboard`."""

    Key: Any  # an enumeration of the keys that are no characters

    def Listener(self, on_press: Callable[[Any], None], on_release: Callable[[Any], None]) -> ListenerThread:
        """Make a listener, which calls these in its thread."""


def main(
    host: str = "localhost",
    port: int = 8319,
    token: str | None = None,
    path: str = "",
    *,
    pause_keys: str = PAUSE_KEYS,
    resume_keys: str = RESUME_KEYS,
    save_keys: str = SAVE_KEYS,
    quit_keys: str | None = None,
) -> int:
    """Listen for hot keys until Ctrl-C or `quit_keys`; gives the exit code.

    Keys are written ``alt+shift+p``: modifiers (alt, cmd, ctrl, shift) and one key, a character or a name that pynput
    has for it (``f9``, ``page_up``, ...). The same keys for pause and resume do whichever changes something.
    """
    try:
        client = ControlClient(host, port, token=token, path=path)
        backend = load_backend()
        shortcuts = Shortcuts.parse(
            {"pause": pause_keys, "resume": resume_keys, "save": save_keys, "quit": quit_keys},
            names={name for name in map(name_of, backend.Key) if name is not None},
        )
    except (ImportError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1 if isinstance(error, ImportError) else 2

    async def listen() -> int:
        async with client:
            return await KeyboardControl(client, shortcuts, backend).run()

    try:
        return asyncio.run(listen())
    except KeyboardInterrupt:
        return 0


def load_backend() -> Backend:
    """Import pynput, which looks for a keyboard when it is imported.

    Raises:
        ImportError: it is not installed, or finds no keyboard; the message is one line that says what is missing.
    """
    try:
        from pynput import keyboard
    except ModuleNotFoundError as error:
        if error.name != "pynput":
            raise
        raise ModuleNotFoundError("hot keys need pynput: pip install 'pamiq-async[kbctl]'", name=error.name) from error
    except ImportError as error:
        why = str(error).partition("\n")[0].removeprefix("this platform is not supported: ")
        if sys.platform == "linux":
            display = os.environ.get("DISPLAY")
            why = f"can't reach the X server of DISPLAY={display}: {why}" if display else "DISPLAY is not set"
            why += (
                "; hot keys need a desktop with an X server (or Wayland's Xwayland), in whose session this must run; "
                "without one, take 'pamiq-async console'"
            )
        raise ImportError(f"pynput finds no keyboard: {why}", name=error.name) from error
    backend: Backend = keyboard
    return backend


# --- What keys mean ---------------------------------------------------------------------------------------


@attrs.frozen
class Keys:
    """One key, and the modifiers that are held with it."""

    key: str
    modifiers: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str, names: Iterable[str]) -> Keys:
        """Read ``alt+shift+p``; `names` are those of the keys that are no characters.

        Raises:
            ValueError: it is not written so, or there is no such key.
        """
        *modifiers, key = text.lower().split("+")
        for modifier in modifiers:
            if modifier not in MODIFIERS:
                raise ValueError(f"keys {text!r}: {modifier!r} is no modifier; there are: {', '.join(MODIFIERS)}")
        keys = sorted(set(names) - set(MODIFIERS))
        if key in MODIFIERS or not key:
            raise ValueError(f"keys {text!r}: a key must follow the modifiers, as in 'alt+shift+p'")
        if len(key) > 1 and key not in keys:
            near = difflib.get_close_matches(key, keys, n=1)
            meant = f"did you mean {near[0]!r}?" if near else f"there are characters, and: {', '.join(keys)}"
            raise ValueError(f"keys {text!r}: there is no key {key!r}; {meant}")
        return cls(key, frozenset(modifiers))

    def __str__(self) -> str:
        return "+".join([*sorted(self.modifiers), self.key])


def name_of(key: Any) -> str | None:
    """Make a name of a key of pynput's, the same for left and right and with shift held; None if it has none."""
    name = getattr(key, "name", None)
    if isinstance(name, str):
        return re.sub("_(l|r|gr)$", "", name)
    if getattr(key, "vk", None) in _X_META:
        return "alt"
    char = getattr(key, "char", None)
    return char.lower() if isinstance(char, str) else None


class Shortcuts:
    """Tells which command is meant by the keys that are pressed.

    A key that is held repeats itself; the command is meant once, until one of its keys was released.
    """

    def __init__(self, commands: Mapping[Keys, str]) -> None:
        self.commands = commands
        self._held: set[str] = set()
        self._given: Keys | None = None

    @classmethod
    def parse(cls, texts: Mapping[str, str | None], names: Iterable[str]) -> Shortcuts:
        """Read the keys of each command; None gives it none.

        Raises:
            ValueError: keys can't be read, or mean two commands; "pause" and "resume" of the same keys are "toggle".
        """
        commands: dict[Keys, str] = {}
        for command, text in texts.items():
            if text is None:
                continue
            keys = Keys.parse(text, names)
            other = commands.setdefault(keys, command)
            if {other, command} == {"pause", "resume"}:
                commands[keys] = "toggle"
            elif other != command:
                raise ValueError(f"keys {text!r} can't mean both {other} and {command}")
        return cls(commands)

    def press(self, name: str) -> str | None:
        """Take note of a key; gives the command that it completes, if it does."""
        if name in MODIFIERS:
            self._held.add(name)
            return None
        keys = Keys(name, frozenset(self._held))
        if keys not in self.commands or keys == self._given:
            return None
        self._given = keys
        return self.commands[keys]

    def release(self, name: str) -> None:
        """Take note that a key is no longer pressed."""
        self._held.discard(name)
        if self._given is not None and name in (self._given.key, *self._given.modifiers):
            self._given = None


# --- What they bring about --------------------------------------------------------------------------------


class KeyboardControl:
    """Has commands carried out as their keys are pressed, one after the other."""

    def __init__(
        self,
        client: ControlClient,
        shortcuts: Shortcuts,
        backend: Backend,
        *,
        write: Callable[[str], object] = print,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._shortcuts = shortcuts
        self._backend = backend
        self._write = write
        self._sleep = sleep
        self._under_way: set[str] = set()
        self._turn = asyncio.Lock()
        self._commands = asyncio.TaskGroup()
        self._over = asyncio.Event()
        self._exit_code = 0

    async def run(self) -> int:
        """Listen until the keys for quitting are pressed, or the listener ends; gives the exit code."""
        loop = asyncio.get_running_loop()

        def on_loop(take: Callable[[str], None]) -> Callable[[Any], None]:
            def hand_on(key: Any) -> None:
                if (name := name_of(key)) is not None:
                    # The listener's thread may outlive the loop: it ends with the next key.
                    with contextlib.suppress(RuntimeError):
                        loop.call_soon_threadsafe(take, name)

            return hand_on

        listener = self._backend.Listener(on_press=on_loop(self._press), on_release=on_loop(self._shortcuts.release))
        listener.start()
        keys = ", ".join(f"{keys}: {command}" for keys, command in self._shortcuts.commands.items())
        self._write(f"{keys}; Ctrl-C leaves")
        if os.environ.get("XDG_SESSION_TYPE") == "wayland":
            self._write("under Wayland, only keys that are typed into X11 windows are heard")
        try:
            async with self._commands:
                watching = self._commands.create_task(self._watch(listener))
                await self._over.wait()
                watching.cancel()
        finally:
            if listener.is_alive():  # otherwise stop() may wait for what is no more
                listener.stop()
        return self._exit_code

    async def _watch(self, listener: ListenerThread) -> None:
        while True:
            await self._sleep(LOOK_INTERVAL)
            if not getattr(listener, "IS_TRUSTED", True):
                self._write(
                    "macOS hides the keyboard: allow this terminal in System Settings, Privacy & Security, "
                    "under Accessibility and Input Monitoring, and start again"
                )
            elif not listener.is_alive():
                self._write("the keyboard's listener has ended; pynput said why, if it could")
            else:
                continue
            self._exit_code = 1
            self._over.set()

    def _press(self, name: str) -> None:
        command = self._shortcuts.press(name)
        if command == "quit":
            self._over.set()
        elif command is not None and command not in self._under_way:
            self._under_way.add(command)
            self._commands.create_task(self._carry_out(command))

    async def _carry_out(self, command: str) -> None:
        try:
            async with self._turn:
                self._write(await carry_out(self._client, await self._meant_by(command)))
        except PamiqError as error:
            self._write(f"{command} failed: {printable(str(error))}")
        finally:
            self._under_way.remove(command)

    async def _meant_by(self, command: str) -> str:
        if command != "toggle":
            return command
        standing = (SystemStatus.PAUSING, SystemStatus.PAUSED)
        return "resume" if await self._client.status() in standing else "pause"
