"""Following a system until it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ..exceptions import AnswerTimeout, ServerUnreachable
from ..lifecycle import SystemStatus

Report = Mapping[str, Any]


def watch(
    report: Callable[[], Report],
    show: Callable[[Report], object],
    *,
    interval: float,
    patience: float,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Show a report every `interval` seconds.

    It ends when the system has ended. A server that goes away without having said that its system shuts down (it
    crashed, or was quicker than `interval`) is shown as "offline"; if it does not come back within `patience` seconds,
    that was the end.

    Raises:
        ControlCallError: nobody answered when asked first, or with something else than a report.
    """
    shown = report()
    seen_at = clock()
    while True:
        show(shown)
        if shown["status"] == SystemStatus.ENDED.value or clock() - seen_at > patience:
            return
        sleep(interval)
        try:
            shown = report()
        except (ServerUnreachable, AnswerTimeout):
            ended = shown["status"] == SystemStatus.SHUTTING_DOWN.value
            shown = {"status": SystemStatus.ENDED.value if ended else "offline"}
        else:
            seen_at = clock()
