"""Kills processes while they save: at every operation in turn, and at random moments. Prints what it saw as JSON.

It is a program of its own, with one thread, so that it can fork: thousands of processes then cost no start of Python.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from . import live_agent
from .life import Life, check_survivor, check_wholeness, holds
from .operations import Handler, Operation, Perform, intercepted

Tell = Callable[[str], object]


class Child:
    """A process that does `work`, which may tell words."""

    def __init__(self, work: Callable[[Tell], object]) -> None:
        reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                work(lambda word: os.write(writer, f"{word}\n".encode()))
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        os.close(writer)
        self._words = os.fdopen(reader)

    def hear(self) -> str:
        """The next word; nothing if it has ended."""
        return self._words.readline().strip()

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> list[str]:
        """Wait for its end; the words not heard yet."""
        words = self._words.read().splitlines()
        self._words.close()
        _, status = os.waitpid(self.pid, 0)
        if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
            words.append("failed")
        return words


# At every operation


def kill_at(number: int, tell: Tell, *, in_the_middle: bool = False) -> Handler:
    """Kill this process right before the change or sync of that number, or in the middle of it if it is a write."""
    count = itertools.count(1)

    def handle(operation: Operation, perform: Perform) -> Any:
        if (operation.changes_something or operation.kind == "fsync") and next(count) == number:
            if in_the_middle and operation.kind == "write":
                operation.write_half()
            tell(f"killed {operation.kind}")
            os.kill(os.getpid(), signal.SIGKILL)
        return perform()

    return handle


def live(states_dir: Path, numbers: list[int], kill: Callable[[Tell], Handler], tell: Tell) -> None:
    with intercepted(states_dir.parent, kill(tell)):
        Life(states_dir, lambda number: tell(f"saved {number}")).live(*numbers)
    tell("lived")


def killed_and_checked(work: Path, saved: list[int], number: int, chance: random.Random, **how: Any) -> tuple[str, str]:
    """At what a process was killed, and what is wrong with what it left; nothing if all is well.

    The process that comes after it is killed, too, at a moment by chance.
    """
    states_dir, saved = work / "states", saved.copy()
    ends = []
    for numbers, kill in (
        ([4, 5], partial(kill_at, number, **how)),
        ([6], partial(kill_at, chance.randint(1, 60))),
    ):
        words = Child(partial(live, states_dir, numbers, kill)).end()
        saved += [int(word.split()[1]) for word in words if word.startswith("saved")]
        ends.append(words[-1])
    problem = Child(lambda tell: tell(holds(check_survivor, states_dir, saved))).end()
    return ends[0], "".join(problem) or "failed" * ("failed" in ends)


def nothing(work: Path) -> list[int]:
    work.mkdir()
    return []


def states_and_remains(work: Path) -> list[int]:
    """States of earlier saves, and what processes leave that were killed while saving and while removing."""
    life = Life(work / "states")
    life.live(1, 2, 3)
    shutil.copytree(next((work / "states").glob("*.state")), work / "states" / ".removed-before")
    (life.store.new_draft() / "half").write_text("half")
    return [1, 2, 3]


def at_every_operation(work: Path, repeats: int) -> dict[str, Any]:
    chance = random.Random(0)
    points: Counter[str] = Counter()
    problems = []

    def prove(template: Path, saved: list[int], number: int, **how: bool) -> str:
        shutil.copytree(template, work)
        end, problem = killed_and_checked(work, saved, number, chance, **how)
        shutil.rmtree(work)
        if problem:
            problems.append(f"{template.name}, operation {number}, {how}, {end}: {problem}")
        points[f"{end}{' in the middle' * bool(how)}"] += 1
        return end

    for before, repeat in itertools.product((nothing, states_and_remains), range(repeats)):
        template = work.with_name(f"{before.__name__}-{repeat}")
        saved = before(template)
        for number in itertools.count(1):
            end = prove(template, saved, number)
            if end == "killed write":
                prove(template, saved, number, in_the_middle=True)
            if not end.startswith("killed"):
                break
    return {"points": points, "problems": problems}


# At random moments


def at_random_moments(work: Path, rounds: int) -> dict[str, Any]:
    """Agents that go on from where the last one was killed."""
    seen: Counter[str] = Counter()
    problems = []
    states_dir, chance, saved = work / "of" / "an agent", random.Random(0), 0
    for number in range(rounds):
        child = Child(partial(live_agent.act_and_save, states_dir))
        words = [child.hear() for _ in range(chance.randrange(6))]
        time.sleep(chance.uniform(0, 0.05))  # to come at any moment, of a start or a save
        child.kill()
        words += child.end()
        if problem := holds(check_wholeness, states_dir):
            problems.append(f"round {number}: {problem}")
        for word in filter(None, words):
            kind, *value = word.split()
            seen[kind] += 1
            if kind == "failed" or (kind == "loaded" and int(value[0]) < saved):
                problems.append(f"round {number}: {word} after {saved} was saved")
            if kind == "saved":
                saved = int(value[0])
    return {"seen": seen, "problems": problems}


if __name__ == "__main__":
    directory, how, *arguments = sys.argv[1:]
    prove = {"at_every_operation": at_every_operation, "at_random_moments": at_random_moments}[how]
    print(json.dumps(prove(Path(directory), *map(int, arguments))))
