from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Discrete

from pamiq_async.gym import EnvReset, EnvStep, GymAction, GymEnvironment


class Corridor(gymnasium.Env[int, int]):
    """One walks to the end of it; remembers how it was used."""

    observation_space = Discrete(100)
    action_space = Discrete(2)

    def __init__(self, length: int = 3) -> None:
        self.length = length
        self.position = 0
        self.seeds: list[int | None] = []
        self.closed = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.position = 0
        return self.position, {"resets": len(self.seeds)}

    def step(self, action: int) -> tuple[int, Any, Any, Any, dict[str, Any]]:
        self.position += action
        ended = np.bool_(self.position == self.length)
        return self.position, np.float32(ended), ended, np.False_, {"action": action}

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def corridor() -> Corridor:
    return Corridor()


@pytest.fixture
def environment(corridor: Corridor) -> GymEnvironment[int, int]:
    environment = GymEnvironment(corridor)
    environment.setup()
    return environment


def test_setup_resets(environment: GymEnvironment[int, int]) -> None:
    assert environment.observe() == EnvReset(0, {"resets": 1})


def test_observing_changes_nothing(environment: GymEnvironment[int, int], corridor: Corridor) -> None:
    assert environment.observe() is environment.observe()
    assert len(corridor.seeds) == 1


def test_an_environment_that_was_not_set_up_resets_when_observed(corridor: Corridor) -> None:
    assert GymEnvironment(corridor, seed=3).observe() == EnvReset(0, {"resets": 1})
    assert corridor.seeds == [3]


def test_a_step_is_observed_in_plain_types(environment: GymEnvironment[int, int]) -> None:
    environment.affect(GymAction(1))

    step = environment.observe()
    assert step == EnvStep(1, 0.0, False, False, {"action": 1})
    assert isinstance(step, EnvStep)
    assert (type(step.reward), type(step.terminated), type(step.truncated)) == (float, bool, bool)


def test_the_last_step_and_the_reset_are_one_observation(environment: GymEnvironment[int, int]) -> None:
    for _ in range(3):
        environment.affect(GymAction(1))

    assert environment.observe() == (EnvStep(3, 1.0, True, False, {"action": 1}), EnvReset(0, {"resets": 2}))


def test_the_agent_can_end_an_episode(environment: GymEnvironment[int, int]) -> None:
    environment.affect(GymAction(1, need_reset=True))

    assert environment.observe() == (EnvStep(1, 0.0, False, False, {"action": 1}), EnvReset(0, {"resets": 2}))


def test_an_episode_that_ends_anyway_is_reset_once(environment: GymEnvironment[int, int], corridor: Corridor) -> None:
    environment.affect(GymAction(3, need_reset=True))

    assert len(corridor.seeds) == 2


def test_the_seed_is_for_the_first_reset_alone(corridor: Corridor) -> None:
    environment = GymEnvironment(corridor, seed=7)
    environment.setup()
    environment.affect(GymAction(3))

    assert corridor.seeds == [7, None]


def test_the_environment_is_closed_in_teardown(environment: GymEnvironment[int, int], corridor: Corridor) -> None:
    environment.teardown()

    assert corridor.closed == 1


def test_an_id_is_made_anew_after_teardown() -> None:
    environment: GymEnvironment[Any, int] = GymEnvironment("CartPole-v1")
    before = environment.env

    environment.setup()
    environment.teardown()
    environment.setup()

    assert environment.env is not before
    assert isinstance(environment.observe(), EnvReset)
    environment.teardown()


def test_a_given_environment_stays_after_teardown(environment: GymEnvironment[int, int], corridor: Corridor) -> None:
    environment.teardown()
    environment.setup()

    assert environment.env is corridor
    assert environment.observe() == EnvReset(0, {"resets": 2})


def test_nothing_is_made_before_it_is_needed() -> None:
    environment: GymEnvironment[Any, int] = GymEnvironment("NoSuchWorld-v0")

    with pytest.raises(gymnasium.error.NameNotFound):
        environment.setup()


def test_the_gymnasium_environment_can_be_reached(environment: GymEnvironment[int, int], corridor: Corridor) -> None:
    assert environment.env is corridor


def test_an_id_is_made_with_its_arguments() -> None:  # here: an episode is cut off after two steps
    environment: GymEnvironment[Any, int] = GymEnvironment("CartPole-v1", max_episode_steps=2)
    environment.setup()

    environment.affect(GymAction(0))
    environment.affect(GymAction(1))
    last, reset = environment.observe()  # type: ignore[misc]

    assert (last.terminated, last.truncated) == (False, True)
    assert isinstance(reset, EnvReset)
    environment.teardown()


def test_two_environments_of_one_seed_are_the_same() -> None:
    def first_observation(seed: int) -> Any:
        environment: GymEnvironment[Any, int] = GymEnvironment("CartPole-v1", seed=seed)
        environment.setup()
        return environment.observe().obs  # type: ignore[union-attr]

    np.testing.assert_array_equal(first_observation(1), first_observation(1))
    assert not np.array_equal(first_observation(1), first_observation(2))


def test_arguments_for_making_are_refused_with_an_environment(corridor: Corridor) -> None:
    with pytest.raises(TypeError, match=r"\['max_episode_steps'\] are for gymnasium\.make\(\)"):
        GymEnvironment(corridor, max_episode_steps=3)
