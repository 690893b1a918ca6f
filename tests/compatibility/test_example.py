"""The worked example of the migration guide."""

from __future__ import annotations

import difflib

import pytest

from tests.compatibility import example


def test_the_project_runs_after_the_change_that_the_guide_shows(capsys: pytest.CaptureFixture[str]) -> None:
    example.run(example.after())

    degrees, _, rest = capsys.readouterr().out.partition(" degrees after ")
    assert 15 < int(degrees) < 25, "it has learnt to hold 20 degrees"
    assert int(rest.split()[0]) > 5


def test_imports_and_the_start_are_all_that_changes() -> None:
    lines = difflib.ndiff(example.before().splitlines(), example.after().splitlines())
    changed = [line[2:] for line in lines if line.startswith("-")]
    assert all(line.startswith(("from pamiq_core", "launch(", "    buffers=")) for line in changed), changed
    assert "pamiq_core" not in example.after()


def test_the_project_runs_on_the_other_package(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pamiq_core", reason="needs pamiq-core")
    example.run(example.before())
    assert "degrees after" in capsys.readouterr().out
