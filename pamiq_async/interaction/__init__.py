"""Agents, environments and what lies between them."""

from ..hooks import acall, call
from . import modular_env, wrappers
from .agent import Agent
from .env import Environment
from .interactions import FixedIntervalInteraction, Interaction
from .interval_adjustors import IntervalAdjustor, SleepIntervalAdjustor
from .latest import LatestValueSensor
from .modular_env import Actuator, ActuatorsDict, ModularEnvironment, Sensor, SensorsDict
from .wrappers import ActuatorWrapper, EnvironmentWrapper, LambdaWrapper, SensorWrapper, Wrapper

__all__ = [
    "Actuator",
    "ActuatorWrapper",
    "ActuatorsDict",
    "Agent",
    "Environment",
    "EnvironmentWrapper",
    "FixedIntervalInteraction",
    "Interaction",
    "IntervalAdjustor",
    "LambdaWrapper",
    "LatestValueSensor",
    "ModularEnvironment",
    "Sensor",
    "SensorWrapper",
    "SensorsDict",
    "SleepIntervalAdjustor",
    "Wrapper",
    "acall",
    "call",
    "modular_env",
    "wrappers",
]
