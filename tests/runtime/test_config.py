from __future__ import annotations

import math
from collections import UserList
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pamiq_async import LaunchConfig
from pamiq_async.state_persistence import LatestStatesKeeper


def test_the_defaults_are_those_of_the_documentation() -> None:
    assert attrs.asdict(LaunchConfig()) == {
        "states_dir": Path("./states"),
        "state_name_format": "%Y-%m-%d_%H-%M-%S,%f.state",
        "saved_state_path": None,
        "save_state_interval": math.inf,
        "max_keep_states": -1,
        "state_name_pattern": "*.state",
        "states_cleanup_interval": 60.0,
        "timeout_for_all_threads_pause": 60.0,
        "max_attempts_to_pause_all_threads": 3,
        "max_uptime": math.inf,
        "web_api_address": ("localhost", 8319),
        "web_api_command_queue_size": 1,
        "log_tick_time_statistics_interval": 60.0,
        "time_scale": 1.0,
        "save_state_condition": None,
        "states_keeper": None,
        "shutdown_timeout": 30.0,
        "web_api_token": None,
        "allow_pickle": False,
        "steps_per_training": None,
        "switch_interval": 0.0005,
    }


def test_paths_and_addresses_are_converted() -> None:
    config = LaunchConfig(states_dir="here", web_api_address=UserList(["::1", 0]))  # as configuration libraries have
    assert config.states_dir == Path("here")
    assert config.web_api_address == ("::1", 0)


def test_it_cannot_be_changed() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        LaunchConfig().time_scale = 2.0


BAD = [
    ("states_dir", 5, TypeError),
    ("state_name_format", "a/b.state", ValueError),
    ("state_name_format", "", ValueError),
    ("state_name_format", ".hidden", ValueError),
    ("state_name_format", None, TypeError),
    ("saved_state_path", 5, TypeError),
    *((name, value, error)
      for name in ("save_state_interval", "states_cleanup_interval", "timeout_for_all_threads_pause", "max_uptime",
                   "log_tick_time_statistics_interval", "time_scale", "shutdown_timeout")
      for value, error in ((0, ValueError), (-1.0, ValueError), (math.nan, ValueError), (True, TypeError),
                           ("1", TypeError), (None, TypeError))),
    ("time_scale", math.inf, ValueError),
    ("max_keep_states", 0, ValueError),
    ("max_keep_states", -2, ValueError),
    ("max_keep_states", 1.5, TypeError),
    ("max_keep_states", True, TypeError),
    ("max_attempts_to_pause_all_threads", 0, ValueError),
    ("web_api_command_queue_size", 0, ValueError),
    ("web_api_address", "localhost:8319", TypeError),
    ("web_api_address", ("localhost", "8319"), TypeError),
    ("web_api_address", ("localhost", True), TypeError),
    ("web_api_address", ("localhost", 65536), ValueError),
    ("web_api_address", ("localhost", -1), ValueError),
    ("web_api_address", ("", 1), ValueError),
    ("web_api_token", "", ValueError),
    ("web_api_token", "white space", ValueError),
    ("web_api_token", 5, TypeError),
    ("allow_pickle", 1, TypeError),
    ("steps_per_training", 0, ValueError),
    ("steps_per_training", 1.0, TypeError),
    ("save_state_condition", 5, TypeError),
    ("states_keeper", "latest", TypeError),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value", "error"), BAD, ids=lambda value: str(value))
def test_a_bad_value_is_an_error_that_names_field_and_value(field: str, value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"LaunchConfig\.{field}") as caught:
        LaunchConfig(**{field: value})  # type: ignore[arg-type]
    if field != "web_api_token":
        assert repr(value) in str(caught.value)
    assert "must be" in str(caught.value)


@given(st.floats(min_value=0, exclude_min=True))
def test_any_positive_interval_is_accepted(interval: float) -> None:
    assert LaunchConfig(save_state_interval=interval).save_state_interval == interval


def test_the_token_is_neither_shown_in_the_repr_nor_in_an_error() -> None:
    assert "s3cret" not in repr(LaunchConfig(web_api_token="s3cret"))
    with pytest.raises(ValueError, match="not shown") as caught:
        LaunchConfig(web_api_token="s3cret token")
    assert "s3cret" not in str(caught.value)


def test_a_pattern_that_matches_no_state_is_an_error_only_if_states_are_to_be_removed() -> None:
    LaunchConfig(state_name_format="%Y.checkpoint")
    with pytest.raises(ValueError, match=r"state_name_pattern is '\*\.state' and does not match"):
        LaunchConfig(state_name_format="%Y.checkpoint", max_keep_states=3)


def test_everything_can_be_given() -> None:
    given: dict[str, Any] = {
        "saved_state_path": "latest",
        "save_state_condition": lambda: True,
        "states_keeper": LatestStatesKeeper("states", 3),
        "steps_per_training": 10,
        "shutdown_timeout": 1,
        "web_api_address": None,
    }
    assert {name: getattr(LaunchConfig(**given), name) for name in given} == given
