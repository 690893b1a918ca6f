"""What an idle system costs: an agent at 10 Hz, a trainer that waits for data, a control server that nobody calls."""

from __future__ import annotations

import resource
from collections.abc import Callable
from time import perf_counter, sleep
from typing import Any

from systems import environment, load, run_for
from table import OURS, Benchmark, Row, at_most, compared_with

SECONDS = 6.0
WARM_UP = 1.0


def of_a_package(package: str) -> Callable[[], dict[str, float]]:
    def measure() -> dict[str, float]:
        core = load(package)
        buffer = core.data.impls.SequentialBuffer(100_000)

        class Collecting(core.Agent):  # type: ignore[name-defined,misc]
            def on_data_collectors_attached(self) -> None:
                self.collector = self.get_data_collector("observations")

            def step(self, observation: Any) -> Any:
                self.collector.collect(observation)
                return observation

        class Waiting(core.Trainer):  # type: ignore[name-defined,misc]
            def train(self) -> None:
                raise AssertionError("there are never enough data")

        figures: dict[str, float] = {}

        def watch() -> None:
            sleep(WARM_UP)  # what starting costs is not counted
            before, begun = usage(), perf_counter()
            sleep(SECONDS)
            took = perf_counter() - begun
            cpu, switches = (after - b for after, b in zip(usage(), before, strict=True))
            figures.update({"cpu": 100 * cpu / took, "switches": switches / took})

        interaction = core.FixedIntervalInteraction.with_sleep_adjustor(Collecting(), environment(core), 0.1)
        run_for(
            core,
            WARM_UP + SECONDS + 1,
            interaction,
            data={"observations": buffer},
            trainers={"waiting": Waiting("observations", min_buffer_size=100_000)},
            meanwhile=watch,
            web_api_address=("localhost", 18319),
        )
        return figures

    return measure


def usage() -> tuple[float, int]:
    """CPU seconds, and context switches, of this process up to now, as the kernel counts them."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, used.ru_nvcsw + used.ru_nivcsw


BENCHMARK = Benchmark(
    {OURS: of_a_package("pamiq_async"), "pamiq_core": of_a_package("pamiq_core")},
    [
        Row("8", "idle system: CPU, in parts of a core", "cpu", "%", [at_most(1), compared_with("pamiq_core")]),
        Row("8", "idle system: context switches", "switches", "/s", [at_most(0.01, "pamiq_core")]),
    ],
)

if __name__ == "__main__":
    BENCHMARK.main()
