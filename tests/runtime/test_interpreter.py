"""The interpreter's switch interval while systems run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from pamiq_async import LaunchConfig, start
from pamiq_async.runtime.interpreter import switch_interval
from tests.fakes import Boom, Log, fake_interaction


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    yield
    sys.setswitchinterval(before + 0.5e-6)


def now() -> float:
    return round(sys.getswitchinterval(), 6)


def test_it_is_shorter_within_the_block_and_restored_after() -> None:
    with switch_interval(0.001):
        assert now() == 0.001
    assert now() == 0.005


def test_it_is_restored_after_an_error() -> None:
    with pytest.raises(Boom), switch_interval(0.001):
        raise Boom
    assert now() == 0.005


def test_the_shortest_wins_in_whatever_order_systems_end() -> None:
    first, second = switch_interval(0.001), switch_interval(0.0005)
    first.__enter__()
    second.__enter__()
    assert now() == 0.0005
    first.__exit__(None, None, None)
    assert now() == 0.0005
    second.__exit__(None, None, None)
    assert now() == 0.005


def test_two_that_want_the_same_are_both_heeded() -> None:
    with switch_interval(0.001):
        with switch_interval(0.001):
            pass
        assert now() == 0.001


def test_a_host_that_has_a_shorter_one_keeps_it() -> None:
    sys.setswitchinterval(0.0001 + 0.5e-6)
    for _ in range(3):
        with switch_interval(0.001):
            assert now() == 0.0001
    assert now() == 0.0001


def test_none_leaves_it_alone() -> None:
    with switch_interval(None):
        assert now() == 0.005


async def test_it_is_a_systems_as_long_as_it_runs(log: Log, config: dict[str, Any]) -> None:
    async with start(fake_interaction(log), {}, {}, {}, {**config, "switch_interval": 0.002}):
        assert now() == 0.002
    assert now() == 0.005


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf"), True, "fast"])
def test_a_bad_one_is_refused(bad: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="switch_interval"):
        LaunchConfig(switch_interval=bad)
