"""What people read of figures: times, sizes, and a report of the control server as rows of names and values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_SECONDS = frozenset({"uptime", "mean", "p50", "p99", "max", "seconds", "total"})
_PER_SECOND = frozenset({"step_rate"})
_ONE_OF = {"trainings": "training", "buffers": "buffer"}  # figures by names that users gave


def as_rows(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A report, whatever figures it has, as names and values in the report's order."""
    for name, value in _rows(report):
        yield printable(name), printable(value)


def in_columns(rows: Iterable[tuple[str, str]]) -> str:
    """Rows as lines, the values below each other."""
    rows = list(rows)
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def duration(seconds: float) -> str:
    """Such as "12.3 ms" or "2 h 05 min"."""
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds == 0:
        return "0 s"
    # The limits are those below which rounding does not make it 1000 or 60 of a unit.
    if seconds < 0.9995e-3:
        return f"{seconds * 1e6:.3g} µs"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def size(amount: int) -> str:
    """Such as "12.3 MB" for a number of bytes."""
    units = ["B", "kB", "MB", "GB", "TB"]
    value = float(amount)
    while value >= 999.5 and units[1:]:
        value /= 1000
        units.pop(0)
    return f"{value:.3g} {units[0]}"


def printable(text: str) -> str:
    """`text` on one line and without control characters, which could steer the terminal."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def _rows(report: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in report.items():
        name = prefix + key.replace("_", " ")
        if not isinstance(value, Mapping) or not value:
            yield name, _as_value(key, value)
        elif key in _ONE_OF:
            for part, figures in value.items():
                yield f"{prefix}{_ONE_OF[key]} {part}", _as_value(key, figures)
        elif any(isinstance(part, Mapping) for part in value.values()):
            yield from _rows(value, f"{name} ")
        else:
            yield name, _as_value(key, value)


def _as_value(key: str, value: Any) -> str:
    match value:
        case None:
            return "–"
        case Mapping():
            return ", ".join(f"{name.replace('_', ' ')} {_as_value(name, part)}" for name, part in value.items()) or "–"
        case list():
            return ", ".join(_as_value(key, part) for part in value) or "–"
        case bool():
            return "yes" if value else "no"
        case int() | float() if key in _SECONDS:
            return duration(value)
        case int() | float() if key in _PER_SECOND:
            return f"{value:.1f}/s"
        case float():
            return f"{value:.4g}"
        case _:
            return str(value)
