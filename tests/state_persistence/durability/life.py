"""A life of saves that the proofs cut short, and what must hold of the states whenever it was cut.

The n-th save saves the number n, in several components, so that what is loaded says which save it is of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ParamSpec

from pamiq_async.exceptions import DurabilityUnknown, StateError
from pamiq_async.state_persistence import LatestStatesKeeper, PersistentStateMixin, StateStore, list_states, verify

KEPT = 2


class NumberInAFile(PersistentStateMixin):
    number = 0

    def save_state(self, path: Path) -> None:
        path.with_suffix(".txt").write_text(f"{self.number} " * 100)

    def load_state(self, path: Path) -> None:
        (self.number,) = set(map(int, path.with_suffix(".txt").read_text().split()))


class NumberInATree(PersistentStateMixin):
    number = 0

    def save_state(self, path: Path) -> None:
        (path / "deep").mkdir(parents=True)
        (path / "deep" / "empty").mkdir()
        for file in (path / "one", path / "deep" / "two"):
            with file.open("wb") as opened:
                opened.write(b"%d" % self.number)

    def load_state(self, path: Path) -> None:
        assert (path / "deep" / "empty").is_dir()
        one, self.number = (int(file.read_bytes()) for file in (path / "one", path / "deep" / "two"))
        assert one == self.number


class Life:
    """What one process does with a states directory.

    Args:
        acknowledge: is told the number of each save that returned.
    """

    def __init__(self, states_dir: Path, acknowledge: Callable[[int], object] = lambda number: None) -> None:
        self.store = StateStore(states_dir)
        self.keeper = LatestStatesKeeper(states_dir, KEPT)
        self.components = [NumberInAFile(), NumberInATree()]
        self.acknowledge = acknowledge
        for component in self.components:
            self.store.register(type(component).__name__, component)

    def begin(self) -> None:
        self.store.clear_leftovers()

    def save(self, number: int) -> None:
        for component in self.components:
            component.number = number
        try:
            path = self.store.save_state()
        except DurabilityUnknown as error:
            self.keeper.distrust(error.path)
            raise
        self.acknowledge(number)
        self.keeper.append(path)

    def clean_up(self) -> None:
        self.keeper.cleanup()

    def live(self, *numbers: int) -> None:
        self.begin()
        for number in numbers:
            self.save(number)
            self.clean_up()

    def load(self, path: Path) -> int:
        self.store.load_state(path)
        (number,) = {component.number for component in self.components}
        return number


def check(states_dir: Path, acknowledged: Sequence[int]) -> None:
    """Fail unless what was acknowledged and not removed is there, and all that is there is whole."""
    life = Life(states_dir)
    latest = life.store.latest()
    newest = 0 if latest is None else life.load(latest)
    assert newest >= max(acknowledged, default=0), f"{newest} is the latest; acknowledged were {acknowledged}"
    numbers = {life.load(path) for _, path in list_states(states_dir)}
    for number in acknowledged:
        newer = sum(other > number for other in numbers)
        assert number in numbers or newer >= KEPT, f"there are {sorted(numbers)}; acknowledged were {acknowledged}"
    check_wholeness(states_dir)


def check_wholeness(states_dir: Path) -> None:
    """Fail unless all that can be seen in the directory are whole states."""
    for path in states_dir.glob("[!.]*"):
        verify(path)


def check_survivor(states_dir: Path, acknowledged: Sequence[int]) -> None:
    """`check`, and fail unless the next process clears the remains away, goes on saving, and removes old states."""
    check(states_dir, acknowledged)
    number = max(acknowledged, default=0) + 100
    Life(states_dir).live(number)
    check_newest(states_dir, number)
    assert len(list_states(states_dir)) <= KEPT
    assert not [path.name for path in states_dir.glob(".*")], "remains of the earlier process are still there"


def check_newest(states_dir: Path, number: int) -> None:
    life = Life(states_dir)
    latest = life.store.latest()
    assert latest is not None
    assert life.load(latest) == number


P = ParamSpec("P")


def holds(check: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> str:
    """What a check has to say; nothing if it passes."""
    try:
        check(*args, **kwargs)
    except (AssertionError, StateError, OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return ""
