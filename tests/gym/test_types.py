from __future__ import annotations

import pytest

from pamiq_async.gym import EnvStep, GymAction


@pytest.mark.parametrize(
    ("terminated", "truncated", "done"),
    [(False, False, False), (True, False, True), (False, True, True), (True, True, True)],
)
def test_a_step_is_done_when_it_ends_the_episode(terminated: bool, truncated: bool, done: bool) -> None:
    assert EnvStep(0, 1.0, terminated, truncated, {}).done is done


def test_an_action_asks_for_no_reset_by_itself() -> None:
    assert GymAction(1).need_reset is False
