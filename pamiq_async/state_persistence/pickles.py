"""Pickled files of a state: which they are, and what they would import."""

from __future__ import annotations

import pickletools
from collections.abc import Iterable
from pathlib import Path

from ..exceptions import PickleRefused
from .manifest import open_regular

PICKLE_SUFFIX = ".pickle"

_BYTES_READ = 64 * 1024  # some of its first items say what a buffer holds
_NAMES_SHOWN = 5


def refuse_pickles(state: Path, names: Iterable[str]) -> None:
    """Check that none of a state's files is a pickle; none is unpickled for that.

    Raises:
        PickleRefused: some are; the message says which, and what they import.
    """
    pickled = [name for name in names if name.casefold().endswith(PICKLE_SUFFIX)]
    if pickled:
        described = ", ".join(f"{name} ({_describe(state / name)})" for name in pickled[:_NAMES_SHOWN])
        more = f" and {len(pickled) - _NAMES_SHOWN} more" if len(pickled) > _NAMES_SHOWN else ""
        raise PickleRefused(
            f"{state} holds pickled objects: {described}{more}. Unpickling runs whatever code a file asks for; if you "
            f"trust where it comes from, set LaunchConfig.allow_pickle=True"
        )


def _describe(path: Path) -> str:
    imports = [name for name in imported_by(path) if name.isprintable()]
    return f"imports {', '.join(imports[:_NAMES_SHOWN])}" if imports else "imports nothing at its beginning"


def imported_by(path: Path) -> list[str]:
    """What a pickle imports near its beginning, without unpickling it; whoever made it may have hidden something."""
    with open_regular(path) as file:
        content = file.read(_BYTES_READ)
    imports: dict[str, None] = {}
    texts: list[object] = [None, None]  # the last that were pushed
    memo: dict[int, object] = {}
    pushed: object = None
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name in ("GLOBAL", "INST"):
                imports[str(argument).replace(" ", ".")] = None
            elif opcode.name == "STACK_GLOBAL":
                imports[f"{texts[-2]}.{texts[-1]}"] = None
            if opcode.name == "MEMOIZE":
                memo[len(memo)] = pushed
            elif opcode.name.endswith("PUT"):
                memo[int(argument or 0)] = pushed
            else:
                pushed = memo.get(int(argument or 0)) if opcode.name.endswith("GET") else argument
                if isinstance(pushed, str):
                    texts = [texts[-1], pushed]
    except ValueError:  # it ends here, or is none
        pass
    return list(imports)
