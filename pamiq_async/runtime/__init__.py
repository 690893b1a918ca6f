"""What runs a system: its roles, its control, its states."""

from .config import LaunchConfig
from .statistics import BufferFill, IntervalStatistics, LoopLag, Statistics, StepTimes, TrainerTimes
from .system import System

__all__ = [
    "BufferFill",
    "IntervalStatistics",
    "LaunchConfig",
    "LoopLag",
    "Statistics",
    "StepTimes",
    "System",
    "TrainerTimes",
]
