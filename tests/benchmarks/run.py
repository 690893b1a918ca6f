"""Measure everything side by side, and write the table of docs/performance.md.

    python tests/benchmarks/run.py [--only steps,http] [--rounds 3] [--write]

Each benchmark is a file ``bench_*.py`` beside this one. It measures one *variant* in one process: the package, or what
it is compared with: pamiq-core 0.6.0, or the limit that Python, NumPy or the kernel sets for the same work. The
variants take turns, round after round, so that what else the machine does meets all of them.

pamiq-core needs Python 3.12: an environment with it and with this package is made in ``.benchmarks/`` the first time.
Where there is no Python 3.12 this program says so and measures this package alone. Benchmarks with PyTorch run in the
environment that this program was started with, if that has PyTorch. If it has matplotlib, ``--write`` of everything has
the plots of `scaling.py` drawn, too.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import importlib
import importlib.util
import json
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from table import OURS, Benchmark, Figures, Row

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
ENVIRONMENT = ROOT / ".benchmarks" / "python3.12"
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def main() -> None:
    arguments = parse()
    names = arguments.only or sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    with_core = None if arguments.alone else environment()
    rows: list[tuple[Row, Figures]] = []
    for name in names:
        benchmark: Benchmark = importlib.import_module(f"bench_{name}").BENCHMARK
        if benchmark.needs_torch and importlib.util.find_spec("torch") is None:
            print(f"{name}: not measured, as this environment has no PyTorch", file=sys.stderr)
            continue
        python = sys.executable if benchmark.needs_torch or with_core is None else with_core
        figures = measure(name, benchmark, python, arguments.rounds, with_core is not None)
        rows += [(row, figures) for row in benchmark.rows]
        text = "\n".join([*heading(arguments.rounds, with_core), "", *table(rows)])
        if arguments.write:  # what is measured by now, should a later one fail
            write(text)
    print(text)
    if arguments.write and not arguments.only:
        draw()


def write(text: str) -> None:
    """Put it between the marks of the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def draw() -> None:
    """Have the plots drawn, too."""
    if importlib.util.find_spec("matplotlib") is None:
        print("the plots are not drawn, as this environment has no matplotlib", file=sys.stderr)
        return
    print("scaling", file=sys.stderr)
    subprocess.run([sys.executable, str(HERE / "scaling.py")], check=True, cwd=ROOT)


def measure(name: str, benchmark: Benchmark, python: str, rounds: int, has_core: bool) -> Figures:
    """Run all variants, in turns; gives each one's values of each figure."""
    figures: Figures = defaultdict(lambda: defaultdict(list))
    for number in range(rounds):
        for variant in benchmark.variants:
            if variant == "pamiq_core" and not has_core:
                continue
            if variant == "uvloop" and not any(found.startswith("uvloop ") for found in versions(python, ["uvloop"])):
                continue
            print(f"{name}, {variant}: round {number + 1} of {rounds}", file=sys.stderr)
            command = [python, str(HERE / f"bench_{name}.py"), variant]
            result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
            if not result.stdout:
                raise SystemExit(f"{' '.join(command)} failed with {result.returncode}:\n{result.stderr}")
            if result.returncode:  # it has measured all the same, but nobody should have to guess who died
                print(f"{name}, {variant}: died with {result.returncode} while it ended", file=sys.stderr)
            for figure, value in json.loads(result.stdout.splitlines()[-1]).items():
                figures[variant][figure].append(value)
    return figures


def table(rows: list[tuple[Row, Figures]]) -> Iterator[str]:
    yield "| | what | pamiq_async | on uvloop | compared with | ratio | goal | |"
    yield "|---|---|---|---|---|---|---|---|"
    for row, figures in sorted(rows, key=lambda entry: entry[0].order()):
        ours = figures[OURS].get(row.figure)
        if not ours:
            continue
        if not row.goals:
            yield f"| {row.number} | {row.what} | {row.show(ours)} | | | | | |"
        for number, goal in enumerate(row.goals):
            theirs = figures[goal.against].get(goal.figure or row.figure) if goal.against else None
            if goal.against and not theirs:
                compared, ratio, met = "not measured", "", ""
            else:
                value = statistics.median(ours) / statistics.median(theirs) if theirs else statistics.median(ours)
                compared = f"{goal.name} {row.show(theirs)}" if theirs else "–"
                ratio = f"{value:.3g} ×" if theirs else ""
                met = goal.verdict(value)
            on_uvloop = figures["uvloop"].get(row.figure)
            told = (row.number, row.what, row.show(ours), row.show(on_uvloop) if on_uvloop else "")
            first = told if number == 0 else ("", "", "", "")
            yield f"| {' | '.join([*first, compared, ratio, goal.text(row.unit), met])} |"


def heading(rounds: int, with_core: str | None) -> Iterator[str]:
    """The machine, the versions and the date."""
    cores = len(os.sched_getaffinity(0))
    yield (
        f"Measured on {datetime.date.today().isoformat()} on {cores} cores of {processor()}, "
        f"Linux {platform.release()}, by `{shlex.join(['run.py', *sys.argv[1:]])}`; medians of {rounds} runs, in "
        f"parentheses the least and the largest. "
        f"{' '.join(versions(with_core or sys.executable, ['pamiq-core', 'numpy', 'aiohttp', 'cpprb', 'uvloop']))}. "
        f"Rows with PyTorch: {' '.join(versions(sys.executable, ['torch', 'numpy']))}."
    )


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def versions(python: str, packages: list[str]) -> Iterator[str]:
    code = "import importlib.metadata as m, platform, json; found = {d.name: d.version for d in m.distributions()}"
    code += "; print(json.dumps([platform.python_version(), found]))"
    version, found = json.loads(subprocess.run([python, "-c", code], capture_output=True, text=True).stdout)
    yield f"Python {version}"
    yield from (f"{name} {found[name]}" for name in packages if name in found)


@functools.cache
def environment() -> str | None:
    """The interpreter of an environment with pamiq-core; None if this machine can't have one."""
    python = ENVIRONMENT / "bin" / "python"
    if not (ENVIRONMENT / "complete").exists():
        base = find_python()
        if base is None:
            print("there is no Python 3.12: measuring pamiq_async alone", file=sys.stderr)
            return None
        print(f"making {ENVIRONMENT}", file=sys.stderr)
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        subprocess.run([base, "-m", "venv", str(ENVIRONMENT)], check=True)
        packages = ["pamiq-core==0.6.0", "numpy", "cpprb", "psutil", "uvloop", "-e", str(ROOT)]
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True)
        (ENVIRONMENT / "complete").touch()
    return str(python)


def find_python() -> str | None:
    """One that works: a version manager's may be no more than a promise."""
    candidates = [shutil.which("python3.12"), *map(str, Path.home().glob(".pyenv/versions/3.12.*/bin/python"))]
    return next((found for found in candidates if found and not call([found, "-c", "import venv"])), None)


def call(command: list[str]) -> int:
    return subprocess.run(command, capture_output=True).returncode


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=lambda text: text.split(","), help="names of benchmarks, separated by commas")
    parser.add_argument("--rounds", type=int, default=3, help="how often each variant runs (default: %(default)s)")
    parser.add_argument("--alone", action="store_true", help="do without pamiq-core")
    parser.add_argument("--write", action="store_true", help=f"write the table to {PAGE.relative_to(ROOT)}")
    return parser.parse_args()


if __name__ == "__main__":
    main()
