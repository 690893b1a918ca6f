"""Trainers, which take turns at learning from what was collected."""

from .container import TrainersDict
from .trainer import Trainer

__all__ = ["Trainer", "TrainersDict"]
