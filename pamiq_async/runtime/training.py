"""The role that trains."""

from __future__ import annotations

import asyncio
from time import perf_counter

from typing_extensions import override

from ..roles import Gate, Role
from ..trainer.container import TrainersDict
from ..trainer.trainer import Trainer
from .lockstep import Lockstep
from .recording import TrainingRecorder

ASK_AGAIN_AFTER = 0.1
"""Seconds after which an `is_trainable` of the user's own is asked again."""


class TrainingRole(Role):
    """Lets trainers take turns while the gate is open, and waits for data when none is trainable.

    Args:
        lockstep: says when trainers have their turn, in deterministic mode, where acting waits for them.
    """

    def __init__(
        self, trainers: TrainersDict, gate: Gate, recorder: TrainingRecorder, lockstep: Lockstep | None = None
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
                elif self._lockstep is not None:
                    await self._take_turns_in_lockstep(self._lockstep)
                elif not await self.take_turns():
                    await self._wait_for_data()
                else:
                    await asyncio.sleep(0)  # hooks that never wait must leave the loop its turns

    async def take_turns(self) -> bool:
        """Ask each trainer once whether it is trainable, and let it train; returns whether any did."""
        if self._blocks:
            return await self.lane.run(self._take_turns_on_lane)
        trained = False
        for _ in range(len(self._turns)):
            if self._must_stop():
                return True  # so that nobody waits for data now
            if await self._take_turn(*self._next()):
                trained = True
        return trained

    async def _take_turn(self, name: str, trainer: Trainer) -> bool:
        start = perf_counter()
        trained = await (self.lane.run(trainer.run) if trainer._runs_on_lane() else trainer.arun())
        if trained:
            self._record(name, perf_counter() - start)
        return trained

    async def _take_turns_in_lockstep(self, lockstep: Lockstep) -> None:
        """One turn each, in order, then it is the other role's turn; between two of them the gate may close."""
        turn = lockstep.next_turn()
        if turn is None:
            await lockstep.wait_for_turns()
        else:
            await self._take_turn(*self._turns[turn])
            lockstep.took_turn()

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
        return not self.gate.is_open

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

    @override
    def must_park(self) -> bool:
        """Whether the gate is closed to what trains just now.

        In deterministic mode a training parks before or after, never in between: nothing could go on from there after
        a save.
        """
        return super().must_park() and (self._lockstep is None or self.gate.is_stopping)

    @override
    def notice_gate(self) -> None:
        """The gate moved."""
        self._attention.set()
