from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from pamiq_async import (
    Actuator,
    Agent,
    EndOfInteraction,
    FixedIntervalInteraction,
    LatestValueSensor,
    ModularEnvironment,
    Sensor,
    SensorsDict,
    launch,
    start,
    time,
)
from pamiq_async.exceptions import PauseTimeout
from pamiq_async.interaction import latest
from pamiq_async.roles import Role
from tests.fakes import Boom, Log

LIFE = ("on_interval_set", "load_state", "setup", "on_paused", "on_resumed", "teardown", "save_state")


class Camera(Sensor[Any]):
    """Gives a frame when a test has put one there; an error among them is raised."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.frames: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def read(self) -> Any:
        self.log.add("camera", "read")
        return self.given(self.frames.get())

    def given(self, frame: Any) -> Any:
        if isinstance(frame, BaseException):
            raise frame
        return frame

    def put(self, *frames: Any) -> None:
        for frame in frames:
            self.frames.put(frame)

    @override
    def on_interval_set(self, interval: float) -> None:
        self.log.add("camera", f"on_interval_set({interval})")

    @override
    def setup(self) -> None:
        self.log.add("camera", "setup")

    @override
    def teardown(self) -> None:
        self.log.add("camera", "teardown")

    @override
    def on_paused(self) -> None:
        self.log.add("camera", "on_paused")

    @override
    def on_resumed(self) -> None:
        self.log.add("camera", "on_resumed")


class SavedCamera(Camera):
    @override
    def save_state(self, path: Path) -> None:
        self.log.add("camera", "save_state")
        path.write_text("exposure")

    @override
    def load_state(self, path: Path) -> None:
        self.log.add("camera", "load_state")
        assert path.read_text() == "exposure"


class AsyncCamera(Camera):
    async def read(self) -> Any:  # type: ignore[override]
        self.log.add("camera", "read")
        while self.frames.empty():
            await asyncio.sleep(0)
        return self.given(self.frames.get_nowait())

    async def setup(self) -> None:  # type: ignore[override]
        super().setup()

    async def teardown(self) -> None:  # type: ignore[override]
        super().teardown()


KINDS = pytest.mark.parametrize("kind", [Camera, AsyncCamera], ids=["def", "async def"])


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latest, "GRACE", 0.01)


@pytest.fixture
def cameras() -> Iterator[list[Camera]]:
    """Those that may hang when the test is over."""
    cameras: list[Camera] = []
    yield cameras
    for camera in cameras:
        camera.put("late")


class Life:
    """`async with Life(sensor, role):` calls the hooks as a system would."""

    def __init__(self, sensor: LatestValueSensor[Any], role: Role) -> None:
        self.sensor, self.role = sensor, role

    async def __aenter__(self) -> None:
        await self.role.call(self.sensor.setup)

    async def __aexit__(self, *_: object) -> None:
        self.sensor.sensor.put("the last")  # type: ignore[attr-defined]
        await self.role.call(self.sensor.teardown)


# --- Values -----------------------------------------------------------------------------------------------


@KINDS
async def test_the_default_is_given_until_there_is_a_value(kind: type[Camera], log: Log, role: Role) -> None:
    sensor = LatestValueSensor(kind(log), 1.0, "nothing yet")
    assert sensor.read() == "nothing yet"
    async with Life(sensor, role):
        await log.seen("camera.read")
        assert sensor.read() == "nothing yet"


@KINDS
async def test_the_newest_value_is_given_while_the_next_one_is_waited_for(
    kind: type[Camera], log: Log, role: Role
) -> None:
    camera = kind(log)
    sensor = LatestValueSensor(camera, 1.0, None)
    async with Life(sensor, role):
        camera.put("first", "second")
        await log.seen("camera.read", 3)
        assert [sensor.read(), sensor.read()] == ["second", "second"]


@KINDS
async def test_a_value_that_is_too_old_is_not_given(kind: type[Camera], log: Log, role: Role, clock: Any) -> None:
    camera = kind(log)
    sensor = LatestValueSensor(camera, 1.0, "too old")
    async with Life(sensor, role):
        camera.put("frame")
        await log.seen("camera.read", 2)
        clock.now += 1.0
        assert sensor.read() == "frame"
        clock.now += 0.1
        assert sensor.read() == "too old"
        camera.put("fresh")
        await log.seen("camera.read", 3)
        assert sensor.read() == "fresh"


async def test_without_a_limit_a_value_is_good_for_ever(log: Log, role: Role, clock: Any) -> None:
    camera = Camera(log)
    sensor = LatestValueSensor(camera, float("inf"), None)
    async with Life(sensor, role):
        camera.put("frame")
        await log.seen("camera.read", 2)
        clock.now += 1e9
        assert sensor.read() == "frame"


async def test_a_value_ages_during_a_pause(log: Log, role: Role, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "fixed_time", lambda: now)
    camera = Camera(log)
    sensor = LatestValueSensor(camera, 10.0, "too old")
    async with Life(sensor, role):
        await log.seen("camera.read")
        for pause, expected in ((10.0, "frame"), (10.1, "too old")):
            await paused(sensor, role)
            now += pause
            reads = log.count("camera.read")
            await role.call(sensor.on_resumed)
            await log.seen("camera.read", reads + 1)
            assert sensor.read() == expected


async def test_several_sensors_may_be_read_as_one(log: Log, role: Role) -> None:
    left, right = AsyncCamera(log), Camera(log)

    class Both(SensorsDict):
        def put(self, frame: Any) -> None:
            left.put(frame)
            right.put(frame)

    sensor = LatestValueSensor(Both({"left": left, "right": right}), 1.0, None)
    async with Life(sensor, role):
        left.put(1)
        right.put(2)
        await log.seen("camera.read", 3)
        assert sensor.read() == {"left": 1, "right": 2}


async def test_a_sensor_that_answers_at_once_leaves_the_loop_its_turns(role: Role) -> None:
    class Eager(Sensor[int]):
        count = 0

        async def read(self) -> int:  # type: ignore[override]
            self.count += 1
            return self.count

        def put(self, _: object) -> None: ...

    sensor = LatestValueSensor(Eager(), 1.0, 0)
    async with Life(sensor, role):
        while sensor.read() < 3:
            await asyncio.sleep(0)


# --- Errors -----------------------------------------------------------------------------------------------


@KINDS
async def test_an_error_comes_out_of_the_next_read(kind: type[Camera], log: Log, role: Role) -> None:
    camera = kind(log)
    sensor = LatestValueSensor(camera, 1.0, None)
    async with Life(sensor, role):
        camera.put("frame", Boom("unplugged"))
        await until_failed(sensor)
        with pytest.raises(Boom, match="unplugged"):
            sensor.read()
    assert log.count("camera.read") == 2
    assert log.count("camera.teardown") == 1


async def test_an_error_that_no_step_met_is_raised_at_the_end(log: Log, role: Role) -> None:
    camera = Camera(log)
    sensor = LatestValueSensor(camera, 1.0, None)
    await role.call(sensor.setup)
    await log.seen("camera.read")
    camera.put(Boom("unplugged"))
    with pytest.raises(Boom, match="unplugged"):
        await role.call(sensor.teardown)
    assert log.count("camera.teardown") == 1


async def test_a_read_that_is_cancelled_by_itself_is_an_error(log: Log, role: Role) -> None:
    camera = AsyncCamera(log)
    sensor = LatestValueSensor(camera, 1.0, None)
    async with Life(sensor, role):
        camera.put(asyncio.CancelledError())
        await until_failed(sensor)
        with pytest.raises(asyncio.CancelledError):
            sensor.read()


async def test_a_setup_that_fails_leaves_nothing_running(log: Log) -> None:
    class Broken(Camera):
        @override
        def setup(self) -> None:
            raise Boom

    sensor = LatestValueSensor(Broken(log), 1.0, None)
    with pytest.raises(Boom):
        await sensor.setup()
    assert log.count("camera.read") == 0


async def until_failed(sensor: LatestValueSensor[Any]) -> None:
    while sensor._failure is None:
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("sensor", "timeout", "error", "message"),
    [
        ("camera", 1.0, TypeError, "sensor is 'camera'; it must be a Sensor"),
        (Camera(Log()), 0, ValueError, "timeout is 0; it must be a positive number of seconds, or inf"),
        (Camera(Log()), float("nan"), ValueError, "timeout is nan"),
    ],
)
def test_what_makes_no_sense_is_refused(sensor: Any, timeout: float, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LatestValueSensor(sensor, timeout, None)


# --- Life -------------------------------------------------------------------------------------------------


async def test_it_may_be_used_outside_of_a_system_again_and_again(log: Log) -> None:
    camera = Camera(log)
    sensor = LatestValueSensor(camera, 60.0, None)
    for number in range(2):
        await sensor.setup()
        camera.put(number)
        await log.seen("camera.read", 2 * (number + 1))
        assert sensor.read() == number
        camera.put("last")
        await sensor.teardown()
    assert log.count("camera.teardown") == 2


async def test_a_hook_before_setup_leaves_no_thread_behind(log: Log) -> None:
    await LatestValueSensor(Camera(log), 1.0, None).on_interval_set(0.5)

    assert log.names() == ["camera.on_interval_set(0.5)"]
    assert log.threads("camera").isdisjoint({threading.get_ident()})


@KINDS
async def test_a_pause_ends_reading_and_resuming_begins_it_anew(kind: type[Camera], log: Log, role: Role) -> None:
    camera = kind(log)
    sensor = LatestValueSensor(camera, 1.0, None)
    async with Life(sensor, role):
        await log.seen("camera.read")
        await paused(sensor, role)
        assert log.names() == ["camera.setup", "camera.read", "camera.on_paused"]
        await role.call(sensor.on_resumed)
        await log.seen("camera.read", 2)
        assert log.names()[3:] == ["camera.on_resumed", "camera.read"]


async def paused(sensor: LatestValueSensor[Any], role: Role) -> None:
    """Pause it while it waits for a frame, which comes meanwhile."""
    pausing = asyncio.create_task(role.call(sensor.on_paused))
    while sensor._life is not None and sensor._life.reads_on:
        await asyncio.sleep(0)
    sensor.sensor.put("frame")  # type: ignore[attr-defined]
    await pausing


class Still(Agent[Any, Any]):
    def __init__(self) -> None:
        super().__init__()
        self.observations: list[Any] = []

    def step(self, observation: Any) -> None:
        self.observations.append(observation)


class Nowhere(Actuator[None]):
    def operate(self, action: None) -> None: ...


def watching(sensor: Sensor[Any]) -> FixedIntervalInteraction[Any, Any]:
    return FixedIntervalInteraction.with_sleep_adjustor(Still(), ModularEnvironment(sensor, Nowhere()), 0.01)


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    return {"states_dir": tmp_path / "states", "web_api_address": None}


async def test_all_hooks_of_a_blocking_sensor_run_on_one_thread_of_its_own(log: Log, config: dict[str, Any]) -> None:
    camera = SavedCamera(log)
    interaction = watching(LatestValueSensor(camera, 1.0, None))
    camera.put(*range(10_000))  # more than is read, so that no reading waits
    async with start(interaction, {}, {}, {}, config) as system:
        await log.seen("camera.read", 4)
        await system.pause()
        await system.save_state()
        await system.resume()
    hooks = log.names(without=("read",))
    assert hooks == [
        f"camera.{hook}"
        for hook in (
            "on_interval_set(0.01)", "setup", "on_paused", "save_state", "on_resumed", "teardown", "save_state"
        )
    ]  # fmt: skip
    assert len(log.threads("camera")) == 1
    assert log.threads("camera").isdisjoint({threading.get_ident()})

    log.clear()
    async with start(interaction, {}, {}, {}, {**config, "saved_state_path": "latest"}):
        await log.seen("camera.read")
    assert log.names()[:3] == ["camera.load_state", "camera.on_interval_set(0.01)", "camera.setup"]
    assert len(log.threads("camera")) == 1


async def test_state_lies_where_that_of_the_sensor_would(log: Log, config: dict[str, Any]) -> None:
    for sensor in (SavedCamera(log), LatestValueSensor(camera := SavedCamera(log), 1.0, None)):
        if sensor is not camera:
            (camera if isinstance(sensor, LatestValueSensor) else sensor).put(*range(1000))
        async with start(watching(sensor), {}, {}, {}, {**config, "saved_state_path": "latest"}):
            await log.seen_again("camera.read")
    assert log.count("camera.load_state") == 1


async def test_an_end_of_the_data_ends_the_system_in_order(log: Log, config: dict[str, Any]) -> None:
    camera = Camera(log)
    camera.put("frame", EndOfInteraction("all is read"))
    await launch(watching(LatestValueSensor(camera, 1.0, None)), {}, {}, {}, config)

    assert log.names()[-2:] == ["camera.read", "camera.teardown"]


async def test_an_error_ends_the_system_as_itself(log: Log, config: dict[str, Any]) -> None:
    camera = Camera(log)
    camera.put(Boom("unplugged"))
    with pytest.raises(Boom, match="unplugged"):
        await launch(watching(LatestValueSensor(camera, 1.0, None)), {}, {}, {}, config)


# --- Readings that hang -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("short_grace")
async def test_a_reading_that_hangs_holds_no_pause_and_no_end(
    log: Log, config: dict[str, Any], cameras: list[Camera], caplog: pytest.LogCaptureFixture
) -> None:
    camera = Camera(log)
    cameras.append(camera)
    async with start(watching(LatestValueSensor(camera, 1.0, None)), {}, {}, {}, config) as system:
        await log.seen("camera.read")
        await system.pause()
        await system.resume()
        await system.shutdown()

    assert log.names(without=("on_interval_set(0.01)",)) == ["camera.setup", "camera.read"]
    warnings = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings == ["Camera hangs in read; the pause begins without it", "Camera hangs in read and is left behind"]


@pytest.mark.usefixtures("short_grace")
async def test_a_sensor_left_behind_is_torn_down_when_its_reading_returns(log: Log, config: dict[str, Any]) -> None:
    camera = Camera(log)
    async with start(watching(LatestValueSensor(camera, 1.0, None)), {}, {}, {}, config):
        await log.seen("camera.read")
    camera.put("late")
    await log.seen("camera.teardown")

    assert log.count("camera.read") == 1
    assert len(log.threads("camera")) == 1


@pytest.mark.usefixtures("short_grace")
async def test_what_a_reader_that_was_left_behind_reads_at_last_is_not_for_the_next_life(log: Log) -> None:
    old, new = Camera(log), Camera(log)

    class Replaced(Camera):
        count = 0

        @override
        def read(self) -> Any:
            self.count += 1
            return (old if self.count == 1 else new).read()

        @override
        def teardown(self) -> None:
            self.log.add(threading.current_thread().name, "teardown")

    sensor = LatestValueSensor(Replaced(log), 1.0, None)
    await sensor.setup()
    await log.seen("camera.read")
    await sensor.teardown()
    await sensor.setup()
    await log.seen("camera.read", 2)
    old.put("of the life before")
    await log.seen("pamiq-Replaced.teardown")
    assert sensor.read() is None
    new.put("last")
    await sensor.teardown()


@pytest.mark.usefixtures("short_grace")
async def test_a_reading_that_goes_on_after_a_pause_is_not_begun_twice(log: Log, role: Role) -> None:
    camera = Camera(log)
    sensor = LatestValueSensor(camera, 1.0, None)
    async with Life(sensor, role):
        await log.seen("camera.read")
        await role.call(sensor.on_paused)
        await role.call(sensor.on_resumed)
        camera.put("frame")
        await log.seen("camera.read", 2)
        assert sensor.read() == "frame"
    assert len(log.threads("camera")) == 1


@pytest.mark.usefixtures("short_grace")
async def test_an_async_reading_that_hangs_is_cancelled(log: Log, config: dict[str, Any]) -> None:
    camera = AsyncCamera(log)
    async with start(watching(LatestValueSensor(camera, 1.0, None)), {}, {}, {}, config) as system:
        await log.seen("camera.read")
        await system.pause()
        assert log.count("camera.on_paused") == 1
        await system.resume()
        await log.seen("camera.read", 2)

    assert log.names()[-1] == "camera.teardown"


@pytest.mark.usefixtures("short_grace")
async def test_the_state_of_a_sensor_that_hangs_is_not_passed_off_as_saved(
    log: Log, config: dict[str, Any], cameras: list[Camera]
) -> None:
    camera = SavedCamera(log)
    cameras.append(camera)
    with pytest.raises(PauseTimeout, match=r"SavedCamera hangs in read, so its save_state can't be called"):
        async with start(watching(LatestValueSensor(camera, 1.0, None)), {}, {}, {}, config):
            await log.seen("camera.read")
    assert not await asyncio.to_thread(lambda: list(config["states_dir"].glob("*.state")))
