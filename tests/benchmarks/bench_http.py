"""The control server: how fast it answers, and how long a pause takes.

Both packages are asked by the same client, with one connection that stays open, from a process of its own.
"""

from __future__ import annotations

import itertools
import multiprocessing
import multiprocessing.connection
import random
from collections.abc import Callable
from time import perf_counter, sleep
from types import ModuleType
from typing import Any

from control import call, connect, status
from systems import agent, environment, load, numpy_training, run_for, trainer
from table import OURS, Benchmark, Row, at_least, at_most, quantile

PORTS = itertools.count(18320)  # pamiq-core's server holds on to its port
SECONDS = 3.0
PAUSES = 40
AT_MOST = 60.0  # seconds
PAUSED = ("paused", 3)  # pamiq-core says it by a number


def ours() -> dict[str, float]:
    from pamiq_async import pause_point

    core = load("pamiq_async")
    return {
        **of_a_package(core),
        "pause p50, pause points": asked(core, 0.01, numpy_training(pause_point))["pause p50"],
    }


def of_a_package(core: ModuleType) -> dict[str, float]:
    return {
        **asked(core, 0.01, numpy_training()),
        "pause p50, asleep": asked(core, 1.0, None)["pause p50"],
    }


def asked(core: ModuleType, interval: float, train: Callable[[], None] | None) -> dict[str, float]:
    """Ask a system with an agent that steps at an interval, and a trainer beside it."""
    port = next(PORTS)
    ours, theirs = multiprocessing.Pipe()
    client = multiprocessing.get_context("spawn").Process(target=ask, args=(theirs, port))

    def meanwhile() -> None:
        client.start()
        client.join()

    interaction = core.FixedIntervalInteraction.with_sleep_adjustor(agent(core), environment(core), interval)
    trainers: dict[str, Any] = {} if train is None else {"batches": trainer(core, train)}
    run_for(core, AT_MOST, interaction, trainers=trainers, meanwhile=meanwhile, web_api_address=("localhost", port))
    figures: dict[str, float] = ours.recv()
    return figures


def ask(answers: multiprocessing.connection.Connection, port: int) -> None:
    connection = connect(port)
    sleep(1)
    count, begun = 0, perf_counter()
    while perf_counter() < begun + SECONDS:
        status(connection)
        count += 1
    rate = count / (perf_counter() - begun)
    pauses = []
    for _ in range(PAUSES):
        begun = perf_counter()
        call(connection, "POST", "/api/pause")
        while status(connection) not in PAUSED:
            pass
        pauses.append(1e3 * (perf_counter() - begun))
        call(connection, "POST", "/api/resume")
        while status(connection) in PAUSED:
            pass
        sleep(random.uniform(0.05, 0.06))  # anywhere in a batch
    call(connection, "POST", "/api/shutdown")
    answers.send({"status": rate, "pause p50": quantile(pauses, 0.5), "pause max": max(pauses)})


BENCHMARK = Benchmark(
    {OURS: ours, "pamiq_core": lambda: of_a_package(load("pamiq_core"))},
    [
        Row(
            "10",
            "`GET /api/status`, one client, a NumPy trainer beside it",
            "status",
            "/s",
            [at_least(2.5, "pamiq_core")],
        ),
        Row(
            "11",
            "`POST /api/pause` until paused, a trainer with batches of 10 ms beside it, p50",
            "pause p50",
            "ms",
            [at_most(0.2, "pamiq_core")],
        ),
        Row(
            "11",
            "the same, the trainer calls `pause_point()` every 2 ms",
            "pause p50, pause points",
            "ms",
            [at_most(0.2, "pamiq_core", "pause p50")],
        ),
        Row(
            "11",
            "the same, no trainer, an agent that steps once a second",
            "pause p50, asleep",
            "ms",
            [at_most(0.2, "pamiq_core")],
        ),
    ],
)

if __name__ == "__main__":
    BENCHMARK.main()
