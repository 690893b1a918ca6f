"""Components that write down what is called on them, and fail where they are told to."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pamiq_async import (
    Agent,
    DataBuffer,
    Environment,
    FixedIntervalInteraction,
    InferenceModel,
    Interaction,
    Trainer,
    TrainingModel,
)


class Boom(Exception):
    """What a fake raises when it was told to fail."""


class Call(NamedTuple):
    component: str
    hook: str
    thread: int

    @property
    def name(self) -> str:
        return f"{self.component}.{self.hook}"


class Log:
    """What was called, in order; tests wait for entries."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._counts: Counter[str] = Counter()
        self._waiting: list[tuple[str, int, asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._lock = threading.Lock()

    def add(self, component: str, hook: str) -> None:
        with self._lock:
            self.calls.append(Call(component, hook, threading.get_ident()))
            self._counts[f"{component}.{hook}"] += 1
            woken = [w for w in self._waiting if self.count(w[0]) >= w[1]]
        for _, _, loop, event in woken:
            loop.call_soon_threadsafe(event.set)

    def count(self, name: str) -> int:
        return self._counts[name]

    async def seen(self, name: str, count: int = 1) -> None:
        """Wait until `name` ("agent.step") was called `count` times."""
        event = asyncio.Event()
        waiting = (name, count, asyncio.get_running_loop(), event)
        with self._lock:
            if self.count(name) >= count:
                return
            self._waiting.append(waiting)
        await event.wait()
        with self._lock:
            self._waiting.remove(waiting)

    async def seen_again(self, name: str, count: int = 1) -> None:
        await self.seen(name, self.count(name) + count)

    def clear(self) -> None:
        with self._lock:
            self.calls.clear()
            self._counts.clear()

    def names(self, *, without: tuple[str, ...] = ()) -> list[str]:
        return [call.name for call in self.calls if call.hook not in without]

    def threads(self, component: str) -> set[int]:
        return {call.thread for call in self.calls if call.component == component}


RUN_HOOKS = ("observe", "step", "affect", "is_trainable", "train", "sync_models")


def fake(
    base: type, name: str, log: Log, *, fails_in: str | None = None, async_hooks: bool = False, **hooks: Any
) -> Any:
    """A class with every hook of `base` overridden to be written down.

    Args:
        fails_in: the hook that raises Boom.
        async_hooks: whether the hooks are `async def`.
        hooks: what hooks do besides, by name; values are plain callables that take what the hook takes.
    """
    names = {
        Agent: "setup teardown on_paused on_resumed save_state load_state step",
        Environment: "setup teardown on_paused on_resumed save_state load_state observe affect",
        Trainer: "setup teardown on_paused on_resumed save_state load_state is_trainable train sync_models",
    }[base].split()
    overridden = {
        hook: _override(base, name, hook, log, hook == fails_in, async_hooks, hooks.get(hook)) for hook in names
    }
    return type(f"Fake{base.__name__}", (base,), overridden)


def _override(
    base: type, name: str, hook: str, log: Log, fails: bool, is_async: bool, action: Callable[..., Any] | None
) -> Callable[..., Any]:
    inherited = getattr(base, hook)
    calls_super = hook not in ("step", "observe", "affect", "train")

    def run(self: Any, *args: Any) -> Any:
        log.add(name, hook)
        if fails:
            raise Boom(f"{name}.{hook}")
        result = inherited(self, *args) if calls_super else None
        return result if action is None else action(*args)

    async def arun(self: Any, *args: Any) -> Any:
        await asyncio.sleep(0)
        return run(self, *args)

    function = arun if is_async else run
    function.__name__ = hook
    function.__qualname__ = f"Fake{base.__name__}.{hook}"
    return function


class FakeInferenceModel(InferenceModel):
    def __init__(self, value: int = 0) -> None:
        self.value = value

    def infer(self, *args: Any, **kwds: Any) -> int:
        return self.value


class FakeModel(TrainingModel[FakeInferenceModel]):
    """A number that is trained by counting up."""

    value = 0

    def _create_inference_model(self) -> FakeInferenceModel:
        return FakeInferenceModel(self.value)

    def forward(self, *args: Any, **kwds: Any) -> int:
        return self.value

    def sync_impl(self, inference_model: FakeInferenceModel) -> None:
        inference_model.value = self.value

    def save_state(self, path: Path) -> None:
        path.write_text(str(self.value))

    def load_state(self, path: Path) -> None:
        self.value = int(path.read_text())
        self.sync()


class FakeBuffer(DataBuffer[Any, list[Any]]):
    def __init__(self, max_queue_size: int = 100) -> None:
        super().__init__(max_queue_size)
        self.items: list[Any] = []

    def add(self, data: Any) -> None:
        self.items.append(data)

    def get_data(self) -> list[Any]:
        return list(self.items)

    def __len__(self) -> int:
        return len(self.items)


def fake_interaction(
    log: Log,
    *,
    agent: dict[str, Any] | None = None,
    environment: dict[str, Any] | None = None,
    interval: float | None = 0.001,
) -> Interaction[Any, Any]:
    """An interaction of fakes; arguments for `fake` by component."""
    parts = (
        fake(Agent, "agent", log, **(agent or {}))(),
        fake(Environment, "environment", log, **(environment or {}))(),
    )
    if interval is None:
        return Interaction(*parts)
    return FixedIntervalInteraction.with_sleep_adjustor(*parts, interval)
