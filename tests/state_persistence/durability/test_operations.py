"""Nothing that changes files goes past the handler: the kernel, asked through strace, has seen the same."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .disk import Recorder
from .life import Life
from .operations import Operation, intercepted

ROOT = Path(__file__).parents[3]
LIVE = f"import pathlib, sys; from {__package__}.life import Life; Life(pathlib.Path(sys.argv[1])).live(1, 2, 3)"

CALLS = {
    "mkdir": "mkdir",
    "mkdirat": "mkdir",
    "open": "open",
    "openat": "open",
    "write": "write",
    "fsync": "fsync",
    "rename": "rename",
    "renameat": "rename",
    "renameat2": "rename",
    "unlink": "unlink",
    "unlinkat": "unlink",
    "rmdir": "rmdir",
    "ftruncate": "ftruncate",
}
OTHER_CALLS = (
    "copy_file_range,fallocate,fdatasync,link,linkat,pwrite64,pwritev,pwritev2,sendfile,sync_file_range,symlink,"
    "symlinkat,syncfs,truncate,writev"
)


def seen_by_the_kernel(states_dir: Path, trace: Path) -> list[str]:
    """What changed files in `states_dir`, or synced them."""
    calls = f"trace={','.join(CALLS)},{OTHER_CALLS}"
    strace = ["strace", "--follow-forks", "--decode-fds=path", "--quiet=all", "-e", calls, "--output", str(trace)]
    subprocess.run([*strace, sys.executable, "-c", LIVE, str(states_dir)], cwd=ROOT, check=True)
    kinds = []
    for line in trace.read_text().splitlines():
        call = re.match(r"(?:\d+ +)?(\w+)\(", line)
        if call is None or str(states_dir) not in line or " = -1 " in line:
            continue
        kind = CALLS.get(call[1], call[1])
        if kind == "open" and "O_CREAT" not in line:
            continue
        kinds.append("rmdir" if "AT_REMOVEDIR" in line else kind)
    return kinds


def can_trace() -> bool:
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "--output=/dev/null", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not can_trace(), reason="strace is not here, or may not trace")
def test_what_is_intercepted_is_what_the_kernel_sees(memory: Path, tmp_path: Path) -> None:
    states_dir, recorder = memory / "states", Recorder()
    with intercepted(memory, recorder):
        Life(states_dir).live(1, 2, 3)
    shutil.rmtree(states_dir)
    of_states = [
        entry for entry in recorder.log if isinstance(entry, Operation) and entry.path.is_relative_to(states_dir)
    ]
    assert [
        operation.kind for operation in of_states if operation.changes_something or operation.kind == "fsync"
    ] == seen_by_the_kernel(states_dir, tmp_path / "trace")
