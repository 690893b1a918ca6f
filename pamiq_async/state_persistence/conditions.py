"""When to save without being asked."""

from __future__ import annotations

import math

from .. import time
from ..hooks import nonblocking


class PeriodicSaveCondition:
    """True every `interval` seconds of system time.

    Raises:
        ValueError: `interval` is not positive.
    """

    def __init__(self, interval: float) -> None:
        if not interval > 0:
            raise ValueError(f"interval is {interval!r}; it must be a positive number of seconds")
        self.interval = interval
        self._last = math.inf

    @nonblocking
    def __call__(self) -> bool:
        """Whether the interval has passed since the first call, or since it was True last."""
        now = time.time()
        if now < self._last:  # the first call, or the clock was set back by loading a state
            self._last = now
        if now - self._last < self.interval:
            return False
        self._last = now
        return True
