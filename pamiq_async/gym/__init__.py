"""Gymnasium environments, and agents that act in them. Needs the extra ``gym``."""

try:
    import gymnasium as _gymnasium  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "pamiq_async.gym needs Gymnasium, which is not installed: pip install 'pamiq-async[gym]'", name="gymnasium"
    ) from error

from .agent import GymAgent
from .env import GymEnvironment
from .types import EnvReset, EnvStep, GymAction, GymObs

__all__ = ["EnvReset", "EnvStep", "GymAction", "GymAgent", "GymEnvironment", "GymObs"]
