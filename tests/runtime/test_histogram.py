from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pamiq_async.runtime.histogram import Histogram

durations = st.lists(st.floats(1e-9, 1e5), min_size=1)


def histogram(*seconds: float) -> Histogram:
    taken = Histogram()
    taken.take(list(seconds))
    return taken


def test_of_no_durations_nothing_is_known() -> None:
    empty = histogram()
    assert empty.count == 0
    assert all(math.isnan(value) for value in (empty.mean, empty.max, empty.quantile(0.5)))


@given(st.floats(0.0, 1e5))
def test_of_one_duration_all_is_known(seconds: float) -> None:
    one = histogram(seconds)
    assert (one.count, one.mean, one.max, one.quantile(0.5), one.quantile(0.99)) == (1, *[seconds] * 4)


@given(durations, st.sampled_from([0.0, 0.5, 0.99, 1.0]))
def test_a_quantile_is_within_2_2_percent(seconds: list[float], q: float) -> None:
    exact = sorted(seconds)[math.floor(q * (len(seconds) - 1))]
    assert histogram(*seconds).quantile(q) == pytest.approx(exact, rel=0.022)


@given(durations)
def test_mean_and_maximum_are_exact(seconds: list[float]) -> None:
    taken = histogram(*seconds)
    assert taken.mean == pytest.approx(sum(seconds) / len(seconds))
    assert taken.max == max(seconds)


@given(durations, durations)
def test_merged_is_what_one_would_be_that_had_taken_in_both(first: list[float], second: list[float]) -> None:
    merged, together = histogram(*first).merged(histogram(*second)), histogram(*first, *second)
    assert (merged.count, merged.max, merged.quantile(0.5)) == (together.count, together.max, together.quantile(0.5))
    assert merged.total == pytest.approx(together.total)


def test_however_many_durations_there_were_a_histogram_stays_small() -> None:
    taken = histogram(*(1e-6 * 1.001**n for n in range(10_000)))
    assert len(taken._bins) < 250
