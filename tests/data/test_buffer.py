from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pamiq_async.data import DataBuffer
from pamiq_async.data.impls import SequentialBuffer


class Last(DataBuffer[Any, Any]):
    """A user's buffer, which keeps the last item alone."""

    item: Any = None

    def add(self, data: Any) -> None:
        self.item = data

    def get_data(self) -> Any:
        return self.item

    def __len__(self) -> int:
        return int(self.item is not None)


@pytest.mark.parametrize("size", [1, 10, np.int64(10)])
def test_the_queue_size_is_a_number_of_items(size: int) -> None:
    buffer = Last(size)
    assert buffer.max_queue_size == size
    assert type(buffer.max_queue_size) is int


def test_no_queue_size_warns_and_names_the_class_and_the_line() -> None:
    with pytest.warns(RuntimeWarning, match="Last: max_queue_size is None, so its queue is unbounded") as warned:
        buffer = Last()
    assert buffer.max_queue_size is None
    assert warned[0].filename == __file__


@pytest.mark.parametrize("size", [0, -1])
def test_a_queue_size_must_be_positive(size: int) -> None:
    with pytest.raises(ValueError, match=f"max_queue_size is {size}; it must be at least 1"):
        Last(size)


@pytest.mark.parametrize("size", [1.0, "1", True, np.float64(2), [1]])
def test_a_queue_size_must_be_a_whole_number(size: Any) -> None:
    with pytest.raises(TypeError, match=r"max_queue_size is .*; it must be a whole number"):
        Last(size)


def test_the_queue_size_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Last(1).max_queue_size = 2  # type: ignore[misc]


def test_a_buffer_need_not_know_how_to_clear() -> None:
    with pytest.raises(NotImplementedError, match=r"Last has no clear\(\)"):
        Last(1).clear()


@pytest.mark.parametrize("missing", ["add", "get_data", "__len__"])
def test_a_buffer_needs_all_three_methods(missing: str) -> None:
    methods = {name: lambda self, *args: None for name in ("add", "get_data", "__len__") if name != missing}
    with pytest.raises(TypeError, match=missing):
        type("Incomplete", (DataBuffer,), methods)(1)


def test_a_buffer_that_must_be_pickled_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    buffer = SequentialBuffer[set[int]](3)
    buffer.add({1})
    (tmp_path / "experience").mkdir()
    with caplog.at_level(logging.WARNING, "pamiq_async.data.buffer"):
        buffer.save_state(tmp_path / "experience" / "buffer")
        buffer.save_state(tmp_path / "experience" / "buffer")
    (message,) = caplog.messages
    assert message.startswith("buffer experience (SequentialBuffer) holds builtins.set, which only pickle can save")
    assert "allow_pickle=True" in message


def test_a_buffer_of_data_has_nothing_to_say(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    buffer = SequentialBuffer[Any](3)
    buffer.add((np.ones(2), {"reward": 1.0}))
    buffer.save_state(tmp_path / "buffer")
    assert caplog.messages == []
