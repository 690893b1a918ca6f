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

    It ends when the system has ended: when its server says so, or is gone after it said that the system shuts down. A
    server that goes away without that (it crashed, or was quicker than `interval`) is shown as "offline", one that is
    there but does not tell as "no answer".

    Raises:
        ServerUnreachable: nobody was there when asked first, or the server was gone for `patience` seconds.
        AnswerTimeout: no answer came when asked first, or none for `patience` seconds.
        ControlCallError: the answer was something else than a report.
    """
    told = report()
    told_at = clock()
    show(told)
    while told["status"] != SystemStatus.ENDED.value:
        sleep(interval)
        try:
            told = report()
        except (ServerUnreachable, AnswerTimeout) as error:
            is_gone = isinstance(error, ServerUnreachable)
            if is_gone and told["status"] == SystemStatus.SHUTTING_DOWN.value:
                show({"status": SystemStatus.ENDED.value})
                return
            show({"status": "offline" if is_gone else "no answer"})
            if clock() - told_at > patience:
                raise
        else:
            told_at = clock()
            show(told)
