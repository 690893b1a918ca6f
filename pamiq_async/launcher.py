"""Starting a system: from components and a configuration to a running agent."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import signal
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from types import TracebackType
from typing import Any

import anyio.to_thread
import attrs

from .data.buffer import DataBuffer
from .exceptions import BlockingCall, attach
from .interaction.interactions import Interaction
from .model.interface import TrainingModel
from .runtime.config import LaunchConfig
from .runtime.system import System
from .runtime.wiring import Components
from .trainer.trainer import Trainer

AnyInteraction = Interaction[Any, Any]
Models = Mapping[str, TrainingModel[Any]]
Data = Mapping[str, DataBuffer[Any, Any]]
Trainers = Mapping[str, Trainer]
Config = LaunchConfig | Mapping[str, Any] | None


async def launch(
    interaction: AnyInteraction, models: Models, data: Data, trainers: Trainers, config: Config = None
) -> None:
    """Run an agent that learns while it acts, until shutdown, `max_uptime`, cancellation or an error.

    It runs inside the running loop and leaves the loop's signal handlers alone. However it ends, the roles end in
    order and the final state is saved.

    Args:
        interaction: the agent in its environment.
        models: by name; the agent gets their inference sides, trainers their training sides.
        data: buffers by name; the agent gets their collectors, trainers their using ends.
        trainers: by name; they take turns in this order.
        config: a `LaunchConfig`, or a mapping of its fields.

    Raises:
        TypeError, ValueError, OSError: something given is of no use; nothing was started.
        StateError: the state to load does not verify; nothing was loaded.
        Exception: an error in a component, as itself.
    """
    async with start(interaction, models, data, trainers, config) as system:
        await system.wait()


def start(
    interaction: AnyInteraction, models: Models, data: Data, trainers: Trainers, config: Config = None
) -> Starting:
    """Start a system and get hold of it; the arguments are those of `launch`.

    It works both ways: ``system = await start(...)``, and ``async with start(...) as system:``, which shuts the system
    down at the end of the block.

    Raises:
        TypeError, ValueError: something given is of no use; the error comes at once, not when awaited.
    """
    config = as_config(config)
    components = Components.check(interaction, models, data, trainers)
    return Starting(System(components, config, _control_server))


def run(interaction: AnyInteraction, models: Models, data: Data, trainers: Trainers, config: Config = None) -> None:
    """`launch` for scripts: blocks, with an event loop of its own; the arguments are those of `launch`.

    SIGINT (Ctrl-C) and SIGTERM shut the system down in order and `run` returns. A second signal stops waiting for
    compute that hangs; a state that is being committed is finished all the same.

    Raises:
        BlockingCall: a loop is running already, as in a notebook; use ``await launch(...)`` or ``await start(...)``.
        Exception: as for `launch`.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise BlockingCall(
            "run() was called while an event loop is running, as in a notebook; "
            "use 'await launch(...)' or 'system = await start(...)' there"
        )
    starting = start(interaction, models, data, trainers, config)

    async def main() -> None:
        with _signals_call(starting.system.on_signal):
            async with starting as system:
                await system.wait()

    asyncio.run(main())


class Starting:
    """A system about to start: await it, or enter it with ``async with``. Either, once."""

    def __init__(self, system: System) -> None:
        self.system = system

    def __await__(self) -> Generator[Any, Any, System]:
        return self._start().__await__()

    async def __aenter__(self) -> System:
        return await self._start()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.system.end()
        except asyncio.CancelledError as cancelled:
            self._attach_error_to(cancelled)
            raise
        if exc is not None:
            self._attach_error_to(exc)
        elif self.system.error is not None:
            raise self.system.error

    async def _start(self) -> System:
        try:
            await self.system.begin()
        except asyncio.CancelledError as cancelled:
            try:
                await self.system.end()
            finally:
                self._attach_error_to(cancelled)
            raise
        return self.system

    def _attach_error_to(self, error: BaseException) -> None:
        if self.system.error is not None:
            attach(error, self.system.error, "while the system ended")


@contextlib.asynccontextmanager
async def _control_server(system: System) -> AsyncIterator[None]:
    config = system.config
    if config.web_api_address is None:
        yield
        return
    # It brings aiohttp along, whose import takes longer than all else: neither who imports this package waits for it,
    # nor does the host's loop.
    server = await anyio.to_thread.run_sync(importlib.import_module, f"{__package__}.web.server")
    async with server.serve(
        system,
        config.web_api_address,
        token=config.web_api_token,
        queue_size=config.web_api_command_queue_size,
    ) as address:
        system.web_api_address = address
        yield


def as_config(config: Config) -> LaunchConfig:
    """Take in what a user gave as a configuration.

    Raises:
        TypeError: it is none, or has unknown fields.
        ValueError: a field's value is out of its range.
    """
    if config is None:
        return LaunchConfig()
    if isinstance(config, LaunchConfig):
        return config
    if not isinstance(config, Mapping):
        raise TypeError(f"config is {config!r}; it must be a LaunchConfig, a mapping of its fields, or None")
    known = [field.name for field in attrs.fields(LaunchConfig)]
    unknown = [name for name in config if name not in known]
    if unknown:
        raise TypeError(f"config has the unknown fields {unknown!r}; LaunchConfig has {known!r}")
    return LaunchConfig(**config)


@contextlib.contextmanager
def _signals_call(handler: Callable[[], None]) -> Iterator[None]:
    """Have SIGINT and SIGTERM call `handler` on the running loop, where that is possible."""
    loop = asyncio.get_running_loop()
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not in another thread than the main one, nor on Windows: there Ctrl-C cancels the main task instead.
        with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
            previous = signal.getsignal(number)
            loop.add_signal_handler(number, handler)
            before[number] = previous
    try:
        yield
    finally:
        for number, previous in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, previous)
