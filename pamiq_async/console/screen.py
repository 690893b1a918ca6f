"""A report drawn again and again in one place of the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .text import as_rows, in_columns

_COLOURS = {
    "active": "green",
    "pausing": "yellow",
    "paused": "yellow",
    "resuming": "yellow",
    "shutting down": "red",
    "ended": "red",
    "offline": "red",
    "no answer": "yellow",
}


class Screen:
    """Where reports are shown, in ``with``. What is no terminal gets plain lines, one report below the other."""

    def __init__(self, title: str, console: Console | None = None) -> None:
        self._title = title
        self._console = Console() if console is None else console
        self._live = Live(console=self._console, auto_refresh=False)
        self._plain_reports = 0

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, report: Mapping[str, Any]) -> None:
        """Draw a report in the place of the one before."""
        if self._live.is_started:
            self._live.update(self._drawn(report), refresh=True)
            return
        if self._plain_reports:
            print(file=self._console.file)
        self._plain_reports += 1
        # Not by rich, which fills lines up to 80 columns and wraps what is longer.
        print(self._title, in_columns(as_rows(report)), sep="\n", file=self._console.file, flush=True)

    def _drawn(self, report: Mapping[str, Any]) -> Table:
        table = Table(title=Text(self._title, style="bold"), title_justify="left", box=None, show_header=False)
        for name, value in as_rows(report):
            style = _COLOURS.get(value, "") if name == "status" else ""
            table.add_row(Text(name, style="dim"), Text(value, style=style))
        return table
