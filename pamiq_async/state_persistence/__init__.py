"""Saved states: what components offer, how states are written, verified, loaded and kept."""

from .conditions import PeriodicSaveCondition
from .keepers import LatestStatesKeeper, StatesKeeper
from .manifest import FileEntry, Manifest, list_states, read_manifest, verify
from .mixin import PersistentStateMixin, load_pickle, save_pickle, write_later
from .store import StateStore

__all__ = [
    "FileEntry",
    "LatestStatesKeeper",
    "Manifest",
    "PeriodicSaveCondition",
    "PersistentStateMixin",
    "StateStore",
    "StatesKeeper",
    "list_states",
    "load_pickle",
    "read_manifest",
    "save_pickle",
    "verify",
    "write_later",
]
