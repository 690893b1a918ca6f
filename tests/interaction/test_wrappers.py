from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pamiq_async import (
    Actuator,
    ActuatorWrapper,
    Environment,
    EnvironmentWrapper,
    LambdaWrapper,
    Sensor,
    SensorWrapper,
    Wrapper,
)
from pamiq_async.roles import Role

Made = Callable[[str, Callable[..., Any]], Callable[..., Any]]

KINDS = ("def", "async def", "@nonblocking def")
HOOKS = ("setup", "on_paused", "on_resumed", "save_state", "load_state", "teardown")


class Dial(Sensor[int]):
    def read(self) -> int:
        return 7


class Motor(Actuator[int]):
    def __init__(self) -> None:
        self.moves: list[int] = []

    def operate(self, action: int) -> None:
        self.moves.append(action)


class Tape(Environment[int, int]):
    def __init__(self) -> None:
        self.actions: list[int] = []

    def observe(self) -> int:
        return 7

    def affect(self, action: int) -> None:
        self.actions.append(action)


class Adding(Wrapper[int, int]):
    """Adds what it has added up; that is its state."""

    def __init__(self, total: int = 0) -> None:
        self.total = total

    def wrap(self, value: int) -> int:
        self.total += value
        return self.total

    def save_state(self, path: Path) -> None:
        path.write_text(str(self.total))

    def load_state(self, path: Path) -> None:
        self.total = int(path.read_text())


@pytest.fixture(params=["function", "Wrapper"])
def given(request: pytest.FixtureRequest) -> Callable[[Callable[..., Any]], Any]:
    """What users may give: a function, or a Wrapper whose `wrap` is that function."""

    def given(function: Callable[..., Any]) -> Any:
        if request.param == "function":
            return function
        return type("Given", (Wrapper,), {"wrap": staticmethod(function)})()

    return given


def double(value: int) -> int:
    return 2 * value


def negative(value: int) -> int:
    return -value


def test_a_wrapper_can_be_called_like_a_function() -> None:
    assert Adding(3)(4) == 7


def test_a_function_as_a_wrapper() -> None:
    wrapper = LambdaWrapper(double)

    assert wrapper.wrap(4) == wrapper(4) == 8


async def test_an_async_function_as_a_wrapper() -> None:
    async def slow(value: int) -> int:
        await asyncio.sleep(0)
        return -value

    assert await LambdaWrapper(slow).wrap(4) == -4


def test_an_async_function_is_refused_in_plain_code() -> None:
    async def slow(value: int) -> int:
        raise AssertionError

    with pytest.raises(TypeError, match=r"slow is async def and can't be called from plain code"):
        LambdaWrapper(slow)(4)


def test_what_can_not_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="func is 3; it must be a callable that takes one value"):
        SensorWrapper(Dial(), 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_reading_goes_through_a_wrapper(
    kind: str, made: Made, given: Callable[[Callable[..., Any]], Any], role: Role
) -> None:
    sensor = SensorWrapper(Dial(), given(made(kind, double)))

    assert await role.call(sensor.read) == 14


@pytest.mark.parametrize("kind", KINDS)
async def test_an_action_goes_through_a_wrapper(
    kind: str, made: Made, given: Callable[[Callable[..., Any]], Any], role: Role
) -> None:
    motor = Motor()

    await role.call(ActuatorWrapper(motor, given(made(kind, double))).operate, 3)

    assert motor.moves == [6]


@pytest.mark.parametrize("obs_kind", KINDS)
@pytest.mark.parametrize("act_kind", KINDS)
async def test_both_directions_of_an_environment_go_through_wrappers(
    obs_kind: str, act_kind: str, made: Made, given: Callable[[Callable[..., Any]], Any], role: Role
) -> None:
    tape = Tape()
    environment = EnvironmentWrapper(tape, given(made(obs_kind, double)), given(made(act_kind, negative)))

    assert await role.call(environment.observe) == 14
    await role.call(environment.affect, 3)
    assert tape.actions == [-3]


def test_plain_wrappers_work_in_plain_code() -> None:
    tape, motor = Tape(), Motor()
    environment = EnvironmentWrapper(tape, double, negative)

    assert environment.observe() == 14
    environment.affect(3)
    assert tape.actions == [-3]
    assert SensorWrapper(Dial(), double).read() == 14
    ActuatorWrapper(motor, double).operate(3)
    assert motor.moves == [6]


async def test_what_a_wrapped_async_sensor_gives_is_wrapped_when_awaited_by_hand() -> None:
    class AsyncDial(Dial):
        async def read(self) -> int:  # type: ignore[override]
            await asyncio.sleep(0)
            return 7

    sensor: Any = SensorWrapper(AsyncDial(), double)

    assert await sensor.read() == 14


def test_wrap_sensor_and_wrap_actuator() -> None:
    motor = Motor()
    adding = Adding(10)

    sensor = adding.wrap_sensor(Dial())
    actuator = LambdaWrapper(double).wrap_actuator(motor)

    assert isinstance(sensor, SensorWrapper)
    assert sensor.read() == 17
    assert isinstance(actuator, ActuatorWrapper)
    actuator.operate(3)
    assert motor.moves == [6]


def test_what_is_wrapped_can_be_reached() -> None:
    dial, motor, tape = Dial(), Motor(), Tape()

    assert SensorWrapper(dial, double).sensor is dial
    assert ActuatorWrapper(motor, double).actuator is motor
    assert EnvironmentWrapper(tape, double, double).env is tape


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SensorWrapper(Motor(), double), "sensor is <.*Motor.*>; it must be a Sensor"),
        (lambda: ActuatorWrapper(Dial(), double), "actuator is <.*Dial.*>; it must be an Actuator"),
        (lambda: EnvironmentWrapper(Dial(), double, double), "env is <.*Dial.*>; it must be an Environment"),
        (lambda: EnvironmentWrapper(Tape(), double, None), "func is None; it must be a callable"),
    ],
)
def test_parts_of_the_wrong_type_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()


def test_a_wrappers_state_is_saved(tmp_path: Path) -> None:
    environment = EnvironmentWrapper(Tape(), Adding(1), Adding(2))
    sensor, actuator = SensorWrapper(Dial(), Adding(3)), ActuatorWrapper(Motor(), Adding(4))

    environment.save_state(tmp_path / "environment")
    sensor.save_state(tmp_path / "sensor")
    actuator.save_state(tmp_path / "actuator")

    found = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {
        "environment/obs_wrapper": "1",
        "environment/act_wrapper": "2",
        "sensor/wrapper": "3",
        "actuator/wrapper": "4",
    }

    loaded = Adding()
    SensorWrapper(Dial(), loaded).load_state(tmp_path / "sensor")
    assert loaded.total == 3


@pytest.mark.parametrize("hook", HOOKS)
def test_hooks_reach_what_is_wrapped_before_the_wrapper(hook: str, tmp_path: Path) -> None:
    called: list[str] = []

    def noting(base: type[Any], name: str) -> Any:
        return type("Noting", (base,), {hook: lambda self, *args: called.append(name)})()

    wrappers = [
        SensorWrapper(noting(Dial, "sensor"), noting(Adding, "its wrapper")),
        ActuatorWrapper(noting(Motor, "actuator"), noting(Adding, "its wrapper")),
        EnvironmentWrapper(noting(Tape, "environment"), noting(Adding, "obs wrapper"), noting(Adding, "act wrapper")),
    ]
    for number, wrapper in enumerate(wrappers):
        getattr(wrapper, hook)(*([tmp_path / str(number)] if hook.endswith("_state") else []))

    assert called == [
        *("sensor", "its wrapper"),
        *("actuator", "its wrapper"),
        *("environment", "obs wrapper", "act wrapper"),
    ]
