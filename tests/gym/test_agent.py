from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from pamiq_async import EndOfInteraction, Interaction, launch
from pamiq_async.gym import EnvReset, EnvStep, GymAction, GymAgent, GymEnvironment

Array = np.ndarray[Any, Any]


class Noting(GymAgent[Any, str]):
    """Writes down what it is asked, and wants a reset where it is told to."""

    def __init__(self, *, reset_on: str | None = None) -> None:
        super().__init__()
        self.seen: list[Any] = []
        self.reset_on = reset_on

    def on_reset(self, obs: Any, info: dict[str, Any]) -> str:
        self.seen.append(("reset", obs, info, self.need_reset))
        self.need_reset = self.reset_on == "reset"
        return "first"

    def on_step(self, obs: Any, reward: float, terminated: bool, truncated: bool, info: dict[str, Any]) -> str:
        self.seen.append(("step", obs, reward, terminated, truncated, info))
        if self.reset_on == "step":
            self.need_reset = True
        return "next"


def test_a_reset_asks_for_the_first_action() -> None:
    agent = Noting()

    assert agent.step(EnvReset("obs", {"a": 1})) == GymAction("first", need_reset=False)
    assert agent.seen == [("reset", "obs", {"a": 1}, False)]


def test_a_step_asks_for_the_next_action() -> None:
    agent = Noting()

    assert agent.step(EnvStep("obs", 0.5, False, True, {"a": 1})) == GymAction("next", need_reset=False)
    assert agent.seen == [("step", "obs", 0.5, False, True, {"a": 1})]


def test_at_an_episodes_end_the_last_step_is_seen_before_the_reset() -> None:
    agent = Noting()

    action = agent.step((EnvStep("last", 1.0, True, False, {}), EnvReset("new", {})))

    assert action == GymAction("first", need_reset=False)
    assert [seen[:2] for seen in agent.seen] == [("step", "last"), ("reset", "new")]


@pytest.mark.parametrize("hook", ["step", "reset"])
def test_a_reset_can_be_asked_for_in_each_hook(hook: str) -> None:
    agent = Noting(reset_on=hook)

    assert agent.step(EnvReset("obs", {})).need_reset is (hook == "reset")
    assert agent.step(EnvStep("obs", 0.0, False, False, {})).need_reset is True


def test_a_reset_can_be_asked_for_between_steps() -> None:
    agent = Noting()
    agent.need_reset = True

    assert agent.step(EnvStep("obs", 0.0, False, False, {})).need_reset is True


def test_the_wish_for_a_reset_ends_with_the_reset() -> None:
    agent = Noting(reset_on="step")
    agent.step(EnvStep("obs", 0.0, False, False, {}))

    action = agent.step((EnvStep("last", 0.0, False, False, {}), EnvReset("new", {})))

    assert action == GymAction("first", need_reset=False)
    assert agent.seen[-1] == ("reset", "new", {}, False)


class Balancing(GymAgent[Array, int]):
    """Pushes to where the pole leans; ends the interaction after some episodes."""

    def __init__(self, episodes: int) -> None:
        super().__init__()
        self.episodes_left = episodes
        self.seed_obs: Array | None = None
        self.steps = 0

    def on_reset(self, obs: Array, info: dict[str, Any]) -> int:
        if self.seed_obs is None:
            self.seed_obs = obs
        if self.episodes_left == 0:
            raise EndOfInteraction
        self.episodes_left -= 1
        return int(obs[2] > 0)

    def on_step(self, obs: Array, reward: float, terminated: bool, truncated: bool, info: dict[str, Any]) -> int:
        self.steps += 1
        return int(obs[2] + obs[3] > 0)


class AsyncBalancing(Balancing):
    async def on_reset(self, obs: Array, info: dict[str, Any]) -> int:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().on_reset(obs, info)

    async def on_step(self, *args: Any) -> int:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().on_step(*args)


@pytest.mark.parametrize("kind", [Balancing, AsyncBalancing])
async def test_an_agent_lives_through_episodes_in_a_system(kind: type[Balancing], tmp_path: Path) -> None:
    agent = kind(episodes=3)
    environment: GymEnvironment[Array, int] = GymEnvironment("CartPole-v1", seed=1, max_episode_steps=20)

    await launch(Interaction(agent, environment), {}, {}, {}, {"states_dir": tmp_path, "web_api_address": None})

    assert agent.episodes_left == 0
    assert agent.steps == 60  # this policy balances longer than an episode may last
    assert agent.seed_obs is not None
    assert agent.seed_obs.tolist() == await asyncio.to_thread(first_observation, 1)


def first_observation(seed: int) -> list[float]:
    obs, _ = gymnasium.make("CartPole-v1").reset(seed=seed)
    return list(obs.tolist())
