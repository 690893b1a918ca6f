"""Callbacks now and then: every so many seconds of system time, or every so many steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

from typing_extensions import override

from .. import time

Callback = Callable[[], object]


class Scheduler(ABC):
    """Runs its callbacks when `update` is called and the time has come.

    Args:
        callbacks: one callable, or several, called in order without arguments.
    """

    def __init__(self, callbacks: Callback | Iterable[Callback] | None = None) -> None:
        if callbacks is None:
            callbacks = []
        elif callable(callbacks):
            callbacks = [callbacks]
        self._callbacks = list(callbacks)

    def register_callback(self, callback: Callback) -> None:
        """Add a callback behind those there are."""
        self._callbacks.append(callback)

    def remove_callback(self, callback: Callback) -> None:
        """Take a callback out.

        Raises:
            ValueError: it is not registered.
        """
        if callback not in self._callbacks:
            raise ValueError(f"{callback!r} is not registered; there are {len(self._callbacks)} others")
        self._callbacks.remove(callback)

    @abstractmethod
    def is_available(self) -> bool:
        """Whether the callbacks are due."""

    def update(self) -> None:
        """Run the callbacks if they are due; call it once a step."""
        if self.is_available():
            for callback in tuple(self._callbacks):
                callback()


class TimeIntervalScheduler(Scheduler):
    """Due every `interval` seconds of system time, counted from its construction and then from when it last ran.

    When time goes back, because a state was loaded, it counts from there.

    Raises:
        ValueError: `interval` is not positive.
    """

    def __init__(self, interval: float, callbacks: Callback | Iterable[Callback] | None = None) -> None:
        super().__init__(callbacks)
        if not interval > 0:
            raise ValueError(f"interval is {interval!r}; it must be a positive number of seconds")
        self._interval = interval
        self._last = time.time()

    @override
    def is_available(self) -> bool:
        now = time.time()
        self._last = min(self._last, now)
        return now - self._last >= self._interval

    @override
    def update(self) -> None:
        if self.is_available():
            super().update()
            self._last = time.time()


class StepIntervalScheduler(Scheduler):
    """Due at every `interval`-th call of `update`.

    Raises:
        ValueError: `interval` is not a positive whole number.
    """

    def __init__(self, interval: int, callbacks: Callback | Iterable[Callback] | None = None) -> None:
        super().__init__(callbacks)
        if isinstance(interval, bool) or not isinstance(interval, int) or interval < 1:
            raise ValueError(f"interval is {interval!r}; it must be a positive number of steps")
        self._interval = interval
        self._steps = 0

    @override
    def is_available(self) -> bool:
        return self._steps >= self._interval

    @override
    def update(self) -> None:
        self._steps += 1
        if self.is_available():
            super().update()
            self._steps = 0
