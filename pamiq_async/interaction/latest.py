"""A sensor that never keeps a step waiting."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any, Generic, NamedTuple, TypeVar

from typing_extensions import override

from .. import time
from ..exceptions import EndOfInteraction, PauseTimeout
from ..hooks import Hook, Kind, Lane, acall, kind_of
from ..roles import beside_roles, current_role
from ..state_persistence.mixin import PersistentStateMixin
from .composite import Component, Composite, check_component
from .modular_env import Sensor

logger = logging.getLogger(__name__)

T = TypeVar("T")

GRACE = 1.0
"""Real seconds that a pause, or the end, waits for a reading that is under way."""

SHORTEST_PERIOD = 0.001
"""Real seconds between two readings of a sensor that answers at once, at least."""


class _Reading(NamedTuple):
    value: Any
    at: float  # system perf_counter()


class _Life:
    """What the reader is told; each `setup` begins a new one, so that a reader that was left behind stays out of it."""

    def __init__(self) -> None:
        self.reads_on = True  # cleared to make the reading under way the last
        self.is_left_behind = False  # teardown did not wait for the reading under way


class LatestValueSensor(Composite, Sensor[T], Generic[T]):
    """Reads a slow or blocking sensor in the background and gives each step the newest value, at once.

    A camera of 15 Hz never slows an agent of 100 Hz. The sensor is read again and again from `setup` to `teardown`, but
    not during a pause. If its hooks are `def` they all run on one thread of their own, so none of them delays a step;
    `async def` ones run on the event loop. Its state is saved at this sensor's own place, as if it stood there itself.

    An error while reading, or an `EndOfInteraction`, comes out of the next `read`.

    A reading that hangs holds neither a pause nor the end for longer than a second. The sensor does not hear of such a
    pause; at the end, it is torn down if the reading returns after all.

    What is newest depends on timing, so in deterministic mode put the sensor in its own place instead.

    Args:
        sensor: what is read.
        timeout: how old a value may be, in seconds of system time; inf: any age will do. What passes during a pause
            counts.
        default: given while there is no value yet, or none that is young enough.

    Raises:
        TypeError: `sensor` is not a Sensor.
        ValueError: `timeout` is not positive.
    """

    def __init__(self, sensor: Sensor[T], timeout: float, default: T) -> None:
        super().__init__()
        self.sensor = check_component(sensor, Sensor, "sensor")
        if not timeout > 0:
            raise ValueError(f"timeout is {timeout!r}; it must be a positive number of seconds, or inf")
        self._timeout = timeout
        self._default = default
        self._lane: Lane | None = None
        self._reader: asyncio.Task[None] | None = None
        self._life: _Life | None = None  # from setup to teardown
        self._hangs = False  # it was left behind in its last life
        self._is_telling_pauses = True
        self._paused_at = 0.0
        self._newest: _Reading | None = None
        self._failure: BaseException | None = None
        self._failure_was_seen = False

    @override
    def read(self) -> T:
        """The newest value, or the default.

        Raises:
            Exception: what the sensor raised; it is not read any more.
        """
        if self._failure is not None:
            self._failure_was_seen = True
            raise self._failure
        newest = self._newest
        if newest is None or time.perf_counter() - newest.at > self._timeout:
            return self._default
        return newest.value  # type: ignore[no-any-return]

    # Lifecycle. On the loop, so that the role's worker thread never waits for the sensor's.

    @override
    async def on_interval_set(self, interval: float) -> None:  # type: ignore[override]
        await self._call(self.sensor.on_interval_set, interval)

    @override
    async def setup(self) -> None:
        self._newest = self._failure = None
        self._failure_was_seen = self._hangs = False
        self._life = life = _Life()
        try:
            await self._call(self.sensor.setup)
        except BaseException:
            self._life = None
            await self._let_go_of_lane()
            raise
        self._start_reading(life)

    @override
    async def teardown(self) -> None:
        is_at_rest = await self._stop_reading()
        life, self._life = self._life, None
        if is_at_rest:
            await self._call(self.sensor.teardown)
        elif life is not None and self._reader is not None:
            await self._leave_behind(life, self._reader)
        if self._failure is None or self._failure_was_seen or isinstance(self._failure, EndOfInteraction):
            return
        self._failure_was_seen = True
        raise self._failure

    @override
    async def on_paused(self) -> None:
        self._paused_at = time.fixed_time()
        self._is_telling_pauses = await self._stop_reading()
        if self._is_telling_pauses:
            await self._call(self.sensor.on_paused)
        else:
            logger.warning("%s hangs in read; the pause begins without it", type(self.sensor).__qualname__)

    @override
    async def on_resumed(self) -> None:
        if self._newest is not None:  # it has aged, though system time stood still
            passed = max(0.0, time.fixed_time() - self._paused_at) * time.get_time_scale()
            self._newest = self._newest._replace(at=self._newest.at - passed)
        if self._is_telling_pauses:
            await self._call(self.sensor.on_resumed)
        if self._life is not None:
            self._start_reading(self._life)

    @override
    async def save_state(self, path: Path) -> None:
        await self._call_at_rest(self.sensor.save_state, path)

    @override
    async def load_state(self, path: Path) -> None:
        await self._call_at_rest(self.sensor.load_state, path)

    @override
    def _children(self) -> Mapping[str, Component]:
        return {"sensor": self.sensor}

    # Reading

    def _start_reading(self, life: _Life) -> None:
        life.reads_on = self._failure is None
        if life.reads_on and (self._reader is None or self._reader.done()):
            with beside_roles(self._own_lane()):
                self._reader = asyncio.create_task(self._read_on(life), name="pamiq-latest-value")

    async def _stop_reading(self) -> bool:
        """Let the reading under way be the last; returns whether it came to an end."""
        if self._life is None or self._reader is None:
            return True
        self._life.reads_on = False
        await asyncio.wait({self._reader}, timeout=GRACE)
        if not self._reader.done() and kind_of(self.sensor.read) is Kind.LOOP:
            self._reader.cancel()
            await asyncio.wait({self._reader}, timeout=GRACE)
        return self._reader.done()

    async def _leave_behind(self, life: _Life, reader: asyncio.Task[None]) -> None:
        logger.warning("%s hangs in read and is left behind", type(self.sensor).__qualname__)
        self._hangs = life.is_left_behind = True
        reader.cancel()  # then it no longer waits for the thread
        await asyncio.wait({reader}, timeout=GRACE)
        await self._let_go_of_lane()

    async def _read_on(self, life: _Life) -> None:
        try:
            if kind_of(self.sensor.read) is Kind.LANE:
                await self._own_lane().run(self._read_on_lane, life)
            else:
                await self._read_on_loop(life)
        except BaseException as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._failure = error

    def _read_on_lane(self, life: _Life) -> None:
        try:
            while life.reads_on:
                start = perf_counter()
                reading = _Reading(self.sensor.read(), time.perf_counter())
                if life.is_left_behind:
                    break
                self._newest = reading
                if (rest := SHORTEST_PERIOD - (perf_counter() - start)) > 0:
                    time.fixed_sleep(rest)
        finally:
            if life.is_left_behind and kind_of(self.sensor.teardown) is Kind.LANE:
                self.sensor.teardown()

    async def _read_on_loop(self, life: _Life) -> None:
        while life.reads_on:
            start = perf_counter()
            self._newest = _Reading(await acall(self.sensor.read), time.perf_counter())
            await asyncio.sleep(max(0.0, SHORTEST_PERIOD - (perf_counter() - start)))

    # The sensor's own thread

    def _own_lane(self) -> Lane:
        if self._lane is None or self._lane.is_released:
            self._lane = Lane(f"pamiq-{type(self.sensor).__name__}")
            if (role := current_role()) is not None:  # which ends it once the last state is saved
                role.side_lanes.append(self._lane)
            with beside_roles(self._lane):
                self._lane.start()
        return self._lane

    async def _call(self, hook: Hook, *args: Any) -> None:
        try:
            with beside_roles(self._own_lane()):
                await acall(hook, *args)
        finally:
            await self._let_go_of_lane()

    async def _let_go_of_lane(self) -> None:
        """Outside of a system nobody else ends the thread after teardown, nor after a hook before setup."""
        if self._life is None and self._lane is not None and current_role() is None:
            if self._lane.is_busy:
                self._lane.abandon()
            await self._lane.close()

    async def _call_at_rest(self, hook: Hook, *args: Any) -> None:
        if getattr(hook, "__func__", None) in (PersistentStateMixin.save_state, PersistentStateMixin.load_state):
            return
        if self._hangs or (self._reader is not None and not self._reader.done()):
            raise PauseTimeout(
                f"{type(self.sensor).__qualname__} hangs in read, so its {getattr(hook, '__name__', 'hook')} can't be "
                f"called; give its read a time limit"
            )
        await self._call(hook, *args)
