"""Where data rest between being lived through and being learnt from."""

from __future__ import annotations

import logging
import operator
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..state_persistence import codec
from ..state_persistence.mixin import PersistentStateMixin, write_later

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")


class DataBuffer(ABC, PersistentStateMixin, Generic[T, R]):
    """Holds collected data for training: takes single items of `T`, gives them all as an `R`.

    A buffer is used by one thread at a time, that of the trainers.

    Args:
        max_queue_size: how many items may wait to be moved in; when more arrive the oldest are dropped.
            None warns: the queue grows without bound while nobody trains.

    Raises:
        ValueError: `max_queue_size` is less than 1.
    """

    _max_queue_size: int | None = None
    _pickling_was_reported = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        single, many = (next(c for c in cls.__mro__ if name in vars(c)) for name in ("add", "add_many"))
        if cls.__mro__.index(single) < cls.__mro__.index(many):
            cls.add_many = DataBuffer.add_many  # type: ignore[method-assign]

    def __init__(self, max_queue_size: int | None = None) -> None:
        super().__init__()
        if max_queue_size is None:
            warnings.warn(
                f"{type(self).__qualname__}: max_queue_size is None, so its queue is unbounded and fills the memory "
                f"while no trainer updates it; give a number of items",
                RuntimeWarning,
                stacklevel=2,
            )
        else:
            max_queue_size = checked_size("max_queue_size", max_queue_size)
        self._max_queue_size = max_queue_size

    @property
    def max_queue_size(self) -> int | None:
        """How many items may wait to be moved into the buffer."""
        return self._max_queue_size

    @abstractmethod
    def add(self, data: T) -> None:
        """Take one item in."""

    def add_many(self, items: Sequence[T]) -> None:
        """Take several items in, in order.

        This calls `add` for each. A class that can take them faster overrides both methods; where a subclass of it
        overrides `add` alone, items go through that one.
        """
        for data in items:
            self.add(data)

    def check_item(self, data: T) -> None:
        """Raise if `add` would. If it is overridden, collecting calls it, so that who collected is in the traceback.

        It is called on the thread of the acting side, so it must look at nothing that changes.
        """

    @abstractmethod
    def get_data(self) -> R:
        """All that the buffer holds. Changing the result must not change the buffer."""

    @abstractmethod
    def __len__(self) -> int:
        """How many items the buffer holds."""

    def clear(self) -> None:
        """Forget all items.

        Raises:
            NotImplementedError: this kind of buffer can't.
        """
        raise NotImplementedError(f"{type(self).__qualname__} has no clear(); define it to use DataUser.clear()")

    def _save_value(self, value: Any, path: Path) -> None:
        """Save contents, which training alone changes, through the codec, once acting goes on."""
        write_later(lambda: self._write_value(value, path))

    def _write_value(self, value: Any, path: Path) -> None:
        """Save contents and say once if they had to be pickled."""
        kind = codec.save(value, path)
        if kind is not None and not self._pickling_was_reported:
            self._pickling_was_reported = True
            logger.warning(
                "buffer %s (%s) holds %s.%s, which only pickle can save; "
                "loading this state will need LaunchConfig.allow_pickle=True",
                path.parent.name,
                type(self).__qualname__,
                kind.__module__,
                kind.__qualname__,
            )


def checked_size(name: str, size: int, at_least: int = 1) -> int:
    """Return `size` as an int; the error names the argument.

    Raises:
        TypeError: it is not a whole number, of Python or of NumPy.
        ValueError: it is too small.
    """
    if isinstance(size, bool) or not hasattr(size, "__index__"):
        raise TypeError(f"{name} is {size!r}; it must be a whole number")
    if size < at_least:
        raise ValueError(f"{name} is {size!r}; it must be at least {at_least}")
    return operator.index(size)
