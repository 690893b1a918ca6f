"""States as somebody would make them who knows the format: other contents, and a manifest that fits."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def write_manifest(state: Path, document: str | bytes) -> None:
    """Write a JSON object as a state's manifest, with the checksum that belongs to it."""
    body = document.encode() if isinstance(document, str) else document
    body = body.rstrip().removesuffix(b"}")
    checksum = hashlib.sha256(body).hexdigest()
    (state / "MANIFEST.json").write_bytes(body + f',\n "checksum": "{checksum}"\n}}\n'.encode())


def edit_manifest(state: Path, **fields: Any) -> None:
    """Change fields of a state's manifest."""
    document = json.loads((state / "MANIFEST.json").read_bytes())
    del document["checksum"]
    write_manifest(state, json.dumps({**document, **fields}))


def reseal(state: Path) -> None:
    """Make the manifest fit the files that are there now."""
    files = {
        path.relative_to(state).as_posix(): {
            "size": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(state.rglob("*"))
        if path.is_file() and path.name != "MANIFEST.json"
    }
    edit_manifest(state, files=files)
