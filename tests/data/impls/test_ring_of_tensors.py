from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pamiq_async.data.impls import RingBuffer
from pamiq_async.exceptions import InvalidState
from pamiq_async.testing import BufferContract

torch = pytest.importorskip("torch", reason="an extra that is not installed")
pytestmark = pytest.mark.torch

FIELDS: dict[str, Any] = {
    "image": ((2, 3), torch.uint8),
    "latent": ((4,), torch.bfloat16),
    "number": ((), torch.int64),
    "done": ((), torch.bool),
    "array": ((2,), "float32"),
}


def item(number: int) -> dict[str, Any]:
    return {
        "image": torch.full((2, 3), number, dtype=torch.uint8),
        "latent": torch.full((4,), number / 2, dtype=torch.float32, requires_grad=True),
        "number": number,
        "done": number % 4 == 3,
        "array": torch.full((2,), number),
    }


def ring(max_size: int, count: int, **arguments: Any) -> RingBuffer:
    buffer = RingBuffer(FIELDS, max_size, **arguments)
    for number in range(count):
        buffer.add(item(number))
    return buffer


def check(data: dict[str, Any], numbers: list[int]) -> None:
    assert data["number"].tolist() == numbers
    assert data["image"].tolist() == [[[i] * 3] * 2 for i in numbers]
    assert data["latent"].tolist() == [[i / 2] * 4 for i in numbers]
    assert data["done"].tolist() == [i % 4 == 3 for i in numbers]
    assert data["array"].tolist() == [[i, i] for i in numbers]
    for name, (_, dtype) in FIELDS.items():
        assert data[name].dtype == dtype


class TestRingBufferOfTensors(BufferContract):
    def make_buffer(self) -> RingBuffer:
        return RingBuffer(FIELDS, 30)

    def make_item(self, number: int) -> dict[str, Any]:
        return item(number)


@pytest.mark.parametrize("is_on_disk", [False, True])
def test_tensors_and_arrays_may_stand_side_by_side(is_on_disk: bool, tmp_path: Path) -> None:
    buffer = ring(5, 8, memmap_dir=tmp_path if is_on_disk else None)
    check(buffer.in_order(), [3, 4, 5, 6, 7])
    drawn = buffer.sample(20, 0)
    check(drawn, drawn["number"].tolist())


def test_several_items_come_in_together() -> None:
    buffer = RingBuffer(FIELDS, 5)
    buffer.add_many([item(number) for number in range(8)])
    check(buffer.in_order(), [3, 4, 5, 6, 7])


def test_a_batch_comes_in_as_it_is() -> None:
    buffer = RingBuffer(FIELDS, 5)
    rows = ring(9, 8).in_order()
    buffer.add_batch({**rows, "image": rows["image"].numpy()})
    check(buffer.in_order(), [3, 4, 5, 6, 7])


def test_what_was_computed_with_gradients_is_kept_without() -> None:
    data = ring(3, 1).get_data()["latent"]
    assert not data.requires_grad


def test_data_are_views() -> None:
    buffer = ring(5, 2)
    assert buffer.get_data()["image"].data_ptr() == buffer.get_data()["image"].data_ptr()
    buffer.sample(2)["number"][:] = 7
    assert buffer.in_order()["number"].tolist() == [0, 1]


def test_sequences_never_cross_an_episodes_end() -> None:
    drawn = ring(10, 13).sample_sequences(200, 3, 0)
    assert drawn["image"].shape == (200, 3, 2, 3)
    assert set(drawn["number"][:, 0].tolist()) == {4, 5, 8, 9}
    assert (drawn["number"].diff(dim=1) == 1).all()


def test_a_generator_of_torchs_decides_what_is_drawn() -> None:
    buffer, generator = ring(50, 50), torch.Generator()

    def drawn(seed: int) -> list[int]:
        found: list[int] = buffer.sample(20, generator.manual_seed(seed))["number"].tolist()
        return found

    assert drawn(1) == drawn(1) != drawn(2)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"image": torch.zeros(2).byte()}, ValueError, r"'image' has the shape \(2,\); the buffer needs \(2, 3\)"),
        (
            {"image": torch.zeros(2, 3)},
            TypeError,
            r"'image' has the dtype torch\.float32, which can't become torch\.uint8",
        ),
        ({"latent": "x"}, TypeError, "'latent' is a str, of which no array can be made"),
        (
            {"array": torch.zeros(2, requires_grad=True)},
            TypeError,
            "'array' is a Tensor, of which no array can be made",
        ),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], error: type[Exception], message: str) -> None:
    buffer = ring(5, 0)
    with pytest.raises(error, match=message):
        buffer.check_item({**item(1), **change})
    with pytest.raises(error, match=message):
        buffer.add_many([{**item(1), **change}])


def test_a_state_comes_back(tmp_path: Path) -> None:
    ring(5, 8).save_state(tmp_path / "buffer")
    loaded = ring(5, 1)
    loaded.load_state(tmp_path / "buffer")
    check(loaded.in_order(), [3, 4, 5, 6, 7])


def test_a_state_of_arrays_is_no_state_of_tensors(tmp_path: Path) -> None:
    RingBuffer({"x": ((), np.float32)}, 3).save_state(tmp_path / "buffer")
    with pytest.raises(InvalidState, match=r"now it has .*torch\.float32"):
        RingBuffer({"x": ((), torch.float32)}, 3).load_state(tmp_path / "buffer")
