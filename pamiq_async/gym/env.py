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
        seed: for the first reset.
        make_kwargs: for `gymnasium.make`, with an id.

    Raises:
        TypeError: an environment was given together with arguments for making one.
    """

    def __init__(self, env_or_id: gymnasium.Env[O, A] | str, *, seed: int | None = None, **make_kwargs: Any) -> None:
        super().__init__()
        self._id = env_or_id if isinstance(env_or_id, str) else None
        self._env = None if isinstance(env_or_id, str) else env_or_id
        if self._id is None and make_kwargs:
            raise TypeError(f"{sorted(make_kwargs)} are for gymnasium.make(); give them with an environment's id")
        self._make_kwargs = make_kwargs
        self._seed = seed
        self._observation: GymObs[O] | None = None

    @property
    def env(self) -> gymnasium.Env[O, A]:
        """The Gymnasium environment.

        From an id it is made in `setup`, on the thread that runs it, or here if somebody asks before that.
        """
        if self._env is None:
            assert self._id is not None
            self._env = gymnasium.make(self._id, **self._make_kwargs)
        return self._env

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
        """Close the environment; one that was made from an id is made anew by the next `setup`."""
        super().teardown()
        self.env.close()
        if self._id is not None:
            self._env = None

    def _reset(self, seed: int | None = None) -> EnvReset[O]:
        return EnvReset(*self.env.reset(seed=seed))
