from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum
from types import ModuleType
from typing import Any

import pytest

from pamiq_async import SystemStatus
from pamiq_async.console import keyboard
from pamiq_async.console.keyboard import KeyboardControl, Keys, Shortcuts, name_of
from pamiq_async.exceptions import ServerUnreachable

NAMES = ("alt", "shift", "f9", "page_up")


class Char:
    """A key with a character, as pynput's KeyCode."""

    def __init__(self, char: str | None, vk: int | None = None) -> None:
        self.char, self.vk = char, vk


class Key(Enum):
    """Keys without one, as in pynput."""

    alt = "alt"
    alt_r = "alt_r"
    alt_gr = "alt_gr"
    shift = "shift"
    f9 = "f9"
    page_up = "page_up"


META = Char(None, vk=0xFFE7)  # alt, pressed while shift is held, under X


# --- Keys -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("alt+shift+p", Keys("p", frozenset({"alt", "shift"}))),
        ("SHIFT+Alt+P", Keys("p", frozenset({"alt", "shift"}))),
        ("f9", Keys("f9")),
        ("alt+page_up", Keys("page_up", frozenset({"alt"}))),
        ("alt+shift+∏", Keys("∏", frozenset({"alt", "shift"}))),
    ],
)
def test_keys_are_read(text: str, keys: Keys) -> None:
    assert Keys.parse(text, NAMES) == keys


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("alr+p", "'alr' is no modifier; there are: alt, cmd, ctrl, shift"),
        ("p+s", "'p' is no modifier"),
        ("alt+shift", "a key must follow the modifiers"),
        ("alt+", "a key must follow the modifiers"),
        ("", "a key must follow the modifiers"),
        ("alt+pageup", "there is no key 'pageup'; did you mean 'page_up'?"),
        ("alt+zzz", "there is no key 'zzz'; there are characters, and: f9, page_up"),
    ],
)
def test_keys_that_there_are_not_are_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        Keys.parse(text, NAMES)

    assert f"keys {text!r}: {why}" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (Char("p"), "p"),
        (Char("P"), "p"),
        (Key.alt_r, "alt"),
        (Key.alt_gr, "alt"),
        (META, "alt"),
        (Key.page_up, "page_up"),
        (Char(None, vk=1), None),
        (None, None),
    ],
)
def test_a_key_has_one_name_left_and_right_and_shifted(key: object, name: str | None) -> None:
    assert name_of(key) == name


# --- Shortcuts --------------------------------------------------------------------------------------------


def shortcuts(**keys: str | None) -> Shortcuts:
    return Shortcuts.parse(keys, NAMES)


def given(shortcuts: Shortcuts, *events: str) -> list[str]:
    """What is meant by keys that are pressed ("+p") and released ("-p")."""
    commands = []
    for event in events:
        if event[0] == "+":
            commands.append(shortcuts.press(event[1:]))
        else:
            shortcuts.release(event[1:])
    return [command for command in commands if command is not None]


@pytest.mark.parametrize("modifiers", [("+alt", "+shift"), ("+shift", "+alt")])
def test_modifiers_may_be_pressed_in_any_order(modifiers: tuple[str, str]) -> None:
    assert given(shortcuts(pause="alt+shift+p"), *modifiers, "+p") == ["pause"]


@pytest.mark.parametrize(
    "events",
    [
        ("+p",),
        ("+shift", "+p"),
        ("+alt", "+shift", "+cmd", "+p"),
        ("+alt", "+shift", "+s"),
        ("+alt", "-alt", "+shift", "+p"),
        ("+p", "+alt", "+shift"),
    ],
)
def test_other_keys_mean_nothing(events: tuple[str, ...]) -> None:
    assert given(shortcuts(pause="alt+shift+p"), *events) == []


def test_a_held_key_means_its_command_once() -> None:
    assert given(shortcuts(save="alt+s"), "+alt", "+s", "+s", "+s") == ["save"]


@pytest.mark.parametrize("again", [("-s", "+s"), ("-alt", "+alt", "+s")])
def test_a_key_that_was_released_means_its_command_again(again: tuple[str, ...]) -> None:
    assert given(shortcuts(save="alt+s"), "+alt", "+s", *again) == ["save", "save"]


def test_modifiers_may_be_held_for_several_commands() -> None:
    keys = shortcuts(pause="alt+p", resume="alt+r")

    assert given(keys, "+alt", "+p", "-p", "+r", "-r", "+p") == ["pause", "resume", "pause"]


def test_a_command_may_have_no_keys() -> None:
    assert list(shortcuts(pause="alt+p", quit=None).commands.values()) == ["pause"]


def test_same_keys_for_pause_and_resume_toggle() -> None:
    assert given(shortcuts(pause="alt+p", resume="alt+P"), "+alt", "+p") == ["toggle"]


def test_same_keys_for_other_commands_are_refused() -> None:
    with pytest.raises(ValueError, match=r"keys 'alt\+p' can't mean both pause and save"):
        shortcuts(pause="alt+p", save="alt+p")


# --- Control ----------------------------------------------------------------------------------------------


class FakeClient:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.phase = SystemStatus.ACTIVE
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def status(self) -> SystemStatus:
        return self.phase

    async def pause(self) -> None:
        self.calls.append("pause")
        self.phase = SystemStatus.PAUSED

    async def resume(self) -> None:
        self.calls.append("resume")
        self.phase = SystemStatus.ACTIVE

    async def save_state(self) -> str:
        self.calls.append("save")
        await self.go_on.wait()
        return "then.state"


class FakeListener:
    def __init__(self, on_press: Callable[[Any], None], on_release: Callable[[Any], None]) -> None:
        self.on_press, self.on_release = on_press, on_release
        self.listens = False

    def start(self) -> None:
        self.listens = True

    def stop(self) -> None:
        assert self.listens, "a listener of pynput's that has ended may never return from stop()"
        self.listens = False

    def is_alive(self) -> bool:
        return self.listens


class Desk:
    """A keyboard, the system that it steers, and what is printed."""

    Key = Key

    def __init__(self, **keys: str | None) -> None:
        self.client = FakeClient()
        self.lines: list[str] = []
        self.looks: asyncio.Queue[None] = asyncio.Queue()
        self.control = KeyboardControl(
            self.client,  # type: ignore[arg-type]
            shortcuts(**keys),
            self,
            write=self.lines.append,
            sleep=lambda seconds: self.looks.get(),
        )

    def Listener(self, on_press: Callable[[Any], None], on_release: Callable[[Any], None]) -> FakeListener:
        self.listener = FakeListener(on_press, on_release)
        return self.listener

    async def strike(self, *keys: object) -> None:
        """Press keys and release them, in a thread as pynput does."""

        def strike() -> None:
            for key in keys:
                self.listener.on_press(key)
            for key in reversed(keys):
                self.listener.on_release(key)

        await asyncio.to_thread(strike)

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await asyncio.sleep(0)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[asyncio.Task[int]]:
        # In debug mode a loop takes nothing from other threads but by call_soon_threadsafe().
        asyncio.get_running_loop().set_debug(True)
        running = asyncio.create_task(self.control.run())
        await self.until(lambda: bool(self.lines))
        yield running
        await self.strike(Key.f9)
        await running


async def test_keys_have_their_commands_carried_out() -> None:
    desk = Desk(pause="alt+shift+p", resume="alt+r", save="alt+s", quit="f9")

    async with desk.listening():
        await desk.strike(Key.shift, META, Char("P"))
        await desk.strike(Key.alt, Char("r"))
        await desk.strike(Key.alt_r, Char("s"))

    assert desk.lines == [
        "alt+shift+p: pause, alt+r: resume, alt+s: save, f9: quit; Ctrl-C leaves",
        "paused",
        "resumed",
        "saved then.state",
    ]


async def test_keys_for_quitting_end_it_in_order() -> None:
    desk = Desk(quit="f9")

    async with desk.listening() as running:
        await desk.strike(Key.f9)

        assert await running == 0
        assert not desk.listener.is_alive()


async def test_one_pair_of_keys_pauses_and_resumes() -> None:
    desk = Desk(pause="alt+p", resume="alt+p", quit="f9")

    async with desk.listening():
        await desk.strike(Key.alt, Char("p"))
        await desk.until(lambda: "paused" in desk.lines)
        await desk.strike(Key.alt, Char("p"))
        await desk.until(lambda: "resumed" in desk.lines)


async def test_a_command_that_is_under_way_is_not_given_again() -> None:
    desk = Desk(save="alt+s", pause="alt+p", quit="f9")
    desk.client.go_on.clear()

    async with desk.listening():
        await desk.strike(Key.alt, Char("s"))
        await desk.strike(Key.alt, Char("s"))
        desk.client.go_on.set()

    assert desk.client.calls == ["save"]


async def test_commands_take_turns() -> None:
    desk = Desk(save="alt+s", pause="alt+p", quit="f9")
    desk.client.go_on.clear()

    async with desk.listening():
        await desk.strike(Key.alt, Char("s"))
        await desk.strike(Key.alt, Char("p"))
        assert desk.client.calls == ["save"]
        desk.client.go_on.set()

    assert desk.client.calls == ["save", "pause"]


async def test_a_command_that_fails_says_why_and_listening_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(pause="alt+p", save="alt+s", quit="f9")

    async def fail() -> None:
        raise ServerUnreachable("nobody answers")

    monkeypatch.setattr(desk.client, "pause", fail)
    async with desk.listening():
        await desk.strike(Key.alt, Char("p"))
        await desk.strike(Key.alt, Char("s"))

    assert desk.lines[1:] == ["pause failed: nobody answers", "saved then.state"]


async def test_a_listener_that_ends_ends_the_control() -> None:
    desk = Desk()

    running = asyncio.create_task(desk.control.run())
    await desk.until(lambda: bool(desk.lines))
    desk.listener.listens = False
    desk.looks.put_nowait(None)

    assert await running == 1
    assert "listener has ended" in desk.lines[-1]


async def test_a_mac_that_hides_the_keyboard_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeListener, "IS_TRUSTED", False, raising=False)
    desk = Desk()
    desk.looks.put_nowait(None)

    assert await desk.control.run() == 1
    assert "Input Monitoring" in desk.lines[-1]


async def test_wayland_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_SESSION_TYPE", "wayland")
    desk = Desk(quit="f9")

    async with desk.listening():
        pass

    assert "under Wayland" in desk.lines[1]


def test_a_key_after_the_loop_has_closed_is_let_go() -> None:
    desk = Desk(quit="f9")

    async def use() -> None:
        async with desk.listening():
            pass

    asyncio.run(use())
    desk.listener.on_press(Char("p"))


# --- The command line -------------------------------------------------------------------------------------


def pynput(backend: object) -> ModuleType:
    module = ModuleType("pynput")
    module.keyboard = backend  # type: ignore[attr-defined]
    return module


def test_without_the_extra_one_line_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pynput", None)

    assert keyboard.main() == 1
    assert capsys.readouterr().err == "hot keys need pynput: pip install 'pamiq-async[kbctl]'\n"


@pytest.mark.parametrize(
    ("platform", "display", "said"),
    [
        ("linux", "", "pynput finds no keyboard: DISPLAY is not set; hot keys need a desktop with an X server"),
        ("linux", ":7", "can't reach the X server of DISPLAY=:7: nobody answers; hot keys need"),
        ("darwin", "", "pynput finds no keyboard: nobody answers\n"),
    ],
)
def test_a_machine_without_a_keyboard_is_explained_in_one_line(
    platform: str, display: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Headless(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise (
                ImportError("this platform is not supported: nobody answers\n\nTry one of these:")
                if name == "keyboard"
                else (AttributeError(name))
            )

    monkeypatch.setitem(sys.modules, "pynput", Headless("pynput"))
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("DISPLAY", display)

    assert keyboard.main() == 1
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1


def test_keys_of_no_use_are_a_usage_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "pynput", pynput(Desk()))

    assert keyboard.main(save_keys="alt+shift+p") == 2
    assert "can't mean both pause and save" in capsys.readouterr().err
