from __future__ import annotations

import math
import random
import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pamiq_async.data.impls import RandomReplacementBuffer


@given(
    st.integers(1, 5),
    st.floats(0, 1),
    st.lists(st.integers() | st.none(), max_size=30),
    st.randoms(use_true_random=False),
)
def test_it_behaves_like_a_list_of_which_items_are_replaced(
    max_size: int, probability: float, steps: list[int | None], dice: random.Random
) -> None:
    buffer = RandomReplacementBuffer[int](max_size, probability)
    model: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(random, "random", dice.random)
        patch.setattr(random, "randrange", dice.randrange)
        for step in steps:  # None clears
            before = buffer.get_data()
            if step is None:
                buffer.clear()
                model = []
            elif len(model) < max_size:
                assert not buffer.is_full
                buffer.add(step)
                model.append(step)
            else:
                assert buffer.is_full
                buffer.add(step)
                model = buffer.get_data()
                changed = [new for old, new in zip(before, model, strict=True) if old != new]
                assert changed in ([], [step])
            assert buffer.get_data() == model
            assert len(buffer) == len(model)


@given(st.integers(1, 5), st.lists(st.integers(), max_size=20))
def test_with_probability_0_the_first_items_stay(max_size: int, items: list[int]) -> None:
    buffer = RandomReplacementBuffer[int](max_size, 0)
    for item in items:
        buffer.add(item)
    assert buffer.get_data() == items[:max_size]


@given(st.integers(1, 5), st.lists(st.integers(), max_size=20))
def test_with_probability_1_the_newest_item_is_always_there(max_size: int, items: list[int]) -> None:
    buffer = RandomReplacementBuffer[int](max_size)
    assert buffer.replace_probability == 1.0
    for item in items:
        buffer.add(item)
        assert item in buffer.get_data()


def test_items_are_replaced_as_often_as_asked_and_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(0)
    monkeypatch.setattr(random, "random", dice.random)
    monkeypatch.setattr(random, "randrange", dice.randrange)
    buffer = RandomReplacementBuffer[int](4, 0.25)
    replaced: Counter[int] = Counter()
    for item in range(4004):
        before = buffer.get_data()
        buffer.add(item)
        if len(before) == 4:
            replaced.update(place for place in range(4) if before[place] != buffer.get_data()[place])
    assert replaced.total() == pytest.approx(1000, rel=0.1)
    assert all(count == pytest.approx(250, rel=0.2) for count in replaced.values())


def test_items_survive_as_long_as_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(0)
    monkeypatch.setattr(random, "random", dice.random)
    monkeypatch.setattr(random, "randrange", dice.randrange)
    lifetimes = []
    for _ in range(300):  # until the last of the first items is gone
        buffer = RandomReplacementBuffer[int](10, expected_survival_length=100)
        for _ in range(10):
            buffer.add(0)
        arrivals = 0
        while 0 in buffer.get_data():
            buffer.add(1)
            arrivals += 1
        lifetimes.append(arrivals)
    assert sum(lifetimes) / len(lifetimes) == pytest.approx(100, rel=0.1)


# --- The formula ------------------------------------------------------------------------------------------

HARMONIC = {1: 0.5772156649, 10: 2.879800757896, 1000: 7.48497094388}  # ln n + γ


@pytest.mark.parametrize(
    ("max_size", "survival", "probability"),
    [
        (1, 10, HARMONIC[1] / 10),
        (10, 100, HARMONIC[10] / 10),
        (1000, 100_000, HARMONIC[1000] / 100),
        (1000, 12_345.6, HARMONIC[1000] * 1000 / 12_345.6),
        (1000, 10, 1.0),
        (10, math.inf, 0.0),
    ],
)
def test_the_probability_follows_from_the_expected_survival(max_size: int, survival: float, probability: float) -> None:
    buffer = RandomReplacementBuffer[int](max_size, expected_survival_length=survival)
    assert buffer.replace_probability == pytest.approx(probability)


@given(st.integers(1, 10**9), st.floats(min_value=0, exclude_min=True))
def test_the_probability_is_one(max_size: int, survival: float) -> None:
    assert 0 <= RandomReplacementBuffer[int](max_size, None, survival).replace_probability <= 1


@pytest.mark.parametrize(
    ("max_size", "probability", "queue_size"),
    [(10, 1, 10), (10, 0.5, 20), (10, 0.3, 33), (10, 0, 10), (10, 5e-324, sys.maxsize)],
)
def test_as_many_items_may_wait_as_it_takes_to_replace_all(max_size: int, probability: float, queue_size: int) -> None:
    assert RandomReplacementBuffer[int](max_size, probability).max_queue_size == queue_size


# --- Arguments --------------------------------------------------------------------------------------------


def test_arguments_are_taken_by_position() -> None:
    assert RandomReplacementBuffer[int](8, 0.5).replace_probability == 0.5
    assert RandomReplacementBuffer[int](8, None, 10**9).replace_probability < 0.001
    assert RandomReplacementBuffer[int](np.int64(8)).max_size == 8  # type: ignore[arg-type]


@pytest.mark.parametrize("probability", [-0.1, 1.1, math.nan, math.inf])
def test_a_probability_is_in_0_to_1(probability: float) -> None:
    with pytest.raises(ValueError, match=r"replace_probability is .*; it must be in 0\.\.1"):
        RandomReplacementBuffer(3, probability)


@pytest.mark.parametrize("survival", [0, -5, math.nan])
def test_an_expected_survival_is_positive(survival: float) -> None:
    with pytest.raises(ValueError, match=r"expected_survival_length is .* positive"):
        RandomReplacementBuffer(3, expected_survival_length=survival)


def test_the_probability_is_given_in_one_way() -> None:
    with pytest.raises(ValueError, match=r"replace_probability is 0\.5 and expected_survival_length is 7"):
        RandomReplacementBuffer(3, 0.5, 7)


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_a_bad_size_is_named(size: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"max_size is {size}"):
        RandomReplacementBuffer(size)


# --- Copies and states ------------------------------------------------------------------------------------


def test_changing_what_it_gives_does_not_change_it() -> None:
    buffer = RandomReplacementBuffer[int](3)
    buffer.add(1)
    buffer.get_data().append(2)
    assert buffer.get_data() == [1]


@given(st.lists(st.integers(), max_size=6), st.integers(1, 6))
def test_a_state_comes_back_also_in_a_smaller_buffer(
    tmp_path_factory: pytest.TempPathFactory, items: list[int], max_size: int
) -> None:
    path = tmp_path_factory.mktemp("state") / "buffer"
    saved, loaded = RandomReplacementBuffer[int](6), RandomReplacementBuffer[int](max_size)
    for item in items:
        saved.add(item)
    loaded.add(-1)
    saved.save_state(path)
    loaded.load_state(path)
    assert loaded.get_data() == items[:max_size]
    assert len(loaded) == min(len(items), max_size)
    assert loaded.is_full == (len(items) >= max_size)


def test_the_formula_can_be_had_by_itself() -> None:
    formula = RandomReplacementBuffer.compute_replace_probability_from_expected_survival_length
    assert formula(100, 1000) == RandomReplacementBuffer[int](100, expected_survival_length=1000).replace_probability
