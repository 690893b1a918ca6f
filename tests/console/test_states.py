"""What is found in a directory of states."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pamiq_async.console.states import as_json, as_table, find_states
from pamiq_async.state_persistence import PersistentStateMixin, StateStore, read_manifest


class Weights(PersistentStateMixin):
    def save_state(self, path: Path) -> None:
        path.write_bytes(b"w" * 1500)


@pytest.fixture
def store(tmp_path: Path) -> StateStore:
    store = StateStore(tmp_path / "states")
    store.register("weights", Weights())
    return store


def damage(file: Path) -> None:
    file.write_bytes(b"x" * file.stat().st_size)


def test_states_come_in_the_order_in_which_they_were_saved(store: StateStore) -> None:
    store.save_state("command").rename(store.states_dir / "z.state")
    store.save_state("shutdown").rename(store.states_dir / "a.state")

    states = find_states(store.states_dir)

    assert [(s.name, s.manifest and (s.manifest.sequence, s.manifest.reason)) for s in states] == [
        ("z.state", (1, "command")),
        ("a.state", (2, "shutdown")),
    ]
    assert [(s.size, s.verifies, s.error) for s in states] == [(1500, True, None)] * 2


def test_a_state_with_a_damaged_file_does_not_verify_and_says_why(store: StateStore) -> None:
    path = store.save_state()
    damage(path / "weights")

    [state] = find_states(store.states_dir)

    assert state.verifies is False
    assert state.manifest is not None
    assert state.error is not None
    assert "'weights' is damaged" in state.error


def test_a_state_with_a_damaged_manifest_is_there_and_comes_first(store: StateStore) -> None:
    good, bad = store.save_state(), store.save_state()
    damage(bad / "MANIFEST.json")

    states = find_states(store.states_dir)

    assert [(s.name, s.verifies) for s in states] == [(bad.name, False), (good.name, True)]
    assert states[0].manifest is None
    assert states[0].size is None
    assert states[0].error is not None
    assert "damaged manifest" in states[0].error


def test_without_verifying_only_manifests_are_read(store: StateStore) -> None:
    damage(store.save_state() / "weights")
    damage(store.save_state() / "MANIFEST.json")

    assert [state.verifies for state in find_states(store.states_dir, verifies=False)] == [False, None]


def test_what_is_no_state_is_not_listed(store: StateStore) -> None:
    path = store.save_state()
    shutil.copytree(path, store.states_dir / ".draft-1234")
    (store.states_dir / "link.state").symlink_to(path)
    (store.states_dir / "notes").mkdir()
    (store.states_dir / "MANIFEST.json").touch()

    assert [state.name for state in find_states(store.states_dir)] == [path.name]


def test_a_state_that_is_removed_meanwhile_is_not_listed(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    removed, path = store.save_state(), store.save_state()

    def remove_first(state: Path) -> object:
        if removed.exists():
            shutil.rmtree(removed)
        return read_manifest(state)

    monkeypatch.setattr("pamiq_async.console.states.read_manifest", remove_first)

    assert [state.name for state in find_states(store.states_dir)] == [path.name]


def test_a_table_is_for_people(store: StateStore) -> None:
    paths = [store.save_state("command"), store.save_state("periodic"), store.save_state()]
    damage(paths[1] / "weights")
    damage(paths[2] / "MANIFEST.json")
    states = find_states(store.states_dir)
    assert states[1].manifest is not None

    lines = as_table(states, now=states[1].manifest.wall_time + 7512).splitlines()

    cells = [[cell.strip() for cell in line.split("  ") if cell] for line in lines]
    assert cells[0] == ["SEQUENCE", "SAVED AT", "AGE", "SIZE", "REASON", "VERIFIES", "NAME"]
    assert cells[1] == ["–", "–", "–", "–", "–", "NO", paths[2].name]
    assert cells[2][2:] == ["2 h 05 min", "1.5 kB", "command", "yes", paths[0].name]
    assert cells[3][3:] == ["1.5 kB", "periodic", "NO", paths[1].name]
    assert len(lines) == 6
    assert "damaged manifest" in lines[4]
    assert "'weights' is damaged" in lines[5]


def test_a_name_can_not_steer_the_terminal(store: StateStore) -> None:
    store.save_state().rename(store.states_dir / "\x1b[31m.state")

    assert "\x1b" not in as_table(find_states(store.states_dir))


def test_json_is_for_scripts(store: StateStore) -> None:
    path, bad = store.save_state("command"), store.save_state()
    damage(bad / "MANIFEST.json")
    [damaged, state] = find_states(store.states_dir)
    assert state.manifest is not None
    saved_at = state.manifest.wall_time

    assert as_json([damaged, state], now=saved_at + 2) == [
        {
            "name": bad.name,
            "sequence": None,
            "reason": None,
            "saved_at": None,
            "age": None,
            "size": None,
            "verifies": False,
            "error": damaged.error,
        },
        {
            "name": path.name,
            "sequence": 1,
            "reason": "command",
            "saved_at": saved_at,
            "age": 2.0,
            "size": 1500,
            "verifies": True,
            "error": None,
        },
    ]
