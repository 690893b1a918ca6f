"""The control server: how fast it answers, and how long a pause takes.

All are asked by the same client, with one connection that stays open, from a process of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import random
import sys
import threading
from bisect import bisect_right
from collections.abc import Callable
from multiprocessing.connection import Connection
from time import perf_counter, sleep
from types import ModuleType
from typing import Any

from control import connect
from systems import agent, environment, load, numpy_training, run_for, trainer
from table import OURS, Benchmark, Row, at_least, at_most, compared_with, quantile

PORTS = itertools.count(18320)  # pamiq-core's server holds on to its port
SECONDS = 3.0
PAUSES = 40
AT_MOST = 60.0  # seconds
PAUSED = ("paused", 3)  # pamiq-core says it by a number

Pause = tuple[float, float]  # when it was asked for, and when the status said so


def ours() -> dict[str, float]:
    from pamiq_async import pause_point

    core = load("pamiq_async")
    _, pauses = ask_a_system(core, 0.01, numpy_training(pause_point, size=250))
    return {**of_a_package(core), "pause p50, pause points": median(pauses)}


def of_a_package(core: ModuleType) -> dict[str, float]:
    train, ends = numpy_training(), []

    def train_and_look() -> None:
        train()
        ends.append(perf_counter())  # the clock is the same in all processes

    idle_rate, asleep = ask_a_system(core, 1.0, None)
    rate, pauses = ask_a_system(core, 0.01, train_and_look)
    after_the_batch = [(last_end(ends, asked, paused), paused) for asked, paused in pauses]
    return {
        "status": idle_rate,
        "status, beside a trainer": rate,
        "pause p50": median(pauses),
        "pause p50, asleep": median(asleep),
        "pause p50, after the batch": median(after_the_batch),
    }


def median(pauses: list[Pause]) -> float:
    """Of how long they took, in milliseconds."""
    return 1e3 * quantile([paused - asked for asked, paused in pauses], 0.5)


def last_end(ends: list[float], asked: float, paused: float) -> float:
    """When the last batch ended before the pause, or when that was asked for, if it was later."""
    before = bisect_right(ends, paused)
    return max(asked, ends[before - 1]) if before else asked


def ask_a_system(core: ModuleType, interval: float, train: Callable[[], None] | None) -> tuple[float, list[Pause]]:
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
    rate, pauses = ours.recv()
    return rate, pauses


def ask(answers: Connection, port: int) -> None:
    system = connect(port)
    sleep(1)
    rate = rate_of(system.status)
    pauses: list[Pause] = []
    for _ in range(PAUSES):
        asked = perf_counter()
        system.call("POST", "/api/pause")
        while system.status() not in PAUSED:
            pass
        pauses.append((asked, perf_counter()))
        system.call("POST", "/api/resume")
        while system.status() in PAUSED:
            pass
        sleep(random.uniform(0.05, 0.06))  # anywhere in a batch
    system.call("POST", "/api/shutdown")
    answers.send((rate, pauses))


def rate_of(call: Callable[[], object]) -> float:
    """Calls a second."""
    count, begun = 0, perf_counter()
    while perf_counter() < begun + SECONDS:
        call()
        count += 1
    return count / (perf_counter() - begun)


def bare() -> dict[str, float]:
    """A handler of aiohttp's that does nothing."""
    ended = threading.Event()
    thread = threading.Thread(target=train_until, args=(ended,))
    figures = {"status": asyncio.run(bare_server())}
    sys.setswitchinterval(0.0005)  # as in a system
    thread.start()
    figures["status, beside a trainer"] = asyncio.run(bare_server())
    ended.set()
    thread.join()
    return figures


def train_until(ended: threading.Event) -> None:
    train = numpy_training()
    while not ended.is_set():
        train()


async def bare_server() -> float:
    from aiohttp import web

    async def status(request: web.Request) -> web.Response:
        return web.json_response({"status": "active"})

    app = web.Application()
    app.add_routes([web.get("/api/status", status)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    port = next(PORTS)
    await web.TCPSite(runner, "localhost", port).start()
    ours, theirs = multiprocessing.Pipe()
    client = multiprocessing.get_context("spawn").Process(target=ask_for_the_rate, args=(theirs, port))
    client.start()
    await asyncio.to_thread(client.join)
    await runner.cleanup()
    rate: float = ours.recv()
    return rate


def ask_for_the_rate(answers: Connection, port: int) -> None:
    answers.send(rate_of(connect(port).status))


BARE = "a handler of aiohttp's that does nothing"

BENCHMARK = Benchmark(
    {OURS: ours, "pamiq_core": lambda: of_a_package(load("pamiq_core")), "bare": bare},
    [
        Row(
            "10",
            "`GET /api/status`, one client",
            "status",
            "/s",
            [at_least(2.5, "pamiq_core"), compared_with("bare", label=BARE)],
        ),
        Row(
            "10",
            "the same, a NumPy trainer beside it",
            "status, beside a trainer",
            "/s",
            [at_least(2.5, "pamiq_core"), compared_with("bare", label=BARE)],
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
            "the same, from the end of the last batch before it",
            "pause p50, after the batch",
            "ms",
            [compared_with("pamiq_core")],
        ),
        Row(
            "11",
            "the same, the trainer calls `pause_point()` every millisecond",
            "pause p50, pause points",
            "ms",
            [compared_with("pamiq_core", "pause p50")],
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
