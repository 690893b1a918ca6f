"""What is drawn."""

from __future__ import annotations

import contextlib
import io

import pytest

pytest.importorskip("rich", reason="an extra that is not installed")

from rich.console import Console

from pamiq_async.console.screen import Screen

REPORT = {"status": "active", "steps": 12, "trainings": {"[red]coach": {"count": 3}}}


def console(*, is_terminal: bool) -> tuple[Console, io.StringIO]:
    drawn = io.StringIO()
    colours = "standard" if is_terminal else "auto"
    return Console(file=drawn, force_terminal=is_terminal, width=60, color_system=colours, _environ={}), drawn


def test_a_terminal_shows_the_newest_report_in_the_place_of_the_one_before() -> None:
    terminal, drawn = console(is_terminal=True)

    with Screen("localhost:8319", terminal) as screen:
        screen.show({**REPORT, "steps": 11})
        first = drawn.getvalue()
        screen.show(REPORT)
        second = drawn.getvalue().removeprefix(first)

    assert "\x1b[32mactive" in first
    assert "[red]coach" in first
    assert second.count("\x1b[1A") == 3  # up over a title and three rows, from the last one
    assert "12" in second


def test_the_cursor_is_back_afterwards() -> None:
    terminal, drawn = console(is_terminal=True)

    with contextlib.suppress(KeyboardInterrupt), Screen("localhost:8319", terminal) as screen:
        screen.show(REPORT)
        raise KeyboardInterrupt

    assert drawn.getvalue().index("\x1b[?25l") < drawn.getvalue().index("\x1b[?25h")


def test_a_pipe_gets_plain_lines_one_report_below_the_other() -> None:
    pipe, drawn = console(is_terminal=False)

    with Screen("localhost:8319", pipe) as screen:
        screen.show({**REPORT, "words": "long " * 20})
        screen.show({"status": "offline"})

    assert drawn.getvalue().splitlines() == [
        "localhost:8319",
        "status               active",
        "steps                12",
        "training [red]coach  count 3",
        "words                " + " ".join(["long"] * 20),
        "",
        "localhost:8319",
        "status  offline",
    ]


def test_a_terminal_that_can_only_append_gets_plain_lines_as_well() -> None:
    drawn = io.StringIO()
    terminal = Console(file=drawn, force_terminal=True, width=60, _environ={"TERM": "dumb"})

    with Screen("localhost:8319", terminal) as screen:
        screen.show({"status": "active"})

    assert drawn.getvalue() == "localhost:8319\nstatus  active\n"
