"""How long importing takes, and the memory of the smallest system while it runs.

Each package is imported from bytecode, as it is wherever it was installed and used before.
"""

from __future__ import annotations

import functools
import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, sleep

from systems import agent, environment, load, run_for
from table import OURS, Benchmark, Row, at_most, compared_with

IMPORTS = 5


def of_a_package(package: str) -> Callable[[], dict[str, float]]:
    def measure() -> dict[str, float]:
        core = load(package)
        figures = {"import": time_of(f"import {package}")}
        for name, address in [("alone", None), ("with a control server", ("localhost", 18321))]:
            interaction = core.FixedIntervalInteraction.with_sleep_adjustor(agent(core), environment(core), 0.1)
            memory: list[float] = []
            watch = functools.partial(after_two_seconds, memory)
            run_for(core, 3, interaction, meanwhile=watch, web_api_address=address)
            figures[f"memory {name}"] = memory[0]
        return figures

    return measure


def asyncio_and_aiohttp() -> dict[str, float]:
    """What no system on this loop, with this server, can do without."""
    figures = {"import": time_of("import asyncio")}
    importlib.import_module("asyncio")
    figures["memory alone"] = resident()
    importlib.import_module("aiohttp.web")
    figures["memory with a control server"] = resident()
    return figures


def time_of(code: str) -> float:
    """Milliseconds that an interpreter takes to start, run this and end."""
    took = []
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for _ in range(IMPORTS + 1):
            begun = perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, env=environment)
            took.append(perf_counter() - begun)
    return 1e3 * min(took[1:])  # the first one wrote the bytecode


def after_two_seconds(memory: list[float]) -> None:
    sleep(2)
    memory.append(resident())


def resident() -> float:
    """Megabytes of this process that are in memory."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


BENCHMARK = Benchmark(
    {OURS: of_a_package("pamiq_async"), "pamiq_core": of_a_package("pamiq_core"), "asyncio": asyncio_and_aiohttp},
    [
        Row(
            "18",
            "`python -c 'import …'`",
            "import",
            "ms",
            [at_most(0.7, "pamiq_core"), compared_with("asyncio", label="`import asyncio`")],
        ),
        Row(
            "18",
            "memory of the smallest system",
            "memory alone",
            "MB",
            [at_most(0.7, "pamiq_core"), compared_with("asyncio", label="asyncio, imported")],
        ),
        Row(
            "18",
            "the same with its control server",
            "memory with a control server",
            "MB",
            [at_most(0.7, "pamiq_core"), compared_with("asyncio", label="asyncio and aiohttp, imported")],
        ),
    ],
)

if __name__ == "__main__":
    BENCHMARK.main()
