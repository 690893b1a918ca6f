"""Chains of hooks, such as observe → step → affect, compiled once and run many times.

Neighbouring blocking hooks of a chain share one trip to the lane; a chain of blocking hooks alone is plain Python.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

from .exceptions import graver
from .hooks import Hook, Kind, home_lane, in_lane, kind_of

F = TypeVar("F", bound=Callable[..., Any])

one_at_a_time: ContextVar[bool] = ContextVar("pamiq_async_one_at_a_time", default=False)
"""Whether what could run at the same time is to run in order instead, so that its order is always the same."""


class Together:
    """A stage made of several chains that run at the same time, by name.

    Args:
        chains: a list of hooks for each name.
        spread: whether the value that comes in is a mapping, of which each chain gets its own item.
    """

    def __init__(self, chains: Mapping[str, Iterable[Hook]], *, spread: bool) -> None:
        self.flows = {name: Flow(hooks) for name, hooks in chains.items()}
        self.spread = spread

    @property
    def blocking(self) -> bool:
        """Whether every hook of every chain is."""
        return all(flow.blocking for flow in self.flows.values())

    def run(self, *args: Any) -> dict[str, Any]:
        """Run the chains one after another, when all of them are blocking."""
        return {name: flow.run(*self._input(name, args)) for name, flow in self.flows.items()}

    async def arun(self, *args: Any) -> dict[str, Any]:
        """Run the chains from a coroutine, the blocking ones one after another in one trip to the lane."""
        results: dict[str, Any] = dict.fromkeys(self.flows)
        inputs = {name: self._input(name, args) for name in self.flows}

        def run_blocking() -> None:
            for name, flow in self.flows.items():
                if flow.blocking:
                    results[name] = flow.run(*inputs[name])

        async def run_one(name: str, flow: Flow) -> None:
            results[name] = await flow.arun(*inputs[name])

        tasks = [run_one(name, flow) for name, flow in self.flows.items() if not flow.blocking]
        if len(tasks) < len(self.flows):
            tasks.append(in_lane(run_blocking))
        await at_the_same_time(tasks)
        return results

    def _input(self, name: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0][name],) if self.spread else ()


def flows_through(stages: Callable[[Any], Iterable[Hook | Together]]) -> Callable[[F], F]:
    """Declare that a composite's hook is nothing but a chain of its children's hooks.

    The decorated method is the same chain in plain code, for those who call it; a flow goes to the children's hooks.
    """

    def decorate(method: F) -> F:
        method._pamiq_stages = stages  # type: ignore[attr-defined]
        return method

    return decorate


class Flow:
    """A chain of hooks, compiled: the first takes what `run` is given, each next one the value before it."""

    def __init__(self, hooks: Iterable[Hook | Together]) -> None:
        self._segments = list(_segments(stage for hook in hooks for stage in _expand(hook)))
        self.blocking = all(kind is Kind.LANE for kind, _ in self._segments)
        if self.blocking:
            [(_, self.run)] = self._segments  # neighbours are one segment

    async def arun(self, *args: Any) -> Any:
        """Run the chain from a coroutine, with one trip to the lane per run of neighbouring blocking hooks."""
        value: Any = None
        for kind, function in self._segments:
            if kind is Kind.INLINE:
                value = function(*args)
            elif kind is Kind.LOOP:
                value = await function(*args)
            else:
                value = await in_lane(function, *args)
            args = (value,)
        return value


def _expand(hook: Hook | Together) -> Iterable[Hook | Together]:
    """A composite's hook as its stages, through all levels."""
    stages = getattr(getattr(hook, "__func__", None), "_pamiq_stages", None)
    if stages is None:
        return [hook]
    return [stage for child in stages(hook.__self__) for stage in _expand(child)]  # type: ignore[union-attr]


def _segments(stages: Iterable[Hook | Together]) -> Iterable[tuple[Kind, Hook]]:
    neighbours: list[Hook] = []
    for stage in stages:
        kind, hook = _kind_and_hook(stage)
        if kind is Kind.LANE:
            neighbours.append(hook)
            continue
        if neighbours:
            yield Kind.LANE, _chain(neighbours)
            neighbours = []
        yield kind, hook
    if neighbours:
        yield Kind.LANE, _chain(neighbours)


def _kind_and_hook(stage: Hook | Together) -> tuple[Kind, Hook]:
    if isinstance(stage, Together):
        return (Kind.LANE, stage.run) if stage.blocking else (Kind.LOOP, stage.arun)
    return kind_of(stage), stage


def _chain(hooks: list[Hook]) -> Hook:
    if len(hooks) == 1:
        return hooks[0]
    if len(hooks) == 3:  # observe → step → affect, the hot one
        first, second, third = hooks
        return lambda *args: third(second(first(*args)))
    first, *rest = hooks

    def run(*args: Any) -> Any:
        value = first(*args)
        for hook in rest:
            value = hook(value)
        return value

    return run


async def at_the_same_time(coroutines: Iterable[Coroutine[Any, Any, Any]]) -> None:
    """Run coroutines at the same time. The first error cancels the others and is raised as itself."""
    coroutines = list(coroutines)
    if len(coroutines) == 1 or one_at_a_time.get():
        await _in_order(coroutines)
        return
    lane = home_lane.get()
    tasks: list[asyncio.Task[Any]] = []
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in coroutines:
                tasks.append(group.create_task(coroutine))
                if lane is not None:
                    lane.adopt(tasks[-1])
    except BaseExceptionGroup as errors:
        first, *others = errors.exceptions
    else:
        for task in tasks:
            task.result()  # raises if one was cancelled by itself, which the group takes for a normal end
        return
    for other in others:
        first = graver(first, other, "at the same time")
    raise first  # here, so that its own cause and context stay as they are


async def _in_order(coroutines: list[Coroutine[Any, Any, Any]]) -> None:
    try:
        for coroutine in coroutines:
            await coroutine
    finally:
        for coroutine in coroutines:
            coroutine.close()  # those that an error kept from starting
