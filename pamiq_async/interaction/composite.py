"""Components made of components: every lifecycle hook is passed on to the children."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from types import MethodType
from typing import Any, TypeVar, cast

from typing_extensions import override

from ..flows import Flow, Together, flows_through
from ..hooks import Hook, call, home_lane, on_loop, pass_on, put_off_on_loop
from ..lifecycle import InteractionEventMixin, PauseEventMixin, set_up, tear_down
from ..state_persistence.mixin import PersistentStateMixin

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class Component(InteractionEventMixin, PersistentStateMixin, PauseEventMixin):
    """What an interaction is made of: has the lifecycle hooks, and does nothing in them by itself."""

    def on_interval_set(self, interval: float) -> None:
        """Called before `setup` if steps start at a fixed interval, in seconds of system time."""


class Composite(Component):
    """Passes its lifecycle hooks on to its children, in order; their states are below its own, by name."""

    def _children(self) -> Mapping[str, Component]:
        """The children, by the names of their states."""
        raise NotImplementedError(f"{type(self).__qualname__} does not say what its children are")

    @override
    @put_off_on_loop
    def on_interval_set(self, interval: float) -> None:
        for child in self._children().values():
            pass_on(child.on_interval_set, interval)

    @override
    @put_off_on_loop
    def setup(self) -> Awaitable[None] | None:
        set_up(self, self._children().values())
        return None

    @override
    @put_off_on_loop
    def teardown(self) -> Awaitable[None] | None:
        tear_down(self, self._children().values())
        return None

    @override
    @put_off_on_loop
    def on_paused(self) -> Awaitable[None] | None:
        for child in self._children().values():
            pass_on(child.on_paused)
        return None

    @override
    @put_off_on_loop
    def on_resumed(self) -> Awaitable[None] | None:
        for child in self._children().values():
            pass_on(child.on_resumed)
        return None

    @override
    @put_off_on_loop
    def save_state(self, path: Path) -> Awaitable[None] | None:
        children = self._children()
        if children:
            path.mkdir(exist_ok=True)
        for name, child in children.items():
            pass_on(child.save_state, path / name)
        return None

    @override
    @put_off_on_loop
    def load_state(self, path: Path) -> Awaitable[None] | None:
        for name, child in self._children().items():
            pass_on(child.load_state, path / name)
        return None


def passes_through(stages: Callable[[Any], Iterable[Hook | Together]]) -> Callable[[F], F]:
    """Declare that a composite's hook is nothing but a chain of its children's hooks, which users may call, too.

    In a plain `def` hook it is a call like any other. In an `async def` hook it gives a coroutine, to be awaited.

    The decorated method is the same chain in plain code, made with `call`. It runs when all parts are blocking, and
    outside of systems.
    """

    def decorate(method: F) -> F:
        @functools.wraps(method)
        def hook(self: Any, *args: Any) -> Any:
            flow = Flow(stages(self))
            in_a_system = home_lane.get() is not None
            if flow.blocking or not (in_a_system or on_loop()):
                return call(MethodType(method, self), *args)
            return call(flow.arun, *args)

        return cast(F, flows_through(stages)(hook))

    return decorate


def check_component(value: T, expected: type, role: str) -> T:
    """Return `value` if it is of the expected type.

    Raises:
        TypeError: it is not; the message says what `role` it was given for.
    """
    if not isinstance(value, expected):
        article = "an" if expected.__name__[0] in "AEIOU" else "a"
        raise TypeError(f"{role} is {value!r}; it must be {article} {expected.__name__}")
    return value
