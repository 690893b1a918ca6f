"""An agent that saves its state every few milliseconds, until it is killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from typing_extensions import override

import pamiq_async
from pamiq_async import Agent, Environment, FixedIntervalInteraction
from pamiq_async.data.impls import SequentialBuffer
from pamiq_async.state_persistence import LatestStatesKeeper

Tell = Callable[[str], object]


class Counter:
    """Saves how many steps there were, as the agent and the environment count them, each for itself."""

    steps = 0

    def save_state(self, path: Path) -> None:
        path.write_text(str(self.steps))

    def load_state(self, path: Path) -> None:
        self.steps = int(path.read_text())


class CountingAgent(Counter, Agent[int, int]):
    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell
        self._is_first = True

    @override
    def on_data_collectors_attached(self) -> None:
        self._collector = self.get_data_collector("steps")

    @override
    def step(self, observation: int) -> int:
        assert observation == self.steps, "agent and environment were loaded from different saves"
        if self._is_first:
            self._is_first = False
            self._tell(f"loaded {self.steps}")
        self.steps += 1
        self._collector.collect(self.steps)
        return self.steps


class CountingEnvironment(Counter, Environment[int, int]):
    @override
    def observe(self) -> int:
        return self.steps

    @override
    def affect(self, action: int) -> None:
        self.steps += 1


class TellingKeeper(LatestStatesKeeper):
    """Hears of a state when the save has returned, and tells how many steps it has."""

    def __init__(self, states_dir: Path, tell: Tell) -> None:
        super().__init__(states_dir, 2)
        self._tell = tell

    @override
    def append(self, path: Path) -> None:
        super().append(path)
        self._tell(f"saved {(path / 'interaction' / 'agent').read_text()}")


def act_and_save(states_dir: Path, tell: Tell) -> None:
    config: dict[str, Any] = {
        "states_dir": states_dir,
        "saved_state_path": "latest",
        "save_state_interval": 0.002,
        "states_cleanup_interval": 0.005,
        "states_keeper": TellingKeeper(states_dir, tell),
        "web_api_address": None,
    }
    interaction = FixedIntervalInteraction.with_sleep_adjustor(CountingAgent(tell), CountingEnvironment(), 0.001)
    pamiq_async.run(interaction, {}, {"steps": SequentialBuffer(100)}, {}, config)
