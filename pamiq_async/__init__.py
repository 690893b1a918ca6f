"""An asyncio-native runtime for agents that learn while they act.

See `launch` for where to start. Extras are in `pamiq_async.gym` and are not imported here.
"""

import importlib
from typing import TYPE_CHECKING, Any

from . import data, exceptions, interaction, model, state_persistence, time, trainer, utils
from ._version import __version__
from .data import DataBuffer, DataCollector, DataUser
from .exceptions import EndOfInteraction, PamiqError
from .hooks import nonblocking
from .interaction import (
    Actuator,
    ActuatorsDict,
    ActuatorWrapper,
    Agent,
    Environment,
    EnvironmentWrapper,
    FixedIntervalInteraction,
    Interaction,
    IntervalAdjustor,
    LambdaWrapper,
    LatestValueSensor,
    ModularEnvironment,
    Sensor,
    SensorsDict,
    SensorWrapper,
    SleepIntervalAdjustor,
    Wrapper,
)
from .launcher import launch, run, start
from .lifecycle import SystemStatus
from .model import InferenceModel, TrainingModel
from .roles import apause_point, pause_point
from .runtime import LaunchConfig, System
from .trainer import Trainer

if TYPE_CHECKING:
    from . import web

__all__ = [
    "Actuator",
    "ActuatorWrapper",
    "ActuatorsDict",
    "Agent",
    "DataBuffer",
    "DataCollector",
    "DataUser",
    "EndOfInteraction",
    "Environment",
    "EnvironmentWrapper",
    "FixedIntervalInteraction",
    "InferenceModel",
    "Interaction",
    "IntervalAdjustor",
    "LambdaWrapper",
    "LatestValueSensor",
    "LaunchConfig",
    "ModularEnvironment",
    "PamiqError",
    "Sensor",
    "SensorWrapper",
    "SensorsDict",
    "SleepIntervalAdjustor",
    "System",
    "SystemStatus",
    "Trainer",
    "TrainingModel",
    "Wrapper",
    "__version__",
    "apause_point",
    "data",
    "exceptions",
    "interaction",
    "launch",
    "model",
    "nonblocking",
    "pause_point",
    "run",
    "start",
    "state_persistence",
    "time",
    "trainer",
    "utils",
    "web",
]


def __getattr__(name: str) -> Any:
    """Import `web` when it is first asked for: it brings aiohttp along, which takes longer than all else."""
    if name == "web":
        return importlib.import_module(f"{__name__}.web")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
