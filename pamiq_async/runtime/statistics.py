"""What a system knows about its own running."""

from __future__ import annotations

import html
import time
from collections import deque

import attrs

from ..lifecycle import SystemStatus

RECENT_STEPS = 4096


@attrs.frozen
class StepTimes:
    """How long steps took, in seconds, without the wait between them.

    Attributes:
        count: steps since the start.
        mean: over all steps; NaN before the first, as are the others.
        p50, p99: quantiles over the last steps, at most 4096.
        max: over all steps.
    """

    count: int
    mean: float
    p50: float
    p99: float
    max: float


@attrs.frozen
class TrainerTimes:
    """How often a trainer trained and how long that took in all, in seconds."""

    count: int
    total: float


@attrs.frozen
class BufferFill:
    """How many items a buffer holds, and how many were moved into it since the start of its life."""

    size: int
    added: int


@attrs.frozen
class Statistics:
    """A system's figures at one moment.

    Attributes:
        status: its phase.
        uptime: system seconds since the start.
        step_rate: steps per system second since the start.
        step_times: of the interaction.
        trainings: by trainer.
        buffers: by buffer.
        states_saved: since the start.
    """

    status: SystemStatus
    uptime: float
    step_rate: float
    step_times: StepTimes
    trainings: dict[str, TrainerTimes]
    buffers: dict[str, BufferFill]
    states_saved: int


class StepRecorder:
    """Takes in step times on the thread that steps; read from any other."""

    def __init__(self) -> None:
        self.count = 0
        self._total = 0.0
        self._max = 0.0
        self._recent: deque[float] = deque(maxlen=RECENT_STEPS)

    def add(self, seconds: float) -> None:
        """A step took so long."""
        self.count += 1
        self._total += seconds
        if seconds > self._max:
            self._max = seconds
        self._recent.append(seconds)

    def times(self) -> StepTimes:
        """The figures up to now."""
        while True:
            try:
                recent = sorted(self._recent)
                break
            except RuntimeError:  # appended to meanwhile
                time.sleep(0)
        if not recent:
            nan = float("nan")
            return StepTimes(0, nan, nan, nan, nan)
        count = max(self.count, 1)
        last = len(recent) - 1
        return StepTimes(count, self._total / count, recent[round(0.5 * last)], recent[round(0.99 * last)], self._max)


class TrainingRecorder:
    """Takes in training times, by trainer."""

    def __init__(self, names: list[str]) -> None:
        self._times = dict.fromkeys(names, TrainerTimes(0, 0.0))

    def add(self, name: str, seconds: float) -> None:
        """A training took so long."""
        before = self._times[name]
        self._times[name] = TrainerTimes(before.count + 1, before.total + seconds)

    def times(self) -> dict[str, TrainerTimes]:
        """The figures up to now."""
        return dict(self._times)


def as_rows(figures: Statistics) -> dict[str, str]:
    """The figures as a person reads them, by their names."""
    return {
        "status": figures.status.value,
        "uptime": f"{figures.uptime:.1f} s",
        "steps": f"{figures.step_times.count} ({figures.step_rate:.1f}/s)",
        **{f"trainings of {name}": str(times.count) for name, times in figures.trainings.items()},
        **{f"items in {name}": str(fill.size) for name, fill in figures.buffers.items()},
        "states saved": str(figures.states_saved),
    }


def as_html(rows: dict[str, str]) -> str:
    """A table with a line for each row."""
    cells = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in rows.items())
    return f"<table>{cells}</table>"


def as_log_line(figures: Statistics) -> str:
    """How fast steps were, and how many trainings there were."""
    times = figures.step_times
    trainings = ", ".join(f"{name} {times.count}" for name, times in figures.trainings.items()) or "none"
    return (
        f"{times.count} steps, {figures.step_rate:.1f}/s; a step took {times.mean * 1e3:.3f} ms on average, "
        f"p99 {times.p99 * 1e3:.3f} ms, max {times.max * 1e3:.3f} ms; trainings: {trainings}"
    )
