"""A system that runs for some steps, the same way each time, and takes no time."""

from __future__ import annotations

import contextlib
import math
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import anyio.to_thread
import attrs
from typing_extensions import override

from ..data.buffer import checked_size
from ..launcher import AnyInteraction, Config, Data, Models, Starting, Trainers, as_config
from ..roles import current_role
from ..runtime import LaunchConfig, Statistics, System
from ..runtime.wiring import Components
from .clock import ManualClock


async def run_steps(
    interaction: AnyInteraction,
    models: Models | None = None,
    data: Data | None = None,
    trainers: Trainers | None = None,
    config: Config = None,
    *,
    steps: int,
) -> Statistics:
    """Run a system for exactly `steps` steps, or less if it ends by itself; returns its figures.

    It is a system as `launch` runs it, with threads, states and all, but in deterministic mode: after each step every
    trainer that is trainable trains once; for another rhythm, set `steps_per_training`. There is no control server.

    System time starts at 0 and takes no real time: it stands still until a step or a training waits or sleeps, and is
    then at once as late as that. A task that a hook leaves running and that sleeps again and again makes time fly.

    Args:
        interaction: the agent in its environment.
        models: by name.
        data: buffers by name.
        trainers: by name.
        config: as for `launch`. Unless it names a `states_dir`, states go to a directory that is removed afterwards.
        steps: how many to take.

    Raises:
        TypeError, ValueError: as for `launch`; or `steps` is not a whole number, at least 1.
        Exception: an error in a component, as itself.
    """
    checked_size("steps", steps)
    given = as_config(config)
    components = Components.check(interaction, models or {}, data or {}, trainers or {})
    async with _states_dir(given.states_dir) as states_dir:
        actual = attrs.evolve(
            given,
            states_dir=states_dir,
            web_api_address=None,
            steps_per_training=given.steps_per_training or 1,
        )
        async with Starting(System(components, actual, clock=_LeapingClock(), max_steps=steps)) as system:
            await system.wait()
    return system.statistics()


@contextlib.asynccontextmanager
async def _states_dir(given: Path) -> AsyncIterator[Path]:
    if given != LaunchConfig().states_dir:
        yield given
        return
    directory = await anyio.to_thread.run_sync(tempfile.mkdtemp, None, "pamiq-")
    try:
        yield Path(directory)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(shutil.rmtree, directory)


class _LeapingClock(ManualClock):
    """Leaps to whatever time a role waits for. Others see time pass."""

    @override
    def _real_seconds_until(self, deadline: float) -> float | None:
        remaining = super()._real_seconds_until(deadline)
        if remaining is None and current_role() is not None and deadline < math.inf:
            with self._changed:
                if self._paused:
                    return None
                self._set(max(deadline, self._anchor.system))
            self.wake()
            return 0.0
        return remaining
