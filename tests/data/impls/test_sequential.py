from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pamiq_async.data.impls import SequentialBuffer


@given(st.integers(1, 6), st.lists(st.one_of(st.integers(), st.none())))
def test_it_behaves_like_the_end_of_a_list_of_all_items(max_size: int, steps: list[int | None]) -> None:
    buffer = SequentialBuffer[int](max_size)
    model: list[int] = []
    for step in steps:  # None clears
        if step is None:
            buffer.clear()
            model.clear()
        else:
            buffer.add(step)
            model = [*model, step][-max_size:]
        assert buffer.get_data() == model
        assert len(buffer) == len(model)


@given(st.lists(st.integers(), max_size=6), st.integers(1, 6))
def test_a_state_comes_back_also_in_a_smaller_buffer(
    tmp_path_factory: pytest.TempPathFactory, items: list[int], max_size: int
) -> None:
    path = tmp_path_factory.mktemp("state") / "buffer"
    saved, loaded = SequentialBuffer[int](6), SequentialBuffer[int](max_size)
    for item in items:
        saved.add(item)
    loaded.add(-1)
    saved.save_state(path)
    loaded.load_state(path)
    assert loaded.get_data() == items[-max_size:]
    loaded.add(7)
    assert loaded.get_data() == [*items, 7][-max_size:]


def test_changing_what_it_gives_does_not_change_it() -> None:
    buffer = SequentialBuffer[int](3)
    buffer.add(1)
    buffer.get_data().append(2)
    assert buffer.get_data() == [1]


def test_as_many_items_may_wait_as_it_holds() -> None:
    buffer = SequentialBuffer[int](5)
    assert (buffer.max_size, buffer.max_queue_size) == (5, 5)


def test_a_size_of_numpys_will_do() -> None:
    buffer = SequentialBuffer[int](np.int32(2))  # type: ignore[arg-type]
    assert type(buffer.max_size) is int


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_a_bad_size_is_named(size: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"max_size is {size}"):
        SequentialBuffer(size)


def test_the_file_has_a_suffix_of_its_own(tmp_path: Path) -> None:
    SequentialBuffer[int](1).save_state(tmp_path / "v1.5")
    assert [file.name for file in tmp_path.iterdir()] == ["v1.5.msgpack"]
