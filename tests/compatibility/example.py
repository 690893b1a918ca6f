"""The project in the migration guide, before and after: taken from the page, so that it is what readers see.

Run it on pamiq-core, in an environment like the one that `compare.py` describes:

    /tmp/compare/bin/python -m tests.compatibility.example
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from types import ModuleType

from tests.compatibility.compare import GUIDE


def before() -> str:
    return block(r"```python notest title=\"thermostat\.py\"\n")


def after() -> str:
    """The project before, with the changes that the page shows."""
    source = before()
    for hunk in re.split(r"^@@.*\n", block("```diff\n"), flags=re.MULTILINE):
        old, new = side(hunk, "-"), side(hunk, "+")
        if source.count(old) != 1 and hunk:
            raise ValueError(f"the page changes what is not in the project, or is there twice:\n{old}")
        source = source.replace(old, new, 1)
    return source


def side(hunk: str, sign: str) -> str:
    return "".join(line[1:] for line in hunk.splitlines(keepends=True) if line[0] in (" ", sign))


def block(opening: str) -> str:
    found = re.search(rf"^{opening}(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    if found is None:
        raise LookupError(f"{GUIDE} has no block that begins with {opening!r}")
    return found[1]


def run(source: str) -> None:
    """Run it as a script would be, in a directory of its own."""
    with tempfile.TemporaryDirectory() as directory, contextlib.chdir(directory):
        exec(compile(source, "thermostat.py", "exec"), ModuleType("__main__").__dict__)


if __name__ == "__main__":
    run(before())
