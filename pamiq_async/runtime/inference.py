"""The role that acts."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

from ..flows import Flow
from ..hooks import Kind, kind_of
from ..interaction.interactions import FixedIntervalInteraction, Interaction
from ..roles import Gate, GateClosed, Role
from .lockstep import Lockstep
from .statistics import StepRecorder

WORK_BETWEEN_YIELDS = 0.001
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
        recorder: StepRecorder,
        lockstep: Lockstep,
    ) -> None:
        super().__init__("inference", interaction, gate)
        self._interaction = interaction
        self._flow: Flow
        self._record = recorder.add
        fixed = interaction if isinstance(interaction, FixedIntervalInteraction) else None
        self._adjustor = None if fixed is None else fixed.adjustor
        self._paces = fixed is not None and fixed.waits_between_steps
        self._owes_wait = False
        self._lockstep = lockstep

    async def run(self) -> None:
        """Act until the gate stops."""
        self._flow = self._interaction.flow()  # after setup, which may have replaced parts
        with self.entered():
            if self._adjustor is not None:
                self._adjustor.reset()
            while not self.gate.is_stopping:
                if not self.gate.is_open:
                    await self.park()
                elif self._lockstep.taken >= self._lockstep.limit:
                    await self._lockstep.wait_for_steps()
                elif self._blocks():
                    await self.lane.run(self._act)
                else:
                    await self._act_on_loop()

    def _blocks(self) -> bool:
        return self._flow.blocking and (self._adjustor is None or kind_of(self._adjustor.adjust_impl) is Kind.LANE)

    def _act(self) -> None:
        """A run of steps on the lane."""
        gate, step, record, adjustor = self.gate, self._flow.run, self._record, self._adjustor
        lockstep, limit = self._lockstep, self._lockstep.limit
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
        """A run of steps from the loop, which gets its turn at least after every millisecond of work."""
        gate, step, record, adjustor = self.gate, self._flow.arun, self._record, self._adjustor
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
                    await asyncio.sleep(0)
                    give_way_at = perf_counter() + WORK_BETWEEN_YIELDS
        except GateClosed:
            self._owes_wait = True
