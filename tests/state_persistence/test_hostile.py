"""Whatever is in the files of a state, loading it runs no code, fills no memory, and gives our errors alone.

Those who make such a state know its format, so that its manifest always fits.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import pickle
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest

from pamiq_async import (
    Agent,
    DataBuffer,
    Environment,
    InferenceModel,
    Interaction,
    LaunchConfig,
    Trainer,
    TrainingModel,
    launch,
)
from pamiq_async.data import DataUser, DataUsersDict
from pamiq_async.data.impls import (
    DictRandomReplacementBuffer,
    DictSequentialBuffer,
    RandomReplacementBuffer,
    SequentialBuffer,
)
from pamiq_async.exceptions import InvalidState, PickleRefused, StateError, StateNotFound
from pamiq_async.model import TrainingModelsDict
from pamiq_async.roles import Gate
from pamiq_async.runtime.lockstep import Lockstep
from pamiq_async.state_persistence import StateStore, codec, verify
from pamiq_async.time import TimeController
from pamiq_async.trainer import TrainersDict
from tests.corpus import Bomb, big_files, corpus
from tests.forgery import reseal

# --- A system that has some of everything ---------------------------------------------------------------------


class Counting:
    """Saves as a user's component might, and has errors of its own."""

    count = 0

    def save_state(self, path: Path) -> None:
        path.mkdir(exist_ok=True)
        (path / "count.json").write_text(json.dumps({"count": self.count}))

    def load_state(self, path: Path) -> None:
        try:
            self.count = int(json.loads((path / "count.json").read_text())["count"])
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            raise InvalidState(f"{path}: not a count") from error


class Child(Counting, Agent[int, int]):
    def step(self, observation: int) -> int:
        return observation


class Parent(Agent[int, int]):
    def __init__(self) -> None:
        self.child = Child()
        super().__init__({"child": self.child})

    def on_data_collectors_attached(self) -> None:
        self.collectors = {name: self.get_data_collector(name) for name in ("last", "mixed", "rows")}

    def step(self, observation: int) -> int:
        for name, collector in self.collectors.items():
            collector.collect({"a": observation, "b": np.ones(2)} if name == "rows" else observation)
        return self.child.step(observation)


class World(Counting, Environment[int, int]):
    def observe(self) -> int:
        self.count += 1
        return self.count

    def affect(self, action: int) -> None:
        pass


class Weights(InferenceModel):
    def infer(self, *args: Any, **kwds: Any) -> None:
        pass


class NumpyModel(TrainingModel[Weights]):
    """A model of arrays, in NumPy's own format."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = np.zeros(3)

    def _create_inference_model(self) -> Weights:
        return Weights()

    def forward(self, *args: Any, **kwds: Any) -> None:
        pass

    def sync_impl(self, inference_model: Weights) -> None:
        pass

    def save_state(self, path: Path) -> None:
        np.save(path.with_suffix(".npy"), self.weights)

    def load_state(self, path: Path) -> None:
        try:
            with path.with_suffix(".npy").open("rb") as file:
                weights = np.lib.format.read_array(file, allow_pickle=False)
            if weights.shape != (3,):
                raise ValueError("not three weights")
        except Exception as error:  # NumPy has many
            raise InvalidState(f"{path}: {error}") from error
        self.weights = weights


class Training(Trainer):
    def __init__(self) -> None:
        super().__init__("last", 1, 1)

    def train(self) -> None:
        self.get_data_user("last").get_data()


def components() -> tuple[Any, ...]:
    model = NumpyModel()
    data: dict[str, DataBuffer[Any, Any]] = {
        "last": SequentialBuffer(4),
        "mixed": RandomReplacementBuffer(4),
        "rows": DictSequentialBuffer(["a", "b"], 4),
    }
    return Interaction(Parent(), World()), {"m": model, "same": model}, data, {"t": Training()}


def states_of(parts: tuple[Any, ...]) -> Any:
    """What the components hold, to be compared."""
    interaction, models, data, trainers = parts
    buffers = {name: repr(buffer.get_data()) for name, buffer in data.items()}
    counts = interaction.agent.child.count, interaction.environment.count
    return counts, models["m"].weights.tolist(), buffers, trainers["t"]._added_at_last_training


async def live(states_dir: Path, parts: tuple[Any, ...], **config: Any) -> None:
    await launch(
        *parts,
        LaunchConfig(states_dir=states_dir, web_api_address=None, steps_per_training=2, max_uptime=0.05, **config),
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state of such a system."""
    states_dir = tmp_path_factory.mktemp("whole")
    asyncio.run(live(states_dir, components()))
    return next(states_dir.glob("*.state"))


FILES = [
    "interaction/agent/child/count.json",
    "interaction/environment/count.json",
    "models/.aliases.json",
    "models/m.npy",
    "data/last/buffer.msgpack",
    "data/last/user.msgpack",
    "data/last/waiting.msgpack",
    "data/mixed/buffer.msgpack",
    "data/rows/buffer.msgpack",
    "trainers/t/trainer.json",
    "time.json",
    "lockstep.msgpack",
]


def test_the_system_has_all_kinds_of_files(whole: Path) -> None:
    assert set(FILES) - {"data/last/waiting.msgpack"} <= set(verify(whole).files)


@pytest.fixture
def forge(whole: Path, tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Make a state that is whole but for a file."""

    def make(name: str, content: bytes) -> Path:
        state = tmp_path / "forged.state"
        shutil.rmtree(state, ignore_errors=True)
        shutil.copytree(whole, state)
        (state / name).write_bytes(content)
        reseal(state)
        return state

    return make


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


async def load_each(
    contents: dict[str, bytes], name: str, forge: Callable[[str, bytes], Path], states_dir: Path, **config: Any
) -> int:
    """Put each of the contents in a file's place and load that state; returns how many were refused."""
    refused = 0
    for kind, content in contents.items():
        state = await asyncio.to_thread(forge, name, content)
        try:
            await live(states_dir, components(), saved_state_path=state, **config)
        except StateError:
            refused += 1
        except BaseException as error:
            error.add_note(f"{name} was replaced by: {kind}")
            raise
    return refused


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", FILES)
async def test_no_content_of_a_file_runs_code_or_gives_a_foreign_error(
    name: str, forge: Callable[[str, bytes], Path], canary: Path, tmp_path: Path
) -> None:
    assert await load_each(corpus(canary), name, forge, tmp_path / "states") > 100
    assert not await anyio.Path(canary).exists()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", FILES)
async def test_leave_to_unpickle_is_for_files_that_say_so(
    name: str, forge: Callable[[str, bytes], Path], canary: Path, tmp_path: Path
) -> None:
    code = {kind: content for kind, content in corpus(canary).items() if b"pathlib" in content}
    assert len(code) > 10
    await load_each(code, name, forge, tmp_path / "states", allow_pickle=True)
    assert not await anyio.Path(canary).exists()


PICKLED = ["data/last/buffer", "data/last/user", "data/last/waiting", "data/rows/buffer"]


def pickle_in_place_of(name: str, content: bytes, forge: Callable[[str, bytes], Path]) -> Path:
    state = forge(f"{name}.pickle", content)
    (state / f"{name}.msgpack").unlink(missing_ok=True)
    reseal(state)
    return state


@pytest.mark.parametrize("name", [*PICKLED, "models/x", "lockstep", "unknown"])
async def test_without_leave_no_pickle_is_read(
    name: str, forge: Callable[[str, bytes], Path], canary: Path, tmp_path: Path
) -> None:
    content = pickle.dumps(Bomb(canary))
    state = await asyncio.to_thread(pickle_in_place_of, name, content, forge)
    parts = components()
    before = states_of(parts)
    with pytest.raises(PickleRefused) as caught:
        await live(tmp_path / "states", parts, saved_state_path=state)
    assert f"{name}.pickle" in str(caught.value)
    assert states_of(parts) == before
    assert not await anyio.Path(canary).exists()


@pytest.mark.parametrize("name", PICKLED)
async def test_with_leave_pickles_run_code_and_errors_are_ours_all_the_same(
    name: str, forge: Callable[[str, bytes], Path], canary: Path, tmp_path: Path
) -> None:
    contents = corpus(canary)
    code = [contents[f"pickle, protocol {protocol}"] for protocol in range(6)]
    for content in [*code, *(content for kind, content in contents.items() if kind.startswith("pickle of"))]:
        state = await asyncio.to_thread(pickle_in_place_of, name, content, forge)
        with contextlib.suppress(StateError):  # some are lists, as they should be
            await live(tmp_path / "states", components(), saved_state_path=state, allow_pickle=True)
    assert await anyio.Path(canary).exists()  # so the tests above would have seen it


OF_THE_PACKAGE = [
    name for name in [*FILES, "data/mixed/user.msgpack"] if not name.startswith(("interaction", "models/m"))
]

BIG = 2_000_000


@pytest.fixture(scope="module")
def big() -> dict[str, bytes]:
    return big_files(BIG)


@pytest.mark.parametrize("name", OF_THE_PACKAGE)
def test_no_file_takes_more_than_twice_its_size(
    name: str, big: dict[str, bytes], forge: Callable[[str, bytes], Path], tmp_path: Path
) -> None:
    _, models, data, _ = components()
    store = StateStore(tmp_path / "states")
    store.register("models", TrainingModelsDict(models))
    store.register("data", DataUsersDict.from_data_buffers(data))
    store.register("trainers", TrainersDict({"t": Training()}))
    store.register("time", TimeController())  # type: ignore[arg-type]
    store.register("lockstep", Lockstep(Gate(TimeController()), 5, 2))
    for kind, content in big.items():
        state = forge(name, content)
        tracemalloc.start()
        try:
            with contextlib.suppress(StateError, ValueError):  # a clock knows no errors of ours
                store.load_state(state)
            assert tracemalloc.get_traced_memory()[1] < 2 * BIG + 500_000, kind
        finally:
            tracemalloc.stop()
        data["mixed"].clear()


# --- Components ----------------------------------------------------------------------------------------------


def a_buffer(buffer: DataBuffer[Any, Any], size: int) -> DataBuffer[Any, Any]:
    for number in range(size):
        buffer.add({"a": number, "b": str(number)} if hasattr(buffer, "keys") else number)
    return buffer


def a_user(size: int) -> DataUser[Any]:
    user = DataUser(a_buffer(SequentialBuffer(5), size))
    for number in range(size):
        user.collector.collect(number)
        user.update()
    user.collector.collect("waits")
    user.keeps_waiting_items = True
    return user


def a_clock(size: int) -> TimeController:
    clock = TimeController()
    clock.pause()
    return clock


def a_trainer(size: int) -> Trainer:
    trainer = Training()
    trainer._added_at_last_training = size
    return trainer


def of_buffer(buffer: Any) -> str:
    return repr(buffer.get_data())


def of_user(user: Any) -> Any:
    items, times = user.collector.waiting()
    waiting = list(zip(items, times, strict=True))
    return repr((user._buffer.get_data(), list(user._timestamps), user.added_count, user.known_size, waiting))


def of_clock(clock: Any) -> Any:
    return clock.state_dict()


def of_trainer(trainer: Any) -> Any:
    return trainer._added_at_last_training


def of_lockstep(lockstep: Any) -> Any:
    return repr(vars(lockstep))


COMPONENTS: dict[str, tuple[Callable[[int], Any], Callable[[Any], Any]]] = {
    "sequential": (lambda size: a_buffer(SequentialBuffer(5), size), of_buffer),
    "random": (lambda size: a_buffer(RandomReplacementBuffer(5), size), of_buffer),
    "rows": (lambda size: a_buffer(DictSequentialBuffer(["a", "b"], 5), size), of_buffer),
    "random rows": (lambda size: a_buffer(DictRandomReplacementBuffer(["a", "b"], 5), size), of_buffer),
    "user": (a_user, of_user),
    "clock": (a_clock, of_clock),
    "trainer": (a_trainer, of_trainer),
    "lockstep": (lambda size: Lockstep(Gate(TimeController()), size, 2), of_lockstep),
}


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_that_cannot_be_loaded_is_as_it_was(name: str, tmp_path: Path) -> None:
    make, holds = COMPONENTS[name]
    make(3).save_state(tmp_path / "saved")
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    refused = 0
    for file in files:
        original = (tmp_path / file).read_bytes()
        for kind, content in corpus(tmp_path / "canary").items():
            (tmp_path / file).write_bytes(content)
            component = make(2)
            before = holds(component)
            try:
                component.load_state(tmp_path / "saved")
            except (StateError, ValueError):
                refused += 1
                assert holds(component) == before, kind
        (tmp_path / file).write_bytes(original)
    assert refused > 100
    component = make(2)
    before = holds(component)
    component.load_state(tmp_path / "saved")
    assert holds(component) != before


@pytest.mark.parametrize("position", [-1, 625, 10**6, 2**40])
def test_a_generator_that_would_read_other_memory_is_refused(position: int, tmp_path: Path) -> None:
    _, numbers, _, *rest = np.random.RandomState(0).get_state()
    generators = {"numpy.random": ("MT19937", numbers, position, *rest)}
    codec.save({"steps_left": 1, "turns_left": 0, "generators": generators}, tmp_path / "lockstep")
    with pytest.raises(InvalidState):
        Lockstep(Gate(TimeController()), 5, 2).load_state(tmp_path / "lockstep")


# --- Other systems -------------------------------------------------------------------------------------------


async def test_a_state_without_a_buffer_that_the_system_has_is_refused_by_name(whole: Path, tmp_path: Path) -> None:
    parts = components()
    parts[2]["new"] = SequentialBuffer(4)
    with pytest.raises(StateNotFound, match=r"data/new/buffer\.msgpack.* without a component of this name"):
        await live(tmp_path / "states", parts, saved_state_path=whole)


async def test_a_buffer_may_begin_with_nothing(whole: Path, tmp_path: Path) -> None:
    class NewBuffer(SequentialBuffer[Any]):
        def load_state(self, path: Path) -> None:
            with contextlib.suppress(StateNotFound):
                super().load_state(path)

    parts = components()
    parts[2]["new"] = NewBuffer(4)
    await live(tmp_path / "states", parts, saved_state_path=whole)
    assert parts[2]["last"].get_data()
    assert not parts[2]["new"].get_data()


async def test_what_a_state_has_besides_is_left_in_it(whole: Path, tmp_path: Path) -> None:
    parts = components()
    del parts[2]["mixed"]
    parts[0].agent.on_data_collectors_attached = lambda: setattr(parts[0].agent, "collectors", {})
    await live(tmp_path / "states", parts, saved_state_path=whole)
    assert parts[2]["last"].get_data()
    assert "data/mixed/buffer.msgpack" in (await asyncio.to_thread(verify, whole)).files
