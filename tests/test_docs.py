"""The Python code of the README and the docs runs as it is printed."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from types import CodeType, ModuleType
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("README.md"), *sorted((ROOT / "docs").rglob("*.md"))]

FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>```+)(?P<info>[^`\n]*)$")
SECONDS_PER_PAGE = 60


# Pages about an extra that a development environment need not have.
NEEDS = {"pytorch.md": "torch"}


class Block(NamedTuple):
    line: int
    source: str
    runs: bool
    reason: str


@pytest.mark.timeout(SECONDS_PER_PAGE)
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if "```python" in page.read_text()],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_code_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if page.name in NEEDS:
        pytest.importorskip(NEEDS[page.name], reason="an extra that is not installed")
    monkeypatch.chdir(tmp_path)
    run_page(page, monkeypatch)


def run_page(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A reader would type the page into one session: blocks share a namespace and, where they use
    # `await` outside of a function, an event loop.
    session = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", session)
    with asyncio.Runner() as runner:
        for block in python_blocks(page.read_text()):
            if not block.runs:
                assert block.reason, f"{page}:{block.line}: say why in an HTML comment just above"
                continue
            result = eval(compiled(block, page), session.__dict__)
            if inspect.iscoroutine(result):
                runner.run(result)


def compiled(block: Block, page: Path) -> CodeType:
    # Line numbers in a traceback are those of the page.
    source = "\n" * block.line + block.source
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return compile(source, str(page), "exec", flags=flags, dont_inherit=True)


def python_blocks(text: str) -> Iterator[Block]:
    """Yields the fenced blocks whose info string starts with `python`, of any indentation."""
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        opening = FENCE.match(lines[number])
        number += 1
        if opening is None:
            continue
        start = number
        while number < len(lines) and lines[number].strip() != opening["ticks"]:
            number += 1
        language, *attributes = opening["info"].split() or [""]
        if language == "python":
            source = dedent("\n".join(lines[start:number]))
            above = lines[start - 2].strip() if start >= 2 else ""
            reason = above.removeprefix("<!--").removesuffix("-->").strip()
            is_comment = above.startswith("<!--") and above.endswith("-->")
            yield Block(start, source, "notest" not in attributes, reason if is_comment else "")
        number += 1


# --- The runner itself ----------------------------------------------------------------------------


def run_text(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(dedent(text))
    run_page(page, monkeypatch)


def test_blocks_of_a_page_share_names_and_a_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = """
        ```python
        import asyncio
        queue = asyncio.Queue()
        waiting = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        ```

        A list:

        - ```python
          await queue.put(1)
          assert await waiting == 1
          ```
    """
    run_text(page, tmp_path, monkeypatch)


def test_a_block_without_await_runs_outside_of_a_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = """
        ```python title="main.py"
        import asyncio

        async def main(): ...

        if __name__ == "__main__":
            asyncio.run(main())
            ran = True
        ```

        ```python
        assert ran
        ```
    """
    run_text(page, tmp_path, monkeypatch)


def test_an_error_points_at_the_line_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run_text("\n\n```python\n1 + 1\n1 / 0\n```\n", tmp_path, monkeypatch)

    assert caught.traceback[-1].lineno + 1 == 5


def test_a_block_that_does_not_run_needs_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skipped = "```python notest\n1 / 0\n```\n"

    run_text(f"<!-- needs a robot -->\n{skipped}", tmp_path, monkeypatch)
    with pytest.raises(AssertionError, match=r"page\.md:1: say why"):
        run_text(skipped, tmp_path, monkeypatch)


def test_other_blocks_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = """
        ```console
        $ python
        ```

        ````markdown
        ```python
        1 / 0
        ```
        ````

        ```pycon
        >>> 1 / 0
        ```
    """
    run_text(page, tmp_path, monkeypatch)
