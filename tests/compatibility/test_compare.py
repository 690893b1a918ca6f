"""The page that compares pamiq_async with pamiq-core says what is so. Only our half is asked here."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.compatibility.compare import (
    GUIDE,
    PAGE,
    PROBES,
    RECORDED,
    asked_names,
    is_fault,
    page,
    reason_for_absence,
    verdict_of,
    verdict_of_name,
)
from tests.compatibility.differences import NOT_HERE, SIGNATURES
from tests.compatibility.names import accepts_the_same_calls, lookup, parameters
from tests.compatibility.probing import OURS, Probe, answer, load


@pytest.fixture(scope="module")
def recorded() -> Any:
    return json.loads(RECORDED.read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def _no_logs() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.key)
def test_we_answer_as_recorded(probe: Probe, recorded: Any) -> None:
    result = answer(probe, load(OURS))
    if result is None:
        pytest.skip(f"needs {probe.needs}, which is not installed")
    assert result == recorded[OURS][probe.key]


def test_answers_differ_where_they_are_meant_to_and_nowhere_else(recorded: Any) -> None:
    assert [probe.key for probe in PROBES if is_fault(verdict_of(probe, recorded))] == []


def test_names_that_are_not_here_and_their_reasons_agree(recorded: Any) -> None:
    assert [name for name in recorded["names"] if is_fault(verdict_of_name(name, recorded))] == []


def test_every_name_that_is_here_is_asked_about(recorded: Any) -> None:
    here = [name for name, entry in recorded["names"].items() if "ours" in entry]
    assert [name for name in here if name not in asked_names()] == []


def test_names_recorded_as_here_are_here_and_take_the_same_arguments(recorded: Any) -> None:
    root = load(OURS)
    for name, entry in recorded["names"].items():
        if "ours" not in entry or name.partition(".")[0] in ("gym", "torch"):
            continue
        found = parameters(lookup(root, name))
        assert accepts_the_same_calls(entry["theirs"], found) or name in SIGNATURES, name


def test_the_guide_tells_of_every_difference() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    quotes = {probe.guide for probe in PROBES if probe.differs}
    quotes |= {quote for _, quote in [*NOT_HERE.values(), *SIGNATURES.values()]}
    assert sorted(quote for quote in quotes if not quote or quote not in guide) == []


def test_no_reason_is_left_over(recorded: Any) -> None:
    absent = [name for name, entry in recorded["names"].items() if "ours" not in entry]
    used = [reason_for_absence(name) for name in absent]
    assert [name for name, reason in NOT_HERE.items() if reason not in used] == []
    assert [name for name in SIGNATURES if name not in recorded["names"]] == []


def test_the_page_shows_what_is_recorded(recorded: Any) -> None:
    assert PAGE.read_text(encoding="utf-8") == page(recorded), "run: python -m tests.compatibility.compare"


@pytest.mark.parametrize(
    ("theirs", "ours", "fits"),
    [
        (["a", "b=1"], ["a", "b=1"], True),
        (["a"], ["a", "b=1"], True),
        (["a"], ["a=1"], True),
        (["a", "**kwargs"], ["a", "b=1", "**kwargs"], False),
        (["a=1"], ["a"], False),
        (["a=1"], ["a=2"], False),
        (["a"], ["a", "b"], False),
        (["a", "b"], ["a"], False),
        (["a"], ["b"], False),
    ],
)
def test_parameters_fit_if_every_call_stays_possible(theirs: list[str], ours: list[str], fits: bool) -> None:
    assert accepts_the_same_calls(theirs, ours) is fits
