"""What runs a system: its roles, its control, its states."""

from .config import LaunchConfig
from .statistics import BufferFill, Statistics, StepTimes, TrainerTimes
from .system import System

__all__ = ["BufferFill", "LaunchConfig", "Statistics", "StepTimes", "System", "TrainerTimes"]
