"""Buffers that are ready to use."""

from typing import TYPE_CHECKING

from .dict_buffers import DictRandomReplacementBuffer, DictSequentialBuffer
from .random_replacement import RandomReplacementBuffer
from .sequential import SequentialBuffer

if TYPE_CHECKING:
    from .ring import RingBuffer

__all__ = [
    "DictRandomReplacementBuffer",
    "DictSequentialBuffer",
    "RandomReplacementBuffer",
    "RingBuffer",
    "SequentialBuffer",
]


def __getattr__(name: str) -> object:
    if name != "RingBuffer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from .ring import RingBuffer
    except ModuleNotFoundError as error:
        if error.name != "numpy":
            raise
        raise ModuleNotFoundError(
            "RingBuffer needs NumPy, which is not installed: pip install numpy", name="numpy"
        ) from error
    globals()[name] = RingBuffer
    return RingBuffer
