"""Every error that the package raises on its own account.

::

    PamiqError
    ├── EndOfInteraction                 raised by users: a normal end
    ├── SystemShutdown                   out of pause_point(): stop training, the system ends
    ├── SystemEnded      (RuntimeError)  a command came too late
    ├── PauseTimeout     (TimeoutError)  a role did not park
    ├── ShutdownTimeout  (TimeoutError)  a role did not end and was given up
    ├── BlockingCall     (RuntimeError)  a blocking call on the event loop
    ├── UnknownName      (KeyError)      a model, buffer or trainer that is not there
    ├── NotAttached      (RuntimeError)  models or data asked for before a system has attached them
    ├── ComponentInUse   (ValueError)    a component that already serves elsewhere
    ├── ControlAddressError (OSError)    the control server can't listen there
    ├── ControlCallError                 a client's call to a control server came to nothing
    │   ├── ServerUnreachable (ConnectionError)  nobody answers at its address
    │   ├── NotAControlServer (ConnectionError)  something else answers there
    │   ├── CallRefused (PermissionError)        the server does not let the caller in
    │   ├── CommandQueueFull (RuntimeError)      too many commands wait already
    │   ├── CommandFailed (RuntimeError)         the server says why
    │   └── AnswerTimeout (TimeoutError)         no outcome in time; the command may still be under way
    └── StateError
        ├── StateNotFound  (FileNotFoundError)
        ├── InvalidState   (ValueError)    damaged, foreign or from a newer version
        ├── PickleRefused  (ValueError)    the state holds pickled objects
        ├── DurabilityUnknown (OSError)    saved, but not known to outlive a power loss
        ├── StatesDirLocked (BlockingIOError)
        └── StatesDirUnusable (OSError)

Each is also the builtin error that it is, so ``except TimeoutError`` catches a `PauseTimeout`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path


class PamiqError(Exception):
    """Root of the package's errors."""


class EndOfInteraction(PamiqError):
    """Raise it in a hook of an agent or environment to end the system in order.

    It is a normal end: the final state is saved and `launch` returns.
    """


class SystemShutdown(PamiqError):
    """Raised by `pause_point()` when the system shuts down; let it pass through `train`."""


class SystemEnded(PamiqError, RuntimeError):
    """A command was given to a system that is shutting down or has ended."""


class PauseTimeout(PamiqError, TimeoutError):
    """A role did not park in time, so the pause was given up and the system goes on."""


class ShutdownTimeout(PamiqError, TimeoutError):
    """Compute did not end within `shutdown_timeout` and was given up; no final state was saved."""


class BlockingCall(PamiqError, RuntimeError):
    """A call that blocks was made on a running event loop."""


class UnknownName(PamiqError, KeyError):
    """A name that is not among those there are."""

    def __init__(self, kind: str, name: object, known: Iterable[str], remark: str = "") -> None:
        names = ", ".join(repr(n) for n in known) or "none"
        super().__init__(f"no {kind} named {name!r}; there are: {names}{remark}")

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would show the repr of its message


class NotAttached(PamiqError, RuntimeError):
    """A component asked for models or data before a system attached them."""

    def __init__(self, component: object, what: str, hook: str) -> None:
        super().__init__(
            f"{type(component).__qualname__} has no {what} yet: they are attached when a system starts; "
            f"get them in {hook}(), not in __init__()"
        )


class ComponentInUse(PamiqError, ValueError):
    """A component was given to two systems, or twice to one."""


class ControlAddressError(PamiqError, OSError):
    """The control server can't, or must not, listen on its address."""


class ControlCallError(PamiqError):
    """A client's call to a control server came to nothing.

    A pause that timed out and a command that came too late are a `PauseTimeout` and a `SystemEnded`, as they are for
    callers of `System`.
    """


class ServerUnreachable(ControlCallError, ConnectionError):
    """Nobody answers at the control server's address."""


class NotAControlServer(ControlCallError, ConnectionError):
    """What answers at the address is no control server of this package."""


class CallRefused(ControlCallError, PermissionError):
    """The control server does not let the caller in."""


class CommandQueueFull(ControlCallError, RuntimeError):
    """As many commands as may wait are waiting already; the command was not taken."""


class CommandFailed(ControlCallError, RuntimeError):
    """A command could not be carried out; the message is the server's."""


class AnswerTimeout(ControlCallError, TimeoutError):
    """The outcome was not known in time; a command may still be carried out."""


class StateError(PamiqError):
    """Something about a saved state."""


class StateNotFound(StateError, FileNotFoundError):
    """There is no state at the given path."""


class InvalidState(StateError, ValueError):
    """A state that does not verify; nothing was loaded from it."""


class PickleRefused(StateError, ValueError):
    """A state holds pickled objects and the user did not allow to load them."""


class DurabilityUnknown(StateError, OSError):
    """A state was saved and is whole, but the disk did not confirm its name: a power loss may take it.

    Attributes:
        path: the state.
    """

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(
            f"{path} was saved, but may be gone after a power loss: syncing its directory failed: {error}; save again "
            f"once the disk is well"
        )
        self.path = path


class StatesDirUnusable(StateError, OSError):
    """The states directory can't be made, or not be written to."""


class StatesDirLocked(StateError, BlockingIOError):
    """Another system owns the states directory."""


def attach(error: BaseException, second: BaseException, during: str) -> None:
    """Keep `second`, which happened while `error` was on its way out, with `error`."""
    if second is not error:
        error.add_note(f"{during}, a second error: {type(second).__name__}: {second}")


def graver(error: BaseException, second: BaseException, during: str) -> BaseException:
    """Of two errors, the one to raise: the first, with the second attached.

    An EndOfInteraction or SystemShutdown only says that there is an end; it gives way to an error.
    """
    if isinstance(error, EndOfInteraction | SystemShutdown) and not isinstance(
        second, EndOfInteraction | SystemShutdown
    ):
        return second
    attach(error, second, during)
    return error


class ErrorCollector:
    """Lets several things be done though some of them fail, and raises the gravest error afterwards."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    @contextlib.contextmanager
    def collect(self, during: str) -> Iterator[None]:
        """Hold an error of the block back; `during` says where it was, should it not be the first."""
        try:
            yield
        except BaseException as error:
            self.error = error if self.error is None else graver(self.error, error, during)

    def raise_collected(self) -> None:
        """Raise what was held back, as itself."""
        if self.error is not None:
            raise self.error
