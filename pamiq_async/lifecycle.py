"""What phase a system is in, and how components are set up and torn down in order."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from enum import Enum

from .exceptions import ErrorCollector
from .hooks import pass_on, put_off_on_loop


class SystemStatus(Enum):
    """The phase of a system. Its value is what the control server answers."""

    ACTIVE = "active"
    PAUSING = "pausing"
    PAUSED = "paused"
    RESUMING = "resuming"
    SHUTTING_DOWN = "shutting down"
    ENDED = "ended"


class InteractionEventMixin:
    """Hooks around a component's life in a system."""

    def setup(self) -> Awaitable[None] | None:
        """Called once, before the first step."""

    def teardown(self) -> Awaitable[None] | None:
        """Called once, after the last step, for whatever was set up."""


class PauseEventMixin:
    """Hooks around a pause."""

    def on_paused(self) -> Awaitable[None] | None:
        """Called when the component's role parks, while system time still runs."""

    def on_resumed(self) -> Awaitable[None] | None:
        """Called when the component's role goes on, after system time does."""


# --- Setting children up and tearing them down ------------------------------------------------------------


@put_off_on_loop
def set_up(parent: InteractionEventMixin, children: Iterable[InteractionEventMixin]) -> None:
    """Set children up in order. If one fails, those that were set up are torn down, and nothing else."""
    done: list[InteractionEventMixin] = []
    for child in children:
        errors = ErrorCollector()
        with errors.collect("in setup"):
            pass_on(child.setup)
        if errors.error is not None:
            _unwind(child, errors)
            _tear_down_all(reversed(done), errors)
            errors.raise_collected()
        done.append(child)
    parent.__dict__["_set_up_children"] = done


@put_off_on_loop
def tear_down(parent: InteractionEventMixin, children: Iterable[InteractionEventMixin]) -> None:
    """Tear all children down in order; the first error is raised once all had their turn."""
    parent.__dict__.pop("_set_up_children", None)
    errors = ErrorCollector()
    _tear_down_all(children, errors)
    errors.raise_collected()


def set_up_root(component: InteractionEventMixin) -> None:
    """Set up a component that has no parent; if it fails, the children that it had set up are torn down."""
    errors = ErrorCollector()
    with errors.collect("in setup"):
        pass_on(component.setup)
    if errors.error is not None:
        _unwind(component, errors)
        errors.raise_collected()


def _unwind(component: InteractionEventMixin, errors: ErrorCollector) -> None:
    """After `component.setup` failed: tear down the children that it had set up already."""
    _tear_down_all(reversed(component.__dict__.pop("_set_up_children", [])), errors)


def _tear_down_all(components: Iterable[InteractionEventMixin], errors: ErrorCollector) -> None:
    for component in components:
        with errors.collect(f"while tearing down {type(component).__qualname__}"):
            pass_on(component.teardown)
