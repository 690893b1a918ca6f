"""Buffers that are ready to use."""

from .dict_buffers import DictRandomReplacementBuffer, DictSequentialBuffer
from .random_replacement import RandomReplacementBuffer
from .sequential import SequentialBuffer

__all__ = ["DictRandomReplacementBuffer", "DictSequentialBuffer", "RandomReplacementBuffer", "SequentialBuffer"]
