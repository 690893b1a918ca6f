from __future__ import annotations

import json
import math
from typing import Any

import attrs
import pytest

from pamiq_async import SystemStatus
from pamiq_async.runtime.statistics import (
    BufferFill,
    IntervalStatistics,
    LoopLag,
    Statistics,
    StepTimes,
    TrainerTimes,
    as_address,
    as_figures,
    as_html,
    as_log_line,
    as_rows,
)

NAN = math.nan
NO_STEPS = StepTimes(0, NAN, NAN, NAN, NAN)
TRAINED = {"a": TrainerTimes(2, 1.0), "b": TrainerTimes(0, 0.0)}


def statistics(**recent: Any) -> Statistics:
    """Of a system in its second interval; `recent` changes figures of the first."""
    interval = IntervalStatistics(60.0, 0.5, StepTimes(30, 0.25, 0.2, 0.5, 0.75), 0, {})
    return Statistics(
        status=SystemStatus.ACTIVE,
        uptime=100.0,
        steps=40,
        step_rate=0.4,
        step_times=StepTimes(40, 0.25, 0.2, 0.5, 1.0),
        recent=attrs.evolve(interval, **recent),
        overruns=3,
        trainings=TRAINED,
        buffers={"<steps>": BufferFill(size=3, added=5, collected=6)},
        states_saved=1,
        loop_lag=LoopLag(NAN, NAN, NAN),
    )


def test_a_log_line_tells_of_the_last_interval() -> None:
    assert as_log_line(statistics(trainings=TRAINED).recent) == (
        "30 steps in the last 60 s, 0.5/s; a step took 250.000 ms on average, p99 500.000 ms, max 750.000 ms; "
        "trainings: a 2, b 0"
    )


def test_a_log_line_tells_of_overruns_if_there_were_any() -> None:
    assert "; 2 overran the interval; trainings: none" in as_log_line(statistics(overruns=2).recent)


def test_a_log_line_of_an_interval_without_steps_has_no_times() -> None:
    line = as_log_line(statistics(seconds=0.5, step_rate=0.0, step_times=NO_STEPS).recent)
    assert line == "0 steps in the last 0.5 s, 0.0/s; trainings: none"


def test_figures_are_what_json_can_hold() -> None:
    figures = as_figures(statistics(step_times=NO_STEPS))
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert figures == {
        "uptime": 100.0,
        "steps": 40,
        "step_rate": 0.4,
        "step_times": {"count": 40, "mean": 0.25, "p50": 0.2, "p99": 0.5, "max": 1.0},
        "recent": {
            "seconds": 60.0,
            "step_rate": 0.5,
            "step_times": {"count": 0, "mean": None, "p50": None, "p99": None, "max": None},
            "overruns": 0,
            "trainings": {},
        },
        "overruns": 3,
        "trainings": {"a": {"count": 2, "total": 1.0}, "b": {"count": 0, "total": 0.0}},
        "buffers": {"<steps>": {"size": 3, "added": 5, "collected": 6}},
        "states_saved": 1,
        "loop_lag": {"p50": None, "p99": None, "max": None},
    }


def test_a_table_has_a_row_for_each_figure_and_escapes_names() -> None:
    table = as_html(as_rows(statistics()))
    assert "<tr><th>status</th><td>active</td></tr>" in table
    assert "<tr><th>steps</th><td>40 (0.4/s)</td></tr>" in table
    assert "<tr><th>trainings of a</th><td>2</td></tr>" in table
    assert "<tr><th>items in &lt;steps&gt;</th><td>3</td></tr>" in table


@pytest.mark.parametrize(
    ("address", "text"),
    [(None, "none"), (("127.0.0.1", 8391), "127.0.0.1:8391"), (("::1", 8391), "[::1]:8391")],
)
def test_an_address_is_written_as_in_a_url(address: tuple[str, int] | None, text: str) -> None:
    assert as_address(address) == text
