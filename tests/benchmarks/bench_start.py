"""How long importing takes, and the memory of the smallest system while it runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, sleep

from systems import agent, environment, load, run_for
from table import OURS, Benchmark, Row, at_most

IMPORTS = 5


def of_a_package(package: str) -> Callable[[], dict[str, float]]:
    def measure() -> dict[str, float]:
        took = []
        for _ in range(IMPORTS + 1):  # the first one fills the page cache
            begun = perf_counter()
            subprocess.run([sys.executable, "-c", f"import {package}"], check=True)
            took.append(perf_counter() - begun)
        core = load(package)
        memory: list[float] = []

        def watch() -> None:
            sleep(2)
            memory.append(resident())

        interaction = core.FixedIntervalInteraction.with_sleep_adjustor(agent(core), environment(core), 0.1)
        run_for(core, 3, interaction, meanwhile=watch, web_api_address=("localhost", 18321))
        return {"import": 1e3 * min(took[1:]), "memory": memory[0]}

    return measure


def bare() -> dict[str, float]:
    took = []
    for _ in range(IMPORTS):
        begun = perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        took.append(perf_counter() - begun)
    return {"import": 1e3 * min(took)}


def resident() -> float:
    """Megabytes of this process that are in memory."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


BENCHMARK = Benchmark(
    {OURS: of_a_package("pamiq_async"), "pamiq_core": of_a_package("pamiq_core"), "python": bare},
    [
        Row(
            "18",
            "`python -c 'import …'`",
            "import",
            "ms",
            [at_most(0.7, "pamiq_core"), at_most(10, "python", label="Python alone")],
        ),
        Row("18", "memory of the smallest system", "memory", "MB", [at_most(0.7, "pamiq_core")]),
    ],
)

if __name__ == "__main__":
    BENCHMARK.main()
