"""Chains of hooks, such as observe → step → affect, compiled once and run many times.

Neighbouring blocking hooks of a chain share one trip to the lane; a chain of blocking hooks alone is plain Python.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from .exceptions import attach
from .hooks import Hook, Kind, in_lane, kind_of

F = TypeVar("F", bound=Callable[..., Any])


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

    async def arun(self, *args: Any) -> dict[str, Any]:
        """Run the chains from a coroutine, the blocking ones one after another in one trip to the lane."""
        results: dict[str, Any] = dict.fromkeys(self.flows)
        inputs = {name: (args[0][name],) if self.spread else () for name in self.flows}

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


def flows_through(stages: Callable[[Any], Iterable[Hook | Together]]) -> Callable[[F], F]:
    """Declare that a composite's hook is nothing but a chain of its children's hooks.

    The decorated method is the same chain in plain code, used when every child is blocking and outside of systems.
    """

    def decorate(method: F) -> F:
        method._pamiq_stages = stages  # type: ignore[attr-defined]
        return method

    return decorate


class Flow:
    """A chain of hooks, compiled: the first takes what `run` is given, each next one the value before it."""

    def __init__(self, hooks: Iterable[Hook | Together]) -> None:
        stages = [stage for hook in hooks for stage in _expand(hook)]
        self.blocking = all(_runs_on_lane(stage) for stage in stages)
        if self.blocking:
            self.run: Callable[..., Any] = _chain([s for s in stages if not isinstance(s, Together)])
        else:
            self._segments = list(_segments(stages))

    async def arun(self, *args: Any) -> Any:
        """Run the chain from a coroutine, with one trip to the lane per run of neighbouring blocking hooks."""
        if self.blocking:
            return await in_lane(self.run, *args)
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
    """A composite's hook as its stages; the hook itself where it runs blocking hooks by name."""
    stages = getattr(getattr(hook, "__func__", None), "_pamiq_stages", None)
    if stages is None:
        return [hook]
    expanded = [stage for child in stages(hook.__self__) for stage in _expand(child)]  # type: ignore[union-attr]
    if any(isinstance(stage, Together) and stage.blocking for stage in expanded):
        return [hook]
    return expanded


def _runs_on_lane(stage: Hook | Together) -> bool:
    return stage.blocking if isinstance(stage, Together) else kind_of(stage) is Kind.LANE


def _segments(stages: Iterable[Hook | Together]) -> Iterable[tuple[Kind, Hook]]:
    blocking: list[Hook] = []
    for stage in stages:
        if not isinstance(stage, Together) and kind_of(stage) is Kind.LANE:
            blocking.append(stage)
            continue
        if blocking:
            yield Kind.LANE, _chain(blocking)
            blocking = []
        yield (Kind.LOOP, stage.arun) if isinstance(stage, Together) else (kind_of(stage), stage)
    if blocking:
        yield Kind.LANE, _chain(blocking)


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
    if len(coroutines) == 1:
        await coroutines[0]
        return
    try:
        async with asyncio.TaskGroup() as group:
            for coroutine in coroutines:
                group.create_task(coroutine)
        return
    except BaseExceptionGroup as errors:
        first, *others = errors.exceptions
    for other in others:
        attach(first, other, "at the same time")
    raise first  # here, so that its own cause and context stay as they are
