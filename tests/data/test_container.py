from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pamiq_async.data import DataCollector, DataCollectorsDict, DataUser, DataUsersDict
from pamiq_async.data.impls import SequentialBuffer
from pamiq_async.exceptions import UnknownName


def users(*names: str) -> DataUsersDict:
    return DataUsersDict.from_data_buffers({name: SequentialBuffer[Any](5) for name in names})


# --- Collectors -------------------------------------------------------------------------------------------


def test_a_collector_is_given_by_name() -> None:
    collector = DataCollector[Any](1)
    assert DataCollectorsDict(a=collector).acquire("a") is collector


def test_a_collector_is_given_once() -> None:
    collectors = DataCollectorsDict(a=DataCollector(1), b=DataCollector(1), c=DataCollector(1))
    collectors.acquire("a")
    collectors.acquire("c")
    with pytest.raises(KeyError) as caught:
        collectors.acquire("a")
    assert str(caught.value) == (
        "no free data collector named 'a'; there are: 'b'; 'a' was acquired before, and is exclusive"
    )


def test_an_unknown_collector_lists_those_there_are() -> None:
    collectors = DataCollectorsDict(a=DataCollector(1), b=DataCollector(1))
    with pytest.raises(KeyError, match="no data collector named 'x'; there are: 'a', 'b'") as caught:
        collectors.acquire("x")
    assert isinstance(caught.value, UnknownName)


def test_without_collectors_an_unknown_one_says_so() -> None:
    with pytest.raises(UnknownName, match="there are: none"):
        DataCollectorsDict().acquire("x")


# --- Users ------------------------------------------------------------------------------------------------


def test_each_buffer_gets_a_user() -> None:
    a, b = SequentialBuffer[int](5), SequentialBuffer[int](5)
    both = DataUsersDict.from_data_buffers({"a": a}, b=b)
    assert list(both) == ["a", "b"]
    assert isinstance(both["a"], DataUser)
    both.data_collectors_dict.acquire("b").collect(1)
    assert both["b"].get_data() == [1]
    assert b.get_data() == [1]


def test_there_may_be_no_buffers() -> None:
    assert DataUsersDict.from_data_buffers() == {}
    assert users().data_collectors_dict == {}


def test_what_was_acquired_stays_so() -> None:
    both = users("a", "b")
    both.data_collectors_dict.acquire("a")
    with pytest.raises(UnknownName):
        both.data_collectors_dict.acquire("a")


def test_a_user_that_is_put_in_later_brings_its_collector() -> None:
    some, user = users("a"), DataUser(SequentialBuffer[int](5))
    some.data_collectors_dict.acquire("a")
    some["b"] = user
    assert some.data_collectors_dict.acquire("b") is user.collector
    with pytest.raises(UnknownName):
        some.data_collectors_dict.acquire("a")


def test_an_unknown_user_lists_those_there_are() -> None:
    with pytest.raises(UnknownName, match="no data buffer named 'x'; there are: 'a', 'b'"):
        users("a", "b")["x"]


@pytest.mark.parametrize("name", ["", "a/b", ".hidden"])
def test_a_name_must_be_a_file_name(name: str) -> None:
    with pytest.raises(ValueError, match="the name of a data buffer is"):
        users(name)


def test_states_come_back_by_name(tmp_path: Path) -> None:
    saved, loaded = users("a", "b"), users("b", "a")
    saved.data_collectors_dict["a"].collect(1)
    saved.data_collectors_dict["b"].collect(2)
    saved.save_state(tmp_path / "data")
    loaded.load_state(tmp_path / "data")
    assert {name: user.get_data() for name, user in loaded.items()} == {"a": [1], "b": [2]}
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["a", "b"]
