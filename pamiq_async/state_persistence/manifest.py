"""The manifest of a saved state, and how a state is verified against it.

A state is a directory with `MANIFEST.json` in it, written last. The manifest lists every other file with its size
and SHA-256, so whatever is torn, rotten, missing or added shows before any component is touched.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import msgspec

from ..exceptions import InvalidState, StateNotFound

MANIFEST = "MANIFEST.json"
FORMAT = 1
MAX_MANIFEST_BYTES = 64 * 1024 * 1024


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of a state."""

    size: int  # bytes
    sha256: str  # hex


class Manifest(msgspec.Struct, frozen=True):
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

    format: int
    sequence: int
    reason: str
    wall_time: float
    system_time: float
    versions: dict[str, str]
    files: dict[str, FileEntry]

    def encode(self) -> bytes:
        """As indented JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)


class _FormatOnly(msgspec.Struct):
    format: int


def read_manifest(state: Path) -> Manifest:
    """Read a state's manifest; its files are not looked at.

    Raises:
        StateNotFound: there is no such directory.
        InvalidState: it has no manifest, or one that can't be read.
    """
    if not state.is_dir():
        raise StateNotFound(f"there is no state at {str(state)!r}; give the path of a saved state's directory")
    path = state / MANIFEST
    try:
        info = path.lstat()
        if not stat.S_ISREG(info.st_mode) or info.st_size > MAX_MANIFEST_BYTES:
            raise InvalidState(f"{path}: not a manifest: not a regular file, or larger than {MAX_MANIFEST_BYTES} bytes")
        content = path.read_bytes()
    except FileNotFoundError:
        raise InvalidState(f"{str(state)!r} is not a saved state: it has no {MANIFEST}") from None
    except OSError as error:
        raise InvalidState(f"{path}: can't be read: {error}") from error
    try:
        version = msgspec.json.decode(content, type=_FormatOnly).format
        if version != FORMAT:
            raise InvalidState(
                f"{path}: the state has format {version}; this version of pamiq_async reads format {FORMAT}"
            )
        return msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidState(f"{path}: damaged manifest: {error}") from None


def verify(state: Path) -> Manifest:
    """Check every file of a state against its manifest.

    Raises:
        StateNotFound: there is no such directory.
        InvalidState: a file is missing, added, damaged or not a regular file; the message names it.
    """
    manifest = read_manifest(state)
    found = dict(_files(state))
    found.pop(MANIFEST, None)
    for name, entry in manifest.files.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise InvalidState(f"{state}: the manifest names a file outside of the state: {name!r}")
        if name not in found:
            raise InvalidState(f"{state}: {name!r} is missing")
        size = found.pop(name)
        if size != entry.size:
            raise InvalidState(f"{state}: {name!r} has {size} bytes; the manifest says {entry.size}")
        try:
            digest = sha256(state / name)
        except OSError as error:
            raise InvalidState(f"{state}: {name!r} can't be read: {error}") from error
        if digest != entry.sha256:
            raise InvalidState(f"{state}: {name!r} is damaged: its SHA-256 is not the manifest's")
    if found:
        raise InvalidState(f"{state}: {next(iter(found))!r} is not in the manifest")
    return manifest


def describe_files(state: Path) -> dict[str, FileEntry]:
    """Size and hash of every file below `state`."""
    return {name: FileEntry(size, sha256(state / name)) for name, size in sorted(_files(state))}


def sha256(path: Path) -> str:
    """The file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_states(
    states_dir: Path, pattern: str = "*", *, on_damage: Callable[[InvalidState], object] = lambda error: None
) -> list[tuple[Manifest, Path]]:
    """The states in a directory, oldest first, by sequence; their files are not looked at.

    Directories without a manifest are not states. Those with one that can't be read are told to `on_damage`.
    """
    if not states_dir.is_dir():
        return []
    states = []
    for path in states_dir.iterdir():
        if path.name.startswith(".") or path.is_symlink() or not path.is_dir() or not fnmatch(path.name, pattern):
            continue
        if not os.path.lexists(path / MANIFEST):
            continue
        try:
            states.append((read_manifest(path), path))
        except InvalidState as error:
            on_damage(error)
        except StateNotFound:  # somebody removed it meanwhile
            continue
    return sorted(states, key=lambda state: (state[0].sequence, state[1].name))


def _files(state: Path) -> Iterator[tuple[str, int]]:
    for directory, subdirectories, names in os.walk(state, onerror=_cannot_be_listed):
        for name in [*subdirectories, *names]:
            path = Path(directory, name)
            info = path.lstat()
            if stat.S_ISREG(info.st_mode):
                yield path.relative_to(state).as_posix(), info.st_size
            elif not stat.S_ISDIR(info.st_mode):
                raise InvalidState(f"{path}: neither a regular file nor a directory; a state holds nothing else")


def _cannot_be_listed(error: OSError) -> None:
    raise InvalidState(f"{error.filename}: can't be read: {error}") from error
