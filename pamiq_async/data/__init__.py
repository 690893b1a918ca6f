"""From what an agent lives through to what its trainers learn from."""

from . import impls
from .buffer import DataBuffer
from .container import DataCollectorsDict, DataUsersDict
from .interface import DataCollector, DataUser

__all__ = ["DataBuffer", "DataCollector", "DataCollectorsDict", "DataUser", "DataUsersDict", "impls"]
