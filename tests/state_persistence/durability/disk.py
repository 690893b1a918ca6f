"""What a power loss may leave on a disk, by the promises of POSIX and no others.

What was written to a file is on the disk once the file was synced. A new, removed or renamed entry is there once the
directory was synced that it is in. What was not synced may be there or not, each on its own and in any order, and of a
file any part, or zeros. What a failed sync was about is not made good by a later one.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from .operations import Operation

Tree: TypeAlias = "dict[str, bytes | Tree]"
Node: TypeAlias = "Directory | File"
Changes: TypeAlias = "dict[str, Node | None]"


class File:
    """Its bytes on the disk, and as programs see them."""

    def __init__(self) -> None:
        self.durable = self.live = b""
        self.is_lost = False

    @property
    def is_dirty(self) -> bool:
        return self.durable != self.live

    def write(self, offset: int, data: bytes) -> None:
        self.live = self.live[:offset].ljust(offset, b"\0") + data + self.live[offset + len(data) :]

    def truncate(self, size: int) -> None:
        self.live = self.live[:size].ljust(size, b"\0")

    def sync(self) -> None:
        if not self.is_lost:
            self.durable = self.live

    def fail_to_sync(self) -> None:
        self.is_lost = True

    def torn(self, chance: random.Random) -> bytes:
        """Some of what may be found of it."""
        cut = chance.randint(0, len(self.live))
        return chance.choice([self.live[:cut], self.live[:cut].ljust(len(self.live), b"\0"), bytes(len(self.live))])


class Directory:
    """Its entries on the disk, as programs see them, and the changes that are not on the disk yet."""

    def __init__(self) -> None:
        self.durable: dict[str, Node] = {}
        self.live: dict[str, Node] = {}
        self.pending: list[Changes] = []
        self.lost: list[Changes] = []

    def change(self, changes: Changes) -> None:
        self.pending.append(changes)
        _apply(changes, self.live)

    def sync(self) -> None:
        for changes in self.pending:
            _apply(changes, self.durable)
            for earlier in self.lost:  # are overtaken
                for name in changes:
                    earlier.pop(name, None)
        self.pending = []

    def fail_to_sync(self) -> None:
        self.lost += self.pending
        self.pending = []

    @property
    def unsure(self) -> list[Changes]:
        return [*self.lost, *self.pending]


def _apply(changes: Changes, entries: dict[str, Node]) -> None:
    for name, node in changes.items():
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node


class Disk:
    """Follows the operations below a directory, which itself is durable and empty."""

    def __init__(self, root: Path) -> None:
        self.root = Directory()
        self._depth = len(root.parts)

    def apply(self, operation: Operation, *, failed: bool = False) -> None:
        """Do what an operation did, or what a sync that failed did."""
        kind, path, args = operation.kind, operation.path, operation.args
        if kind == "fsync":
            node = self._node(path)
            node.fail_to_sync() if failed else node.sync()
        elif failed:
            pass
        elif kind == "open" and args[0] & os.O_CREAT and path.name not in self._directory(path.parent).live:
            self._directory(path.parent).change({path.name: File()})
        elif kind in ("write", "ftruncate"):
            file = self._node(path)
            assert isinstance(file, File)
            file.write(operation.offset, args[0]) if kind == "write" else file.truncate(args[0])
        elif kind == "mkdir":
            self._directory(path.parent).change({path.name: Directory()})
        elif kind in ("unlink", "rmdir"):
            self._directory(path.parent).change({path.name: None})
        elif kind == "rename":
            target = Path(args[0])
            assert target.parent == path.parent, "between directories a rename is two changes"
            self._directory(path.parent).change({path.name: None, target.name: self._node(path)})

    def images(self, samples: int, chance: random.Random) -> Iterator[Tree]:
        """What may be found after a power loss now, torn files aside: all of it if that is not more than `samples`.

        Else the two extremes, and all that differ from one of them in one thing. Then samples, of torn files too.
        """
        changes, files = self._unsure()
        unsure = [*changes, *files]
        choices: Iterable[tuple[bool | None, ...]]
        if 2 ** len(unsure) <= samples:
            choices = itertools.product((True, False), repeat=len(unsure))
        else:
            choices = (
                tuple(most != (index == odd) for index in range(len(unsure)))
                for most in (True, False)
                for odd in range(-1, len(unsure))
            )
        drawn = (tuple(chance.choice((True, False, None)) for _ in unsure) for _ in range(samples if unsure else 0))
        for choice in itertools.chain(choices, drawn):
            kept = {id(item): what for item, what in zip(unsure, choice, strict=True)}
            yield _image(self.root, kept, chance)

    def worst(self) -> Tree:
        """What is found if nothing is there that need not be."""
        return _image(self.root, {}, random.Random(0))

    def _node(self, path: Path) -> Node:
        node: Node = self.root
        for name in path.parts[self._depth :]:
            assert isinstance(node, Directory)
            node = node.live[name]
        return node

    def _directory(self, path: Path) -> Directory:
        node = self._node(path)
        assert isinstance(node, Directory)
        return node

    def _unsure(self) -> tuple[list[Changes], list[File]]:
        """Changes of directories and files that may be on the disk or not, of all that may be found."""
        changes, files, waiting, seen = [], [], [self.root], set()
        while waiting:
            node = waiting.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            if isinstance(node, File):
                files += [node] * node.is_dirty
            else:
                changes += node.unsure
                may_be_there = [node.durable, *node.unsure]
                waiting += [child for entries in may_be_there for child in entries.values() if child is not None]
        return changes, files


def _image(node: Directory, kept: dict[int, bool | None], chance: random.Random) -> Tree:
    entries = dict(node.durable)
    for changes in node.unsure:
        if kept.get(id(changes)):
            _apply(changes, entries)
    return {
        name: _image(child, kept, chance) if isinstance(child, Directory) else _content(child, kept, chance)
        for name, child in entries.items()
    }


def _content(file: File, kept: dict[int, bool | None], chance: random.Random) -> bytes:
    what = kept.get(id(file), False)
    return file.torn(chance) if what is None else file.live if what else file.durable


def write_out(tree: Tree, directory: Path) -> None:
    """Make an image real."""
    directory.mkdir()
    for name, content in tree.items():
        if isinstance(content, bytes):
            (directory / name).write_bytes(content)
        else:
            write_out(content, directory / name)


Recorded: TypeAlias = "Operation | int"
"""An operation that was done, or the number of a save that was acknowledged then."""


class Recorder:
    """Writes down the operations that are done, to be followed by a `Disk` later."""

    def __init__(self) -> None:
        self.log: list[Recorded] = []

    def __call__(self, operation: Operation, perform: Callable[[], object]) -> object:
        result = None if operation.kind == "fsync" else perform()  # the model stands for the disk
        self.log.append(operation)
        return result

    def acknowledge(self, number: int) -> None:
        self.log.append(number)
