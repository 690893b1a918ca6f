"""Stands between the code under test and the file system: each operation below a directory goes through a handler.

What Python code does with files ends in functions of `os`, except for `open`, whose files call the system from C. Their
place is taken by the standard library's implementation of the same in Python, `_pyio`, which uses `os`.
"""

from __future__ import annotations

import _pyio
import builtins
import contextlib
import functools
import io
import os
import posix
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

CHANGES = ("mkdir", "rename", "unlink", "rmdir", "write", "ftruncate")
OTHERS = ("open", "close", "fsync", "read", "stat", "lstat", "fstat", "scandir", "listdir", "readlink")
# To be taken in when something uses them; until then a use is an error.
UNUSED = ("fdatasync", "link", "pwrite", "remove", "replace", "symlink", "truncate", "writev")

PACKAGE = "/pamiq_async/"

# The functions themselves, with nothing in between.
_readlink, _lseek, _write = posix.readlink, posix.lseek, posix.write


class Operation(NamedTuple):
    """A call of a function of `os`.

    Attributes:
        kind: the function's name.
        path: what it is about.
        args: its other arguments.
        descriptor: if it was given one in place of a path.
        offset: of a write.
        lines: of the package's code that led to it, as (file name, line number).
    """

    kind: str
    path: Path
    args: tuple[Any, ...] = ()
    descriptor: int = -1
    offset: int = 0
    lines: tuple[tuple[str, int], ...] = ()

    @property
    def changes_something(self) -> bool:
        return self.kind in CHANGES or (self.kind == "open" and bool(self.args[0] & os.O_CREAT))

    def write_half(self) -> None:
        """Of a write: do the first half of it."""
        _write(self.descriptor, self.args[0][: len(self.args[0]) // 2])


Perform = Callable[[], Any]
Handler = Callable[[Operation, Perform], Any]
"""Is called in place of the operation, and has to perform it, or not."""


@contextlib.contextmanager
def intercepted(root: Path, handler: Handler) -> Iterator[None]:
    """Have `handler` called for every operation on what is below `root`, of whatever thread."""
    with contextlib.ExitStack() as undo:

        def put(module: Any, name: str, function: Any) -> None:
            undo.callback(setattr, module, name, getattr(module, name))
            setattr(module, name, function)

        below = f"{root}/"
        for kind in (*CHANGES, *OTHERS):
            put(os, kind, _through(handler, kind, below))
        for kind in UNUSED:
            put(os, kind, _through(_refuse, kind, below))
        for module in (builtins, io):
            put(module, "open", _opening(module.open, below))
        yield


def _through(handler: Handler, kind: str, below: str) -> Callable[..., Any]:
    function = getattr(os, kind)

    @functools.wraps(function)
    def call(target: Any = ".", *args: Any, **kwargs: Any) -> Any:
        path = _locate(target, kwargs.get("dir_fd"))
        if not f"{path}/".startswith(below):
            return function(target, *args, **kwargs)
        descriptor = target if isinstance(target, int) else -1
        offset = 0
        if kind == "write":
            offset = _lseek(descriptor, 0, os.SEEK_CUR)
            args = (bytes(args[0]),)  # of a buffer that is used again
        operation = Operation(kind, Path(path), args, descriptor, offset, _lines() if kind == "fsync" else ())
        return handler(operation, lambda: function(target, *args, **kwargs))

    return call


def _opening(function: Callable[..., Any], below: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def opened(file: Any, *args: Any, **kwargs: Any) -> Any:
        if not f"{_locate(file, None)}/".startswith(below):
            return function(file, *args, **kwargs)
        return _pyio.open(file, *args, **kwargs)

    return opened


def _locate(target: Any, directory: int | None) -> str:
    """The absolute path of what an operation is about; nothing if its descriptor is of no file."""
    try:
        if isinstance(target, int):
            return _readlink(f"/proc/self/fd/{target}")
        path = os.fsdecode(target)
        if not os.path.isabs(path):
            path = os.path.join(os.getcwd() if directory is None else _readlink(f"/proc/self/fd/{directory}"), path)
        return os.path.normpath(path)
    except OSError:
        return ""


def _lines() -> tuple[tuple[str, int], ...]:
    lines = []
    frame = sys._getframe()
    while (caller := frame.f_back) is not None:
        frame = caller
        if PACKAGE in frame.f_code.co_filename:
            lines.append((frame.f_code.co_filename, frame.f_lineno))
    return tuple(lines)


def _refuse(operation: Operation, perform: Perform) -> Any:
    raise AssertionError(f"os.{operation.kind} is used; add it to {__name__} and to the model of a disk")
