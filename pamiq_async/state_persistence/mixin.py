"""What a component with a state offers."""

from __future__ import annotations

import pickle
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from ..hooks import Kind, kind_of
from ..roles import current_role


class PersistentStateMixin:
    """Saves to, and loads from, a path below a state's directory.

    The path is the component's own: it may write one file there (with any suffix) or make a directory of it. Nothing
    is created for it beforehand. What `load_state` finds is what `save_state` wrote; a component that has nothing to
    save writes nothing.

    In a system both are called while it stands still, and so does its time: a sleep in system time would never end.
    What takes long need not keep it standing: see `write_later`.
    """

    def save_state(self, path: Path) -> Awaitable[None] | None:
        """Write the component's state to `path`, or take it and hand the writing to `write_later`."""

    def load_state(self, path: Path) -> Awaitable[None] | None:
        """Read what `save_state` wrote to `path`."""


def write_later(write: Callable[[], object]) -> None:
    """From `save_state`: have `write` called while the agent acts again, instead of having it wait for a disk.

    ``write_later(lambda: np.save(path, self.weights))``. It runs on another thread as soon as acting has gone on, and
    training goes on once it has returned. So it may refer to what training alone changes; of what acting changes too,
    `save_state` takes a copy. An error in it makes the save fail. Outside of a system `write` is called at once.

    Raises:
        TypeError: `write` is no plain function without arguments.
    """
    if not callable(write) or kind_of(write) is Kind.LOOP:
        raise TypeError(f"write_later() was given {write!r}; it must be a plain def function without arguments")
    role = current_role()
    if role is None or role.writes is None:
        write()
    else:
        role.writes.append(write)


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
