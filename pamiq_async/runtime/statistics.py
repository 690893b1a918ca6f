"""What a system knows about its own running."""

from __future__ import annotations

import html
import math
from typing import Any

import attrs

from ..lifecycle import SystemStatus


@attrs.frozen
class StepTimes:
    """How long steps took, in real seconds, without the wait between them.

    Attributes:
        count: steps that have ended.
        mean: over all of them; NaN if there was none, as are the others.
        p50, p99: quantiles, to within 2.2 %.
        max: the longest.
    """

    count: int
    mean: float
    p50: float
    p99: float
    max: float


@attrs.frozen
class LoopLag:
    """How late the event loop ran timers, in real seconds: about four a second, irregularly, while the system runs.

    A loop held for long is late for all that fell due meanwhile. So this is what a timer of yours would have met.

    A quiet loop of asyncio's own is up to a millisecond late, because it rounds its timers up to whole ones.

    Attributes:
        p50, p99: quantiles, to within 2.2 %; NaN if nothing was measured yet, as is max.
        max: the longest.
    """

    p50: float
    p99: float
    max: float


@attrs.frozen
class TrainerTimes:
    """How often a trainer trained and how long that took in all, in real seconds."""

    count: int
    total: float


@attrs.frozen
class BufferFill:
    """How many items a buffer holds, and had, in its whole life.

    Attributes:
        size: items in it when data were last moved into it.
        added: items that were moved into it.
        collected: items that were collected for it; some may still wait to be moved.
    """

    size: int
    added: int
    collected: int


@attrs.frozen
class IntervalStatistics:
    """A system's figures over one interval.

    Attributes:
        seconds: its length in system time.
        step_rate: steps per system second.
        step_times: of the interaction.
        overruns: as in `Statistics`.
        trainings: by trainer.
    """

    seconds: float
    step_rate: float
    step_times: StepTimes
    overruns: int
    trainings: dict[str, TrainerTimes]


@attrs.frozen
class Statistics:
    """A system's figures at one moment; those of one that has ended stand still.

    Attributes:
        status: its phase.
        uptime: system seconds since it began to act; a pause does not count.
        steps: steps that have ended since then.
        step_rate: steps per system second since then.
        step_times: of the interaction, since then.
        recent: the figures of the last whole interval of `log_tick_time_statistics_interval` system seconds; before
            the first is over, of what there is of it.
        overruns: how often a step of a fixed-interval interaction was still running when the next one was due, so
            that that one began late. A pause in between is no overrun.
        trainings: by trainer.
        buffers: by buffer.
        states_saved: since the start.
        loop_lag: over the same interval as `recent`.
    """

    status: SystemStatus
    uptime: float
    steps: int
    step_rate: float
    step_times: StepTimes
    recent: IntervalStatistics
    overruns: int
    trainings: dict[str, TrainerTimes]
    buffers: dict[str, BufferFill]
    states_saved: int
    loop_lag: LoopLag


def as_figures(statistics: Statistics) -> dict[str, Any]:
    """The figures as plain data that JSON can hold, without the status; None for what is not known."""
    figures: dict[str, Any] = attrs.asdict(statistics, value_serializer=lambda _, __, value: _none_for_nan(value))
    del figures["status"]
    return figures


def _none_for_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def as_rows(statistics: Statistics) -> dict[str, str]:
    """The figures as a person reads them, by their names."""
    return {
        "status": statistics.status.value,
        "uptime": f"{statistics.uptime:.1f} s",
        "steps": f"{statistics.steps} ({statistics.step_rate:.1f}/s)",
        **{f"trainings of {name}": str(times.count) for name, times in statistics.trainings.items()},
        **{f"items in {name}": str(fill.size) for name, fill in statistics.buffers.items()},
        "states saved": str(statistics.states_saved),
    }


def as_address(host_and_port: tuple[str, int] | None) -> str:
    """Where something listens, as in a URL."""
    if host_and_port is None:
        return "none"
    host, port = host_and_port
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def as_html(rows: dict[str, str]) -> str:
    """A table with a line for each row."""
    cells = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in rows.items())
    return f"<table>{cells}</table>"


def as_log_line(recent: IntervalStatistics) -> str:
    """What an interval was like: how fast steps were, how many overran, and how many trainings there were."""
    times = recent.step_times
    parts = [f"{times.count} steps in the last {round(recent.seconds, 2):g} s, {recent.step_rate:.1f}/s"]
    if times.count:
        took = ", ".join(f"{name} {value * 1e3:.3f} ms" for name, value in (("p99", times.p99), ("max", times.max)))
        parts.append(f"a step took {times.mean * 1e3:.3f} ms on average, {took}")
    if recent.overruns:
        parts.append(f"{recent.overruns} overran the interval")
    trainings = ", ".join(f"{name} {trained.count}" for name, trained in recent.trainings.items()) or "none"
    return "; ".join([*parts, f"trainings: {trainings}"])
