"""A state in which anything has changed is refused, and no component is touched."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pamiq_async.data import DataUsersDict
from pamiq_async.data.impls import DictSequentialBuffer, SequentialBuffer
from pamiq_async.exceptions import InvalidState
from pamiq_async.state_persistence import PersistentStateMixin, StateStore, list_states, verify

IS_LONG = os.environ.get("PAMIQ_ASYNC_FAULTS") == "long"
SAMPLES = 100_000 if IS_LONG else 3000

pytestmark = pytest.mark.timeout(3600 if IS_LONG else 120)


class Untouchable(PersistentStateMixin):
    def save_state(self, path: Path) -> None:
        path.mkdir()
        (path / "empty").touch()
        (path / "weights").write_bytes(random.Random(1).randbytes(5000))

    def load_state(self, path: Path) -> None:
        pytest.fail("a state that is damaged was loaded")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> StateStore:
    users = DataUsersDict.from_data_buffers(a=SequentialBuffer(100), b=DictSequentialBuffer(["x", "y"], 100))
    for number in range(50):
        users["a"].collector.collect([number, (str(number), b"bytes" * number)])
        users["b"].collector.collect({"x": number / 3, "y": None})
    store = StateStore(tmp_path_factory.mktemp("rot"))
    store.register("untouchable", Untouchable())
    store.register("data", users)
    return store


@pytest.fixture(scope="module")
def state(store: StateStore) -> Path:
    return store.save_state()


@pytest.fixture
def is_refused(store: StateStore, state: Path) -> Iterator[Callable[[], None]]:
    """To be called while the state is damaged; afterwards it must be whole again."""

    def check() -> None:
        with pytest.raises(InvalidState):
            verify(state)
        with pytest.raises(InvalidState):
            store.load_state(state, allow_pickle=True)

    verify(state)
    yield check
    verify(state)


def files_of(state: Path) -> list[Path]:
    return sorted(path for path in state.rglob("*") if path.is_file() and path.name != "MANIFEST.json")


def test_every_byte_of_a_manifest_counts(state: Path, is_refused: Callable[[], None]) -> None:
    chance = random.Random(2)
    path = state / "MANIFEST.json"
    original = path.read_bytes()
    assert len(original) > 1000
    for place, byte in enumerate(original):
        others = [other for other in range(256) if other != byte]
        likely = [byte ^ 1 << chance.randrange(8), byte ^ 0x20, chance.choice(others), *b"0 \n"]
        for other in others if IS_LONG else dict.fromkeys(likely):
            if other == byte:
                continue
            path.write_bytes(original[:place] + bytes([other]) + original[place + 1 :])
            is_refused()
    path.write_bytes(original)


def test_a_manifest_that_is_cut_or_has_grown_is_refused(state: Path, is_refused: Callable[[], None]) -> None:
    path = state / "MANIFEST.json"
    original = path.read_bytes()
    for length in range(len(original)):
        path.write_bytes(original[:length])
        is_refused()
        path.write_bytes(original[:length] + bytes(len(original) - length))  # blocks that were never written
        is_refused()
    for place in range(0, len(original), 7):
        path.write_bytes(original[:place] + b" " + original[place:])
        is_refused()
        path.write_bytes(original[:place] + original[place + 1 :])
        is_refused()
    path.write_bytes(original)


def test_every_bit_of_a_file_counts(state: Path, is_refused: Callable[[], None]) -> None:
    chance = random.Random(3)
    files = [path for path in files_of(state) if path.stat().st_size]
    for _ in range(SAMPLES):
        path = chance.choice(files)
        original = path.read_bytes()
        damaged = bytearray(original)
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        is_refused()
        path.write_bytes(original)


def test_torn_files_are_refused(state: Path, is_refused: Callable[[], None]) -> None:
    """Cut, grown, with holes, with blocks of another file, and swapped."""
    chance = random.Random(4)
    files = files_of(state)
    for _ in range(SAMPLES):
        path = chance.choice(files)
        original = path.read_bytes()
        place = chance.randrange(len(original) + 1)
        end = min(place + 512, len(original))
        damaged = chance.choice(
            [
                original[:place],
                original[place:],
                original + chance.randbytes(1 + place),
                original[:place] + bytes(end - place) + original[end:],
                original[:place] + chance.choice(files).read_bytes()[place:end] + original[end:],
                chance.choice(files).read_bytes(),
            ]
        )
        if damaged == original:
            continue
        path.write_bytes(damaged)
        is_refused()
        path.write_bytes(original)


def test_files_that_moved_are_refused(state: Path, is_refused: Callable[[], None]) -> None:
    for path in files_of(state):
        for other in [path.with_name("other"), state / path.name, path.with_name(path.name.upper())]:
            if other.exists():
                continue
            path.rename(other)
            is_refused()
            other.rename(path)


def test_a_manifest_of_another_state_is_refused(store: StateStore, state: Path, is_refused: Callable[[], None]) -> None:
    elsewhere = StateStore(store.states_dir / "elsewhere")
    elsewhere.register("data", DataUsersDict.from_data_buffers(a=SequentialBuffer(1)))
    manifest = state / "MANIFEST.json"
    original = manifest.read_bytes()
    shutil.copy(elsewhere.save_state() / "MANIFEST.json", manifest)
    is_refused()
    manifest.write_bytes(original)


def test_a_damaged_manifest_is_no_state_of_its_directory(store: StateStore, state: Path) -> None:
    path = state / "MANIFEST.json"
    original = path.read_bytes()
    path.write_bytes(original.replace(b'"sequence": 1', b'"sequence": 9'))
    damages: list[InvalidState] = []
    assert list_states(store.states_dir, on_damage=damages.append) == []
    assert len(damages) == 1
    path.write_bytes(original)
