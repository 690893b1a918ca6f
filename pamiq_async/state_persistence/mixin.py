"""What a component with a state offers."""

from __future__ import annotations

import pickle
from collections.abc import Awaitable
from pathlib import Path
from typing import Any


class PersistentStateMixin:
    """Saves to, and loads from, a path below a state's directory.

    The path is the component's own: it may write one file there (with any suffix) or make a directory of it. Nothing
    is created for it beforehand. What `load_state` finds is what `save_state` wrote; a component that has nothing to
    save writes nothing.

    In a system both are called while it stands still, and so does its time: a sleep in system time would never end.
    """

    def save_state(self, path: Path) -> Awaitable[None] | None:
        """Write the component's state to `path`."""

    def load_state(self, path: Path) -> Awaitable[None] | None:
        """Read what `save_state` wrote to `path`."""


def check_name(name: object, kind: str) -> str:
    """Return `name` if it can be a component's name, which is also the name of its file in a state.

    Raises:
        TypeError: it is not a str.
        ValueError: it can't be a file name.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a {kind} is {name!r}; it must be a str")
    size = len(name.encode(errors="replace"))
    if not 0 < size <= 200 or name.startswith(".") or any(c in "/\\\0" or "\ud800" <= c <= "\udfff" for c in name):
        raise ValueError(
            f"the name of a {kind} is {name!r}; it names a file in saved states, so it must not be empty, "
            f"start with a dot, contain a slash or what UTF-8 can't hold, or be longer than 200 bytes"
        )
    return name


def save_pickle(obj: Any, path: Path | str) -> None:
    """Pickle `obj` to `path`, for components of your own; prefer a format that is data, such as JSON."""
    Path(path).write_bytes(pickle.dumps(obj))


def load_pickle(path: Path | str) -> Any:
    """Unpickle `path`. This runs whatever code the file asks for: only load files that you trust."""
    return pickle.loads(Path(path).read_bytes())
