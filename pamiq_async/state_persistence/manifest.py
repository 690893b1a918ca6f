"""The manifest of a saved state, and how a state is verified against it.

A state is a directory with `MANIFEST.json` in it, written last. The manifest lists every other file with its size
and SHA-256, and ends with a checksum of its own, so whatever is torn, rotten, missing or added shows before any
component is touched.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Any

import msgspec

from ..exceptions import InvalidState, StateNotFound

MANIFEST = "MANIFEST.json"
FORMAT = 1
MAX_MANIFEST_BYTES = 4 * 1024 * 1024  # some 30,000 files; decoded it takes about four times as much

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]  # what every reader of JSON can hold


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of a state."""

    size: _Count  # bytes
    sha256: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a state says of itself.

    Attributes:
        format: version of the layout; this package writes 1.
        sequence: grows by one with each state saved to a directory; the order of states.
        reason: why it was saved: periodic, condition, command, shutdown or error.
        wall_time: seconds since 1970.
        system_time: seconds of the system's own clock.
        versions: of Python, the package and what else wrote the state.
        files: every file but the manifest, by its path relative to the state.
    """

    format: _Count
    sequence: _Count
    reason: str
    wall_time: float
    system_time: float
    versions: dict[str, str]
    files: dict[str, FileEntry]

    def encode(self) -> bytes:
        """As indented JSON that ends with a checksum of all before it.

        Raises:
            InvalidState: no such state could be loaded: it has too many files, or one with an unusual name.
        """
        try:
            body = msgspec.json.format(msgspec.json.encode(self), indent=1).removesuffix(b"\n}")
            content = body + _checksum(body)
            if len(content) > MAX_MANIFEST_BYTES:
                raise ValueError(
                    f"its manifest would take {len(content)} bytes; with at most {MAX_MANIFEST_BYTES} a state has "
                    f"some 30,000 files, so put what belongs together into one file"
                )
            if _decode(content) != self:
                raise ValueError("a time is not a finite number")
        except ValueError as error:
            raise InvalidState(f"a state can't be saved, as it could not be loaded: {error}") from None
        return content


def read_manifest(state: str | Path) -> Manifest:
    """Read a state's manifest; its files are not looked at.

    Raises:
        StateNotFound: there is no such directory.
        InvalidState: it has no manifest, or one that can't be read or is damaged.
    """
    if not _is_directory(state):
        raise StateNotFound(f"there is no state at {str(state)!r}; give the path of a saved state's directory")
    path = Path(state, MANIFEST)
    try:
        info = path.lstat()
        if not stat.S_ISREG(info.st_mode) or info.st_size > MAX_MANIFEST_BYTES:
            raise InvalidState(f"{path}: not a manifest: not a regular file, or larger than {MAX_MANIFEST_BYTES} bytes")
        with open_regular(path) as file:
            content = file.read(MAX_MANIFEST_BYTES)
    except FileNotFoundError:
        raise InvalidState(f"{str(state)!r} is not a saved state: it has no {MANIFEST}") from None
    except OSError as error:
        raise InvalidState(f"{path}: can't be read: {error}") from error
    try:
        return _decode(content)
    except _OtherFormat as error:
        raise InvalidState(
            f"{path}: the state has format {error}; this version of pamiq_async reads format {FORMAT}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InvalidState(f"{path}: damaged manifest: {error}") from None


def verify(state: str | Path) -> Manifest:
    """Check every file of a state against its manifest; nothing is changed.

    Directories are not listed in a manifest; empty ones mean nothing.

    Raises:
        StateNotFound: there is no such directory.
        InvalidState: a file is missing, added, damaged or not a regular file; the message names it.
    """
    state = Path(state)
    manifest = read_manifest(state)
    missing = dict(manifest.files)
    for name, size in _files(state):  # all that shows without reading comes first
        if name == MANIFEST:
            continue
        if name not in missing:
            raise InvalidState(f"{state}: {name!r} is not in the manifest")
        entry = missing.pop(name)
        if size != entry.size:
            raise InvalidState(f"{state}: {name!r} has {size} bytes; the manifest says {entry.size}")
    if missing:
        raise InvalidState(f"{state}: {min(missing)!r} is missing")
    for name, entry in manifest.files.items():
        try:
            digest = sha256(state / name)
        except OSError as error:
            raise InvalidState(f"{state}: {name!r} can't be read: {error}") from error
        if digest != entry.sha256:
            raise InvalidState(f"{state}: {name!r} is damaged: its SHA-256 is not the manifest's")
    return manifest


def describe_files(state: Path) -> dict[str, FileEntry]:
    """Size and hash of every file below `state`."""
    return {name: FileEntry(size, sha256(state / name)) for name, size in sorted(_files(state))}


def sha256(path: Path) -> str:
    """The file's SHA-256 in hex."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file to read it: no link is followed, and no FIFO's other end waited for.

    Raises:
        InvalidState: it is something else.
        OSError: it can't be opened, or is a link.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InvalidState(f"{path}: not a regular file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def list_states(
    states_dir: str | Path, pattern: str = "*", *, on_damage: Callable[[InvalidState], object] = lambda error: None
) -> list[tuple[Manifest, Path]]:
    """The states in a directory, oldest first, by sequence; their files are not looked at.

    Args:
        states_dir: where the states are; need not exist.
        pattern: glob of the names of states that are wanted.
        on_damage: is told of each directory whose manifest can't be read. Those without one are not states.
    """
    states_dir = Path(states_dir)
    if not states_dir.is_dir():
        return []
    states = []
    for path in states_dir.iterdir():
        if path.name.startswith(".") or not fnmatch(path.name, pattern):
            continue
        try:
            if stat.S_ISDIR(os.lstat(path).st_mode) and os.lstat(path / MANIFEST):
                states.append((read_manifest(path), path))
        except FileNotFoundError:  # it is no state, or somebody removed it meanwhile
            continue
        except InvalidState as error:
            on_damage(error)
        except OSError as error:
            on_damage(InvalidState(f"{path}: can't be read: {error}"))
    return sorted(states, key=lambda state: (state[0].sequence, state[1].name))


# --- The manifest's bytes -------------------------------------------------------------------------------------


class _OtherFormat(ValueError):
    pass


class _FormatOnly(msgspec.Struct):
    format: int


def _checksum(body: bytes) -> bytes:
    """How a manifest ends that begins with `body`."""
    return b',\n "checksum": "%s"\n}\n' % hashlib.sha256(body).hexdigest().encode()


_CHECKSUM_BYTES = len(_checksum(b""))

# Slashes separate; what one system or another takes for a separator, an end or a command to the terminal is not used.
_FILE_NAME = re.compile(r"[^/\\\x00-\x1f\x7f]+(/[^/\\\x00-\x1f\x7f]+)*")


def _decode(content: bytes) -> Manifest:
    """Read a manifest, all of it or nothing.

    Raises:
        ValueError: it is damaged, or not a manifest.
    """
    body = content[:-_CHECKSUM_BYTES]
    is_intact = content[len(body) :] == _checksum(body)
    document = body + b"\n}" if is_intact else content
    if (version := msgspec.json.decode(document, type=_FormatOnly).format) != FORMAT:
        raise _OtherFormat(version)
    if not is_intact:
        raise ValueError("its checksum does not fit what is before it")
    json.loads(document, object_pairs_hook=_check_keys)
    manifest = msgspec.json.decode(document, type=Manifest)
    for name in manifest.files:
        _check_file_name(name)
    return manifest


def _check_keys(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key occurs twice")


def _check_file_name(name: str) -> None:
    if name.startswith("/") or ".." in name.split("/"):
        raise ValueError(f"it names a file outside of the state: {name!r}")
    if not _FILE_NAME.fullmatch(name) or "." in name.split("/") or name == MANIFEST:
        raise ValueError(f"{name!r} is not the name of a file in a state")


# --- The state's directory ------------------------------------------------------------------------------------


_MAX_DEPTH = 100


_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}


def _is_directory(path: str | Path) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except ValueError:  # a path with a zero byte in it
        return False
    except OSError as error:
        if error.errno in _NOT_THERE:
            return False
        raise InvalidState(f"{path}: can't be read: {error}") from error


def _files(state: Path) -> Iterator[tuple[str, int]]:
    """Path, relative to `state`, and size of every file below it, which are all regular ones."""
    directories = [""]
    while directories:
        directory = directories.pop()
        if directory.count("/") > _MAX_DEPTH:  # what removes it may be recursive
            raise InvalidState(f"{state}: directories are nested more than {_MAX_DEPTH} deep: {directory[:200]}...")
        try:
            with os.scandir(state / directory) as entries:
                found = [(directory + entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
        except OSError as error:
            raise InvalidState(f"{state / directory}: can't be read: {error}") from error
        for name, info in found:
            if stat.S_ISREG(info.st_mode):
                yield name, info.st_size
            elif stat.S_ISDIR(info.st_mode):
                directories.append(f"{name}/")
            else:
                raise InvalidState(
                    f"{state / name}: neither a regular file nor a directory; a state holds nothing else"
                )
