"""PyTorch models, trainers with optimizers, and agents. Needs the extra ``torch``."""

try:
    import safetensors as _safetensors  # noqa: F401
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"pamiq_async.torch needs PyTorch and safetensors, and there is no {error.name}: "
        f"pip install 'pamiq-async[torch]'",
        name=error.name,
    ) from error

from .agent import TorchAgent
from .devices import default_infer_procedure, get_device
from .model import TorchFrozenModel, TorchInferenceModel, TorchTrainingModel
from .trainer import LRSchedulersDict, OptimizersDict, OptimizersSetup, StateDict, TorchTrainer

__all__ = [
    "LRSchedulersDict",
    "OptimizersDict",
    "OptimizersSetup",
    "StateDict",
    "TorchAgent",
    "TorchFrozenModel",
    "TorchInferenceModel",
    "TorchTrainer",
    "TorchTrainingModel",
    "default_infer_procedure",
    "get_device",
]
