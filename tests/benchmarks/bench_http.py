"""The control server: how fast it answers, and how long a pause takes beside a trainer with batches of 10 ms.

Both packages are asked by the same client, with one connection that stays open, from a process of its own.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
from collections.abc import Callable
from time import perf_counter, sleep

from control import call, connect, status
from systems import agent, environment, load, numpy_training, run_for, trainer
from table import OURS, Benchmark, Row, at_least, at_most, quantile

PORT = 18320
SECONDS = 3.0
PAUSES = 40
PAUSED = ("paused", 3)  # pamiq-core says it by a number


def of_a_package(package: str) -> Callable[[], dict[str, float]]:
    def measure() -> dict[str, float]:
        core = load(package)
        ours, theirs = multiprocessing.Pipe()
        client = multiprocessing.get_context("spawn").Process(target=ask, args=(theirs,))

        def meanwhile() -> None:
            client.start()
            client.join()

        interaction = core.FixedIntervalInteraction.with_sleep_adjustor(agent(core), environment(core), 0.01)
        run_for(
            core,
            SECONDS + 12,
            interaction,
            trainers={"batches": trainer(core, numpy_training())},
            meanwhile=meanwhile,
            web_api_address=("localhost", PORT),
        )
        figures: dict[str, float] = ours.recv()
        return figures

    return measure


def ask(answers: multiprocessing.connection.Connection) -> None:
    connection = connect(PORT)
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
        sleep(0.05)
    answers.send({"status": rate, "pause p50": quantile(pauses, 0.5), "pause max": max(pauses)})


BENCHMARK = Benchmark(
    {OURS: of_a_package("pamiq_async"), "pamiq_core": of_a_package("pamiq_core")},
    [
        Row(
            "10",
            "`GET /api/status`, one client, a NumPy trainer beside it",
            "status",
            "/s",
            [at_least(2.5, "pamiq_core")],
        ),
        Row("11", "`POST /api/pause` until the status is paused, p50", "pause p50", "ms", [at_most(0.2, "pamiq_core")]),
    ],
)

if __name__ == "__main__":
    BENCHMARK.main()
