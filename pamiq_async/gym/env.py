"""A Gymnasium environment as one of ours."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import gymnasium
from typing_extensions import override

from pamiq_async import Environment

from .types import EnvReset, EnvStep, GymAction, GymObs

O = TypeVar("O")  # noqa: E741
A = TypeVar("A")


class GymEnvironment(Environment[GymObs[O], GymAction[A]], Generic[O, A]):
    """Runs a Gymnasium environment; a new episode begins as soon as one ends.

    Args:
        env_or_id: an environment, or the id of one to be made.
        make_kwargs: for `gymnasium.make`, with an id. `seed` seeds the first reset.

    Raises:
        TypeError: an environment was given together with arguments for making one.
    """

    def __init__(self, env_or_id: gymnasium.Env[O, A] | str, *, seed: int | None = None, **make_kwargs: Any) -> None:
        super().__init__()
        if isinstance(env_or_id, str):
            env_or_id = gymnasium.make(env_or_id, **make_kwargs)
        elif make_kwargs:
            raise TypeError(f"{sorted(make_kwargs)} are for gymnasium.make(); give them with an environment's id")
        self.env: gymnasium.Env[O, A] = env_or_id
        self._seed = seed
        self._observation: GymObs[O] | None = None

    @override
    def setup(self) -> None:
        super().setup()
        self._observation = self._reset(self._seed)

    @override
    def observe(self) -> GymObs[O]:
        if self._observation is None:
            self._observation = self._reset(self._seed)
        return self._observation

    @override
    def affect(self, action: GymAction[A]) -> None:
        obs, reward, terminated, truncated, info = self.env.step(action.action)
        step = EnvStep(obs, float(reward), bool(terminated), bool(truncated), info)
        self._observation = (step, self._reset()) if step.done or action.need_reset else step

    @override
    def teardown(self) -> None:
        super().teardown()
        self.env.close()

    def _reset(self, seed: int | None = None) -> EnvReset[O]:
        return EnvReset(*self.env.reset(seed=seed))
