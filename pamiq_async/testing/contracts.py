"""What the runtime expects of a component, as tests to inherit.

The classes are plain: pytest collects subclasses whose names begin with ``Test``, unittest those that also inherit from
``unittest.TestCase``.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..data import DataBuffer, DataUser
from ..exceptions import SystemEnded
from ..interaction import (
    Actuator,
    Agent,
    Environment,
    EnvironmentWrapper,
    Interaction,
    ModularEnvironment,
    Sensor,
    Wrapper,
)
from ..launcher import start
from ..lifecycle import SystemStatus
from ..runtime import Statistics
from .running import run_steps


class BufferContract(ABC):
    """Tests of a `DataBuffer`.

    ::

        class TestMyBuffer(BufferContract):
            def make_buffer(self):
                return MyBuffer(max_size=3)

            def make_item(self, number):
                return {"observation": number}
    """

    item_count = 20
    """How many items the tests add; more than the buffer holds is best."""

    @abstractmethod
    def make_buffer(self) -> DataBuffer[Any, Any]:
        """A new, empty buffer, always with the same arguments."""

    @abstractmethod
    def make_item(self, number: int) -> Any:
        """Something to add; another one for each number."""

    def check_data(self, data: Any, expected: Any) -> None:
        """Fail if `data`, which a buffer gave, is not what `expected` is. Override it for types without ``==``."""
        assert _same(data, expected), f"get_data() gives {data!r}; expected {expected!r}"

    def test_a_new_buffer_is_empty(self) -> None:
        """``len`` is 0, and `get_data` can be called."""
        buffer = self.make_buffer()
        assert len(buffer) == 0, f"len() of a new buffer is {len(buffer)}"
        buffer.get_data()

    def test_the_queue_has_a_size_or_none(self) -> None:
        """`max_queue_size` is a whole number of at least 1, or None."""
        size = self.make_buffer().max_queue_size
        assert size is None or (isinstance(size, int) and size >= 1), (
            f"max_queue_size is {size!r}; it must be None, or at least 1. Is super().__init__(max_queue_size) called?"
        )

    def test_the_first_item_is_kept(self) -> None:
        """After one `add`, ``len`` is 1."""
        buffer = self.make_buffer()
        buffer.add(self.make_item(0))
        assert len(buffer) == 1, f"len() is {len(buffer)} after one item was added"

    def test_it_holds_no_more_than_was_added(self) -> None:
        """``len`` never shrinks while items are added, nor grows by more than one an item."""
        buffer, before = self.make_buffer(), 0
        for number in range(self.item_count):
            buffer.add(self.make_item(number))
            assert before <= len(buffer) <= before + 1, f"adding one item made len() {len(buffer)}; it was {before}"
            before = len(buffer)

    def test_looking_at_the_data_changes_nothing(self) -> None:
        """`get_data` gives the same twice."""
        buffer = self.filled_buffer()
        size, expected = len(buffer), copy.deepcopy(buffer.get_data())
        self.check_data(buffer.get_data(), expected)
        assert len(buffer) == size, f"get_data() changed len() from {size} to {len(buffer)}"

    def test_changing_what_was_given_out_does_not_change_the_buffer(self) -> None:
        """A trainer may do what it likes with the lists and dicts that `get_data` gives; their items are shared."""
        buffer = self.filled_buffer()
        expected = copy.deepcopy(buffer.get_data())
        _empty(buffer.get_data())
        self.check_data(buffer.get_data(), expected)

    def test_adding_does_not_change_what_was_given_out(self) -> None:
        """A trainer may keep what `get_data` gave."""
        buffer = self.make_buffer()
        buffer.add(self.make_item(0))
        data = buffer.get_data()
        expected = copy.deepcopy(data)
        for number in range(1, self.item_count):
            buffer.add(self.make_item(number))
        self.check_data(data, expected)

    def test_what_is_collected_arrives(self) -> None:
        """It works behind a collector."""
        buffer = self.make_buffer()
        user: DataUser[Any] = DataUser(buffer)
        user.collector.collect(self.make_item(0))
        user.update()
        assert len(user) == 1, f"one item was collected; the buffer holds {len(user)}"

    def test_clearing_forgets_everything(self) -> None:
        """`clear` empties the buffer, which can be filled again; or it is not there at all."""
        buffer = self.filled_buffer()
        try:
            buffer.clear()
        except NotImplementedError:
            return
        assert len(buffer) == 0, f"len() is {len(buffer)} after clear()"
        self.check_data(buffer.get_data(), self.make_buffer().get_data())
        buffer.add(self.make_item(0))
        assert len(buffer) == 1, f"len() is {len(buffer)} after clear() and one more item"

    def test_its_state_comes_back(self) -> None:
        """What `save_state` wrote, `load_state` puts in the place of whatever another buffer held."""
        saved, loaded = self.filled_buffer(), self.filled_buffer()
        saved.add(self.make_item(self.item_count))
        with _saved(saved) as path:
            if path is None:  # it has no state
                return
            _call(loaded.load_state, path)
        assert len(loaded) == len(saved), f"{len(saved)} items were saved; {len(loaded)} came back"
        self.check_data(loaded.get_data(), saved.get_data())

    def test_the_state_of_an_empty_buffer_comes_back(self) -> None:
        """Nothing is a state, too."""
        loaded = self.filled_buffer()
        with _saved(self.make_buffer()) as path:
            if path is None:
                return
            _call(loaded.load_state, path)
        assert len(loaded) == 0, f"an empty buffer was saved; {len(loaded)} items came back"

    def filled_buffer(self) -> DataBuffer[Any, Any]:
        """A new buffer to which items were added."""
        buffer = self.make_buffer()
        for number in range(self.item_count):
            buffer.add(self.make_item(number))
        return buffer


class EnvironmentContract(ABC):
    """Tests of an `Environment`, in a real system with threads and a loop; its hooks may be `def` or `async def`.

    ::

        class TestMyEnvironment(EnvironmentContract):
            def make_environment(self):
                return MyEnvironment()

            def make_action(self, observation):
                return 0
    """

    steps = 10
    """For how many steps a system is run."""

    @abstractmethod
    def make_environment(self) -> Environment[Any, Any]:
        """A new environment, always with the same arguments."""

    @abstractmethod
    def make_action(self, observation: Any) -> Any:
        """An action that the environment takes after this observation."""

    def check_observation(self, observation: Any) -> None:  # noqa: B027  (optional)
        """Fail if an observation is not what it should be. Override it to look at shapes, types and ranges."""

    def test_it_can_be_lived_in(self) -> None:
        """A system runs in it from `setup` to `teardown`, with all hooks called where a system calls them."""
        assert self._run(self.make_environment()).step_times.count > 0, "it ended before the first step"

    def test_it_stands_pauses_and_saves(self) -> None:
        """A pause, and a save within it, may come between any two steps."""
        with tempfile.TemporaryDirectory(prefix="pamiq-") as directory:
            asyncio.run(self._paused({"states_dir": directory, "web_api_address": None}))

    def test_life_goes_on_from_its_state(self) -> None:
        """Another environment loads what this one saved, and is lived in."""
        with tempfile.TemporaryDirectory(prefix="pamiq-") as directory:
            self._run(self.make_environment(), states_dir=directory)
            self._run(self.make_environment(), states_dir=directory, saved_state_path="latest", allow_pickle=True)

    def _run(self, environment: Environment[Any, Any], **config: Any) -> Statistics:
        interaction = Interaction(_FunctionAgent(self._step), environment)
        return asyncio.run(run_steps(interaction, config=config, steps=self.steps))

    async def _paused(self, config: dict[str, Any]) -> None:
        interaction = Interaction(_FunctionAgent(self._step), self.make_environment())
        async with start(interaction, {}, {}, {}, config) as system:
            with suppress(SystemEnded):  # it may be lived through before
                for _ in range(2):
                    before = system.statistics().step_times.count
                    while system.statistics().step_times.count == before and system.status is SystemStatus.ACTIVE:
                        await asyncio.sleep(0.001)
                    await system.pause()
                    await system.save_state()
                    await system.resume()

    def _step(self, observation: Any) -> Any:
        self.check_observation(observation)
        return self.make_action(observation)


class WrapperContract(ABC):
    """Tests of a `Wrapper`, by itself and around a sensor, an actuator and an environment in a real system.

    ::

        class TestMyWrapper(WrapperContract):
            def make_wrapper(self):
                return MyWrapper()

            def make_value(self):
                return 1.0

            def check_result(self, value, result):
                assert result == value / 255
    """

    steps = 3
    """For how many steps a system is run."""

    @abstractmethod
    def make_wrapper(self) -> Wrapper[Any, Any]:
        """A new wrapper, always with the same arguments."""

    @abstractmethod
    def make_value(self) -> Any:
        """A value for it to turn into another, always the same."""

    def check_result(self, value: Any, result: Any) -> None:  # noqa: B027  (optional)
        """Fail if `value` should not become `result`. Override it to look at what comes out."""

    def test_it_can_be_called_like_a_function(self) -> None:
        """Calling a wrapper is calling `wrap`."""
        assert callable(self.make_wrapper())
        wrapper, again = self.make_wrapper(), self.make_wrapper()
        first, second = _wrapped(wrapper.wrap, self.make_value()), _wrapped(again, self.make_value())
        self.check_result(self.make_value(), first)
        self.check_result(self.make_value(), second)

    def test_around_a_sensor(self) -> None:
        """`wrap_sensor` gives a sensor whose readings went through it."""
        seen = self._run(
            lambda given, took: ModularEnvironment(self.make_wrapper().wrap_sensor(given), took), acts=lambda _: None
        )
        for result in seen.observations:
            self.check_result(self.make_value(), result)

    def test_around_an_actuator(self) -> None:
        """`wrap_actuator` gives an actuator whose actions go through it first."""
        seen = self._run(
            lambda given, took: ModularEnvironment(given, self.make_wrapper().wrap_actuator(took)),
            acts=lambda _: self.make_value(),
        )
        for result in seen.actions:
            self.check_result(self.make_value(), result)

    def test_around_an_environment(self) -> None:
        """An environment can have one for observations and one for actions."""
        seen = self._run(
            lambda given, took: EnvironmentWrapper(
                ModularEnvironment(given, took), self.make_wrapper(), self.make_wrapper()
            ),
            acts=lambda _: self.make_value(),
        )
        for result in [*seen.observations, *seen.actions]:
            self.check_result(self.make_value(), result)

    def test_its_state_comes_back(self) -> None:
        """Another wrapper loads what this one saved, and works."""
        used, loaded = self.make_wrapper(), self.make_wrapper()
        _wrapped(used.wrap, self.make_value())
        with _saved(used) as path:
            if path is not None:
                _call(loaded.load_state, path)
        _wrapped(loaded.wrap, self.make_value())

    def _run(
        self,
        make_environment: Callable[[Sensor[Any], Actuator[Any]], Environment[Any, Any]],
        acts: Callable[[Any], Any],
    ) -> _Seen:
        seen = _Seen(self.make_value)

        def step(observation: Any) -> Any:
            seen.observations.append(observation)
            return acts(observation)

        interaction = Interaction(_FunctionAgent(step), make_environment(_Given(seen), _Took(seen)))
        asyncio.run(run_steps(interaction, steps=self.steps))
        assert len(seen.actions) == self.steps, f"{len(seen.actions)} of {self.steps} actions came through"
        return seen


# --- What the tests are made of -----------------------------------------------------------------------------


class _Seen:
    def __init__(self, make_value: Callable[[], Any]) -> None:
        self.make_value = make_value
        self.observations: list[Any] = []
        self.actions: list[Any] = []


class _Given(Sensor[Any]):
    def __init__(self, seen: _Seen) -> None:
        self._seen = seen

    def read(self) -> Any:
        return self._seen.make_value()


class _Took(Actuator[Any]):
    def __init__(self, seen: _Seen) -> None:
        self._seen = seen

    def operate(self, action: Any) -> None:
        self._seen.actions.append(action)


class _FunctionAgent(Agent[Any, Any]):
    def __init__(self, step: Callable[[Any], Any]) -> None:
        super().__init__()
        self._step = step

    def step(self, observation: Any) -> Any:
        return self._step(observation)


@contextmanager
def _saved(component: DataBuffer[Any, Any] | Wrapper[Any, Any]) -> Iterator[Path | None]:
    """Where the component's state is; None if it wrote nothing. It may write beside, but not below another name."""
    with tempfile.TemporaryDirectory(prefix="pamiq-") as directory:
        path = Path(directory) / "state"
        _call(component.save_state, path)
        written = sorted(entry.name for entry in Path(directory).iterdir())
        strangers = [name for name in written if name.partition(".")[0] != "state"]
        assert not strangers, f"save_state(path) wrote {strangers}; it may write path, and path with a suffix, alone"
        yield path if written else None


def _wrapped(wrap: Callable[[Any], Any], value: Any) -> Any:
    """Call `wrap` on a loop, as the inner parts of a wrapper may be `async def`."""

    async def on_loop() -> Any:
        result = wrap(value)
        return await result if inspect.iscoroutine(result) else result

    return asyncio.run(on_loop())


def _call(hook: Callable[..., Any], *args: Any) -> Any:
    """Call a hook that may be `async def`, outside of a system."""
    result = hook(*args)
    return asyncio.run(result) if inspect.iscoroutine(result) else result


def _empty(data: Any) -> None:
    """Empty a list, or a dict and the lists in it."""
    if isinstance(data, dict):
        for value in data.values():
            _empty(value)
    if isinstance(data, dict | list):
        data.clear()


def _same(left: Any, right: Any) -> bool:
    """Equality through containers, also of arrays and tensors, whose ``==`` gives no bool."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, Sequence) and isinstance(right, Sequence) and not isinstance(left, str | bytes):
        return len(left) == len(right) and all(map(_same, left, right))
    if hasattr(left, "shape") and hasattr(right, "shape"):
        return bool(left.shape == right.shape and (left == right).all())
    return bool(left == right)
