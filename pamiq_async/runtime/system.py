"""A running system: its life from start to end, and what its user holds of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from ..exceptions import ShutdownTimeout, SystemEnded, SystemShutdown
from ..flows import one_at_a_time
from ..hooks import Lane, loop_watch, on_loop
from ..lifecycle import SystemStatus, set_up_root
from ..roles import Gate, Role, beside_roles, calling_role, unless_cancelled
from ..time import TimeController, is_in_task_of, use_time_controller
from . import wiring
from .config import LaunchConfig
from .control import Control, SaveStage
from .ending import Ending, to_the_end
from .final_state import save_final_state
from .inference import InferenceRole
from .interpreter import switch_interval
from .lockstep import Lockstep
from .recording import Recorder
from .states import States
from .statistics import Statistics, as_address, as_figures, as_html, as_rows
from .training import TrainingRole
from .watchdog import Watchdog

logger = logging.getLogger(__name__)

Surroundings = Callable[["System"], AbstractAsyncContextManager[None]]


@contextlib.asynccontextmanager
async def _nothing(_: System) -> AsyncIterator[None]:
    yield


class System:
    """An agent that acts and learns, as its user holds it. Made by `start`, not by hand.

    All calls are idempotent and may come from any task of the loop, but not from the system's own hooks.

    Args:
        surroundings: a context in which the system lives, such as its control server.
        clock: its clock, if it is not to be real time.
        max_steps: it ends after so many; in deterministic mode alone.
    """

    def __init__(
        self,
        components: wiring.Components,
        config: LaunchConfig,
        surroundings: Surroundings = _nothing,
        *,
        clock: TimeController | None = None,
        max_steps: float = math.inf,
    ) -> None:
        self.config = config
        self.clock = TimeController() if clock is None else clock
        self.web_api_address: tuple[str, int] | None = None
        """Where the control server listens; the real port, if 0 was asked for."""
        self._components = components
        self._surroundings = surroundings
        self._task: asyncio.Task[None] | None = None
        self._policies = Lane("pamiq-policies")  # for what users give to the configuration: a condition, a keeper
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = asyncio.Event()
        self._finished = asyncio.Event()
        self._has_acted = False

        self._watchdog = Watchdog()
        self._recorder = Recorder(self.clock, components, lambda: self._inference.overruns)
        self._gate = Gate(self.clock)
        self._is_deterministic = config.steps_per_training is not None
        self._lockstep = Lockstep(
            self._gate, config.steps_per_training or math.inf, len(components.trainers), max_steps
        )
        self._training = TrainingRole(
            components.trainers,
            self._gate,
            self._recorder.trainings,
            self._lockstep if self._is_deterministic else None,
        )
        self._inference = InferenceRole(components.interaction, self._gate, self._recorder.steps, self._lockstep)
        self._roles: list[Role] = [self._inference]
        if components.trainers:
            self._roles.append(self._training)
        self._states = States(config, self.clock, self._training)
        self._states.register("interaction", components.interaction, self._inference)
        self._states.register("models", components.models, self._training)
        self._states.register("data", components.data, self._training)
        self._states.register("trainers", components.trainers, self._training)
        self._states.register("time", self.clock, None)  # type: ignore[arg-type]
        if self._is_deterministic:
            self._states.register("lockstep", self._lockstep, None)
        for user in components.data.values():
            user.collector.clock = self.clock
            user.keeps_waiting_items = self._is_deterministic
        self._control = Control(
            config,
            self.clock,
            self._gate,
            self._states,
            request_shutdown=self.request_shutdown,
            log_statistics=self._recorder.log_interval,
        )
        self._ending = Ending(config.shutdown_timeout, on_request=self._control.refuse_commands)

    # For its user

    @property
    def status(self) -> SystemStatus:
        """Its phase."""
        if self._task is not None and self._task.done():
            return SystemStatus.ENDED
        if self._ending.requested.is_set():
            return SystemStatus.SHUTTING_DOWN
        return self._control.status

    async def pause(self) -> None:
        """Park every role between two steps, then stop system time. Pausing what is paused changes nothing.

        Raises:
            PauseTimeout: a role did not park; the error names it and what it runs, and the system goes on.
            SystemEnded: the system is shutting down or has ended.
        """
        self._refuse_own_hooks("pause")
        await self._control.pause()

    async def resume(self) -> None:
        """Go on after a pause. Resuming what runs changes nothing.

        Raises:
            SystemEnded: the system is shutting down or has ended.
        """
        self._refuse_own_hooks("resume")
        await self._control.resume()

    async def save_state(self) -> Path:
        """Save a state, and return its path once it is safe on the disk. A paused system stays paused.

        Raises:
            PauseTimeout: a role did not park; nothing was saved and the system goes on.
            SystemEnded: the system is shutting down or has ended.
            Exception: whatever a component raised while saving; nothing was saved and the system goes on.
        """
        self._refuse_own_hooks("save_state")
        return await self._control.save_state()

    async def shutdown(self) -> None:
        """End in order: roles end, the final state is saved. Returns when all is done.

        Raises:
            Exception: the error that ended the system, if one did.
        """
        self._refuse_own_hooks("shutdown")
        self.request_shutdown()
        await self.wait()

    async def wait(self) -> None:
        """Wait until the system has ended.

        Raises:
            Exception: the error that ended the system, if one did.
        """
        self._refuse_own_hooks("wait")
        if self._task is None:
            raise SystemEnded("the system was never started")
        await asyncio.wait({self._task})
        if self.error is not None:
            raise self.error

    def request_shutdown(self) -> None:
        """Begin to end in order, without waiting for it; from any thread, hooks and signal handlers included."""
        if self._loop is None or is_in_task_of(self._loop):
            self._ending.request()
        else:  # also from a signal handler, which interrupts the loop while it waits
            with contextlib.suppress(RuntimeError):  # it has closed, so the system has ended
                self._loop.call_soon_threadsafe(self._ending.request)

    def on_signal(self) -> None:
        """Shut down; when called again, give compute up that hangs."""
        if self._ending.requested.is_set():
            logger.warning("asked again to shut down: no longer waiting for running compute")
            self._ending.give_up_compute()
        self.request_shutdown()

    @property
    def error(self) -> BaseException | None:
        """What ended the system, if it was an error."""
        return self._ending.error

    async def wait_finished(self) -> None:
        """Wait until the last state is saved, though the control server may still be up.

        Raises:
            Exception: the error that ended the system, if one did.
        """
        await self._finished.wait()
        if isinstance(self.error, Exception):
            raise self.error

    def statistics(self) -> Statistics:
        """What the system knows about its own running."""
        return self._recorder.statistics(self.status, self._states.saved)

    def figures(self) -> dict[str, Any]:
        """`statistics()` as plain data for JSON, without the status; None for what is not known."""
        return as_figures(self.statistics())

    def _repr_html_(self) -> str:
        rows = {**as_rows(self.statistics()), "control server": as_address(self.web_api_address)}
        if self.error is not None:
            rows["error"] = f"{type(self.error).__name__}: {self.error}"
        return as_html(rows)

    # For the launcher

    async def begin(self) -> None:
        """Start, and return once the roles act.

        Raises:
            Exception: whatever prevented it; the system has ended then.
        """
        if self._task is not None:
            raise RuntimeError("the system was started already; call start() again for another one")
        wiring.claim(self._components, self)
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run(), name="pamiq-system")
        started = asyncio.create_task(self._started.wait())
        try:
            await asyncio.wait({self._task, started}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            started.cancel()
        if self._task.done() and self.error is not None:
            raise self.error

    async def end(self) -> None:
        """Shut down and wait for it, through any number of cancellations; the last one goes on afterwards."""
        self.request_shutdown()
        if self._task is not None:
            await to_the_end(_done(self._task))

    # Its life

    async def _run(self) -> None:
        try:
            # In this task's context, which all tasks and lanes inherit:
            one_at_a_time.set(self._is_deterministic)
            loop_watch.set(self._watchdog)
            with use_time_controller(self.clock), beside_roles(None):
                async with self._surroundings(self):
                    try:
                        await self._live()
                    finally:
                        self.request_shutdown()
                        self._finished.set()
        except asyncio.CancelledError:  # by the end of the loop, not by launch()
            logger.warning("the system's task was cancelled while ending")
        except BaseException as error:  # kept, and raised from launch() in its caller's own task
            self._ending.record(error, "while ending")
        finally:
            self.clock.resume()  # for tasks that components left behind
            self.request_shutdown()
            self._finished.set()
            wiring.release(self._components, self)
            if self.error is not None:
                logger.error("the system ended with %s: %s", type(self.error).__name__, self.error)

    async def _live(self) -> None:
        async with contextlib.AsyncExitStack() as closing:
            closing.enter_context(switch_interval(self.config.switch_interval))
            await self._states.open()
            closing.push_async_callback(self._states.close)
            closing.push_async_callback(self._watchdog.close)
            self._policies.start()
            closing.push_async_callback(self._close_policies)
            for role in (self._inference, self._training):
                role.start_lane()
                closing.push_async_callback(role.close_lanes)
            if await self._ending.bounded(self._start_up(), "while starting", [self._inference, self._training]):
                if not self._ending.requested.is_set():
                    await self._act()
                await self._wind_up()

    async def _start_up(self) -> bool:
        parts = self._components
        inference_models = await self._training.call(lambda: parts.models.inference_models_dict)
        if parts.models:
            logger.info("models: %s", await self._training.call(parts.models.describe))
        await self._inference.call(parts.interaction.agent.attach_inference_models, inference_models)
        await self._inference.call(parts.interaction.agent.attach_data_collectors, parts.data.data_collectors_dict)
        await self._training.call(parts.trainers.attach_training_models, parts.models)
        await self._training.call(parts.trainers.attach_data_users, parts.data)
        if self.config.saved_state_path is not None:
            await self._states.load(self.config.saved_state_path)
        self.clock.set_time_scale(self.config.time_scale)
        await self._inference.call(set_up_root, parts.interaction)
        return True

    async def _act(self) -> None:
        """Run the roles until shutdown is requested and they have ended, or were given up."""
        self._has_acted = True
        self._recorder.begin()
        self._lockstep.begin()
        for role in self._roles:
            role.join()
        self._started.set()
        tasks = {}
        for role in self._roles:
            task = asyncio.create_task(self._guard(role.run, role.name), name=role.lane.name)
            task.add_done_callback(lambda _, role=role: role.leave())  # type: ignore[misc]
            tasks[task] = role.name
        with beside_roles(self._policies):
            control = asyncio.create_task(self._guard(self._control.run, "control"), name="pamiq-control")
        tasks[control] = "control"
        try:
            await self._ending.requested.wait()
        except asyncio.CancelledError:  # by the end of the loop, not by launch()
            logger.warning("the system's task was cancelled; shutting down")
            self.request_shutdown()
        if self._control.stage is SaveStage.CAPTURING:  # a snapshot must not move
            await self._ending.within_deadline(self._control.wait_while(SaveStage.CAPTURING))
        self._gate.stop()
        self.clock.resume()
        if not await self._ending.within_deadline(self._control.wait_while(SaveStage.WRITING)):
            self._states.writer.abandon()
            self._control.give_up_writing()
            logger.error("a state that is being written is given up:\n%s", self._states.writer.stack())
            error = ShutdownTimeout("a state was not written in time: it was given up, and no final one was saved")
            self._ending.record(error, "while writing a state")
        await to_the_end(self._control.wait_while(SaveStage.COMMITTING))
        if not await self._ending.within_deadline(self._at_rest(tasks)):
            await self._ending.give_up(tasks, [self._inference, self._training])
        for role in self._roles:
            role.is_acting = False
        self._recorder.end()

    async def _wind_up(self) -> None:
        """After the last step: tear down and save. Both wait for compute that still runs on the lanes."""
        lanes = self._inference.lane, self._training.lane, self._states.writer
        roles = self._inference, self._training
        if not self._inference.lane.is_abandoned:
            teardown = self._inference.call(self._components.interaction.teardown)
            await self._ending.bounded(teardown, "in teardown", [self._inference])
        if not self._has_acted:
            return
        if any(lane.is_abandoned for lane in lanes):
            logger.error("no final state was saved, because it would not be whole")
            return
        self.clock.set_time_scale(1.0)
        self.clock.pause()
        await save_final_state(self._states, self._ending, roles, self._policies)

    async def _close_policies(self) -> None:
        if self._policies.is_busy:
            logger.error("save_state_condition or states_keeper hangs and is left behind:\n%s", self._policies.stack())
            self._policies.abandon()
        await self._policies.close()

    # Ending in order

    async def _guard(self, run: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        """Run a role; whatever ends it ends the system in order."""
        try:
            await unless_cancelled(run(), f"a hook of {name}")
        except SystemShutdown as error:
            if not self._gate.is_stopping:
                self._ending.record(error, f"in {name}")
        except asyncio.CancelledError:
            raise  # given up, or by the end of the loop
        except BaseException as error:
            self._ending.record(error, f"in {name}")
        finally:
            self.request_shutdown()

    async def _at_rest(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        """Wait until the tasks have ended and nothing runs on the lanes."""
        await asyncio.wait(tasks)
        for role in (self._inference, self._training):
            await role.lane.run(_nothing_to_do)

    def _refuse_own_hooks(self, call: str) -> None:
        if on_loop() and asyncio.current_task() is self._control.task is not None:
            raise RuntimeError(
                f"System.{call}() was called from save_state_condition, for which it would wait; return True to save"
            )
        role = calling_role()
        if role is self._inference or role is self._training:
            raise RuntimeError(
                f"System.{call}() was called from a hook of {role.name}, for which it would wait; "
                f"raise EndOfInteraction to end the system, or call it from a task of its own"
            )


def _nothing_to_do() -> None:
    """A job that is done when those before it are."""


async def _done(task: asyncio.Task[None]) -> None:
    await asyncio.wait({task})
