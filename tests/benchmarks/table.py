"""What a benchmark is, and how its figures become rows of a table."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

OURS = "pamiq_async"
Figures = Mapping[str, Mapping[str, list[float]]]  # by variant, by name; a value for each round


class Goal(NamedTuple):
    """What a figure should reach: a ratio to another variant's, or a value of its own. Or what it is shown beside.

    Attributes:
        is_met: takes the ratio or value; None: there is no goal, it is a comparison.
        sign: of the goal, as it is written.
        against: the variant that it is compared with; None: it stands alone.
        figure: of that variant, if it is another one than the row's.
        label: what the table calls that variant's figure.
    """

    is_met: Callable[[float], bool] | None
    sign: str
    against: str | None
    figure: str | None
    label: str | None

    @property
    def name(self) -> str:
        return self.label or {"pamiq_core": "pamiq-core"}.get(self.against or "", self.against or "")

    def text(self, unit: str) -> str:
        return f"{self.sign} {'×' if self.against else unit}" if self.is_met else ""

    def verdict(self, got: float) -> str:
        if self.is_met is None:
            return ""
        return "✓" if self.is_met(got) else "missed"


def at_least(value: float, against: str | None = None, figure: str | None = None, label: str | None = None) -> Goal:
    return Goal(lambda got: got >= value, f"≥ {value:g}", against, figure, label)


def at_most(value: float, against: str | None = None, figure: str | None = None, label: str | None = None) -> Goal:
    return Goal(lambda got: got <= value, f"≤ {value:g}", against, figure, label)


def compared_with(against: str, figure: str | None = None, label: str | None = None) -> Goal:
    return Goal(None, "", against, figure, label)


class Row(NamedTuple):
    """A line of the table."""

    number: str
    what: str
    figure: str
    unit: str
    goals: Sequence[Goal]

    def order(self) -> tuple[int, str]:
        """By number; what has none comes last."""
        return (int(self.number), "") if self.number.isdigit() else (1000, self.number)

    def show(self, values: Sequence[float]) -> str:
        """Median, least and largest."""
        median, least, largest = (number(value) for value in (statistics.median(values), min(values), max(values)))
        return f"{median} {self.unit} ({least}–{largest})"


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


class Benchmark(NamedTuple):
    """What a file ``bench_*.py`` offers.

    Attributes:
        variants: what measures each, in the order in which they take turns; gives figures by name.
        rows: of the table.
        needs_torch: whether it runs where PyTorch is.
    """

    variants: Mapping[str, Callable[[], Mapping[str, float]]]
    rows: Sequence[Row]
    needs_torch: bool = False

    def main(self) -> None:
        """Measure the variant that the command line names, and print its figures."""
        if len(sys.argv) != 2 or sys.argv[1] not in self.variants:
            raise SystemExit(f"usage: {sys.argv[0]} {{{','.join(self.variants)}}}")
        print(json.dumps(self.variants[sys.argv[1]]()))


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which lies that share of all."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
