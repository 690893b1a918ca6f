"""Every example runs, shortened, in a process and a directory of its own."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
SCRIPTS = {str(path.relative_to(EXAMPLES)): path for path in sorted(EXAMPLES.rglob("*.py"))}
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))

# What makes each script end within seconds. A script that needs nothing for that has an empty list.
SHORTENED: dict[str, list[str]] = {
    "async_sensors.py": ["--seconds", "2"],
    "cartpole.py": ["--port", "0", "--seconds", "3"],
    "digits_vae/main.py": ["--port", "0", "--seconds", "3"],
    "dqn_pendulum.py": ["--port", "0", "--seconds", "4"],
    "inside_aiohttp.py": ["--port", "0", "--seconds", "2"],
    "minimal.py": ["--seconds", "1"],
}

NEED_TORCH = {"digits_vae/main.py", "dqn_pendulum.py"}
NO_TORCH = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="an extra that is not installed")

RUN_NOTEBOOK = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
resources = {"metadata": {"path": "."}}
nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3", resources=resources).execute()
"""


def test_each_script_has_shortened_arguments() -> None:
    assert sorted(SHORTENED) == sorted(SCRIPTS)


each_script = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.torch, NO_TORCH] if name in NEED_TORCH else []) for name in SCRIPTS]
)


@each_script
def test_a_script_explains_itself(name: str, tmp_path: Path) -> None:
    assert "usage:" in run(tmp_path, str(SCRIPTS[name]), "--help").stdout


@pytest.mark.timeout(60)
@each_script
def test_a_script_runs(name: str, tmp_path: Path) -> None:
    arguments = SHORTENED.get(name)
    assert arguments is not None, f"add shortened arguments for {name} to SHORTENED"

    result = run(tmp_path, "-W", "default::ResourceWarning", str(SCRIPTS[name]), *arguments)

    # Such as come from a finalizer or a forgotten task, which leave the exit code at zero.
    assert "Traceback" not in result.stderr
    assert "ResourceWarning" not in result.stderr


@NO_TORCH
@pytest.mark.torch
@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("dqn_pendulum.py", ["--speed", "0"], "--speed is 0.0; it must be a positive number"),
        ("dqn_pendulum.py", ["--late", "-1"], "--late is -1.0; it must be a number of seconds"),
        ("digits_vae/main.py", ["--picture", "nowhere/digits.png"], "there is no directory nowhere"),
        ("digits_vae/main.py", ["--picture", "digits"], "its name must end in .png"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_at_once(
    script: str, arguments: list[str], message: str, tmp_path: Path
) -> None:
    result = subprocess.run(
        [sys.executable, str(SCRIPTS[script]), *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert result.returncode == 2
    assert message in result.stderr


@pytest.mark.timeout(120)
def test_cartpole_learns_and_goes_on_where_it_ended(tmp_path: Path) -> None:
    cartpole = str(SCRIPTS["cartpole.py"])
    learning = run(tmp_path, cartpole, "--port", "0", "--episodes", "100", "--seconds", "90").stdout
    resumed = run(tmp_path, cartpole, "--port", "0", "--seconds", "2", "--resume").stdout

    means = [float(mean) for mean in re.findall(r"([\d.]+) steps$", learning, re.MULTILINE)]
    assert means[0] < 60, "by chance alone"
    assert max(means) >= 150
    _, first, *_ = resumed.splitlines()
    assert first == next(line for line in reversed(learning.splitlines()) if line.endswith(" steps"))


@NO_TORCH
@pytest.mark.torch
@pytest.mark.timeout(90)
def test_digits_vae_learns_draws_and_goes_on_where_it_ended(tmp_path: Path) -> None:
    vae = str(SCRIPTS["digits_vae/main.py"])
    learning = run(tmp_path, vae, "--port", "0", "--seconds", "10").stdout
    picture = (tmp_path / "digits_vae.png").read_bytes()
    resumed = run(tmp_path, vae, "--port", "0", "--seconds", "1", "--resume").stdout

    untrained, *_, trained = map(float, re.findall(r"held-out ones ([\d.]+)$", learning, re.MULTILINE))
    assert trained < untrained / 2
    assert picture.startswith(b"\x89PNG")
    assert resumed.splitlines()[0] == learning.splitlines()[-2]


@NO_TORCH
@pytest.mark.torch
@pytest.mark.timeout(60)
def test_dqn_pendulum_goes_on_where_it_ended(tmp_path: Path) -> None:
    pendulum = str(SCRIPTS["dqn_pendulum.py"])
    acting = run(tmp_path, pendulum, "--port", "0", "--seconds", "6").stdout
    resumed = run(tmp_path, pendulum, "--port", "0", "--seconds", "1", "--resume").stdout

    *_, ended, _ = acting.splitlines()
    _, first, *_ = resumed.splitlines()
    assert re.match(r"step +[\d,]+   episode +[1-9]\d*   return +-[\d.]+", ended)
    assert ended.startswith(first)


@pytest.mark.timeout(90)
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.name)
def test_a_notebook_runs(notebook: Path, tmp_path: Path) -> None:
    run(tmp_path, "-c", RUN_NOTEBOOK, str(notebook))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.name)
def test_a_notebook_is_stored_without_outputs(notebook: Path) -> None:
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]

    assert [cell for cell in cells if cell["outputs"] or cell["execution_count"] is not None] == []


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    result = subprocess.run([sys.executable, *arguments], cwd=directory, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{arguments} failed:\n{result.stdout}\n{result.stderr}"
    return result
