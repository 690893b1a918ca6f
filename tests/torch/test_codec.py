"""Tensors in buffers are saved as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from pamiq_async.data.impls import SequentialBuffer
from pamiq_async.exceptions import InvalidState
from pamiq_async.state_persistence.codec import decode, encode

DTYPES = [
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.uint8,
    torch.bool,
    torch.complex64,
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)], ids=str)
def test_a_tensor_comes_back_as_it_was(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = torch.ones(shape).to(dtype)
    back = decode(encode({"a": [tensor]}))["a"][0]
    assert (back.dtype, back.shape, back.requires_grad) == (dtype, tensor.shape, False)
    assert torch.equal(back, tensor)


def test_a_view_that_is_not_contiguous_comes_back_with_its_values() -> None:
    tensor = torch.arange(6.0).reshape(2, 3).T
    assert torch.equal(decode(encode(tensor)), tensor)


def test_what_comes_back_can_be_written_to() -> None:
    back = decode(encode(torch.zeros(3)))
    back += 1
    assert back.tolist() == [1.0, 1.0, 1.0]


def test_a_tensor_that_was_cut_is_an_error() -> None:
    content = encode(torch.ones(4))
    for end in range(1, len(content)):
        with pytest.raises(InvalidState):
            decode(content[:end])


def test_a_buffer_of_tensors_is_data(tmp_path: Path) -> None:
    buffer: SequentialBuffer[Any] = SequentialBuffer(3)
    buffer.add({"observation": torch.ones(2)})
    buffer.save_state(tmp_path / "buffer")
    assert [path.suffix for path in tmp_path.iterdir()] == [".msgpack"]
    loaded: SequentialBuffer[Any] = SequentialBuffer(3)
    loaded.load_state(tmp_path / "buffer")
    assert torch.equal(loaded.get_data()[0]["observation"], torch.ones(2))
