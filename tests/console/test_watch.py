"""What is seen of a system that comes, goes and ends."""

from __future__ import annotations

from typing import Any

import pytest

from pamiq_async.console.watch import watch
from pamiq_async.exceptions import AnswerTimeout, CallRefused, ControlCallError, ServerUnreachable

GONE = ServerUnreachable("nobody there")
SLOW = AnswerTimeout("no answer within 5 s")


class Watched:
    """A server that reports what a test says, and a clock on which only sleeping takes time."""

    def __init__(self, *reports: str | Exception) -> None:
        self._reports = list(reports)
        self.now = 100.0
        self.shown: list[str] = []

    def report(self) -> dict[str, Any]:
        report = self._reports.pop(0)
        if isinstance(report, Exception):
            raise report
        return {"status": report, "steps": 12}

    def watch(self, interval: float = 1.0, patience: float = 2.5) -> list[str]:
        watch(
            self.report,
            lambda report: self.shown.append(report["status"]),
            interval=interval,
            patience=patience,
            sleep=self._sleep,
            clock=lambda: self.now,
        )
        assert self._reports == []
        return self.shown

    def _sleep(self, seconds: float) -> None:
        self.now += seconds


def test_it_ends_with_a_system_that_said_so() -> None:
    assert Watched("active", "paused", "shutting down", GONE).watch() == ["active", "paused", "shutting down", "ended"]


def test_it_ends_with_a_system_whose_server_lives_longer() -> None:
    assert Watched("active", "ended").watch() == ["active", "ended"]


def test_a_server_that_is_gone_may_come_back() -> None:
    watched = Watched("active", GONE, GONE, "active", GONE, GONE, "shutting down", GONE)

    assert watched.watch() == ["active", *["offline"] * 2, "active", *["offline"] * 2, "shutting down", "ended"]


def test_patience_with_a_server_that_is_gone_has_an_end() -> None:
    watched = Watched("active", *[GONE] * 6)

    with pytest.raises(ServerUnreachable):
        watched.watch(interval=0.5, patience=2.5)

    assert watched.shown == ["active", *["offline"] * 6]
    assert watched.now == 103.0


def test_a_server_that_does_not_answer_is_not_gone() -> None:
    assert Watched("active", SLOW, "ended").watch() == ["active", "no answer", "ended"]


def test_a_system_that_is_slow_to_shut_down_has_not_ended() -> None:
    watched = Watched("shutting down", SLOW, "shutting down", SLOW, GONE)

    assert watched.watch() == ["shutting down", "no answer", "shutting down", "no answer", "ended"]


def test_patience_with_a_server_that_does_not_answer_has_an_end() -> None:
    watched = Watched("shutting down", *[SLOW] * 3)

    with pytest.raises(AnswerTimeout):
        watched.watch(patience=2.5)

    assert watched.shown == ["shutting down", *["no answer"] * 3]


def test_nobody_there_at_first_is_an_error() -> None:
    watched = Watched(GONE)

    with pytest.raises(ServerUnreachable):
        watched.watch()

    assert watched.shown == []


def test_other_errors_end_it() -> None:
    watched = Watched("active", CallRefused("no"))

    with pytest.raises(ControlCallError):
        watched.watch()

    assert watched.shown == ["active"]


def test_it_looks_at_every_interval() -> None:
    watched = Watched("active", "active", "ended")
    watched.watch(interval=0.25)

    assert watched.now == 100.5
