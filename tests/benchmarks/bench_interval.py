"""Steps at a fixed interval: how exact the rate is, and how much single intervals differ from it.

A thread that does nothing but wait, by the kernel's clock, is what the machine allows: its scheduler and, if it is a
virtual one, what it shares its cores with.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from time import perf_counter, sleep

from systems import agent, clocked, deadlines, load, numpy_training, python_training, run_for, trainer
from table import OURS, Benchmark, Row, at_most, compared_with, quantile

SECONDS = 6.0
WARM_UP = 0.5
LOADS: dict[str, Callable[[], Callable[[], None]] | None] = {
    "idle": None,
    "NumPy trainer": numpy_training,
    "Python trainer": python_training,
}
INTERVALS = {"100 Hz": 0.01, "1 kHz": 0.001}


def of_a_package(package: str) -> Callable[[], dict[str, float]]:
    def measure() -> dict[str, float]:
        core = load(package)
        figures = {}
        for rate, interval in INTERVALS.items():
            for load_name, make in LOADS.items():
                figures.update(of_one(core, interval, make, f"{rate}, {load_name}"))
        return figures

    return measure


def of_one(core: object, interval: float, make: Callable[[], Callable[[], None]] | None, name: str) -> dict[str, float]:
    clock = clocked(core)
    interaction = core.FixedIntervalInteraction.with_sleep_adjustor(agent(core), clock, interval)
    trainers = {} if make is None else {"trainer": trainer(core, make())}
    run_for(core, SECONDS + WARM_UP, interaction, trainers=trainers)
    return told(clock.times, interval, name)


def waiting_thread() -> dict[str, float]:
    figures = {}
    for rate, interval in INTERVALS.items():
        for load_name, make in LOADS.items():
            with training(make):
                figures.update(told(list(waits(interval)), interval, f"{rate}, {load_name}"))
    return figures


@contextlib.contextmanager
def training(make: Callable[[], Callable[[], None]] | None) -> Iterator[None]:
    """A thread that trains within the block, at the switch interval that a system has."""
    ended, before = threading.Event(), sys.getswitchinterval()
    train = make() if make is not None else ended.wait

    def run() -> None:
        while not ended.is_set():
            train()

    thread = threading.Thread(target=run)
    sys.setswitchinterval(0.0005)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        sys.setswitchinterval(before)


def waits(interval: float) -> Iterator[float]:
    """When each of many waits ended, due at equal distances."""
    due = perf_counter()
    end = due + SECONDS + WARM_UP
    while due < end:
        due += interval
        while (remaining := due - perf_counter()) > 0:
            sleep(remaining)
        yield perf_counter()


def told(times: list[float], interval: float, name: str) -> dict[str, float]:
    times = [moment for moment in times if moment > times[0] + WARM_UP]
    rate = (len(times) - 1) / (times[-1] - times[0])
    errors = list(deadlines(times, interval))
    return {
        f"{name}: rate error": 100 * abs(rate * interval - 1),
        f"{name}: jitter p50": 1e3 * quantile(errors, 0.5),
        f"{name}: jitter p99": 1e3 * quantile(errors, 0.99),
    }


_GOALS = {"100 Hz": (0.02, 0.02, 0.1), "1 kHz": (0.2, 0.5, 3)}  # in percent

BENCHMARK = Benchmark(
    {OURS: of_a_package("pamiq_async"), "pamiq_core": of_a_package("pamiq_core"), "thread": waiting_thread},
    [
        *(
            Row(
                number,
                f"rate error at {rate}, {name}",
                f"{rate}, {name}: rate error",
                "%",
                [at_most(goal), compared_with("pamiq_core")],
            )
            for number, rate in (("4", "100 Hz"), ("5", "1 kHz"))
            for name, goal in zip(LOADS, _GOALS[rate], strict=True)
        ),
        *(
            Row(
                "6",
                f"error of an interval at {rate}, {name}, {share}",
                f"{rate}, {name}: jitter {share}",
                "ms",
                [at_most(1, "pamiq_core"), compared_with("thread", label="a thread that only waits")],
            )
            for rate in INTERVALS
            for name in LOADS
            for share in ("p50", "p99")
        ),
    ],
)

if __name__ == "__main__":
    BENCHMARK.main()
