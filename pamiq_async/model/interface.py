"""A model's two sides: one acts, one is trained."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from ..hooks import Kind, in_lane, kind_of, pass_on
from ..state_persistence.mixin import PersistentStateMixin


class InferenceModel(ABC):
    """The side that agents use."""

    @abstractmethod
    def infer(self, *args: Any, **kwds: Any) -> Any:
        """Compute the model's answer. It may be called while another thread trains and publishes."""

    def __call__(self, *args: Any, **kwds: Any) -> Any:
        """The same as `infer`."""
        return self.infer(*args, **kwds)

    async def ainfer(self, *args: Any, **kwds: Any) -> Any:
        """`infer` for coroutines: runs on the role's worker thread, or another outside of a system."""
        if kind_of(self.infer) is Kind.LANE:
            return await in_lane(lambda: self.infer(*args, **kwds))
        result = self.infer(*args, **kwds)
        return await result if kind_of(self.infer) is Kind.LOOP else result


T = TypeVar("T", bound=InferenceModel)


class TrainingModel(ABC, PersistentStateMixin, Generic[T]):
    """The side that trainers use, which publishes what it learnt to the inference side.

    Args:
        has_inference_model: whether agents can use it.
        inference_thread_only: whether agents alone use it; trainers can't get it then.

    Raises:
        ValueError: it has no inference model, yet is for inference alone.
    """

    has_inference_model: bool = True
    """Whether agents can use it."""

    inference_thread_only: bool = False
    """Whether agents alone can use it."""

    _inference_model: T | None = None

    def __init__(self, has_inference_model: bool = True, inference_thread_only: bool = False) -> None:
        super().__init__()
        if inference_thread_only and not has_inference_model:
            raise ValueError(
                "has_inference_model is False and inference_thread_only is True: nobody could use such a model"
            )
        self.has_inference_model = has_inference_model
        self.inference_thread_only = inference_thread_only

    @property
    def inference_model(self) -> T:
        """The inference side, made at the first call.

        Raises:
            RuntimeError: the model has none.
        """
        if not self.has_inference_model:
            raise RuntimeError(f"{type(self).__qualname__} was made with has_inference_model=False")
        if self._inference_model is None:
            self._inference_model = self._create_inference_model()
        return self._inference_model

    @property
    def parameter_count(self) -> int | None:
        """How many numbers the model has learnt; None if it does not say. It is logged when a system starts."""
        return None

    def as_frozen(self) -> TrainingModel[Any]:
        """The model for trainers that only read it, as a teacher or a target; `Trainer.get_frozen_model` gives it.

        This gives the model itself, which may be trained meanwhile. Override it where a reader should see what was
        published last and nothing newer, or where training and evaluation differ, as PyTorch's models do.
        """
        return self

    @abstractmethod
    def _create_inference_model(self) -> T:
        """Make the inference side."""

    @abstractmethod
    def forward(self, *args: Any, **kwds: Any) -> Any:
        """Compute the model's answer for training."""

    def __call__(self, *args: Any, **kwds: Any) -> Any:
        """The same as `forward`."""
        return self.forward(*args, **kwds)

    def sync(self) -> None:
        """Publish to the inference side, if there is one and it is not the only one in use."""
        if self.has_inference_model and not self.inference_thread_only:
            pass_on(self.sync_impl, self.inference_model)

    @abstractmethod
    def sync_impl(self, inference_model: T) -> None:
        """Hand what was learnt over to `inference_model`, which may be in use by another thread."""
