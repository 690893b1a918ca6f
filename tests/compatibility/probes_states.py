"""Saving, loading and keeping states."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from tests.compatibility.probing import Group, accepted, attempt, files_in, let_pass, own_time

probe = Group("State persistence")

Pamiq = ModuleType


def note(pamiq: Pamiq, log: list[str] | None = None) -> Any:
    """A component that writes its state into a directory of its own."""

    class Note(pamiq.state_persistence.PersistentStateMixin):
        def save_state(self, path: Path) -> None:
            path.mkdir()
            (path / "note.txt").write_text("remembered")

        def load_state(self, path: Path) -> None:
            if log is not None:
                log.append((path / "note.txt").read_text())

    return Note()


@probe(
    "state_persistence",
    "state_persistence.PersistentStateMixin",
    "state_persistence.PersistentStateMixin.save_state",
    "state_persistence.PersistentStateMixin.load_state",
)
def mixin(pamiq: Pamiq, path: Path) -> Any:
    """by itself it saves and loads nothing"""
    state = pamiq.state_persistence.PersistentStateMixin()
    return state.save_state(path / "state"), state.load_state(path / "state"), files_in(path)


@probe(
    "state_persistence.StateStore",
    "state_persistence.StateStore.register",
    "state_persistence.StateStore.save_state",
    "state_persistence.StateStore.load_state",
)
def store(pamiq: Pamiq, path: Path) -> Any:
    """saved below the name of the format, loaded again; a name taken twice; a state that is not there"""
    log: list[str] = []
    states = pamiq.state_persistence.StateStore(path / "states", state_name_format="s.state")
    states.register("part", note(pamiq, log))
    saved = states.save_state()
    states.load_state(saved)
    states.load_state(str(saved))
    return (
        [saved.name, saved.is_dir(), (saved / "part" / "note.txt").read_text(), log],
        attempt(states.register, "part", note(pamiq)),
        attempt(states.load_state, path / "nowhere"),
    )


@probe("state_persistence.StateStore.save_state", differs="a manifest, by which files are verified", guide="| format |")
def files_of_a_state(pamiq: Pamiq, path: Path) -> Any:
    """files of a state"""
    states = pamiq.state_persistence.StateStore(path / "states", "s.state")
    states.register("part", note(pamiq))
    states.save_state()
    return files_in(path)


@probe("state_persistence.StateStore", differs="the first save makes it, with its parents", guide="| `states_dir` |")
def states_dir(pamiq: Pamiq, path: Path) -> Any:
    """when `states_dir` is made; if its parent is missing"""
    pamiq.state_persistence.StateStore(path / "states")
    store = attempt(lambda: pamiq.state_persistence.StateStore(path / "deep" / "states").save_state().is_dir())
    return (path / "states").exists(), store


@probe(
    "state_persistence.StateStore.load_state",
    differs="every file is verified before anything is loaded",
    guide="| a damaged file |",
)
def a_changed_file(pamiq: Pamiq, path: Path) -> Any:
    """a file that was changed after saving"""
    states = pamiq.state_persistence.StateStore(path / "states")
    states.register("part", note(pamiq, []))
    saved = states.save_state()
    (saved / "part" / "note.txt").write_text("REMEMBERED")
    return accepted(states.load_state, saved)


@probe(
    "state_persistence.StateStore.save_state",
    differs="a state is there as a whole or not at all",
    guide="| a save that is broken off |",
)
def a_failing_save(pamiq: Pamiq, path: Path) -> Any:
    """a component that fails to save: what is in the directory"""

    class Broken(pamiq.state_persistence.PersistentStateMixin):
        def save_state(self, path: Path) -> None:
            raise OverflowError

    states = pamiq.state_persistence.StateStore(path / "states", "s.state")
    states.register("part", note(pamiq))
    states.register("broken", Broken())
    return attempt(states.save_state), [p.name for p in (path / "states").iterdir() if not p.name.startswith(".")]


@probe(
    "state_persistence.StateStore.save_state", differs="the name is taken: the next one is found", guide="| two saves "
)
def the_same_name(pamiq: Pamiq, path: Path) -> Any:
    """two saves whose names are the same"""
    states = pamiq.state_persistence.StateStore(path / "states", "s.state")
    return [attempt(lambda: states.save_state().name) for _ in range(2)]


@probe("state_persistence.save_pickle", "state_persistence.load_pickle")
def pickles(pamiq: Pamiq, path: Path) -> Any:
    """an object there and back, by path and by str; a file that is not there"""
    module = pamiq.state_persistence
    module.save_pickle({"a": (1, 2)}, path / "x.pkl")
    module.save_pickle([3], str(path / "y.pkl"))
    return (
        module.load_pickle(str(path / "x.pkl")),
        module.load_pickle(path / "y.pkl"),
        attempt(module.load_pickle, "no"),
    )


@probe("state_persistence.PeriodicSaveCondition")
def periodic(pamiq: Pamiq) -> Any:
    """asked at once, after the interval of system time, and right after that"""
    with own_time(pamiq) as time:
        time.pause()
        condition = pamiq.state_persistence.PeriodicSaveCondition(interval=50.0)
        answers = [condition()]
        let_pass(time, 60.0)
        return [*answers, condition(), condition()]


def three_states(pamiq: Pamiq, path: Path) -> list[Path]:
    states = pamiq.state_persistence.StateStore(path / "states")
    states.register("part", note(pamiq))
    return [states.save_state() for _ in range(3)]


@probe(
    "state_persistence.LatestStatesKeeper",
    "state_persistence.LatestStatesKeeper.append",
    "state_persistence.LatestStatesKeeper.select_removal_states",
    "state_persistence.StatesKeeper.cleanup",
)
def latest_states(pamiq: Pamiq, path: Path) -> Any:
    """of three states the two newest are kept; a second clean-up has nothing to do"""
    states = three_states(pamiq, path)
    keeper = pamiq.state_persistence.LatestStatesKeeper(path / "states", max_keep=2)
    removed = [keeper.cleanup() == states[:1], keeper.cleanup()]
    return removed, [state.exists() for state in states]


@probe(
    "state_persistence.LatestStatesKeeper", differs="0 would keep none, not even the newest", guide="| keeping 0 states"
)
def keep_none(pamiq: Pamiq, path: Path) -> Any:
    """`max_keep` of 0, and of -2"""
    make = pamiq.state_persistence.LatestStatesKeeper
    (path / "states").mkdir()
    return attempt(lambda: make(path / "states", 0).max_keep), attempt(make, path / "states", -2)


@probe(
    "state_persistence.LatestStatesKeeper", differs="-1 keeps all, as in `max_keep_states`", guide="| keeping 0 states"
)
def keep_all(pamiq: Pamiq, path: Path) -> Any:
    """`max_keep` of -1"""
    (path / "states").mkdir()
    return attempt(lambda: pamiq.state_persistence.LatestStatesKeeper(path / "states", -1).cleanup())


@probe(
    "state_persistence.LatestStatesKeeper",
    differs="no directory is made before a state is saved",
    guide="| `states_dir` |",
)
def keeper_without_directory(pamiq: Pamiq, path: Path) -> Any:
    """a keeper for a directory that is not there: is it made?"""
    keeper = pamiq.state_persistence.LatestStatesKeeper(path / "states", 2)
    return keeper.cleanup(), (path / "states").exists()


@probe(
    "state_persistence.StatesKeeper.cleanup",
    differs="what is not a state is never removed",
    guide="| a directory that is",
)
def foreign_directories(pamiq: Pamiq, path: Path) -> Any:
    """directories named like states that are none: does retention remove them?"""
    for number in range(3):
        (path / f"{number}.state").mkdir()
    return len(pamiq.state_persistence.LatestStatesKeeper(path, 1).cleanup())


@probe(
    "state_persistence.StatesKeeper",
    "state_persistence.StatesKeeper.append",
    "state_persistence.StatesKeeper.select_removal_states",
    "state_persistence.StatesKeeper.cleanup",
)
def own_policy(pamiq: Pamiq, path: Path) -> Any:
    """a policy of one's own: what it selects is removed; `append` may be left out; it is abstract"""
    states = three_states(pamiq, path)

    class First(pamiq.state_persistence.StatesKeeper):
        def select_removal_states(self) -> list[Path]:
            return states[:1]

    keeper = First()
    keeper.append(states[2])
    return (
        keeper.cleanup() == states[:1],
        [state.exists() for state in states],
        keeper.cleanup(),
        attempt(pamiq.state_persistence.StatesKeeper),
    )
