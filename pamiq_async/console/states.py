"""Looking through a directory of saved states."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs

from ..exceptions import InvalidState, StateNotFound
from ..state_persistence import Manifest, read_manifest, verify
from ..state_persistence.manifest import MANIFEST
from .text import duration, printable, size


@attrs.frozen
class FoundState:
    """A state in a directory.

    Attributes:
        name: of its directory.
        manifest: None if it can't be read.
        verifies: whether every file is as the manifest says; None if that was not looked at.
        error: why it does not.
    """

    name: str
    manifest: Manifest | None
    verifies: bool | None
    error: str | None = None

    @property
    def size(self) -> int | None:
        """Of its files, in bytes, as the manifest tells."""
        return None if self.manifest is None else sum(entry.size for entry in self.manifest.files.values())


def find_states(states_dir: Path, *, verifies: bool = True) -> list[FoundState]:
    """The states in a directory, damaged ones first, then by sequence.

    Args:
        states_dir: where they are.
        verifies: whether to read every file; otherwise only manifests are.

    Raises:
        OSError: the directory can't be read.
    """
    # Such names as `list_states` takes for states, but those whose manifest is damaged are wanted, too.
    paths = [p for p in states_dir.iterdir() if not p.name.startswith(".") and p.is_dir() and not p.is_symlink()]
    found = [_look_at(path, verifies) for path in paths if os.path.lexists(path / MANIFEST)]
    return sorted(
        (state for state in found if state is not None),
        key=lambda state: (-1 if state.manifest is None else state.manifest.sequence, state.name),
    )


def as_json(states: Iterable[FoundState], now: float | None = None) -> list[dict[str, Any]]:
    """Plain data: sizes in bytes, ages in seconds, times in seconds since 1970, null for what is not known."""
    now = time.time() if now is None else now
    return [
        {
            "name": state.name,
            "sequence": state.manifest and state.manifest.sequence,
            "reason": state.manifest and state.manifest.reason,
            "saved_at": state.manifest and state.manifest.wall_time,
            "age": state.manifest and now - state.manifest.wall_time,
            "size": state.size,
            "verifies": state.verifies,
            "error": state.error,
        }
        for state in states
    ]


def as_table(states: Iterable[FoundState], now: float | None = None) -> str:
    """Lines for people, with a heading; reasons of damage stand below."""
    now = time.time() if now is None else now
    states = list(states)
    rows = [("SEQUENCE", "SAVED AT", "AGE", "SIZE", "REASON", "VERIFIES", "NAME"), *(_row(s, now) for s in states)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
    return "\n".join(lines + [printable(state.error) for state in states if state.error is not None])


def _look_at(path: Path, verifies: bool) -> FoundState | None:
    """What a state is like; None if it was removed meanwhile."""
    manifest = None
    try:
        manifest = read_manifest(path)
        if verifies:
            verify(path)
    except (InvalidState, StateNotFound) as error:
        if not path.exists():
            return None
        return FoundState(path.name, manifest, verifies=False, error=str(error))
    return FoundState(path.name, manifest, verifies=True if verifies else None)


def _row(state: FoundState, now: float) -> Sequence[str]:
    verifies = {True: "yes", False: "NO", None: "–"}[state.verifies]
    if state.manifest is None:
        return "–", "–", "–", "–", "–", verifies, printable(state.name)
    saved_at = state.manifest.wall_time
    return (
        str(state.manifest.sequence),
        datetime.fromtimestamp(saved_at).strftime("%Y-%m-%d %H:%M:%S"),
        duration(now - saved_at),
        size(state.size or 0),
        printable(state.manifest.reason),
        verifies,
        printable(state.name),
    )


def _aligned(row: Sequence[str], widths: Sequence[int]) -> Iterable[str]:
    """Numbers to the right, words to the left."""
    for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
        yield cell.rjust(width) if column in (0, 2, 3) else cell.ljust(width)
