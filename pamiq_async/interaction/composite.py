"""Components made of components: every lifecycle hook is passed on to the children."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from typing_extensions import override

from ..hooks import pass_on, put_off_on_loop
from ..lifecycle import InteractionEventMixin, PauseEventMixin, set_up, tear_down
from ..state_persistence.mixin import PersistentStateMixin


class Component(InteractionEventMixin, PersistentStateMixin, PauseEventMixin):
    """What an interaction is made of: has the lifecycle hooks, and does nothing in them by itself."""


class Composite(Component):
    """Passes its lifecycle hooks on to its children, in order; their states are below its own, by name."""

    def _children(self) -> Mapping[str, Component]:
        """The children, by the names of their states."""
        raise NotImplementedError(f"{type(self).__qualname__} does not say what its children are")

    @override
    @put_off_on_loop
    def setup(self) -> None:
        set_up(self, self._children().values())

    @override
    @put_off_on_loop
    def teardown(self) -> None:
        tear_down(self, self._children().values())

    @override
    @put_off_on_loop
    def on_paused(self) -> None:
        for child in self._children().values():
            pass_on(child.on_paused)

    @override
    @put_off_on_loop
    def on_resumed(self) -> None:
        for child in self._children().values():
            pass_on(child.on_resumed)

    @override
    @put_off_on_loop
    def save_state(self, path: Path) -> None:
        children = self._children()
        if children:
            path.mkdir(exist_ok=True)
        for name, child in children.items():
            pass_on(child.save_state, path / name)

    @override
    @put_off_on_loop
    def load_state(self, path: Path) -> None:
        for name, child in self._children().items():
            pass_on(child.load_state, path / name)
