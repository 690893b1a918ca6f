"""Deterministic mode: acting and training take turns, and never compute at the same time."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typing_extensions import override

from ..exceptions import EndOfInteraction, InvalidState
from ..roles import Gate
from ..state_persistence import PersistentStateMixin, codec


class Lockstep(PersistentStateMixin):
    """Whose turn it is: some steps, then a turn for each trainer, then steps again.

    Its state is where a run stands within a round, and the global random generators, so that a run which goes on from
    a state gives what it would have given without the break. It changes on the loop alone, but for `taken`.

    Args:
        steps_per_round: how many steps come before the trainers' turns; inf: no end of them, trainers run beside.
        turns_per_round: how many trainers take their turn.
        max_steps: after so many steps in all the interaction ends.
    """

    def __init__(
        self, gate: Gate, steps_per_round: float = math.inf, turns_per_round: int = 0, max_steps: float = math.inf
    ) -> None:
        self.taken = 0
        """Steps up to now; counted by whoever acts, on whatever thread that is."""
        self._gate = gate
        self._steps_per_round = steps_per_round
        self._turns_per_round = turns_per_round
        self._max_steps = max_steps
        self._round_end = steps_per_round  # the value of `taken` at which trainers have their turn
        self._turns_left = 0
        self._generators: dict[str, Any] | None = None  # as loaded, until `begin`

    def begin(self) -> None:
        """Acting begins: what was done before, in `setup` for example, must not shift the random numbers of a state."""
        if self._generators is not None:
            _restore_generators(self._generators)
            self._generators = None

    # For the role that acts

    @property
    def limit(self) -> float:
        """Up to which value of `taken` steps may be taken now."""
        return min(self._round_end, self._max_steps)

    async def wait_for_steps(self) -> None:
        """Let the trainers take their turns. It returns early when the gate closes; then call it again.

        Raises:
            EndOfInteraction: `max_steps` were taken.
        """
        if self.taken < self._round_end:
            raise EndOfInteraction(f"{self.taken} steps were taken")
        if self._turns_per_round == 0:
            self._begin_round()
            return
        if self._turns_left == 0:
            self._turns_left = self._turns_per_round
            self._gate.role_moved()
        await self._gate.wait_until(lambda: self.taken < self._round_end or not self._gate.is_open)

    # For the role that trains

    def next_turn(self) -> int | None:
        """Which trainer's turn it is; None while steps are taken."""
        return self._turns_per_round - self._turns_left if self._turns_left else None

    def took_turn(self) -> None:
        """The turn is over, whether there was anything to train or not."""
        self._turns_left -= 1
        if self._turns_left == 0:
            self._begin_round()
            self._gate.role_moved()

    async def wait_for_turns(self) -> None:
        """Wait until steps were taken, or the gate closes."""
        await self._gate.wait_until(lambda: self._turns_left > 0 or not self._gate.is_open)

    def _begin_round(self) -> None:
        self._round_end = self.taken + self._steps_per_round

    # State

    @override
    def save_state(self, path: Path) -> None:
        generators = _generators() if self._generators is None else self._generators
        where = {"steps_left": self._round_end - self.taken, "turns_left": self._turns_left}
        codec.save({**where, "generators": generators}, path)

    @override
    def load_state(self, path: Path) -> None:
        if not path.with_name(path.name + codec.MSGPACK_SUFFIX).exists():
            return  # saved by a system that trained concurrently
        state = codec.load(path, dict)
        try:
            steps_left, turns_left = _at_least_0(state["steps_left"]), _at_least_0(state["turns_left"])
            _check_generators(state["generators"])
        except _NOT_A_STATE as error:
            raise InvalidState(f"{path}: not where a run stands: {type(error).__name__}: {error}") from error
        # No more than a round of this run has, should the numbers be others than in the run that was saved.
        self._round_end = min(steps_left, self._steps_per_round)
        self._turns_left = int(min(turns_left, self._turns_per_round))
        self._generators = state["generators"]


_NOT_A_STATE = (AttributeError, LookupError, OverflowError, RuntimeError, TypeError, ValueError)


def _at_least_0(number: object) -> float:
    if not isinstance(number, int | float) or not number >= 0:
        raise ValueError(f"{number!r} is not a number of 0 or more")
    return number


# --- Random numbers -------------------------------------------------------------------------------------------


def _generators() -> dict[str, Any]:
    """The state of the global generator of each library that is in use. Generators of components are their own."""
    return {name: get(sys.modules[name]) for name, (get, _, _) in _LIBRARIES.items() if name in sys.modules}


def _restore_generators(states: dict[str, Any]) -> None:
    for name, state in states.items():
        if name in sys.modules and name in _LIBRARIES:
            _LIBRARIES[name][1](sys.modules[name], state)


def _check_generators(states: dict[str, Any]) -> None:
    """Try states on generators of no consequence, so that `_restore_generators` can't fail halfway."""
    for name, state in states.items():
        if name in sys.modules and name in _LIBRARIES:
            _LIBRARIES[name][2](sys.modules[name], state)


def _check_random(random: Any, state: Any) -> None:
    random.Random().setstate(state)
    if state[2] is not None:  # it believes this
        float.__float__(state[2])


def _check_numpy(numpy: Any, state: Any) -> None:
    numpy.RandomState(type(numpy.get_bit_generator())()).set_state(state)
    # It believes this as well, and would read random numbers from anywhere in the memory.
    position = state["state"].get("pos", 0) if isinstance(state, dict) else state[2]
    if not 0 <= position <= _MT19937_SIZE:
        raise ValueError(f"a generator that stands at {position!r} of {_MT19937_SIZE}")


_MT19937_SIZE = 624


def _check_torch(torch: Any, state: dict[str, Any]) -> None:
    torch.Generator().set_state(torch.frombuffer(bytearray(state["cpu"]), dtype=torch.uint8))
    if not isinstance(state["cuda"], list) or not all(isinstance(raw, bytes) for raw in state["cuda"]):
        raise TypeError("the states of generators on GPUs must be a list of bytes")


def _get_torch(torch: Any) -> dict[str, Any]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {"cpu": _as_bytes(torch.get_rng_state()), "cuda": [_as_bytes(state) for state in cuda]}


def _set_torch(torch: Any, state: dict[str, Any]) -> None:
    torch.set_rng_state(torch.frombuffer(bytearray(state["cpu"]), dtype=torch.uint8))
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(
            [torch.frombuffer(bytearray(raw), dtype=torch.uint8) for raw in state["cuda"][: torch.cuda.device_count()]]
        )


def _as_bytes(tensor: Any) -> bytes:
    return bytes(tensor.tolist())


# How to get, set and check a state. Looked up when in use, never imported: a program without them goes without.
_LIBRARIES: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], object], Callable[[Any, Any], object]]] = {
    "random": (lambda random: random.getstate(), lambda random, state: random.setstate(state), _check_random),
    "numpy.random": (lambda numpy: numpy.get_state(), lambda numpy, state: numpy.set_state(state), _check_numpy),
    "torch": (_get_torch, _set_torch, _check_torch),
}
