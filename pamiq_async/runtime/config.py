"""How a system is to run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import attrs

from ..state_persistence import StatesKeeper
from ..state_persistence.store import STATE_NAME_FORMAT

_Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def _bad(field: attrs.Attribute[Any], value: object, allowed: str, error: type[Exception] = ValueError) -> Exception:
    return error(f"LaunchConfig.{field.name} is {value!r}; it must be {allowed}")


def _seconds(allowed: str, accepts: Callable[[float], bool], *, optional: bool = False) -> _Validator:
    def validate(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
        if value is None and optional:
            return
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _bad(field, value, allowed, TypeError)
        if math.isnan(value) or not accepts(value):
            raise _bad(field, value, allowed)

    return validate


def _whole(allowed: str, accepts: Callable[[int], bool], *, optional: bool = False) -> _Validator:
    def validate(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
        if value is None and optional:
            return
        if isinstance(value, bool) or not isinstance(value, int):
            raise _bad(field, value, allowed, TypeError)
        if not accepts(value):
            raise _bad(field, value, allowed)

    return validate


def _instance(kind: type | tuple[type, ...], allowed: str) -> _Validator:
    def validate(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, kind):
            raise _bad(field, value, allowed, TypeError)

    return validate


def _file_name(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
    allowed = "a file name without slashes that does not start with a dot"
    if not isinstance(value, str):
        raise _bad(field, value, allowed, TypeError)
    if not value or "/" in value or "\0" in value or value.startswith("."):
        raise _bad(field, value, allowed)


def _address(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
    allowed = 'None, or a host and a port in 0..65535, such as ("localhost", 8319)'
    if value is None:
        return
    if not isinstance(value, tuple) or len(value) != 2:
        raise _bad(field, value, allowed, TypeError)
    host, port = value
    if not isinstance(host, str) or isinstance(port, bool) or not isinstance(port, int):
        raise _bad(field, value, allowed, TypeError)
    if not host or not 0 <= port <= 65535:
        raise _bad(field, value, allowed)


def _token(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
    allowed = "None, or a token of printable ASCII characters without spaces"
    if value is None:
        return
    if not isinstance(value, str):
        raise TypeError(f"LaunchConfig.{field.name} is a {type(value).__name__}; it must be {allowed}")
    if not value or not all("!" <= character <= "~" for character in value):
        raise ValueError(f"LaunchConfig.{field.name} (not shown) must be {allowed}")


def _condition(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not callable(value):
        raise _bad(field, value, "None, or a callable without arguments that gives a bool", TypeError)


def _path(value: Any) -> Any:
    return Path(value) if isinstance(value, str) else value


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


_positive = _seconds("a positive number of seconds, or inf", lambda v: v > 0)


@attrs.frozen
class LaunchConfig:
    """How a system is to run. Intervals and `max_uptime` are seconds of system time, time-outs are real seconds.

    Args:
        states_dir: where states are saved; made with its parents.
        state_name_format: strftime format of a state directory's name.
        saved_state_path: a state to load at start; ``"latest"``: the newest valid one in `states_dir`, and a fresh
            start if there is none.
        save_state_interval: seconds between automatic saves.
        max_keep_states: how many states to keep, older ones are removed; -1 keeps all.
        state_name_pattern: glob of the directories that retention may touch.
        states_cleanup_interval: seconds between clean-ups.
        timeout_for_all_threads_pause: real seconds to wait for every role to park, per attempt.
        max_attempts_to_pause_all_threads: attempts before a pause is given up; the system then goes on running.
        max_uptime: seconds the system may run.
        web_api_address: host and port of the control server; None for none, port 0 for a free one.
        web_api_command_queue_size: commands that may wait while one is being carried out; more get a 503.
        log_tick_time_statistics_interval: seconds between log lines about steps and trainings; `System.statistics()`
            tells of the last such interval, too.
        time_scale: seconds of system time per real second.
        save_state_condition: asked about ten times a second; True saves.
        states_keeper: a retention policy of your own, instead of `max_keep_states`.
        shutdown_timeout: real seconds that shutdown waits for running compute before it gives that compute up.
        web_api_token: if set, every call to the control server needs ``Authorization: Bearer …``. Needed to listen
            beyond loopback.
        allow_pickle: whether loading a state may unpickle objects, which runs code that the state brings.
        steps_per_training: None: training runs concurrently. N: trainers take their turn after every N steps, and
            acting waits for them.
        switch_interval: how long a thread may hold the interpreter while another wants it, in real seconds; it is the
            process's `sys.setswitchinterval` while a system runs, and is put back after. None leaves it alone.

    Raises:
        TypeError: a value is of the wrong type; the message names the field, the value and what is allowed.
        ValueError: a value is out of its range.
    """

    states_dir: Path = attrs.field(
        default=Path("./states"), converter=_path, validator=_instance(Path, "a path, as str or Path")
    )
    state_name_format: str = attrs.field(default=STATE_NAME_FORMAT, validator=_file_name)
    saved_state_path: str | Path | None = attrs.field(
        default=None, validator=_instance((str, Path, type(None)), 'None, "latest", or a path as str or Path')
    )
    save_state_interval: float = attrs.field(default=math.inf, validator=_positive)
    max_keep_states: int = attrs.field(
        default=-1, validator=_whole("-1, which keeps all, or at least 1", lambda v: v == -1 or v >= 1)
    )
    state_name_pattern: str = attrs.field(default="*.state", validator=_file_name)
    states_cleanup_interval: float = attrs.field(default=60.0, validator=_positive)
    timeout_for_all_threads_pause: float = attrs.field(default=60.0, validator=_positive)
    max_attempts_to_pause_all_threads: int = attrs.field(default=3, validator=_whole("at least 1", lambda v: v >= 1))
    max_uptime: float = attrs.field(default=math.inf, validator=_positive)
    web_api_address: tuple[str, int] | None = attrs.field(
        default=("localhost", 8319), converter=_tuple, validator=_address
    )
    web_api_command_queue_size: int = attrs.field(default=1, validator=_whole("at least 1", lambda v: v >= 1))
    log_tick_time_statistics_interval: float = attrs.field(default=60.0, validator=_positive)
    time_scale: float = attrs.field(
        default=1.0, validator=_seconds("a positive finite number", lambda v: 0 < v < math.inf)
    )
    save_state_condition: Callable[[], bool] | None = attrs.field(default=None, validator=_condition)
    states_keeper: StatesKeeper | None = attrs.field(
        default=None, validator=_instance((StatesKeeper, type(None)), "None or a StatesKeeper")
    )
    shutdown_timeout: float = attrs.field(default=30.0, validator=_positive)
    web_api_token: str | None = attrs.field(default=None, validator=_token, repr=False)
    allow_pickle: bool = attrs.field(default=False, validator=_instance(bool, "True or False"))
    steps_per_training: int | None = attrs.field(
        default=None, validator=_whole("None, or at least 1", lambda v: v >= 1, optional=True)
    )
    switch_interval: float | None = attrs.field(
        default=0.0005, validator=_seconds("None, or from 0.00001 to 1", lambda v: 1e-5 <= v <= 1, optional=True)
    )

    def __attrs_post_init__(self) -> None:
        example = datetime.now().strftime(self.state_name_format)
        if self.max_keep_states != -1 and not fnmatch(example, self.state_name_pattern):
            raise ValueError(
                f"LaunchConfig.state_name_pattern is {self.state_name_pattern!r} and does not match the names that "
                f"state_name_format gives, such as {example!r}; no state would ever be removed"
            )
