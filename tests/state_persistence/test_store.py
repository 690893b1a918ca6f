from __future__ import annotations

import logging
import os
import shutil
import stat
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pamiq_async.exceptions import DurabilityUnknown, InvalidState, PickleRefused, StateNotFound, StatesDirUnusable
from pamiq_async.state_persistence import PersistentStateMixin, StateStore, read_manifest, verify
from pamiq_async.state_persistence import store as store_module
from pamiq_async.time import TimeController, use_time_controller

STORE_LOGGER = "pamiq_async.state_persistence.store"


class Failing(PersistentStateMixin):
    def save_state(self, path: Path) -> None:
        path.write_text("half")
        raise RuntimeError("disk full")

    def load_state(self, path: Path) -> None:
        raise AssertionError("must not be loaded")


class Silent(PersistentStateMixin):
    pass


def contents(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# --- Registering ------------------------------------------------------------------------------------------


def test_a_name_is_given_once(store: StateStore) -> None:
    with pytest.raises(KeyError, match=r"'note' is registered already; there are: .*note"):
        store.register("note", Silent())


@pytest.mark.parametrize("name", ["", "../note", ".note", "a/b"])
def test_a_name_must_be_a_file_name(store: StateStore, name: str) -> None:
    with pytest.raises(ValueError, match="the name of a state is"):
        store.register(name, Silent())


@pytest.mark.parametrize("name_format", ["sub/%f.state", ".%f.state", "", "../%f.state"])
def test_a_state_must_get_a_name_under_which_it_is_found(tmp_path: Path, name_format: str) -> None:
    with pytest.raises(ValueError, match="the name of a saved state is"):
        StateStore(tmp_path, name_format)


def test_making_a_store_touches_no_file(tmp_path: Path) -> None:
    StateStore(tmp_path / "states")
    assert contents(tmp_path) == []


# --- Saving and loading -----------------------------------------------------------------------------------


def test_what_was_saved_is_loaded(store: StateStore, note: Any) -> None:
    state = store.save_state()
    note.text = "something else"
    store.load_state(str(state))
    assert note.text == "remember"


def test_the_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    state = StateStore(str(tmp_path / "a" / "b")).save_state()
    assert state.parent == tmp_path / "a" / "b"
    verify(state)


def test_a_component_without_state_leaves_no_file(tmp_path: Path) -> None:
    store = StateStore(tmp_path)
    store.register("silent", Silent())
    state = store.save_state()
    store.load_state(state)
    assert contents(state) == ["MANIFEST.json"]


def test_components_are_saved_and_loaded_in_the_order_of_registration(tmp_path: Path) -> None:
    calls: list[str] = []

    class Logging(PersistentStateMixin):
        def save_state(self, path: Path) -> None:
            calls.append(f"save {path.name}")

        def load_state(self, path: Path) -> None:
            calls.append(f"load {path.name}")

    store = StateStore(tmp_path)
    for name in ["b", "a", "c"]:
        store.register(name, Logging())
    store.load_state(store.save_state())
    assert calls == ["save b", "save a", "save c", "load b", "load a", "load c"]


def test_nothing_but_the_state_is_left_in_the_directory(store: StateStore) -> None:
    state = store.save_state()
    assert contents(store.states_dir) == [state.name]


def test_a_state_has_the_permissions_that_the_user_gives_directories(store: StateStore) -> None:
    before = os.umask(0o027)
    try:
        state = store.save_state()
    finally:
        os.umask(before)
    assert stat.S_IMODE(state.stat().st_mode) == 0o750


def test_the_manifest_has_the_systems_time_and_the_worlds(tmp_path: Path) -> None:
    clock = TimeController()
    clock.pause()
    clock.load_state_dict({"time": 42.0, "perf_counter": 42.0})
    with use_time_controller(clock):
        manifest = read_manifest(StateStore(tmp_path).save_state())
    assert manifest.system_time == 42.0
    assert manifest.wall_time > 1.7e9


# --- Names and order --------------------------------------------------------------------------------------


def test_states_of_one_name_do_not_overwrite_each_other(tmp_path: Path) -> None:
    store = StateStore(tmp_path, "always.state")
    names = [store.save_state().name for _ in range(3)]
    assert names == ["always.state", "always-1.state", "always-2.state"]
    assert [read_manifest(tmp_path / name).sequence for name in names] == [1, 2, 3]


@pytest.mark.parametrize("occupy", [Path.touch, Path.mkdir, lambda path: path.symlink_to("nowhere")])
def test_a_name_that_something_else_has_is_left_to_it(tmp_path: Path, occupy: Callable[[Path], None]) -> None:
    occupy(tmp_path / "always.state")
    assert StateStore(tmp_path, "always.state").save_state().name == "always-1.state"


def test_the_sequence_goes_on_in_the_next_process(store: StateStore) -> None:
    store.save_state()
    store.save_state()
    assert read_manifest(StateStore(store.states_dir).save_state()).sequence == 3


def test_the_sequence_is_above_that_of_states_that_cannot_be_read(store: StateStore) -> None:
    store.save_state()
    for _ in range(2):
        cut_manifest(store.save_state())
    assert read_manifest(StateStore(store.states_dir).save_state()).sequence > 3


def test_the_newest_state_is_the_last_one_saved_even_if_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Calendar:
        year = 2030

        @classmethod
        def now(cls) -> datetime:
            cls.year -= 1
            return datetime(cls.year, 1, 1)

    monkeypatch.setattr(store_module, "datetime", Calendar)
    store = StateStore(tmp_path, "%Y.state")
    older, newer = store.save_state(), store.save_state()
    assert (older.name, newer.name) == ("2028.state", "2027.state")
    assert store.latest() == newer


# --- A save that fails ------------------------------------------------------------------------------------


def test_a_component_that_fails_to_save_leaves_nothing_behind(store: StateStore) -> None:
    store.register("failing", Failing())
    with pytest.raises(RuntimeError, match="disk full"):
        store.save_state()
    assert contents(store.states_dir) == []


def test_the_last_good_state_stays_when_a_save_fails(store: StateStore) -> None:
    good = store.save_state()
    store.register("failing", Failing())
    with pytest.raises(RuntimeError, match="disk full"):
        store.save_state()
    assert store.latest() == good


@pytest.mark.parametrize("step", ["describe_files", "_fsync"])
def test_a_disk_that_fails_leaves_nothing_behind(store: StateStore, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_disk(path: Path) -> None:
        raise OSError("broken disk")

    store.make_directory()
    monkeypatch.setattr(store_module, step, broken_disk)
    with pytest.raises(OSError, match="broken disk"):
        store.save_state()
    assert contents(store.states_dir) == []


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/etc/hostname")])
def test_a_component_may_write_files_and_directories_alone(store: StateStore, make: Callable[[Path], None]) -> None:
    class Odd(PersistentStateMixin):
        def save_state(self, path: Path) -> None:
            make(path)

    store.register("odd", Odd())
    with pytest.raises(InvalidState, match="/odd: neither a regular file nor a directory"):
        store.save_state()
    assert contents(store.states_dir) == []


def test_a_failed_save_does_not_use_up_a_sequence_number(store: StateStore) -> None:
    store.register("failing", Failing())
    with pytest.raises(RuntimeError, match="disk full"):
        store.save_state()
    del store.components["failing"]
    assert read_manifest(store.save_state()).sequence == 1


def test_everything_is_on_the_disk_before_the_name_is(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, rename = store_module._fsync, Path.rename

    def logged_fsync(path: Path) -> None:
        events.append(f"fsync {'draft' if path.name.startswith('.draft') else path.name}")
        fsync(path)

    def logged_rename(self: Path, target: Path) -> Path:
        events.append("rename")
        return rename(self, target)

    store.make_directory()
    monkeypatch.setattr(store_module, "_fsync", logged_fsync)
    monkeypatch.setattr(Path, "rename", logged_rename)
    store.save_state()
    assert events == ["fsync note.txt", "fsync note", "fsync draft", "rename", "fsync states"]


@pytest.fixture
def fail_to_sync(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have syncing a path fail, once."""
    fsync = store_module._fsync

    def fail(failing: Path, kind: type[OSError] = OSError) -> None:
        def fsync_or_fail(path: Path) -> None:
            if path == failing:
                monkeypatch.setattr(store_module, "_fsync", fsync)
                raise kind("broken disk")
            fsync(path)

        monkeypatch.setattr(store_module, "_fsync", fsync_or_fail)

    return fail


def test_a_state_whose_name_could_not_be_synced_is_saved_and_said_to_be_unsure(
    store: StateStore, fail_to_sync: Callable[..., None]
) -> None:
    store.save_state()
    fail_to_sync(store.states_dir)
    with pytest.raises(DurabilityUnknown, match=r"may be gone after a power loss.*broken disk") as caught:
        store.save_state()
    assert verify(caught.value.path).sequence == 2
    assert store.latest() == caught.value.path
    assert read_manifest(store.save_state()).sequence == 3


# --- The states directory ---------------------------------------------------------------------------------


def test_a_directory_that_could_not_be_synced_is_made_anew(tmp_path: Path, fail_to_sync: Callable[..., None]) -> None:
    store = StateStore(tmp_path / "a" / "b")
    fail_to_sync(tmp_path / "a")
    with pytest.raises(OSError, match="broken disk"):
        store.save_state()
    assert contents(tmp_path) == []
    verify(store.save_state())


def test_a_directory_that_was_there_stays(tmp_path: Path, fail_to_sync: Callable[..., None]) -> None:
    fail_to_sync(tmp_path.parent)
    with pytest.raises(OSError, match="broken disk"):
        StateStore(tmp_path).save_state()
    assert tmp_path.is_dir()


def test_directories_of_others_need_not_be_readable(tmp_path: Path, fail_to_sync: Callable[..., None]) -> None:
    fail_to_sync(tmp_path.parent, PermissionError)
    verify(StateStore(tmp_path / "states").save_state())


def test_a_directory_that_something_was_made_in_must_be_readable(
    tmp_path: Path, fail_to_sync: Callable[..., None]
) -> None:
    fail_to_sync(tmp_path, PermissionError)
    with pytest.raises(PermissionError, match="broken disk"):
        StateStore(tmp_path / "states").save_state()


def test_a_directory_that_was_removed_is_made_again(store: StateStore) -> None:
    shutil.rmtree(store.save_state().parent)
    verify(store.save_state())


# --- Loading refuses --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["nowhere.state", "a\0b"])
def test_a_state_that_is_not_there_is_named(store: StateStore, note: Any, path: str) -> None:
    with pytest.raises(StateNotFound, match="no state at"):
        store.load_state(store.states_dir / path)
    assert note.loads == 0


def test_nothing_is_loaded_from_a_damaged_state(store: StateStore, note: Any) -> None:
    class Other(PersistentStateMixin):
        def save_state(self, path: Path) -> None:
            path.write_text("other")

        def load_state(self, path: Path) -> None:
            raise AssertionError("must not be loaded")

    store.register("other", Other())
    state = store.save_state()
    (state / "other").write_text("0ther")
    with pytest.raises(InvalidState, match="'other' is damaged"):
        store.load_state(state)
    assert note.loads == 0


class Pickling(PersistentStateMixin):
    loads = 0

    def save_state(self, path: Path) -> None:
        path.with_name("mind.pickle").write_bytes(b"")

    def load_state(self, path: Path) -> None:
        self.loads += 1


def test_pickled_objects_are_refused_unless_allowed(tmp_path: Path) -> None:
    store, component = StateStore(tmp_path), Pickling()
    store.register("mind", component)
    state = store.save_state()
    with pytest.raises(PickleRefused, match=r"mind\.pickle.*allow_pickle=True"):
        store.load_state(state)
    assert component.loads == 0
    store.load_state(state, allow_pickle=True)
    assert component.loads == 1


# --- The latest state -------------------------------------------------------------------------------------


def test_the_latest_state_of_a_directory_without_states_is_none(store: StateStore) -> None:
    assert store.latest() is None
    (store.states_dir / "somebody else's.state").mkdir(parents=True)
    assert store.latest() is None


def test_directories_that_are_no_states_are_named_in_the_log(
    store: StateStore, caplog: pytest.LogCaptureFixture
) -> None:
    (store.states_dir / "of another program.state").mkdir(parents=True)
    (store.states_dir / ".hidden").mkdir()
    assert store.latest() is None
    [record] = caplog.records
    assert "of another program.state" in record.getMessage()
    assert ".hidden" not in record.getMessage()


def cut_file(state: Path) -> None:
    os.truncate(state / "note" / "note.txt", 1)


def cut_manifest(state: Path) -> None:
    os.truncate(state / "MANIFEST.json", 20)


def remove_files(state: Path) -> None:
    shutil.rmtree(state / "note")


@pytest.mark.parametrize("damage", [cut_file, cut_manifest, remove_files])
def test_the_latest_state_is_the_newest_that_verifies_and_the_log_names_the_others(
    store: StateStore, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    _, good, bad = (store.save_state() for _ in range(3))
    damage(bad)
    with caplog.at_level(logging.WARNING, STORE_LOGGER):
        assert store.latest() == good
    (message,) = caplog.messages
    assert "passed over" in message
    assert bad.name in message


@pytest.mark.parametrize("damage", [cut_file, cut_manifest, remove_files])
def test_there_is_no_fresh_start_while_there_are_damaged_states_alone(
    store: StateStore, damage: Callable[[Path], None]
) -> None:
    states = [store.save_state() for _ in range(2)]
    for state in states:
        damage(state)
    with pytest.raises(InvalidState, match=r"none of the 2 states in .* verifies; move them away"):
        store.latest()


def test_a_state_that_vanishes_while_it_is_verified_is_passed_over(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, vanishing = store.save_state(), store.save_state()

    def verify_after_the_other_is_gone(path: Path) -> Any:
        shutil.rmtree(vanishing, ignore_errors=True)
        return verify(path)

    monkeypatch.setattr(store_module, "verify", verify_after_the_other_is_gone)
    assert store.latest() == good


# --- Leftovers --------------------------------------------------------------------------------------------


def test_leftovers_of_a_crash_are_cleared_and_nothing_else(store: StateStore, caplog: pytest.LogCaptureFixture) -> None:
    state = store.save_state()
    (store.states_dir / ".hidden").mkdir()
    (store.new_draft() / "half").write_text("written")
    store_module.remove_state(store.save_state())
    (store.states_dir / ".removed-1" / "x").mkdir(parents=True)
    with caplog.at_level(logging.INFO, STORE_LOGGER):
        store.clear_leftovers()
    assert contents(store.states_dir) == [".hidden", state.name]
    assert len(caplog.messages) == 2


def test_clearing_leftovers_needs_no_directory(store: StateStore) -> None:
    store.clear_leftovers()
    assert not store.states_dir.exists()


def test_leftovers_stay_while_the_directory_cannot_be_synced(
    store: StateStore, fail_to_sync: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    draft = store.new_draft()
    fail_to_sync(store.states_dir)
    store.clear_leftovers()
    assert contents(store.states_dir) == [draft.name]
    assert "leftovers of an earlier run stay in" in caplog.text
    store.clear_leftovers()
    assert contents(store.states_dir) == []


def test_drafts_that_cannot_be_deleted_do_not_pile_up(
    store: StateStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: Path, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            raise PermissionError("immutable")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", refuse)
        for _ in range(3):
            store.discard(store.new_draft())
        with pytest.raises(StatesDirUnusable, match=r"3 saves failed and what they left in .* can't be deleted"):
            store.new_draft()
    assert "can't be deleted: immutable" in caplog.text
    draft = store.new_draft()
    assert contents(store.states_dir) == [draft.name]


def test_a_draft_is_no_state(store: StateStore) -> None:
    store.new_draft()
    assert store.latest() is None


# --- Removing ---------------------------------------------------------------------------------------------


def test_a_state_is_gone_from_its_name_before_its_files_are(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    state = store.save_state()

    def crash(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store_module, "_delete", crash)
        with pytest.raises(KeyboardInterrupt):
            store_module.remove_state(state)
    assert not state.exists()
    assert store.latest() is None
    store.clear_leftovers()
    assert contents(store.states_dir) == []


def test_a_state_stays_whole_if_its_new_name_cannot_be_synced_and_a_later_removal_deletes_it(
    store: StateStore, fail_to_sync: Callable[..., None]
) -> None:
    first, second = store.save_state(), store.save_state()
    fail_to_sync(store.states_dir)
    with pytest.raises(OSError, match="broken disk"):
        store_module.remove_state(first)
    (removed,) = store.states_dir.glob(".removed-*")
    verify(removed)
    store_module.remove_state(second)
    assert contents(store.states_dir) == []


def test_what_is_not_there_cannot_be_removed(tmp_path: Path) -> None:
    with pytest.raises(StateNotFound, match=r"no state at .*x\.state"):
        store_module.remove_state(tmp_path / "x.state")


def test_what_is_not_a_state_cannot_be_removed(store: StateStore) -> None:
    state = store.save_state()
    foreign, link = store.states_dir / "foreign.state", store.states_dir / "link.state"
    foreign.mkdir()
    link.symlink_to(state)
    for path in [foreign, link]:
        with pytest.raises(InvalidState, match="is not a saved state"):
            store_module.remove_state(path)
    assert contents(store.states_dir) == sorted([state.name, "foreign.state", "link.state"])
