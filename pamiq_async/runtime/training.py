"""The role that trains."""

from __future__ import annotations

import asyncio
from time import perf_counter

from ..lifecycle import Gate, Role
from ..trainer.container import TrainersDict
from ..trainer.trainer import Trainer
from .statistics import TrainingRecorder

ASK_AGAIN_AFTER = 0.1
"""Seconds after which an `is_trainable` of the user's own is asked again."""


class TrainingRole(Role):
    """Lets trainers take turns while the gate is open, and waits for data when none is trainable.

    Args:
        lockstep: whether acting waits for each round of turns, which then always runs to its end.
    """

    def __init__(
        self, trainers: TrainersDict, gate: Gate, recorder: TrainingRecorder, *, lockstep: bool = False
    ) -> None:
        super().__init__("training", trainers, gate)
        self._turns = list(trainers.items())
        self._record = recorder.add
        self._lockstep = lockstep
        self._blocks = all(trainer._runs_on_lane() for trainer in trainers.values())
        self._attention = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self) -> None:
        """Train until the gate stops."""
        self._loop = asyncio.get_running_loop()
        with self.entered():
            while not self.gate.is_stopping:
                if not self.gate.is_open:
                    await self.park()
                elif not await self.take_turns():
                    await self._wait_for_data()

    async def train_in_lockstep(self) -> None:
        """One round of turns, for which another role waits."""
        with self.entered():
            await self.take_turns()

    async def take_turns(self) -> bool:
        """Ask each trainer once whether it is trainable, and let it train; returns whether any did."""
        if self._blocks:
            return await self.lane.run(self._take_turns_on_lane)
        trained = False
        for _ in range(len(self._turns)):
            if self._must_stop():
                return True  # so that nobody waits for data now
            name, trainer = self._next()
            start = perf_counter()
            if await (self.lane.run(trainer.run) if trainer._runs_on_lane() else trainer.arun()):
                self._record(name, perf_counter() - start)
                trained = True
        return trained

    def _take_turns_on_lane(self) -> bool:
        trained = False
        for _ in range(len(self._turns)):
            if self._must_stop():
                return True
            name, trainer = self._next()
            start = perf_counter()
            if trainer.run():
                self._record(name, perf_counter() - start)
                trained = True
        return trained

    def _must_stop(self) -> bool:
        return self.gate.is_stopping or not (self.gate.is_open or self._lockstep)

    def _next(self) -> tuple[str, Trainer]:
        """The trainer whose turn it is; after a pause it goes on with the next, not with the first."""
        turn = self._turns.pop(0)
        self._turns.append(turn)
        return turn

    async def _wait_for_data(self) -> None:
        self._attention.clear()
        if not await self.lane.run(self._watch_collectors) or not self.gate.is_open:
            return
        asks_again = any(trainer._condition() is None for _, trainer in self._turns)
        try:
            async with asyncio.timeout(ASK_AGAIN_AFTER if asks_again else None):
                await self._attention.wait()
        except TimeoutError:
            pass

    def _watch_collectors(self) -> bool:
        """Have the collectors wake this role; returns False if the data are there already."""
        for _, trainer in self._turns:
            user = trainer._condition()
            if user is not None:
                missing = trainer._missing_items()
                if missing <= 0:
                    return False
                user.collector.notify(missing, self._wake)
        return True

    def _wake(self) -> None:
        """From any thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._attention.set)

    def notice_gate(self) -> None:
        """The gate moved."""
        self._attention.set()
