from __future__ import annotations

from pathlib import Path

import pytest

from pamiq_async.state_persistence import PersistentStateMixin, StateStore


class Note(PersistentStateMixin):
    """Saves one line of text."""

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.loads = 0

    def save_state(self, path: Path) -> None:
        path.mkdir()
        (path / "note.txt").write_text(self.text)

    def load_state(self, path: Path) -> None:
        self.text = (path / "note.txt").read_text()
        self.loads += 1


@pytest.fixture
def note() -> Note:
    return Note("remember")


@pytest.fixture
def store(tmp_path: Path, note: Note) -> StateStore:
    """A store that saves one note, whose directory is not there yet."""
    store = StateStore(tmp_path / "states")
    store.register("note", note)
    return store
