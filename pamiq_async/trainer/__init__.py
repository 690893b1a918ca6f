"""Trainers, which take turns at learning from what was collected."""

from ..hooks import put_off_on_loop
from .container import TrainersDict
from .trainer import Trainer

__all__ = ["Trainer", "TrainersDict", "put_off_on_loop"]
