"""The contracts hold for what the package brings, and don't for what is broken."""

from __future__ import annotations

import asyncio
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from typing_extensions import override

from pamiq_async import DataBuffer, EndOfInteraction, Environment, LambdaWrapper, Wrapper
from pamiq_async.data.impls import (
    DictRandomReplacementBuffer,
    DictSequentialBuffer,
    RandomReplacementBuffer,
    SequentialBuffer,
)
from pamiq_async.testing import BufferContract, EnvironmentContract, WrapperContract

# --- What the package brings ------------------------------------------------------------------------------


class TestSequentialBuffer(BufferContract):
    def make_buffer(self) -> DataBuffer[Any, Any]:
        return SequentialBuffer(5)

    def make_item(self, number: int) -> Any:
        return numpy.array([number, 1])


class TestRandomReplacementBuffer(BufferContract):
    def make_buffer(self) -> DataBuffer[Any, Any]:
        return RandomReplacementBuffer(5, 0.5)

    def make_item(self, number: int) -> Any:
        return number


class TestDictSequentialBuffer(BufferContract):
    def make_buffer(self) -> DataBuffer[Any, Any]:
        return DictSequentialBuffer(["number", "name"], 5)

    def make_item(self, number: int) -> Any:
        return {"number": number, "name": str(number)}


class TestDictRandomReplacementBuffer(TestDictSequentialBuffer):
    @override
    def make_buffer(self) -> DataBuffer[Any, Any]:
        return DictRandomReplacementBuffer(["number", "name"], 5)


class Corridor(Environment[int, int]):
    """Ends behind its last door, if it has one."""

    def __init__(self, doors: float = float("inf")) -> None:
        self.place = 0
        self.doors = doors

    def observe(self) -> int:
        if self.place > self.doors:
            raise EndOfInteraction
        return self.place

    def affect(self, action: int) -> None:
        self.place += action

    @override
    def save_state(self, path: Path) -> None:
        path.write_text(str(self.place))

    @override
    def load_state(self, path: Path) -> None:
        self.place = int(path.read_text())


class AsyncCorridor(Corridor):
    async def observe(self) -> int:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().observe()


class TestEnvironment(EnvironmentContract):
    def make_environment(self) -> Environment[Any, Any]:
        return Corridor()

    def make_action(self, observation: Any) -> Any:
        return 1

    @override
    def check_observation(self, observation: Any) -> None:
        assert isinstance(observation, int)


class TestEnvironmentThatEnds(TestEnvironment):
    @override
    def make_environment(self) -> Environment[Any, Any]:
        return AsyncCorridor(3)


class TestLambdaWrapper(WrapperContract):
    def make_wrapper(self) -> Wrapper[Any, Any]:
        return LambdaWrapper(lambda value: value / 255)

    def make_value(self) -> Any:
        return 51

    @override
    def check_result(self, value: Any, result: Any) -> None:
        assert result == 0.2


class TestAsyncLambdaWrapper(TestLambdaWrapper):
    @override
    def make_wrapper(self) -> Wrapper[Any, Any]:
        async def wrap(value: Any) -> Any:
            return value / 255

        return LambdaWrapper(wrap)


class TestWithUnittest(TestLambdaWrapper, unittest.TestCase):
    pass


# --- What is broken ---------------------------------------------------------------------------------------


def violations(contract: type) -> set[str]:
    """Which of its tests fail."""
    failed = set()
    for name in dir(contract):
        if name.startswith("test_"):
            try:
                getattr(contract(), name)()
            except Exception:
                failed.add(name)
    return failed


class ListBuffer(DataBuffer[Any, Any]):
    def __init__(self) -> None:
        super().__init__(10)
        self.items: list[Any] = []

    def add(self, data: Any) -> None:
        self.items.append(data)

    def get_data(self) -> Any:
        return [list(item) for item in self.items]

    def __len__(self) -> int:
        return len(self.items)

    @override
    def save_state(self, path: Path) -> None:
        self._save_value(self.items, path)

    @override
    def load_state(self, path: Path) -> None:
        from pamiq_async.state_persistence import codec

        self.items = codec.load(path)


class Aliased(ListBuffer):
    @override
    def get_data(self) -> Any:
        return self.items


class AliasedItems(ListBuffer):
    @override
    def get_data(self) -> Any:
        return list(self.items)


class Consumed(ListBuffer):
    @override
    def get_data(self) -> Any:
        items, self.items = self.items, []
        return items


class Miscounted(ListBuffer):
    @override
    def __len__(self) -> int:
        return 2 * len(self.items)


class NotEmptyAtFirst(ListBuffer):
    def __init__(self) -> None:
        super().__init__()
        self.items = [[0]]


class AddedOnLoad(ListBuffer):
    @override
    def load_state(self, path: Path) -> None:
        before = self.items
        super().load_state(path)
        self.items = before + self.items


class SavedElsewhere(ListBuffer):
    @override
    def save_state(self, path: Path) -> None:
        super().save_state(path.parent / "mine")

    @override
    def load_state(self, path: Path) -> None:
        super().load_state(path.parent / "mine")


class HalfCleared(ListBuffer):
    @override
    def clear(self) -> None:
        del self.items[1:]


class WithoutQueue(ListBuffer):
    @property
    @override
    def max_queue_size(self) -> int | None:
        return 0


@pytest.mark.parametrize(
    ("buffer", "expected"),
    [
        (ListBuffer, set()),
        (
            Aliased,
            {
                "test_changing_what_was_given_out_does_not_change_the_buffer",
                "test_adding_does_not_change_what_was_given_out",
            },
        ),
        (AliasedItems, set()),  # as our own
        (Consumed, {"test_looking_at_the_data_changes_nothing"}),
        (Miscounted, {"test_the_first_item_is_kept", "test_it_holds_no_more_than_was_added"}),
        (NotEmptyAtFirst, {"test_a_new_buffer_is_empty"}),
        (AddedOnLoad, {"test_its_state_comes_back", "test_the_state_of_an_empty_buffer_comes_back"}),
        (SavedElsewhere, {"test_its_state_comes_back", "test_the_state_of_an_empty_buffer_comes_back"}),
        (HalfCleared, {"test_clearing_forgets_everything"}),
        (WithoutQueue, {"test_the_queue_has_a_size_or_none", "test_what_is_collected_arrives"}),
    ],
)
def test_a_broken_buffer_fails(buffer: type[DataBuffer[Any, Any]], expected: set[str]) -> None:
    class Contract(BufferContract):
        def make_buffer(self) -> DataBuffer[Any, Any]:
            return buffer()

        def make_item(self, number: int) -> Any:
            return [number]

    failed = violations(Contract)
    assert failed >= expected
    assert bool(failed) == bool(expected)


def no_setup(environment: Corridor) -> None:
    def teardown() -> None:
        raise RuntimeError("not there")

    environment.teardown = teardown  # type: ignore[method-assign]


def no_pause(environment: Corridor) -> None:
    def on_resumed() -> None:
        raise RuntimeError("lost")

    environment.on_resumed = on_resumed  # type: ignore[method-assign]


def no_load(environment: Corridor) -> None:
    def load_state(path: Path) -> None:
        path.with_suffix(".json").read_text()

    environment.load_state = load_state  # type: ignore[method-assign]


def no_observation(environment: Corridor) -> None:
    environment.observe = lambda: "here"  # type: ignore[method-assign, assignment, return-value]


EVERY = {"test_it_can_be_lived_in", "test_it_stands_pauses_and_saves", "test_life_goes_on_from_its_state"}


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (lambda _: None, set()),
        (no_setup, EVERY),
        (no_observation, EVERY),
        (no_pause, {"test_it_stands_pauses_and_saves"}),
        (no_load, {"test_life_goes_on_from_its_state"}),
    ],
)
def test_a_broken_environment_fails(break_it: Callable[[Corridor], None], expected: set[str]) -> None:
    class Contract(TestEnvironment):
        @override
        def make_environment(self) -> Environment[Any, Any]:
            environment = Corridor()
            break_it(environment)
            return environment

    assert violations(Contract) == expected


class Stateful(Wrapper[Any, Any]):
    def wrap(self, value: Any) -> Any:
        return value / 255


class Twice(Stateful):
    @override
    def __call__(self, value: Any) -> Any:
        return self.wrap(value) * 2


class Wrong(Stateful):
    @override
    def wrap(self, value: Any) -> Any:
        return value


class Unloadable(Stateful):
    @override
    def save_state(self, path: Path) -> None:
        path.write_text("1")

    @override
    def load_state(self, path: Path) -> None:
        raise RuntimeError("lost")


AROUND = {"test_around_a_sensor", "test_around_an_actuator", "test_around_an_environment"}


@pytest.mark.parametrize(
    ("wrapper", "expected"),
    [
        (Stateful, set()),
        (Twice, {"test_it_can_be_called_like_a_function"}),
        (Wrong, {"test_it_can_be_called_like_a_function", *AROUND}),
        (Unloadable, {"test_its_state_comes_back"}),
    ],
)
def test_a_broken_wrapper_fails(wrapper: type[Wrapper[Any, Any]], expected: set[str]) -> None:
    class Contract(TestLambdaWrapper):
        @override
        def make_wrapper(self) -> Wrapper[Any, Any]:
            return wrapper()

    assert violations(Contract) == expected


def test_the_package_does_not_need_pytest() -> None:
    import subprocess
    import sys

    code = "import sys, pamiq_async.testing; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
