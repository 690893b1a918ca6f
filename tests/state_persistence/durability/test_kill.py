"""Whenever a process is killed, the next one loads the last acknowledged state, or a newer whole one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pamiq_async import run
from pamiq_async.exceptions import StatesDirLocked
from tests.fakes import Log, fake_interaction

IS_LONG = os.environ.get("PAMIQ_ASYNC_FAULTS") == "long"
ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.timeout(36000 if IS_LONG else 300)


def killing(*arguments: object) -> Any:
    command = [sys.executable, "-m", f"{__package__}.killing", *map(str, arguments)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    print(ended.stdout, ended.stderr)
    return json.loads(ended.stdout)


def test_no_operation_is_a_bad_moment_to_be_killed(tmp_path: Path) -> None:
    report = killing(tmp_path / "work", "at_every_operation", 60 if IS_LONG else 1)
    assert report["problems"] == []
    kinds = ("mkdir", "open", "write", "write in the middle", "fsync", "rename", "unlink", "rmdir")
    assert set(report["points"]) == {"lived", *(f"killed {kind}" for kind in kinds)}


def test_an_agent_that_is_killed_again_and_again_goes_on_from_its_last_save(tmp_path: Path) -> None:
    report = killing(tmp_path, "at_random_moments", 20000 if IS_LONG else 200)
    assert report["problems"] == []
    assert report["seen"]["saved"] > 0


def test_a_states_directory_belongs_to_a_process_as_long_as_it_lives(tmp_path: Path) -> None:
    config = {"states_dir": tmp_path, "web_api_address": None, "max_uptime": 0.01}
    act = f"from {__package__}.live_agent import *; act_and_save(Path({str(tmp_path)!r}), print)"
    with subprocess.Popen([sys.executable, "-u", "-c", act], cwd=ROOT, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()  # it has begun
        with pytest.raises(StatesDirLocked, match=rf"process {owner.pid}\b"):
            run(fake_interaction(Log()), {}, {}, {}, config)
        owner.kill()
        owner.wait()
    run(fake_interaction(Log()), {}, {}, {}, config)
