"""Collectors and users by name."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from typing_extensions import override

from ..exceptions import UnknownName
from ..hooks import pass_on
from ..state_persistence.mixin import PersistentStateMixin, check_name
from .buffer import DataBuffer
from .interface import DataCollector, DataUser


class DataCollectorsDict(UserDict[str, DataCollector[Any]]):
    """The collectors of a system; each can be acquired once, as one agent alone may write to it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._acquired: set[str] = set()

    def acquire(self, collector_name: str) -> DataCollector[Any]:
        """Give a collector to its one user.

        Raises:
            UnknownName: there is none of that name, or it was acquired before (a KeyError).
        """
        if collector_name not in self:
            raise UnknownName("data collector", collector_name, self)
        if collector_name in self._acquired:
            free = [name for name in self if name not in self._acquired]
            raise UnknownName(
                "free data collector",
                collector_name,
                free,
                f"; {collector_name!r} was acquired before, and is exclusive",
            )
        self._acquired.add(collector_name)
        return self[collector_name]


class DataUsersDict(UserDict[str, DataUser[Any]], PersistentStateMixin):
    """The data users of a system. Their states are saved by name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._collectors = DataCollectorsDict()
        super().__init__(*args, **kwargs)

    @override
    def __setitem__(self, name: str, user: DataUser[Any]) -> None:
        super().__setitem__(check_name(name, "data buffer"), user)
        self._collectors[name] = user.collector

    def __missing__(self, name: str) -> DataUser[Any]:
        raise UnknownName("data buffer", name, self)

    @classmethod
    def from_data_buffers(
        cls, buffer_map: Mapping[str, DataBuffer[Any, Any]] | None = None, /, **kwargs: DataBuffer[Any, Any]
    ) -> Self:
        """A data user for each buffer."""
        buffers = {**(buffer_map or {}), **kwargs}
        return cls({name: DataUser(buffer) for name, buffer in buffers.items()})

    @property
    def data_collectors_dict(self) -> DataCollectorsDict:
        """The other ends."""
        return self._collectors

    @override
    def save_state(self, path: Path) -> None:
        path.mkdir()
        for name, user in self.items():
            pass_on(user.save_state, path / name)

    @override
    def load_state(self, path: Path) -> None:
        for name, user in self.items():
            pass_on(user.load_state, path / name)
