"""The command line: what can be asked for, and what the answers look like to a person and to a script."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .._version import __version__
from ..exceptions import AnswerTimeout, NotAControlServer, PamiqError, ServerUnreachable
from ..web import BlockingControlClient
from .text import as_rows, in_columns, printable
from .watch import watch

PROGRAM = "pamiq-async"
TOKEN_VARIABLE = "PAMIQ_ASYNC_TOKEN"

DONE = 0
FAILED = 1
USAGE = 2  # argparse's
UNREACHABLE = 3
TIMED_OUT = 4
INTERRUPTED = 128 + 2  # as a shell shows SIGINT
NO_READER = 128 + 13  # SIGPIPE

_EXIT_CODES = """\
exit codes:
  0    done
  1    the system said no, or failed; a state does not verify
  2    the command line makes no sense
  3    no control server answers at host and port (watch: any more, and the system was not seen shutting down)
  4    the outcome is not known in time; a command may still be carried out
  130  Ctrl-C; a command that was sent is not taken back
"""

_WATCH_TIMEOUT = 5.0  # seconds; what is older is no news


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; gives the exit code.

    Raises:
        SystemExit: the command line makes no sense, or asks for help.
    """
    options = _parse(arguments)
    try:
        client = _client(options) if "host" in options.takes else None
    except ValueError as error:
        options.usage_error(str(error))
    try:
        code: int = options.run(options, client)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Nobody reads on. Python would say so when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_READER
    except (PamiqError, OSError) as error:
        return _fail(options, str(error), _code_of(error))
    return code


class _Command(NamedTuple):
    help: str
    call: Callable[[BlockingControlClient], str | None]
    done: str


_COMMANDS = {
    "pause": _Command("have the system stand still", BlockingControlClient.pause, "paused"),
    "resume": _Command("have the system go on", BlockingControlClient.resume, "resumed"),
    "save": _Command("have a state saved; prints its name", BlockingControlClient.save_state, "saved"),
    "shutdown": _Command("have the system end in order, final state included", BlockingControlClient.shutdown, "ended"),
}


# --- What the commands do ---------------------------------------------------------------------------------


def _command(options: argparse.Namespace, client: BlockingControlClient) -> int:
    command = _COMMANDS[options.command]
    state = command.call(client)
    if options.json:
        _print_json({"result": "ok"} if state is None else {"result": "ok", "state": state})
    else:
        print(command.done if state is None else f"{command.done} {printable(state)}")
    return DONE


def _status(options: argparse.Namespace, client: BlockingControlClient) -> int:
    report = client.report()
    if options.json:
        _print_json(report)
        return DONE
    print(in_columns(as_rows(report)))
    return DONE


def _watch(options: argparse.Namespace, client: BlockingControlClient) -> int:
    if options.json:
        watch(client.report, _print_json, interval=options.interval, patience=options.patience)
        return DONE
    try:
        from .screen import Screen
    except ModuleNotFoundError as error:
        return _fail(options, f"needs {error.name}: pip install 'pamiq-async[console]'; or take --json", FAILED)
    with Screen(str(client.url).removeprefix("http://")) as screen:
        watch(client.report, screen.show, interval=options.interval, patience=options.patience)
    return DONE


def _states(options: argparse.Namespace, _: None) -> int:
    from .states import as_json, as_table, find_states

    states = find_states(options.directory, verifies=options.verify)
    if options.json:
        _print_json(as_json(states))
    else:
        print(as_table(states) if states else f"no states in {printable(str(options.directory))}")
    return FAILED if any(state.verifies is False for state in states) else DONE


def _console(options: argparse.Namespace, _: BlockingControlClient) -> int:
    from .prompt import main

    return main(options.host, options.port, options.token, options.path)


def _keyboard(options: argparse.Namespace, _: BlockingControlClient) -> int:
    from .keyboard import main

    keys = {name: getattr(options, name) for name in _KEYS if getattr(options, name) is not None}
    return main(options.host, options.port, options.token, options.path, **keys)


def _print_json(answer: Any) -> None:
    # For who reads line by line.
    print(json.dumps(answer), flush=True)


def _fail(options: argparse.Namespace, message: str, code: int) -> int:
    print(f"{PROGRAM} {options.command}: {printable(message)}", file=sys.stderr)
    return code


def _code_of(error: Exception) -> int:
    match error:
        case ServerUnreachable() | NotAControlServer():
            return UNREACHABLE
        case AnswerTimeout():
            return TIMED_OUT
        case _:
            return FAILED


def _client(options: argparse.Namespace) -> BlockingControlClient:
    timeout = min(options.timeout, _WATCH_TIMEOUT) if options.command == "watch" else options.timeout
    return BlockingControlClient(options.host, options.port, token=options.token, timeout=timeout, path=options.path)


# --- What can be asked for --------------------------------------------------------------------------------

_KEYS = {
    "pause_keys": "keys that pause, such as alt+shift+p",
    "resume_keys": "keys that resume",
    "save_keys": "keys that save a state",
    "quit_keys": "keys that end listening",
}


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Options that were not given have their defaults; those that the command does not take are a usage error."""
    options = _parser().parse_args(arguments)
    for name in _OPTIONS:
        if name in options and name not in options.takes:
            options.usage_error(f"{options.command} takes no --{name}")
    defaults = {
        "host": "localhost",
        "port": 8319,
        "token": os.environ.get(TOKEN_VARIABLE) or None,
        "path": "",
        "timeout": 60.0,
        "json": False,
    }
    return argparse.Namespace(**{**defaults, **vars(options)})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        PROGRAM,
        description="Steer and watch a running pamiq_async system over HTTP.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    _add_options(parser, *_OPTIONS)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, run: Callable[..., int], help: str, *options: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=help,
            description=f"{help[0].upper()}{help[1:]}.",
            epilog=_EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=run, takes=options, usage_error=command.error)
        _add_options(command, *options)
        return command

    add("status", _status, "show what the system is doing, and its figures", *_OPTIONS)
    for name, command in _COMMANDS.items():
        add(name, _command, command.help, *_OPTIONS)

    watching = add("watch", _watch, "follow the system until it ends (extra 'console', unless --json)", *_OPTIONS)
    watching.add_argument(
        "--interval", type=_interval, default=1.0, metavar="SECONDS", help="between two looks (default: 1)"
    )
    watching.add_argument(
        "--patience",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="how long a server that is gone may take to come back; inf: for ever (default: 10)",
    )

    states = add("states", _states, "list saved states, and whether they verify", "json")
    states.add_argument("directory", type=_directory, metavar="DIR", help="where the states are")
    states.add_argument(
        "--no-verify", dest="verify", action="store_false", help="read manifests alone, not every file: fast"
    )

    add("console", _console, "type commands at a prompt (extra 'console')", *_ADDRESS)

    keyboard = add("keyboard", _keyboard, "steer by global hot keys (extra 'kbctl')", *_ADDRESS)
    for key, help in _KEYS.items():
        keyboard.add_argument(f"--{key.replace('_', '-')}", metavar="KEYS", help=help)
    return parser


_ADDRESS = ("host", "port", "token", "path")
_OPTIONS = (*_ADDRESS, "timeout", "json")


def _add_options(parser: argparse.ArgumentParser, *names: str) -> None:
    """Options that may stand before the command and after it, and so can't have defaults here."""
    descriptions: dict[str, dict[str, Any]] = {
        "host": {"help": "name or address of the system's control server (default: localhost)"},
        "port": {"type": int, "help": "its port (default: 8319)"},
        "token": {
            "help": "its token. On the command line all users of this machine can read it in the list of processes; "
            f"in the environment variable {TOKEN_VARIABLE} they can't"
        },
        "path": {"help": "below which an application of your own has its calls, such as /agent"},
        "timeout": {
            "type": _seconds,
            "metavar": "SECONDS",
            "help": "how long to wait for the outcome (default: 60)",
        },
        "json": {"action": "store_true", "help": "print JSON, for scripts"},
    }
    for name in names:
        parser.add_argument(f"--{name}", default=argparse.SUPPRESS, **descriptions[name])


def _seconds(text: str) -> float:
    seconds = float(text)
    if math.isnan(seconds) or seconds <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return seconds


def _interval(text: str) -> float:
    seconds = _seconds(text)
    if seconds > 86400:  # a system can't sleep for ever
        raise argparse.ArgumentTypeError(f"{text!r} is more than a day")
    return seconds


# argparse: "invalid number of seconds value: 'x'"
_seconds.__name__ = _interval.__name__ = "number of seconds"


def _directory(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"there is no directory {text!r}")
    return path
