"""How often threads hand the interpreter to each other while a system runs.

Whoever wakes beside a thread that computes in pure Python, as a trainer may, waits for the interpreter's switch
interval, 5 ms by default: too long for a step every millisecond, or for a host's handlers.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import Counter
from collections.abc import Iterator

_lock = threading.Lock()  # guards the two below
_wanted: Counter[float] = Counter()  # by running systems, in any thread
_before = 0.0  # what it was, and will be, without any


@contextlib.contextmanager
def switch_interval(seconds: float | None) -> Iterator[None]:
    """Within the block the switch interval is as short as the shortest that running systems want.

    Args:
        seconds: real seconds; None leaves it alone.
    """
    if seconds is None:
        yield
        return
    global _before
    with _lock:
        if not _wanted:
            _before = sys.getswitchinterval()
        _wanted[seconds] += 1
        _apply()
    try:
        yield
    finally:
        with _lock:
            _wanted[seconds] -= 1
            if not _wanted[seconds]:
                del _wanted[seconds]
            _apply()


def _apply() -> None:
    # It is cut to whole microseconds, so that without the half putting it back would make it ever shorter.
    sys.setswitchinterval(min([_before, *_wanted]) + 0.5e-6)
