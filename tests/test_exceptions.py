"""The error tree, and what its errors say."""

from __future__ import annotations

import inspect

import pytest

from pamiq_async import exceptions
from pamiq_async.exceptions import (
    EndOfInteraction,
    ErrorCollector,
    NotAttached,
    PamiqError,
    PauseTimeout,
    StateError,
    SystemShutdown,
    UnknownName,
    attach,
    graver,
)

ERRORS = [error for _, error in inspect.getmembers(exceptions, inspect.isclass) if issubclass(error, BaseException)]

BUILTINS = {
    "AnswerTimeout": TimeoutError,
    "BlockingCall": RuntimeError,
    "CallRefused": PermissionError,
    "CommandFailed": RuntimeError,
    "CommandQueueFull": RuntimeError,
    "ComponentInUse": ValueError,
    "ControlAddressError": OSError,
    "DurabilityUnknown": OSError,
    "InvalidState": ValueError,
    "NotAControlServer": ConnectionError,
    "NotAttached": RuntimeError,
    "PauseTimeout": TimeoutError,
    "PickleRefused": ValueError,
    "ServerUnreachable": ConnectionError,
    "ShutdownTimeout": TimeoutError,
    "StateNotFound": FileNotFoundError,
    "StatesDirLocked": BlockingIOError,
    "StatesDirUnusable": OSError,
    "SystemEnded": RuntimeError,
    "UnknownName": KeyError,
}
STATE_ERRORS = {
    "DurabilityUnknown",
    "InvalidState",
    "PickleRefused",
    "StateError",
    "StateNotFound",
    "StatesDirLocked",
    "StatesDirUnusable",
}


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_is_one_of_ours_and_the_builtin_that_it_is(error: type[BaseException]) -> None:
    assert issubclass(error, PamiqError)
    assert issubclass(error, BUILTINS.get(error.__name__, PamiqError))
    assert issubclass(error, StateError) == (error.__name__ in STATE_ERRORS)


@pytest.mark.parametrize("error", ERRORS)
def test_the_tree_in_the_modules_description_shows_every_error(error: type[BaseException]) -> None:
    assert exceptions.__doc__ is not None
    [line] = [line for line in exceptions.__doc__.splitlines() if line.split("─")[-1].split()[:1] == [error.__name__]]
    builtin = BUILTINS.get(error.__name__)
    assert builtin is None or f"({builtin.__name__})" in line


def test_an_unknown_name_lists_those_there_are() -> None:
    error = UnknownName("data buffer", "exp", ["experience", "images"], "; 'x' is for inference alone")
    assert str(error) == "no data buffer named 'exp'; there are: 'experience', 'images'; 'x' is for inference alone"


def test_an_unknown_name_says_when_there_is_none_at_all() -> None:
    assert str(UnknownName("model", "policy", {})) == "no model named 'policy'; there are: none"


def test_what_is_not_attached_yet_names_the_hook_to_get_it_in() -> None:
    class Trainer:
        pass

    message = str(NotAttached(Trainer(), "models", "on_training_models_attached"))
    assert "Trainer has no models yet" in message
    assert "get them in on_training_models_attached(), not in __init__()" in message


def test_messages_of_the_others_are_their_users() -> None:
    assert str(EndOfInteraction("goal reached")) == "goal reached"
    assert str(PauseTimeout("too slow")) == "too slow"


def test_a_second_error_is_kept_with_the_first() -> None:
    first, second = ValueError("first"), KeyError("second")
    attach(first, second, "while tearing down")
    assert first.__notes__ == ["while tearing down, a second error: KeyError: 'second'"]


def test_an_error_is_not_attached_to_itself() -> None:
    error = ValueError("it")
    attach(error, error, "again")
    assert not hasattr(error, "__notes__")


@pytest.mark.parametrize("end", [EndOfInteraction("goal reached"), SystemShutdown("shutting down")])
def test_a_mere_end_gives_way_to_an_error(end: PamiqError) -> None:
    error = ValueError("it")
    assert graver(end, error, "in teardown") is error
    assert graver(error, end, "in teardown") is error
    assert len(error.__notes__) == 1


def test_of_two_errors_and_of_two_ends_the_first_counts() -> None:
    for first, second in [
        (ValueError("first"), KeyError("second")),
        (EndOfInteraction("first"), SystemShutdown("second")),
    ]:
        assert graver(first, second, "in teardown") is first
        assert "in teardown, a second error" in first.__notes__[0]


def test_several_things_are_done_though_some_fail() -> None:
    done: list[str] = []
    errors = ErrorCollector()
    first = ValueError("first")
    for name, error in {"a": None, "b": first, "c": KeyError("second"), "d": None}.items():
        with errors.collect(f"in {name}"):
            done.append(name)
            if error is not None:
                raise error
    with pytest.raises(ValueError, match="first") as caught:
        errors.raise_collected()
    assert caught.value is first
    assert first.__notes__ == ["in c, a second error: KeyError: 'second'"]
    assert done == ["a", "b", "c", "d"]


def test_when_nothing_fails_nothing_is_raised() -> None:
    errors = ErrorCollector()
    with errors.collect("here"):
        pass
    errors.raise_collected()
    assert errors.error is None
