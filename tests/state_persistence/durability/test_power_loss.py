"""Whenever the power fails, the last acknowledged state is there, or a newer whole one.

The operations of a process are recorded, and followed by a model of a disk. After each one, images of what a power loss
may leave there are written out and loaded by the real code. Each sync is then taken out of the recording: every time
there must be an image that shows what it was for.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pamiq_async.state_persistence import store as store_module

from .disk import Disk, Recorded, Recorder, Tree, write_out
from .life import Life, check, holds
from .operations import Operation, Perform, intercepted

IS_LONG = os.environ.get("PAMIQ_ASYNC_FAULTS") == "long"
SAMPLES = 2000 if IS_LONG else 500
STATES_DIR = Path("of", "someone", "states")

pytestmark = pytest.mark.timeout(3600 if IS_LONG else 300)


class Killed(BaseException):
    pass


class KilledRecorder(Recorder):
    """A recorder of a process that is killed right after a change that `is_last` of them."""

    def __init__(self, is_last: Callable[[Operation], bool]) -> None:
        super().__init__()
        self._is_last = is_last
        self._is_dead = False

    def __call__(self, operation: Operation, perform: Perform) -> object:
        if self._is_dead and operation.kind != "close":
            raise Killed
        result = super().__call__(operation, perform)
        self._is_dead = self._is_dead or self._is_last(operation)
        return result


def record(root: Path, recorder: Recorder, live: Callable[[Life], object]) -> list[Recorded]:
    life = Life(root / STATES_DIR, recorder.acknowledge)
    with intercepted(root, recorder), contextlib.suppress(Killed):
        live(life)
    return recorder.log


# What is recorded: each a process, or one that is killed and the next


def one_process(root: Path) -> list[Recorded]:
    return record(root, Recorder(), lambda life: life.live(1, 2, 3))


def killed_when_the_directory_was_made(root: Path) -> list[Recorded]:
    killed = KilledRecorder(lambda operation: operation.kind == "mkdir" and operation.path == root / STATES_DIR)
    return [*record(root, killed, lambda life: life.live(1)), *record(root, Recorder(), lambda life: life.live(1))]


def killed_when_a_state_was_renamed_to_be_removed(root: Path) -> list[Recorded]:
    killed = KilledRecorder(
        lambda operation: operation.kind == "rename" and Path(operation.args[0]).name.startswith(".removed-")
    )
    return [*record(root, killed, lambda life: life.live(1, 2, 3)), *record(root, Recorder(), Life.begin)]


def killed_when_a_state_got_its_name(root: Path) -> list[Recorded]:
    killed = KilledRecorder(
        lambda operation: operation.kind == "rename" and Path(operation.args[0]).name.endswith("state")
    )
    return [*record(root, killed, lambda life: life.live(1)), *record(root, Recorder(), lambda life: life.live(2, 3))]


# In these every sync matters. In the last one the next process syncs parents that were synced before.
NEEDED_THROUGHOUT = [
    one_process,
    killed_when_the_directory_was_made,
    killed_when_a_state_was_renamed_to_be_removed,
]
RECORDINGS = [*NEEDED_THROUGHOUT, killed_when_a_state_got_its_name]


# What is found


def images(root: Path, log: list[Recorded], first: int = 0) -> Iterator[tuple[Tree, list[int]]]:
    """What may be found after each entry from the `first`, with the saves acknowledged by then; none of it twice."""
    disk, acknowledged, chance = Disk(root), list[int](), random.Random(0)
    seen = set()
    for index, entry in enumerate(log):
        if isinstance(entry, Operation):
            disk.apply(entry)
        else:
            acknowledged.append(entry)
        if index < first or (isinstance(entry, Operation) and not entry.changes_something):
            continue  # nothing new may be found
        for tree in disk.images(SAMPLES, chance):
            if (found := (repr(tree), len(acknowledged))) not in seen:
                seen.add(found)
                yield tree, acknowledged


def problems(root: Path, log: list[Recorded], first: int = 0) -> Iterator[str]:
    """What is wrong with each image; nothing for those that are fine."""
    image = root.with_name("image")
    for tree, acknowledged in images(root, log, first):
        write_out(tree, image)
        problem = holds(check, image / STATES_DIR, acknowledged)
        shutil.rmtree(image)
        yield problem


def syncs(log: list[Recorded]) -> dict[int, Operation]:
    return {index: entry for index, entry in enumerate(log) if isinstance(entry, Operation) and entry.kind == "fsync"}


@pytest.fixture
def root(memory: Path) -> Path:
    root = memory / "disk"
    root.mkdir()
    return root


@pytest.mark.parametrize("recording", RECORDINGS)
def test_what_was_acknowledged_outlives_every_power_loss(
    root: Path, recording: Callable[[Path], list[Recorded]]
) -> None:
    log = recording(root)
    found = list(problems(root, log))
    print(f"{len(found)} images of a disk, of {len(log)} operations")
    assert not [problem for problem in found if problem]


@pytest.mark.parametrize("recording", NEEDED_THROUGHOUT)
def test_without_any_one_sync_a_power_loss_would_be_seen(
    root: Path, recording: Callable[[Path], list[Recorded]]
) -> None:
    log = recording(root)
    without = {index: log[:index] + log[index + 1 :] for index in syncs(log)}
    unseen = [log[index] for index, rest in without.items() if not any(problems(root, rest, first=index))]
    print(f"{len(without)} syncs taken out, one at a time")
    assert not unseen


def test_every_sync_in_the_code_is_among_those_taken_out(memory: Path) -> None:
    seen = set()
    for recording in NEEDED_THROUGHOUT:
        root = memory / recording.__name__
        root.mkdir()
        seen |= {line for sync in syncs(recording(root)).values() for line in sync.lines}
    file = inspect.getfile(store_module)
    calls = (node for node in ast.walk(ast.parse(inspect.getsource(store_module))) if isinstance(node, ast.Call))
    lines = {call.lineno for call in calls if "fsync" in ast.unparse(call.func)}
    assert len(lines) >= 5
    assert lines <= {line for name, line in seen if name == file}
