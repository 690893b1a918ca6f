"""Models, whose training side publishes to their inference side."""

from .container import InferenceModelsDict, TrainingModelsDict
from .interface import InferenceModel, TrainingModel

__all__ = ["InferenceModel", "InferenceModelsDict", "TrainingModel", "TrainingModelsDict"]
