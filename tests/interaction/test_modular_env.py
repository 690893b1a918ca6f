from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pamiq_async import Actuator, ActuatorsDict, Environment, ModularEnvironment, Sensor, SensorsDict, nonblocking
from pamiq_async.roles import Role
from tests.fakes import Boom

HOOKS = ("setup", "on_paused", "on_resumed", "save_state", "load_state", "teardown")


class Dial(Sensor[Any]):
    def __init__(self, value: Any = 0) -> None:
        self.value = value

    def read(self) -> Any:
        return self.value


class AsyncDial(Dial):
    async def read(self) -> Any:
        await asyncio.sleep(0)
        return self.value


class QuickDial(Dial):
    @nonblocking
    def read(self) -> Any:
        return self.value


class Motor(Actuator[Any]):
    def __init__(self) -> None:
        self.moves: list[Any] = []

    def operate(self, action: Any) -> None:
        self.moves.append(action)


class AsyncMotor(Motor):
    async def operate(self, action: Any) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        self.moves.append(action)


class QuickMotor(Motor):
    @nonblocking
    def operate(self, action: Any) -> None:
        self.moves.append(action)


DIALS = [Dial, AsyncDial, QuickDial]
MOTORS = [Motor, AsyncMotor, QuickMotor]


# --- One sensor, one actuator -----------------------------------------------------------------------------


@pytest.mark.parametrize("dial", DIALS)
async def test_an_environment_observes_through_its_sensor(dial: type[Dial], role: Role) -> None:
    environment = ModularEnvironment(dial(7), Motor())

    assert await role.call(environment.observe) == 7


@pytest.mark.parametrize("motor", MOTORS)
async def test_an_environment_acts_through_its_actuator(motor: type[Motor], role: Role) -> None:
    environment = ModularEnvironment(Dial(), motor())

    await role.call(environment.affect, 5)

    assert environment.actuator.moves == [5]  # type: ignore[attr-defined]


def test_a_plain_environment_can_be_used_in_plain_code() -> None:
    motor = QuickMotor()
    environment = ModularEnvironment(Dial(7), motor)

    environment.affect(environment.observe())

    assert motor.moves == [7]


async def test_an_async_environment_can_be_awaited() -> None:
    motor = AsyncMotor()
    environment: ModularEnvironment[Any, Any] = ModularEnvironment(AsyncDial(7), motor)

    await environment.affect(await environment.observe())  # type: ignore[func-returns-value]

    assert motor.moves == [7]


def test_async_parts_are_refused_in_plain_code() -> None:
    environment = ModularEnvironment(AsyncDial(7), AsyncMotor())

    with pytest.raises(TypeError, match=r"AsyncDial\.read is async def"):
        environment.observe()
    with pytest.raises(TypeError, match=r"AsyncMotor\.operate is async def"):
        environment.affect(1)


@pytest.mark.parametrize("dial", DIALS)
async def test_a_plain_override_calls_the_inherited_hook(dial: type[Dial], role: Role) -> None:
    class Louder(ModularEnvironment[int, int]):
        def observe(self) -> int:
            return super().observe() + 1

    assert await role.call(Louder(dial(7), Motor()).observe) == 8


@pytest.mark.parametrize("dial", [AsyncDial, QuickDial])
async def test_an_async_override_awaits_the_inherited_hook(dial: type[Dial], role: Role) -> None:
    class Louder(ModularEnvironment[int, int]):
        async def observe(self) -> int:  # type: ignore[override]
            return int(await super().observe()) + 1  # type: ignore[misc]

    assert await role.call(Louder(dial(7), Motor()).observe) == 8


@pytest.mark.parametrize(
    ("sensor", "actuator", "message"),
    [(Motor(), Motor(), "sensor is <.*Motor.*>; it must be a Sensor"), (Dial(), 4, "actuator is 4; it must be an Act")],
)
def test_parts_of_the_wrong_type_are_refused(sensor: Any, actuator: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        ModularEnvironment(sensor, actuator)


# --- Many of them -----------------------------------------------------------------------------------------


def test_sensors_are_read_by_name() -> None:
    assert SensorsDict({"a": Dial(1), "b": QuickDial(2)}).read() == {"a": 1, "b": 2}


def test_actuators_get_their_own_items() -> None:
    left, right = Motor(), QuickMotor()

    ActuatorsDict({"left": left, "right": right}).operate({"right": 2, "left": 1, "nobody": 3})

    assert (left.moves, right.moves) == ([1], [2])


def test_an_action_without_an_item_for_an_actuator() -> None:
    with pytest.raises(KeyError, match="left"):
        ActuatorsDict({"left": Motor()}).operate({"right": 2})


async def test_an_action_without_an_item_for_an_async_actuator(role: Role) -> None:
    with pytest.raises(KeyError, match="left"):
        await role.call(ActuatorsDict({"left": AsyncMotor()}).operate, {"right": 2})


@pytest.mark.parametrize("dial", DIALS)
@pytest.mark.parametrize("motor", MOTORS)
async def test_an_environment_from_dicts(dial: type[Dial], motor: type[Motor], role: Role) -> None:
    motors = {"legs": motor(), "arm": Motor()}
    environment = ModularEnvironment.from_dict({"eye": dial(1), "ear": Dial(2)}, motors)

    assert await role.call(environment.observe) == {"eye": 1, "ear": 2}
    await role.call(environment.affect, {"legs": 3, "arm": 4})

    assert (motors["legs"].moves, motors["arm"].moves) == ([3], [4])


async def test_readings_are_in_the_sensors_order(role: Role) -> None:
    sensors = SensorsDict({"slow": AsyncDial(1), "plain": Dial(2), "quick": QuickDial(3)})

    assert list(await role.call(sensors.read)) == ["slow", "plain", "quick"]


async def test_nothing_to_read_and_nothing_to_operate(role: Role) -> None:
    environment = ModularEnvironment.from_dict({}, {})

    assert await role.call(environment.observe) == {}
    await role.call(environment.affect, {})


def test_a_sensor_may_be_added_later() -> None:
    sensors = SensorsDict(a=Dial(1))

    sensors["b"] = Dial(2)

    assert sensors.read() == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: SensorsDict({"eye": Motor()}), TypeError, "sensor 'eye' is <.*Motor.*>; it must be a Sensor"),
        (lambda: ActuatorsDict({"leg": Dial()}), TypeError, "actuator 'leg' is <.*Dial.*>; it must be an Actuator"),
        (lambda: SensorsDict({"a/b": Dial()}), ValueError, "name of a sensor is 'a/b'"),
        (lambda: ActuatorsDict({"": Motor()}), ValueError, "name of an? actuator is ''"),
        (lambda: SensorsDict({3: Dial()}), TypeError, "name of a sensor is 3; it must be a str"),
    ],
)
def test_what_can_not_be_part_of_a_dict(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


# --- At the same time -------------------------------------------------------------------------------------


def meeting(base: type[Any], hook: str, everybody: asyncio.Barrier) -> Any:
    """A part whose hook ends when all others are in theirs."""

    async def meet(self: Any, *args: Any) -> Any:
        await everybody.wait()
        return args

    return type("Meeting", (base,), {hook: meet})()


async def test_async_sensors_are_read_at_the_same_time(role: Role) -> None:
    everybody = asyncio.Barrier(3)
    sensors = SensorsDict({name: meeting(Sensor, "read", everybody) for name in "abc"})

    assert await role.call(sensors.read) == {"a": (), "b": (), "c": ()}


async def test_async_actuators_run_at_the_same_time(role: Role) -> None:
    everybody = asyncio.Barrier(3)
    actuators = ActuatorsDict({name: meeting(Actuator, "operate", everybody) for name in "abc"})

    await role.call(actuators.operate, dict.fromkeys("abc"))


async def test_async_sensors_are_read_at_the_same_time_when_awaited_by_hand() -> None:
    everybody = asyncio.Barrier(2)
    sensors: Any = SensorsDict({name: meeting(Sensor, "read", everybody) for name in "ab"})

    assert await sensors.read() == {"a": (), "b": ()}


async def test_async_sensors_are_read_at_the_same_time_below_a_plain_hook(role: Role) -> None:
    class Louder(ModularEnvironment[Any, Any]):
        def observe(self) -> Any:
            return {**super().observe(), "more": True}

    everybody = asyncio.Barrier(2)
    sensors = SensorsDict({name: meeting(Sensor, "read", everybody) for name in "ab"})

    assert await role.call(Louder(sensors, Motor()).observe) == {"a": (), "b": (), "more": True}


async def test_a_blocking_sensor_is_read_while_async_ones_are(role: Role) -> None:
    loop = asyncio.get_running_loop()
    async_is_reading, blocking_has_read = threading.Event(), asyncio.Event()

    class Waiting(Sensor[str]):
        async def read(self) -> str:  # type: ignore[override]
            async_is_reading.set()
            await blocking_has_read.wait()
            return "waited"

    class Blocking(Sensor[bool]):
        def read(self) -> bool:
            seen = async_is_reading.wait(timeout=20)
            loop.call_soon_threadsafe(blocking_has_read.set)
            return seen

    assert await role.call(SensorsDict({"b": Blocking(), "w": Waiting()}).read) == {"b": True, "w": "waited"}


async def test_blocking_sensors_are_read_in_order_on_the_lane(role: Role) -> None:
    read: list[tuple[str, int]] = []

    class Noting(Sensor[None]):
        def __init__(self, name: str) -> None:
            self.name = name

        def read(self) -> None:
            read.append((self.name, threading.get_ident()))

    sensors = SensorsDict({"b": Noting("b"), "slow": AsyncDial(), "a": Noting("a")})
    await role.call(sensors.read)

    lane = await role.call(threading.get_ident)
    assert read == [("b", lane), ("a", lane)]


async def test_an_error_cancels_the_others_and_comes_out_as_itself(role: Role) -> None:
    reading = asyncio.Event()
    cancelled = []

    class Endless(Sensor[None]):
        async def read(self) -> None:  # type: ignore[override]
            reading.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(self)
                raise

    class Failing(Sensor[None]):
        async def read(self) -> None:  # type: ignore[override]
            await reading.wait()
            raise Boom("failing")

    endless = Endless()
    with pytest.raises(Boom, match="failing") as caught:
        await role.call(SensorsDict({"endless": endless, "failing": Failing()}).read)

    assert cancelled == [endless]
    assert caught.value.__cause__ is caught.value.__context__ is None


async def test_a_second_error_is_attached_to_the_first(role: Role) -> None:
    everybody = asyncio.Barrier(2)

    class Failing(Actuator[str]):
        async def operate(self, action: str) -> None:  # type: ignore[override]
            try:
                await everybody.wait()
            finally:
                raise Boom(action)

    with pytest.raises(Boom) as caught:
        await role.call(ActuatorsDict({"a": Failing(), "b": Failing()}).operate, {"a": "one", "b": "two"})

    assert {str(caught.value), caught.value.__notes__[0].rpartition(" ")[2]} == {"one", "two"}


# --- Lifecycle --------------------------------------------------------------------------------------------


@pytest.fixture
def called() -> list[str]:
    return []


@pytest.fixture
def noting(called: list[str]) -> Callable[[type[Any], str], Any]:
    """A part that writes down which of its lifecycle hooks are called."""

    def noting(base: type[Any], name: str) -> Any:
        def hook(hook_name: str) -> Callable[..., None]:
            def run(self: Any, path: Path | None = None) -> None:
                called.append(f"{name}.{hook_name}" + (f" {path.name}" if path else ""))

            return run

        return type("Noting", (base,), {hook_name: hook(hook_name) for hook_name in HOOKS})()

    return noting


@pytest.mark.parametrize("hook", HOOKS)
def test_hooks_reach_all_parts_in_order(
    hook: str, noting: Callable[[type[Any], str], Any], called: list[str], tmp_path: Path
) -> None:
    environment: Environment[Any, Any] = ModularEnvironment.from_dict(
        {"eye": noting(Dial, "eye"), "ear": noting(Dial, "ear")}, {"leg": noting(Motor, "leg")}
    )

    if hook.endswith("_state"):
        getattr(environment, hook)(tmp_path / "environment")
        assert called == [f"{name}.{hook} {name}" for name in ("eye", "ear", "leg")]
    else:
        getattr(environment, hook)()
        assert called == [f"{name}.{hook}" for name in ("eye", "ear", "leg")]


def test_states_lie_below_sensor_and_actuator(tmp_path: Path) -> None:
    class Remembering(Dial):
        def save_state(self, path: Path) -> None:
            path.with_suffix(".txt").write_text(str(self.value))

        def load_state(self, path: Path) -> None:
            self.value = int(path.with_suffix(".txt").read_text())

    dial = Remembering(7)
    ModularEnvironment.from_dict({"eye": dial}, {"leg": Motor()}).save_state(tmp_path / "environment")
    other = Remembering()
    ModularEnvironment.from_dict({"eye": other}, {"leg": Motor()}).load_state(tmp_path / "environment")

    assert (tmp_path / "environment/sensor/eye.txt").read_text() == "7"
    assert other.value == 7
