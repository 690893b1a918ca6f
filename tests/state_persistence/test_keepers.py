from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from pamiq_async.state_persistence import LatestStatesKeeper, StatesKeeper, StateStore, keepers

KEEPERS_LOGGER = "pamiq_async.state_persistence.keepers"


def left(store: StateStore) -> list[Path]:
    return sorted(store.states_dir.iterdir())


def spoil(state: Path) -> None:
    os.truncate(state / "note" / "note.txt", 1)


# --- Keeping the latest -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("max_keep", "kept"), [(1, 1), (2, 2), (4, 4), (5, 4), (-1, 4)])
def test_the_newest_are_kept(store: StateStore, max_keep: int, kept: int) -> None:
    states = [store.save_state() for _ in range(4)]
    removed = LatestStatesKeeper(store.states_dir, max_keep).cleanup()
    assert removed == states[: 4 - kept]
    assert left(store) == states[4 - kept :]


def test_newest_means_saved_last_whatever_the_clock_said(store: StateStore) -> None:
    first, second = store.save_state(), store.save_state()
    first = first.rename(first.with_name("2099.state"))
    second = second.rename(second.with_name("1999.state"))
    os.utime(second, (0, 0))
    LatestStatesKeeper(store.states_dir, 1).cleanup()
    assert left(store) == [second]


def test_a_second_clean_up_has_nothing_to_do(store: StateStore) -> None:
    for _ in range(3):
        store.save_state()
    keeper = LatestStatesKeeper(store.states_dir, 1)
    keeper.cleanup()
    assert keeper.cleanup() == []


def test_states_saved_later_count(store: StateStore) -> None:
    keeper = LatestStatesKeeper(store.states_dir, 1)
    first = store.save_state()
    keeper.append(first)
    assert keeper.cleanup() == []
    second = store.save_state()
    keeper.append(second)
    assert keeper.cleanup() == [first]
    assert left(store) == [second]


def test_a_directory_that_is_not_there_needs_no_cleaning(tmp_path: Path) -> None:
    assert LatestStatesKeeper(tmp_path / "nowhere", 1).cleanup() == []
    assert not (tmp_path / "nowhere").exists()


def test_what_is_not_a_state_is_left_alone(store: StateStore, tmp_path: Path) -> None:
    state = store.save_state()
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(state, elsewhere)
    directory = store.states_dir
    (directory / "photos.state").mkdir()
    (directory / "notes.state").write_text("mine")
    (directory / "link.state").symlink_to(elsewhere)
    shutil.copytree(state, directory / "kept by hand")
    before = left(store)
    assert LatestStatesKeeper(directory, 1).cleanup() == []
    assert left(store) == before


def test_the_pattern_says_what_may_be_touched(store: StateStore) -> None:
    mine, _, newest = (store.save_state() for _ in range(3))
    mine = mine.rename(mine.with_name("mine.keep"))
    LatestStatesKeeper(store.states_dir, 1, "*.state").cleanup()
    assert left(store) == sorted([mine, newest])


@pytest.mark.parametrize("max_keep", [0, -2])
def test_at_least_one_state_must_be_kept(tmp_path: Path, max_keep: int) -> None:
    with pytest.raises(ValueError, match=f"max_keep is {max_keep}; it must be at least 1, or -1"):
        LatestStatesKeeper(tmp_path, max_keep)


def test_damaged_states_are_not_counted(store: StateStore, caplog: pytest.LogCaptureFixture) -> None:
    oldest, good, bad = (store.save_state() for _ in range(3))
    spoil(bad)
    keeper = LatestStatesKeeper(store.states_dir, 1)
    with caplog.at_level(logging.WARNING, KEEPERS_LOGGER):
        assert keeper.cleanup() == [oldest]
    assert left(store) == [good, bad]
    assert [bad.name in message for message in caplog.messages] == [True]


def test_a_state_that_may_not_outlive_a_power_loss_is_not_counted(store: StateStore) -> None:
    oldest, good, doubtful = (store.save_state() for _ in range(3))
    keeper = LatestStatesKeeper(store.states_dir, 1)
    keeper.distrust(doubtful)
    assert keeper.cleanup() == [oldest]
    assert left(store) == [good, doubtful]


def test_each_state_is_verified_once(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[Path] = []

    def count(path: Path) -> Any:
        verified.append(path)

    monkeypatch.setattr(keepers, "verify", count)
    states = [store.save_state() for _ in range(3)]
    keeper = LatestStatesKeeper(store.states_dir, 2)
    keeper.append(states[2])
    keeper.select_removal_states()
    keeper.select_removal_states()
    assert verified == [states[1]]


# --- Protection -------------------------------------------------------------------------------------------


class RemovesAll(StatesKeeper):
    """A keeper of the user's own: keeps nothing."""

    def __init__(self, candidates: Iterable[Path] = ()) -> None:
        self.candidates = list(candidates)

    def append(self, path: Path) -> None:
        self.candidates.append(path)

    def select_removal_states(self) -> Iterable[Path]:
        return iter(self.candidates)


def test_protected_states_stay_whatever_the_policy_selects(store: StateStore) -> None:
    loaded, middle, newest = (store.save_state() for _ in range(3))
    keeper = RemovesAll([loaded, middle, newest])
    keeper.protect([loaded, newest])
    assert keeper.cleanup() == [middle]
    assert left(store) == [loaded, newest]


def test_protection_is_of_the_directory_however_it_is_written(
    store: StateStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = [store.save_state() for _ in range(3)]
    (tmp_path / "link").symlink_to(store.states_dir)
    monkeypatch.chdir(store.states_dir)
    keeper = RemovesAll(states)
    keeper.protect(
        [Path(states[0].name), tmp_path / "link" / states[1].name, store.states_dir / ".." / "states" / states[2].name]
    )
    assert keeper.cleanup() == []


def test_protection_can_move_on(store: StateStore) -> None:
    old, new = store.save_state(), store.save_state()
    keeper = LatestStatesKeeper(store.states_dir, 1)
    keeper.protect([old])
    assert keeper.cleanup() == []
    keeper.protect([new])
    assert keeper.cleanup() == [old]


async def test_protecting_does_no_file_work() -> None:
    LatestStatesKeeper("states", 1).protect([Path("relative.state")])  # on the loop, where file work would fail


# --- A keeper of one's own --------------------------------------------------------------------------------


def test_a_keeper_of_ones_own_decides(store: StateStore, caplog: pytest.LogCaptureFixture) -> None:
    keeper = RemovesAll()
    states = [store.save_state() for _ in range(2)]
    for state in states:
        keeper.append(state)
    with caplog.at_level(logging.INFO, KEEPERS_LOGGER):
        assert keeper.cleanup() == states
    assert left(store) == []
    assert [state.name in message for state, message in zip(states, caplog.messages, strict=True)] == [True, True]


def test_what_is_gone_already_is_no_error(store: StateStore) -> None:
    state = store.save_state()
    assert RemovesAll([store.states_dir / "gone.state", state]).cleanup() == [state]


def test_a_keeper_of_ones_own_cannot_remove_what_is_not_a_state(
    store: StateStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = store.save_state()
    photos = tmp_path / "photos"
    photos.mkdir()
    assert RemovesAll([photos, state]).cleanup() == [state]
    assert photos.is_dir()
    assert [str(photos) in message for message in caplog.messages] == [True]


def test_a_keeper_need_not_care_about_what_is_saved(tmp_path: Path) -> None:
    class KeepsAll(StatesKeeper):
        def select_removal_states(self) -> Iterable[Path]:
            return ()

    keeper = KeepsAll()
    keeper.append(tmp_path)
    keeper.distrust(tmp_path)
    assert keeper.cleanup() == []
