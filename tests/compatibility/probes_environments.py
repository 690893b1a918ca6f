"""Environments made of parts, and what is wrapped around them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from tests.compatibility.probing import Group, attempt, lifecycle, recording, saved_and_loaded, writing

probe = Group("Environments and wrappers")

Pamiq = ModuleType

HOOKS = ("setup", "on_paused", "on_resumed", "save_state", "load_state", "teardown")


# --- Modular environments -------------------------------------------------------------------------


@probe(
    "ModularEnvironment", "ModularEnvironment.observe", "ModularEnvironment.affect", "Sensor.read", "Actuator.operate"
)
def modular(pamiq: Pamiq) -> Any:
    """observing reads the sensor, affecting operates the actuator; both are attributes"""
    log: list[str] = []
    sensor, actuator = recording(pamiq.Sensor, "sensor", log), recording(pamiq.Actuator, "actuator", log)
    environment = pamiq.ModularEnvironment(sensor=sensor, actuator=actuator)
    environment.affect(environment.observe())
    return log, environment.sensor is sensor, environment.actuator is actuator


@probe(*[f"ModularEnvironment.{hook}" for hook in HOOKS])
def modular_hooks(pamiq: Pamiq, path: Path) -> Any:
    """hooks reach the sensor, then the actuator"""
    log: list[str] = []
    environment = pamiq.ModularEnvironment(
        recording(pamiq.Sensor, "sensor", log), recording(pamiq.Actuator, "actuator", log)
    )
    return lifecycle(environment, log, path)


@probe("ModularEnvironment.from_dict", "SensorsDict", "ActuatorsDict", "SensorsDict.read", "ActuatorsDict.operate")
def dicts(pamiq: Pamiq) -> Any:
    """readings and actions by name; an action left out; one too many; a sensor added later"""
    log: list[str] = []
    environment = pamiq.ModularEnvironment.from_dict(
        {"eye": recording(pamiq.Sensor, "eye", log)}, {"hand": recording(pamiq.Actuator, "hand", log)}
    )
    environment.affect({"hand": 1, "foot": 2})
    missing = attempt(environment.affect, {"foot": 2})
    environment.sensor["ear"] = recording(pamiq.Sensor, "ear", log, read=lambda self: 2)
    return dict(environment.observe()), missing, log, type(environment.sensor).__name__


@probe(
    *[f"SensorsDict.{hook}" for hook in HOOKS],
    *[f"ActuatorsDict.{hook}" for hook in HOOKS],
)
def dict_hooks(pamiq: Pamiq, path: Path) -> Any:
    """hooks reach each, in order, with a path of its own"""
    log: list[str] = []
    for kind, base in (pamiq.SensorsDict, pamiq.Sensor), (pamiq.ActuatorsDict, pamiq.Actuator):
        parts = {name: recording(base, name, log) for name in ("first", "second")}
        (path / kind.__name__).mkdir()
        lifecycle(kind(parts), log, path / kind.__name__)
    return log


@probe("ModularEnvironment.save_state", "SensorsDict.save_state", "ActuatorsDict.save_state")
def modular_state(pamiq: Pamiq, path: Path) -> Any:
    """files of a state, and that it is found again"""
    log: list[str] = []
    environment = pamiq.ModularEnvironment.from_dict(
        {"eye": writing(pamiq.Sensor, log, "eye")}, {"hand": writing(pamiq.Actuator, log, "hand")}
    )
    return saved_and_loaded(environment, log, path)


# --- Wrappers -------------------------------------------------------------------------------------


@probe("LambdaWrapper", "LambdaWrapper.wrap", "Wrapper", "Wrapper.wrap")
def lambda_wrapper(pamiq: Pamiq) -> Any:
    """`wrap`, calling it, and that `Wrapper` is abstract"""
    doubled = pamiq.LambdaWrapper(lambda value: value * 2)
    return doubled.wrap(2), doubled(3), attempt(pamiq.Wrapper)


@probe("Wrapper.wrap_sensor", "SensorWrapper", "SensorWrapper.read")
def wrapped_sensor(pamiq: Pamiq) -> Any:
    """by `wrap_sensor`, with a Wrapper, with a callable, by keywords; what it is a kind of"""
    sensor = recording(pamiq.Sensor, "sensor", [], read=lambda self: 5)
    double = pamiq.LambdaWrapper(lambda value: value * 2)
    made = [double.wrap_sensor(sensor), pamiq.SensorWrapper(sensor, double), pamiq.SensorWrapper(sensor, lambda v: -v)]
    made.append(pamiq.SensorWrapper(sensor=sensor, wrapper=double))
    return [(type(m).__name__, m.read(), m.sensor is sensor, isinstance(m, pamiq.Sensor)) for m in made]


@probe("Wrapper.wrap_actuator", "ActuatorWrapper", "ActuatorWrapper.operate")
def wrapped_actuator(pamiq: Pamiq) -> Any:
    """by `wrap_actuator`, with a Wrapper, with a callable; what it is a kind of"""
    got: list[Any] = []
    actuator = recording(pamiq.Actuator, "actuator", [], operate=lambda self, action: got.append(action))
    double = pamiq.LambdaWrapper(lambda value: value * 2)
    made = [double.wrap_actuator(actuator), pamiq.ActuatorWrapper(actuator, lambda value: -value)]
    for wrapper in made:
        wrapper.operate(5)
    return got, [(m.actuator is actuator, isinstance(m, pamiq.Actuator)) for m in made]


@probe("EnvironmentWrapper", "EnvironmentWrapper.observe", "EnvironmentWrapper.affect")
def wrapped_environment(pamiq: Pamiq) -> Any:
    """observations on the way out, actions on the way in, by a Wrapper and by a callable"""
    got: list[Any] = []
    environment = recording(
        pamiq.Environment, "env", [], observe=lambda self: 5, affect=lambda self, action: got.append(action)
    )
    wrapped = pamiq.EnvironmentWrapper(environment, pamiq.LambdaWrapper(str), act_wrapper=int)
    wrapped.affect("7")
    return wrapped.observe(), got, wrapped.env is environment


def wrappers(pamiq: Pamiq, log: list[str]) -> list[Any]:
    return [
        pamiq.SensorWrapper(recording(pamiq.Sensor, "sensor", log), recording(pamiq.Wrapper, "wrapper", log)),
        pamiq.ActuatorWrapper(recording(pamiq.Actuator, "actuator", log), recording(pamiq.Wrapper, "wrapper", log)),
        pamiq.EnvironmentWrapper(
            recording(pamiq.Environment, "env", log),
            recording(pamiq.Wrapper, "obs", log),
            recording(pamiq.Wrapper, "act", log),
        ),
    ]


WRAPPERS = ("SensorWrapper", "ActuatorWrapper", "EnvironmentWrapper")


@probe(*[f"{w}.{h}" for w in WRAPPERS for h in HOOKS])
def wrapper_hooks(pamiq: Pamiq, path: Path) -> Any:
    """hooks reach what is wrapped, then the wrappers, each with its path"""
    log: list[str] = []
    for number, wrapper in enumerate(wrappers(pamiq, log)):
        (path / str(number)).mkdir()
        lifecycle(wrapper, log, path / str(number))
    return log


@probe("EnvironmentWrapper.save_state", "SensorWrapper.save_state", "ActuatorWrapper.save_state")
def wrapper_state(pamiq: Pamiq, path: Path) -> Any:
    """files of a wrapper's state, and that it is found again"""
    log: list[str] = []
    wrapped = pamiq.EnvironmentWrapper(
        pamiq.ModularEnvironment(
            pamiq.SensorWrapper(writing(pamiq.Sensor, log, "sensor"), writing(pamiq.Wrapper, log, "w")),
            pamiq.ActuatorWrapper(writing(pamiq.Actuator, log, "actuator"), writing(pamiq.Wrapper, log, "w")),
        ),
        writing(pamiq.Wrapper, log, "obs"),
        writing(pamiq.Wrapper, log, "act"),
    )
    return saved_and_loaded(wrapped, log, path)
