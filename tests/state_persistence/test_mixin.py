from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pamiq_async.state_persistence import PersistentStateMixin, load_pickle, save_pickle
from pamiq_async.state_persistence.mixin import check_name


def test_a_component_without_state_writes_nothing(tmp_path: Path) -> None:
    component = PersistentStateMixin()
    component.save_state(tmp_path / "x")
    component.load_state(tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("as_given", [str, Path])
def test_an_object_is_pickled_to_exactly_the_path_given(as_given: Any, tmp_path: Path) -> None:
    path = as_given(tmp_path / "thing.pkl")
    save_pickle({1, 2}, path)
    assert [file.name for file in tmp_path.iterdir()] == ["thing.pkl"]
    assert load_pickle(path) == {1, 2}


@pytest.mark.parametrize("name", ["policy", "policy.v2", "größe", "a b", "x" * 200])
def test_a_name_may_be_what_a_file_may_be_called(name: str) -> None:
    assert check_name(name, "model") == name


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "a\\b", "a\0b", "x" * 201, "ä" * 101, "\ud800"])
def test_a_name_that_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="the name of a model is"):
        check_name(name, "model")


@pytest.mark.parametrize("name", [None, 1, b"policy", Path("policy")])
def test_a_name_that_is_no_str_is_refused(name: object) -> None:
    with pytest.raises(TypeError, match=r"the name of a model is .* must be a str"):
        check_name(name, "model")
