from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from pamiq_async import Agent
from pamiq_async.roles import awaiting_hook, running_hook

# --- What runs just now -----------------------------------------------------------------------------------


class Usual(Agent[Any, Any]):
    def step(self, observation: Any) -> Any:
        return observation()


class OtherName(Agent[Any, Any]):
    def step(s, observation: Any) -> Any:
        return observation()


class Captured(Agent[Any, Any]):
    def step(this, observation: Any) -> Any:
        return (lambda: this.answer(observation))()

    def answer(self, observation: Any) -> Any:
        return observation()


def now_running() -> str | None:
    return running_hook(sys._getframe())


@pytest.mark.parametrize("agent", [Usual(), OtherName(), Captured()], ids=lambda agent: type(agent).__name__)
def test_a_hook_is_named_whatever_it_calls_its_component(agent: Agent[Any, Any]) -> None:
    assert agent.step(now_running) == f"{type(agent).__name__}.step"


async def test_a_hook_that_awaits_is_named_whatever_it_calls_its_component() -> None:
    class Waiting(Agent[Any, Any]):
        async def step(s, observation: Any) -> None:
            await observation.wait()

    seen = asyncio.Event()
    task = asyncio.create_task(Waiting().step(seen))
    await asyncio.sleep(0)
    named = awaiting_hook(task)
    seen.set()
    await task
    assert named is not None
    assert named.endswith("Waiting.step")


def setup() -> str | None:
    return now_running()


def step(*_: Any) -> str | None:
    return now_running()


class Optimizer:
    def step(self) -> str | None:
        return now_running()


class Nowhere:
    """As some classes made in C."""

    step = step
    __module__ = None  # type: ignore[assignment]

    def train(self) -> str | None:
        return now_running()


@pytest.mark.parametrize("function", [setup, step, Optimizer().step, Nowhere().step, Nowhere().train])
def test_what_is_no_hook_of_a_component_is_not_named(function: Any) -> None:
    assert function() is None


def test_the_hook_around_other_code_is_named() -> None:
    assert Usual().step(Optimizer().step) == Usual().step(Nowhere().train) == "Usual.step"
