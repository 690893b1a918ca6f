"""How figures read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pamiq_async.console.text import as_rows, duration, printable, size

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(), parts, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (1.234e-5, "12.3 µs"),
        (0.0009994, "999 µs"),
        (0.0009996, "1 ms"),
        (0.01234, "12.3 ms"),
        (0.9996, "1.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"),
        (7512, "2 h 05 min"),
        (86400, "1 d 0 h"),
        (10**7, "115 d 17 h"),
        (-90, "-1 min 30 s"),
    ],
)
def test_a_duration_has_the_unit_that_suits_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (12_345, "12.3 kB"), (999_600, "1 MB"), (5 * 10**15, "5e+03 TB")],
)
def test_a_size_has_the_unit_that_suits_it(amount: int, text: str) -> None:
    assert size(amount) == text


def test_a_report_of_a_system_reads_well() -> None:
    report = {
        "status": "active",
        "uptime": 7512.3,
        "steps": 1230,
        "step_rate": 99.96,
        "step_times": {"count": 1230, "mean": 0.000123, "p99": 0.0012, "max": None},
        "overruns": 0,
        "recent": {"seconds": 60.0, "step_times": {"mean": 0.000123}, "trainings": {"trainer_0": {"count": 2}}},
        "trainings": {"my_coach": {"count": 12, "total": 3.4}},
        "buffers": {"throws": {"size": 10, "added": 1230}},
        "empty": {},
        "is_busy": True,
        "load": [0.25, 1.0],
    }

    assert list(as_rows(report)) == [
        ("status", "active"),
        ("uptime", "2 h 05 min"),
        ("steps", "1230"),
        ("step rate", "100.0/s"),
        ("step times", "count 1230, mean 123 µs, p99 1.2 ms, max –"),
        ("overruns", "0"),
        ("recent seconds", "1 min 00 s"),
        ("recent step times", "mean 123 µs"),
        ("recent training trainer_0", "count 2"),
        ("training my_coach", "count 12, total 3.4 s"),
        ("buffer throws", "size 10, added 1230"),
        ("empty", "–"),
        ("is busy", "yes"),
        ("load", "0.25, 1"),
    ]


def test_names_that_users_gave_are_left_as_they_are() -> None:
    figures = {"trainer_0": {"count": 1, "total": 0.5}, "mean": {"count": 2, "total": 60.0}}

    assert list(as_rows({"trainings": figures, "recent": {"trainings": figures}, "buffers": {}})) == [
        ("training trainer_0", "count 1, total 500 ms"),
        ("training mean", "count 2, total 1 min 00 s"),
        ("recent training trainer_0", "count 1, total 500 ms"),
        ("recent training mean", "count 2, total 1 min 00 s"),
        ("buffers", "–"),
    ]


@given(st.dictionaries(st.text(), PLAIN, max_size=3))
def test_whatever_a_server_reports_is_rows_of_printable_text(report: dict[str, Any]) -> None:
    assert all(text.isprintable() for row in as_rows(report) for text in row)


def test_what_could_steer_the_terminal_is_not_printed() -> None:
    assert printable("two\nlines, \x1b[31mred\x07") == "two lines, ?[31mred?"
