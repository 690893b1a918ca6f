from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pamiq_async.exceptions import InvalidState, StateNotFound
from pamiq_async.state_persistence import (
    FileEntry,
    Manifest,
    StateStore,
    list_states,
    manifest,
    read_manifest,
    verify,
)
from tests.forgery import edit_manifest, reseal, write_manifest


@pytest.fixture
def state(store: StateStore) -> Path:
    return store.save_state()


def note_of(state: Path) -> Path:
    return state / "note" / "note.txt"


def test_a_state_as_saved_verifies(state: Path) -> None:
    assert verify(state) == read_manifest(state)


def test_the_manifest_says_what_the_state_is(store: StateStore) -> None:
    read = read_manifest(store.save_state("periodic"))
    assert (read.format, read.sequence, read.reason) == (1, 1, "periodic")
    assert set(read.versions) == {"python", "pamiq_async"}
    assert read.files.keys() == {"note/note.txt"}
    assert read.files["note/note.txt"].size == len("remember")


def test_the_manifest_is_json_for_people(state: Path) -> None:
    text = (state / "MANIFEST.json").read_text()
    assert json.loads(text)["files"]["note/note.txt"]["size"] == len("remember")
    assert len(text.splitlines()) > 5


def test_any_way_to_the_same_state_verifies(state: Path, tmp_path: Path) -> None:
    (tmp_path / "newest").symlink_to(state)
    assert verify(tmp_path / "newest") == read_manifest(state)


# --- Damage -----------------------------------------------------------------------------------------------


def flip_a_byte(state: Path) -> None:
    content = bytearray(note_of(state).read_bytes())
    content[0] ^= 1
    note_of(state).write_bytes(content)


def truncate(state: Path) -> None:
    os.truncate(note_of(state), 3)


def empty(state: Path) -> None:
    os.truncate(note_of(state), 0)


def lengthen(state: Path) -> None:
    note_of(state).write_text("remember!")


def remove(state: Path) -> None:
    note_of(state).unlink()


def remove_directory(state: Path) -> None:
    shutil.rmtree(state / "note")


def replace_by_directory(state: Path) -> None:
    note_of(state).unlink()
    note_of(state).mkdir()


def replace_by_symlink(state: Path) -> None:
    note_of(state).rename(state.parent / "note.txt")
    note_of(state).symlink_to(state.parent / "note.txt")


def replace_by_fifo(state: Path) -> None:
    note_of(state).unlink()
    os.mkfifo(note_of(state))


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_byte,
        truncate,
        empty,
        lengthen,
        remove,
        remove_directory,
        replace_by_directory,
        replace_by_symlink,
        replace_by_fifo,
    ],
)
def test_damage_to_a_file_is_found_and_the_file_is_named(state: Path, damage: Callable[[Path], None]) -> None:
    damage(state)
    with pytest.raises(InvalidState, match=r"note/note\.txt") as caught:
        verify(state)
    assert str(state) in str(caught.value)


def test_a_file_of_another_size_is_found_before_it_is_read(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "sha256", pytest.fail)
    truncate(state)
    with pytest.raises(InvalidState, match="has 3 bytes; the manifest says 8"):
        verify(state)


def add_file(path: Path) -> None:
    path.write_text("x")


def add_symlink(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def add_dangling_symlink(path: Path) -> None:
    path.symlink_to("nowhere")


def add_symlink_to_directory(path: Path) -> None:
    path.symlink_to("/tmp", target_is_directory=True)


@pytest.mark.parametrize("add", [add_file, os.mkfifo, add_symlink, add_dangling_symlink, add_symlink_to_directory])
@pytest.mark.parametrize("place", ["added", "note/added", "note/.added"])
def test_what_was_added_is_named(state: Path, add: Callable[[Path], None], place: str) -> None:
    add(state / place)
    with pytest.raises(InvalidState, match=place):
        verify(state)


def test_a_file_that_cannot_be_read_is_named(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_disk(path: Path) -> str:
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr(manifest, "sha256", broken_disk)
    with pytest.raises(InvalidState, match=r"'note/note\.txt' can't be read: .*Input/output error"):
        verify(state)


def test_a_directory_that_cannot_be_listed_is_named(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def broken_disk(path: str) -> Any:
        if str(path).endswith("note"):
            raise OSError(errno.EIO, "Input/output error", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", broken_disk)
    with pytest.raises(InvalidState, match=r"/note: can't be read: .*Input/output error"):
        verify(state)


# --- Damage to the manifest -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../outside.txt", "note/../../outside.txt", "/etc/hostname", "..", "note/.."])
def test_a_manifest_must_not_name_what_is_outside(state: Path, name: str) -> None:
    (state.parent / "outside.txt").write_text("")
    edit_manifest(state, files={name: {"size": 0, "sha256": "0" * 64}})
    with pytest.raises(InvalidState, match="outside of the state") as caught:
        verify(state)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "./note.txt",
        "a//b",
        "a/",
        "a/./b",
        "MANIFEST.json",
        "a\0b",
        "a\\b",
        "C:\\a",
        "a\nb",
        "\x1b[31m",
        "\x7f",
    ],
)
def test_a_manifest_must_not_name_what_is_no_file(state: Path, name: str) -> None:
    edit_manifest(state, files={name: {"size": 0, "sha256": "0" * 64}})
    with pytest.raises(InvalidState, match="is not the name of a file in a state") as caught:
        verify(state)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("name", ["note", "Note/note.txt", "note/NOTE.TXT", "note/note.txt/more", "n\u0061\u0308"])
def test_names_are_compared_as_they_are(state: Path, name: str) -> None:
    files = json.loads((state / "MANIFEST.json").read_text())["files"]
    edit_manifest(state, files={**files, name: files["note/note.txt"]})
    with pytest.raises(InvalidState, match="is missing") as caught:
        verify(state)
    assert repr(name) in str(caught.value)


def test_an_empty_directory_means_nothing(state: Path) -> None:
    (state / "note" / "empty" / "too").mkdir(parents=True)
    assert verify(state) == read_manifest(state)


def test_hard_links_such_as_backups_use_are_files(state: Path) -> None:
    os.link(note_of(state), state.parent / "backup.txt")
    assert verify(state) == read_manifest(state)


def test_directories_without_end_are_refused(state: Path) -> None:
    (state / "/".join("d" * 100)).mkdir(parents=True)
    verify(state)
    (state / "/".join("d" * 101)).mkdir()
    with pytest.raises(InvalidState, match="nested more than 100 deep"):
        verify(state)


@pytest.mark.parametrize("version", [0, 2, 999])
def test_another_format_is_refused_by_its_number(state: Path, version: int) -> None:
    edit_manifest(state, format=version, files="not what format 1 has")
    with pytest.raises(InvalidState, match=rf"MANIFEST\.json: the state has format {version}; .* reads format 1"):
        read_manifest(state)


def test_another_format_need_not_have_this_ones_checksum(state: Path) -> None:
    (state / "MANIFEST.json").write_text('{"format": 2}')
    with pytest.raises(InvalidState, match="the state has format 2"):
        read_manifest(state)


def change_of_fields(**fields: Any) -> Callable[[Path], None]:
    return lambda state: edit_manifest(state, **fields)


def add_whitespace(state: Path) -> None:
    path = state / "MANIFEST.json"
    path.write_bytes(path.read_bytes() + b"\n")


def reformat(state: Path) -> None:
    path = state / "MANIFEST.json"
    path.write_text(json.dumps(json.loads(path.read_text())))


def write_checksum_in_capitals(state: Path) -> None:
    path = state / "MANIFEST.json"
    head, tail = path.read_text().split('"checksum": ')
    path.write_text(f'{head}"checksum": {tail.upper()}')


def drop_checksum(state: Path) -> None:
    path = state / "MANIFEST.json"
    path.write_text(path.read_text().rpartition(",")[0] + "}")


def repeat_a_key(state: Path) -> None:
    content = (state / "MANIFEST.json").read_text().rpartition(",")[0] + "}"
    write_manifest(state, content.replace('"sequence": 1', '"sequence": 1, "sequence": 1'))


def repeat_a_file(state: Path) -> None:
    content = (state / "MANIFEST.json").read_text().rpartition(",")[0] + "}"
    file = '"note/note.txt": {"size": 8, "sha256": "%s"}' % ("0" * 64)
    write_manifest(state, content.replace('"files": {', f'"files": {{ {file}, '))


def write_checksum_twice(state: Path) -> None:
    write_manifest(state, (state / "MANIFEST.json").read_bytes())


@pytest.mark.parametrize(
    "change",
    [
        add_whitespace,
        reformat,
        write_checksum_in_capitals,
        drop_checksum,
        repeat_a_key,
        repeat_a_file,
        write_checksum_twice,
        change_of_fields(unknown=1),
        change_of_fields(sequence=-1),
        change_of_fields(sequence=2**53 + 1),
        change_of_fields(sequence=10**400),
        change_of_fields(sequence=1.5),
        change_of_fields(sequence=True),
        change_of_fields(wall_time=float("nan")),
        change_of_fields(wall_time=float("inf")),
        change_of_fields(system_time="0"),
        change_of_fields(reason=["periodic"]),
        change_of_fields(reason="\ud800"),
        change_of_fields(versions={"python": 3}),
        change_of_fields(files=[]),
        change_of_fields(files={"note/note.txt": {"size": 10**300, "sha256": "0" * 64}}),
    ],
)
def test_a_manifest_that_this_package_would_not_write_is_refused(state: Path, change: Callable[[Path], None]) -> None:
    change(state)
    with pytest.raises(InvalidState, match=r"MANIFEST\.json: damaged manifest"):
        read_manifest(state)


def test_a_manifest_made_by_another_program_is_read(state: Path) -> None:
    before = verify(state)
    reseal(state)
    assert verify(state) == before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"null",
        b'{"format": true}',
        b'{"format": "1"}',
        b'{"format": 1}',
        b'{"format": 1, "x": "\xff"}',
        b"[" * 100_000,
        b'{"format": 1, "x": ' + b"[" * 100_000,
        b"\0" * 100,
    ],
    ids=range(12),
)
def test_a_manifest_that_is_not_one_is_named(state: Path, content: bytes) -> None:
    (state / "MANIFEST.json").write_bytes(content)
    with pytest.raises(InvalidState, match=r"MANIFEST\.json: damaged manifest"):
        read_manifest(state)


@pytest.mark.parametrize(
    "entry",
    [
        {"size": 8},
        {"size": "8", "sha256": "0" * 64},
        {"size": -8, "sha256": "0" * 64},
        {"size": 2**64, "sha256": "0" * 64},
        {"size": 8, "sha256": None},
        {"size": 8, "sha256": ""},
        {"size": 8, "sha256": "0" * 63},
        {"size": 8, "sha256": "0" * 64 + "\n"},
        {"size": 8, "sha256": "A" * 64},
        {"size": 8, "sha256": "0x" + "0" * 62},
        {"size": 8, "sha256": "0" * 64, "x": 1},
    ],
)
def test_a_file_entry_that_is_not_one_is_refused(state: Path, entry: dict[str, Any]) -> None:
    edit_manifest(state, files={"note/note.txt": entry})
    with pytest.raises(InvalidState, match=r"MANIFEST\.json: damaged manifest"):
        read_manifest(state)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, add_symlink, add_dangling_symlink])
def test_a_manifest_must_be_a_regular_file(state: Path, make: Callable[[Path], None]) -> None:
    (state / "MANIFEST.json").unlink()
    make(state / "MANIFEST.json")
    with pytest.raises(InvalidState, match=r"MANIFEST\.json: not a manifest"):
        read_manifest(state)


def test_a_huge_manifest_is_not_read(state: Path) -> None:
    os.truncate(state / "MANIFEST.json", manifest.MAX_MANIFEST_BYTES + 1)
    with pytest.raises(InvalidState, match=r"MANIFEST\.json: not a manifest"):
        read_manifest(state)


def test_a_manifest_that_cannot_be_read_is_named(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_disk(path: Path) -> Any:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(manifest, "open_regular", broken_disk)
    with pytest.raises(InvalidState, match=r"MANIFEST\.json: can't be read: .*Input/output error"):
        read_manifest(state)


def test_a_directory_without_manifest_is_not_a_state(tmp_path: Path) -> None:
    with pytest.raises(InvalidState, match=r"is not a saved state: it has no MANIFEST\.json"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("make", [lambda path: None, Path.touch, os.mkfifo])
def test_what_is_no_directory_is_not_found(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "x.state")
    with pytest.raises(StateNotFound, match=r"no state at .*x\.state"):
        read_manifest(tmp_path / "x.state")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@given(st.binary(max_size=60) | st.builds(lambda text: json.dumps(text).encode(), st.text()))
def test_any_content_of_a_manifest_is_refused_as_such(scratch: Path, content: bytes) -> None:
    (scratch / "MANIFEST.json").write_bytes(content)
    with pytest.raises(InvalidState, match=r"MANIFEST\.json"):
        read_manifest(scratch)


def test_what_becomes_a_fifo_after_a_look_at_it_is_not_waited_for(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = note_of(state).lstat()
    replace_by_fifo(state)
    monkeypatch.setattr(manifest, "_files", lambda state: iter([("note/note.txt", info.st_size)]))
    with pytest.raises(InvalidState, match="not a regular file"):
        verify(state)


@pytest.mark.parametrize("path", ["x" * 5000, "a\0b", "loop"])
def test_what_cannot_be_a_path_is_not_found(tmp_path: Path, path: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(StateNotFound):
        read_manifest(tmp_path / path)


def test_a_state_that_may_not_be_looked_at_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "stat", denied)
    with pytest.raises(InvalidState, match=r"x\.state: can't be read: .*Permission denied"):
        read_manifest(tmp_path / "x.state")


# --- Writing ----------------------------------------------------------------------------------------------

AN_ENTRY = FileEntry(0, "0" * 64)


def a_manifest(**fields: Any) -> Manifest:
    plain: dict[str, Any] = {"reason": "command", "wall_time": 0.0, "system_time": 0.0, "versions": {}, "files": {}}
    return Manifest(format=1, sequence=1, **{**plain, **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"files": {"a\\b": AN_ENTRY}},
        {"files": {"a\nb": AN_ENTRY}},
        {"files": {"MANIFEST.json": AN_ENTRY}},
        {"files": {os.fsdecode(b"not UTF-8: \xff"): AN_ENTRY}},
        {"files": {"a": FileEntry(-1, "0" * 64)}},
        {"system_time": float("inf")},
        {"wall_time": float("nan")},
    ],
    ids=repr,
)
def test_a_manifest_that_could_not_be_read_is_not_written(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidState, match="can't be saved, as it could not be loaded"):
        a_manifest(**fields).encode()


def test_more_files_than_a_manifest_may_list_cannot_be_saved() -> None:
    with pytest.raises(InvalidState, match="some 30,000 files"):
        a_manifest(files={f"items/{number}": AN_ENTRY for number in range(40_000)}).encode()


def test_thirty_thousand_files_can_be_saved() -> None:
    whole = a_manifest(files={f"items/{number}": AN_ENTRY for number in range(30_000)})
    assert len(whole.encode()) < manifest.MAX_MANIFEST_BYTES


# --- Listing ----------------------------------------------------------------------------------------------


def test_states_are_listed_by_sequence_whatever_their_names_and_times(store: StateStore) -> None:
    states = [store.save_state() for _ in range(3)]
    names = ["c.state", "a.state", "b.state"]
    for age, (path, name) in enumerate(zip(states, names, strict=True)):
        os.utime(path, (1e9 - age, 1e9 - age))
        path.rename(path.with_name(name))
    assert [path.name for _, path in list_states(store.states_dir)] == names


def test_only_states_whose_name_matches_are_listed(store: StateStore) -> None:
    one, other = store.save_state(), store.save_state()
    one.rename(one.with_name("kept by hand"))
    assert [path for _, path in list_states(store.states_dir, "*.state")] == [other]


def test_what_is_not_a_state_is_not_listed(store: StateStore, state: Path) -> None:
    directory = store.states_dir
    (directory / "empty.state").mkdir()
    (directory / "file.state").touch()
    (directory / "link.state").symlink_to(state)
    shutil.copytree(state, directory / ".hidden.state")
    damages: list[InvalidState] = []
    assert [path for _, path in list_states(directory, on_damage=damages.append)] == [state]
    assert damages == []


def test_a_state_with_a_damaged_manifest_is_told(store: StateStore, state: Path) -> None:
    other = store.save_state()
    os.truncate(state / "MANIFEST.json", 10)
    damages: list[InvalidState] = []
    assert [path for _, path in list_states(store.states_dir, on_damage=damages.append)] == [other]
    assert [state.name in str(damage) for damage in damages] == [True]


def test_a_state_that_vanishes_while_listing_is_passed_over(
    store: StateStore, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanish(path: Path) -> None:
        raise StateNotFound(str(path))

    monkeypatch.setattr(manifest, "read_manifest", vanish)
    assert list_states(store.states_dir, on_damage=pytest.fail) == []


def test_a_directory_that_is_not_there_has_no_states(tmp_path: Path) -> None:
    assert list_states(tmp_path / "nowhere") == []


@pytest.mark.parametrize("where", ["the state", "its manifest"])
def test_a_state_that_cannot_be_looked_at_is_damaged_not_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    path = StateStore(tmp_path).save_state()
    unreadable = {"the state": path, "its manifest": path / manifest.MANIFEST}[where]
    lstat = os.lstat

    def fail(asked: Any, **kwargs: Any) -> os.stat_result:
        if Path(asked) == unreadable:
            raise OSError(errno.EIO, "a worn disk")
        return lstat(asked, **kwargs)

    monkeypatch.setattr(os, "lstat", fail)
    damaged: list[InvalidState] = []
    assert list_states(tmp_path, on_damage=damaged.append) == []
    assert "a worn disk" in str(damaged[0])
    with pytest.raises(InvalidState, match="none of the 1 states"):
        StateStore(tmp_path).latest()
