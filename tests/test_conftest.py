"""Tests that block the event loop, or leave something running, fail."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest_plugins = ["pytester"]

CONFTEST = Path(__file__).with_name("conftest.py")
PYPROJECT = CONFTEST.parent.parent / "pyproject.toml"

BLOCKING = {
    "sleeping": "time.sleep(0)",
    "sleeping by a name bound at import": "sleep(0)",
    "opening a file": "open(__file__).close()",
    "opening a path": "pathlib.Path(__file__).read_text()",
    "listing a directory": "os.listdir()",
    "making a directory": "pathlib.Path('new').mkdir()",
    "locking a file": "fcntl.flock(os.pipe()[0], fcntl.LOCK_SH)",
    "syncing a file": "os.fsync(os.pipe()[1])",
    "waiting for an event": "threading.Event().wait(0.01)",
    "waiting for a queue": "queue.Queue().get(timeout=0.01)",
    "waiting for a simple queue": "queue.SimpleQueue().get(timeout=0.01)",
    "waiting for a future": "concurrent.futures.Future().result(0.01)",
    "joining a thread": "running_thread().join(0.01)",
}

HARMLESS = {
    "printing": "print('hello')",
    "logging an error with its traceback": "log_an_error()",
    "setting an event": "threading.Event().set()",
    "looking into a simple queue": "queue.SimpleQueue().empty()",
    "sleeping in a worker thread": "await asyncio.to_thread(time.sleep, 0)",
    "reading a file in anyio's worker thread": "await anyio.Path(__file__).read_text()",
    "awaiting a process": ("await (await asyncio.create_subprocess_exec(sys.executable, '-c', '')).wait()"),
    "starting and joining a thread that has ended": (
        "thread = threading.Thread(target=int); thread.start(); await asyncio.to_thread(thread.join); thread.join()"
    ),
    "a task that was awaited": "await asyncio.create_task(asyncio.sleep(0))",
    "a thread that is just ending": "threading.Thread(target=lambda: real_sleep(0.05)).start()",
    "a foreign daemon thread": ("threading.Thread(target=lambda: real_sleep(1.5), daemon=True).start()"),
    "anyio's idle worker": "await anyio.to_thread.run_sync(int)",
    "asyncio's idle worker": "await asyncio.to_thread(int)",
    "a socket that was closed": "socket.socket().close()",
}

LEAKS = {
    "a task": "kept.append(asyncio.create_task(asyncio.sleep(60)))",
    "a task that asyncio started": "asyncio.ensure_future(asyncio.Event().wait())",
    "a thread": "threading.Thread(target=lambda: real_sleep(1.5)).start()",
    "a daemon thread of ours": (
        "threading.Thread(target=lambda: real_sleep(1.5), name='pamiq-lane', daemon=True).start()"
    ),
    "a socket in a cycle": "cycle = [socket.socket()]; cycle.append(cycle)",
    "a server": "kept.append(await asyncio.start_server(lambda *_: None, 'localhost', 0))",
    "a connection": "await connection_to_itself()",
    "a socket still referred to": "kept.append(socket.socket())",
    "an event loop": "asyncio.new_event_loop()",
}

PRELUDE = """
import asyncio, concurrent.futures, contextlib, fcntl, logging, os, pathlib, queue, socket
import sys, threading, time
from time import sleep

import anyio
import pytest

kept = []
real_sleep = threading.Event().wait

def running_thread():
    thread = threading.Thread(target=real_sleep, args=(0.1,))
    thread.start()
    return thread

def log_an_error():
    try:
        1 / 0
    except ZeroDivisionError:
        logging.getLogger(__name__).exception("as expected")

async def off_the_loop(call):
    with contextlib.suppress(TimeoutError, OSError, queue.Empty):
        await asyncio.to_thread(call)

async def called_back(function, *arguments):
    errors = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: errors.append(context["exception"]))
    loop.call_soon(function, *arguments)
    await asyncio.sleep(0)
    if errors:
        raise errors[0]

@pytest.fixture
async def background():
    # A fixture may keep a task for as long as the test.
    task = asyncio.create_task(asyncio.sleep(60))
    yield
    task.cancel()
    await asyncio.wait([task])

async def connection_to_itself():
    accepted = asyncio.Event()
    server = await asyncio.start_server(lambda *_: accepted.set(), "localhost", 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    await accepted.wait()
    server.close()
"""


def test_blocking_the_loop_fails(pytester: pytest.Pytester) -> None:
    cases = BLOCKING | {"in a callback of the loop": "await called_back(time.sleep, 0)"}

    assert outcomes(pytester, cases) == dict.fromkeys(cases, "failed: BlockingError")


def test_blocking_off_the_loop_passes(pytester: pytest.Pytester) -> None:
    elsewhere = {name: f"await off_the_loop(lambda: {call})" for name, call in BLOCKING.items()}

    assert outcomes(pytester, elsewhere) == dict.fromkeys(BLOCKING, "passed")


def test_what_neither_blocks_nor_stays_passes(pytester: pytest.Pytester) -> None:
    assert outcomes(pytester, HARMLESS) == dict.fromkeys(HARMLESS, "passed")


def test_leaving_something_running_fails(pytester: pytest.Pytester) -> None:
    # Among tests that leave nothing: each leak is blamed on the test that left it.
    cases = {}
    for name, leak in LEAKS.items():
        cases |= {name: leak, f"after {name}": "pass"}

    failed = {name for name, result in outcomes(pytester, cases).items() if result != "passed"}

    assert failed == set(LEAKS)


def outcomes(pytester: pytest.Pytester, bodies: dict[str, str]) -> dict[str, str]:
    """Runs each body as an async test of its own, under this project's conftest and configuration.

    They share a process, though not with this test: what is watched belongs to the process.
    """
    tests = pytester.mkdir("tests")
    (tests / "conftest.py").write_text(CONFTEST.read_text())
    (pytester.path / "pyproject.toml").write_text(PYPROJECT.read_text())
    names = {f"test_{number}": name for number, name in enumerate(bodies)}
    functions = [f"async def {test}(background):\n    {bodies[names[test]]}\n" for test in names]
    (tests / "test_bodies.py").write_text("\n".join([PRELUDE, *functions]))

    report = pytester.path / "report.xml"
    pytester.runpytest_subprocess(f"--junit-xml={report}")
    results = dict.fromkeys(names.values(), "did not run")
    for case in ElementTree.parse(report).iter("testcase"):
        results[names[case.attrib["name"]]] = outcome(case)
    return results


def outcome(case: ElementTree.Element) -> str:
    if (failure := case.find("failure")) is not None:
        kind = failure.attrib["message"].partition(":")[0]
        return f"failed: {kind.rpartition('.')[2]}"
    return "passed" if case.find("error") is None else "failed on leaving"
