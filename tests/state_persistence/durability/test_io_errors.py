"""Whatever fails of what saving does with files: nothing is acknowledged that is not there, and the next save works.

Each operation fails with each error: alone, and with all that follow until the save and the removal of old states are
over.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import errno
import itertools
import math
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pamiq_async import start
from pamiq_async.exceptions import StateError
from tests.fakes import Log, fake_interaction

from .disk import Disk, write_out
from .life import Life, check, holds
from .operations import Operation, Perform, intercepted

IS_LONG = os.environ.get("PAMIQ_ASYNC_FAULTS") == "long"
STATES_DIR = Path("of", "someone", "states")
ERRORS = (errno.EIO, errno.EACCES, errno.ENOSPC, errno.EDQUOT, errno.EROFS)
ERRORS_OF_READING = ERRORS[:2]
LENGTHS = [1, math.inf, *([2, 3, 5, 8, 12, 20, 30] if IS_LONG else [])]

pytestmark = pytest.mark.timeout(36000 if IS_LONG else 300)


class Faulty:
    """Handles operations such that some fail, and follows what is done on a model of the disk.

    Args:
        first: the number of the first that fails.
        last: the number of the last.
    """

    def __init__(self, disk: Disk, first: float, last: float, error: int) -> None:
        self.disk = disk
        self.failed: Operation | None = None
        self._numbers = itertools.count(1)
        self._first, self._last, self._error = first, last, error

    def __call__(self, operation: Operation, perform: Perform) -> Any:
        if not self._first <= next(self._numbers) <= self._last:
            result = None if operation.kind == "fsync" else perform()  # the model stands for the disk
            self.disk.apply(operation)
            return result
        self.failed = self.failed or operation
        if operation.kind == "close":
            perform()  # closed it is all the same
        self.disk.apply(operation, failed=True)
        raise OSError(self._error, os.strerror(self._error), str(operation.path))

    def mend(self) -> None:
        self._last = 0


class Before:
    """What was before the fault: some saves, or none."""

    def __init__(self, root: Path, saves: list[int]) -> None:
        self.root = root
        self.files = root.with_name(f"before-{len(saves)}")
        self.saves = saves
        self.disk = Disk(root)
        root.mkdir()
        with intercepted(root, Faulty(self.disk, 0, 0, 0)):
            Life(root / STATES_DIR).live(*saves)
        root.rename(self.files)

    def restore(self) -> Disk:
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self.files, self.root)
        return copy.deepcopy(self.disk)


def what_failed(before: Before, first: int, last: float, error: int) -> tuple[Operation | None, list[str]]:
    """Save and remove while operations fail, and save once more: what failed first, and all that is wrong then."""
    faulty = Faulty(before.restore(), first, last, error)
    states_dir = before.root / STATES_DIR
    acknowledged = before.saves.copy()
    life = Life(states_dir, acknowledged.append)
    wrong = []
    with intercepted(before.root, faulty):
        for step in (lambda: life.save(10), life.clean_up):
            with contextlib.suppress(OSError, StateError):
                step()
        faulty.mend()
        wrong.append(holds(check, states_dir, acknowledged))
        life.save(11)
        life.clean_up()
    wrong.append(holds(check, states_dir, acknowledged))
    wrong.append(" and ".join(path.name for path in states_dir.glob(".draft-*")))
    image = before.root.with_name("image")
    write_out(faulty.disk.worst(), image)
    wrong.append(holds(check, image / STATES_DIR, acknowledged))
    shutil.rmtree(image)
    return faulty.failed, [problem for problem in wrong if problem]


def errors_of(operation: Operation) -> tuple[int, ...]:
    return ERRORS if operation.changes_something or operation.kind == "fsync" else ERRORS_OF_READING


@pytest.mark.parametrize("saves", [[], [1, 2, 3]], ids=["the first save", "a later save"])
@pytest.mark.parametrize("length", LENGTHS)
def test_an_error_costs_one_save_at_most(memory: Path, saves: list[int], length: float) -> None:
    before = Before(memory / "disk", saves)
    points: Counter[str] = Counter()
    problems = []
    for number in itertools.count(1):
        for error in ERRORS:
            failed, wrong = what_failed(before, number, number + length - 1, error)
            if failed is None:
                break
            points[failed.kind] += 1
            if wrong:
                problems.append(f"{errno.errorcode[error]} of {failed}: {wrong}")
            if error == ERRORS_OF_READING[-1] and error not in errors_of(failed)[:-1]:
                break
        if failed is None:
            break
    print(sum(points.values()), dict(points))
    assert not problems


# A running system


class FailingKind:
    """Lets operations of one kind fail; of those that open files, those that make them."""

    kind = ""
    error = 0

    def __call__(self, operation: Operation, perform: Perform) -> Any:
        if operation.kind == self.kind and (self.kind != "open" or operation.changes_something):
            raise OSError(self.error, os.strerror(self.error), str(operation.path))
        return perform()


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("open", errno.EDQUOT),
        ("write", errno.ENOSPC),
        ("mkdir", errno.EROFS),
        ("fsync", errno.EIO),
        ("rename", errno.EACCES),
        ("scandir", errno.EIO),
    ],
)
async def test_an_agent_goes_on_while_saving_fails(memory: Path, kind: str, error: int) -> None:
    log, disk = Log(), FailingKind()
    config = {"states_dir": memory / "states", "web_api_address": None}
    with intercepted(memory, disk):
        async with start(fake_interaction(log), {}, {}, {}, config) as system:
            good = await system.save_state()
            disk.kind, disk.error = kind, error
            for _ in range(5):  # more than there may be drafts that can't be deleted
                with pytest.raises((OSError, StateError), match=f"{os.strerror(error)}|can't be deleted"):
                    await system.save_state()
                await log.seen_again("agent.step", 2)
            disk.kind = ""
            after = await system.save_state()
    found = await asyncio.to_thread(os.listdir, memory / "states")
    assert {good.name, after.name} <= set(found)
    assert not [name for name in found if name.startswith(".draft-")]
