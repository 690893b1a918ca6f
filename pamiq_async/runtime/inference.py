"""The role that acts."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

from ..alarms import alarms
from ..flows import Flow
from ..hooks import Kind, kind_of, loop_watch
from ..interaction.interactions import FixedIntervalInteraction, Interaction
from ..roles import Gate, GateClosed, Role
from .lockstep import Lockstep
from .recording import DurationRecorder

BATCH = 512
"""Steps on the lane after which their times are sorted in."""

WORK_BETWEEN_YIELDS = 0.0005
"""Seconds that steps which never wait may hold the loop."""


class InferenceRole(Role):
    """Steps an interaction while the gate is open.

    When every hook is blocking, a whole run of steps is one job on the lane, which paces itself there. Otherwise steps
    run from the loop and only their blocking parts visit the lane.

    Args:
        lockstep: says when trainers have their turn first, in deterministic mode.
    """

    def __init__(
        self,
        interaction: Interaction[Any, Any],
        gate: Gate,
        recorder: DurationRecorder,
        lockstep: Lockstep,
    ) -> None:
        super().__init__("inference", interaction, gate)
        self._interaction = interaction
        self._flow: Flow
        self._recorder = recorder
        fixed = interaction if isinstance(interaction, FixedIntervalInteraction) else None
        self._adjustor = None if fixed is None else fixed.adjustor
        self._paces = fixed is not None and fixed.waits_between_steps
        self._owes_wait = False
        self._lockstep = lockstep

    @property
    def overruns(self) -> int:
        """How often a step was still running when the next one was due, of all that its adjustor has seen."""
        return 0 if self._adjustor is None else self._adjustor.overruns

    async def run(self) -> None:
        """Act until the gate stops."""
        self._flow = self._interaction.flow()  # after setup, which may have replaced parts
        with self.entered():
            if self._adjustor is not None:
                self._adjustor.reset()
            while not self.gate.is_stopping:
                if self._owes_wait and self._adjustor is not None:
                    self._adjustor.begin_wait()  # what comes between is no overrun of the step
                if not self.gate.is_open:
                    await self.park()
                elif self._lockstep.taken >= self._lockstep.limit:
                    await self._lockstep.wait_for_steps()
                elif self._blocks():
                    await self.lane.run(self._act)
                else:
                    with loop_watch.get(), alarms().kept_open():
                        await self._act_on_loop()

    def _blocks(self) -> bool:
        return self._flow.blocking and (self._adjustor is None or kind_of(self._adjustor.adjust_impl) is Kind.LANE)

    def _act(self) -> None:
        """A run of steps on the lane."""
        gate, lockstep = self.gate, self._lockstep
        while gate.is_open and lockstep.taken < lockstep.limit:
            self._recorder.sort_in()
            self._act_until(min(lockstep.taken + BATCH, lockstep.limit))

    def _act_until(self, limit: float) -> None:
        """Steps until so many were taken in all, or the gate closes."""
        gate, step, record, adjustor = self.gate, self._flow.run, self._recorder.add, self._adjustor
        lockstep = self._lockstep
        try:
            while gate.is_open and lockstep.taken < limit:
                if self._owes_wait and adjustor is not None:
                    adjustor.adjust()
                    self._owes_wait = False
                    continue  # the gate may have closed
                start = perf_counter()
                lockstep.taken += 1  # at once: a step of the user's own may sit a pause out, and be saved meanwhile
                try:
                    step()
                except BaseException:
                    lockstep.taken -= 1
                    raise
                record(perf_counter() - start)
                self._owes_wait = self._paces
        except GateClosed:
            self._owes_wait = True

    async def _act_on_loop(self) -> None:
        """A run of steps from the loop, which gets its turn again and again."""
        gate, step, record, adjustor = self.gate, self._flow.arun, self._recorder.add, self._adjustor
        lockstep, limit = self._lockstep, self._lockstep.limit
        give_way_at = perf_counter() + WORK_BETWEEN_YIELDS
        try:
            while gate.is_open and lockstep.taken < limit:
                if self._owes_wait and adjustor is not None:
                    await adjustor.aadjust()
                    self._owes_wait = False
                    continue
                start = perf_counter()
                lockstep.taken += 1
                try:
                    await step()
                except BaseException:
                    lockstep.taken -= 1
                    raise
                end = perf_counter()
                record(end - start)
                self._owes_wait = self._paces
                if end >= give_way_at:
                    self._recorder.sort_in()
                    await asyncio.sleep(0)
                    give_way_at = perf_counter() + WORK_BETWEEN_YIELDS
        except GateClosed:
            self._owes_wait = True
