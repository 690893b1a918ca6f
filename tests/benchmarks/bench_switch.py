"""What handing the interpreter over more often costs a trainer in pure Python, and what an agent at 1 kHz gains."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from systems import agent, clocked, deadlines, load, run_for, trainer
from table import OURS, Benchmark, Row, at_least, at_most, quantile

SECONDS = 4.0
INTERVAL = 0.001


def with_interval(**config: float | None) -> Callable[[], dict[str, float]]:
    def measure() -> dict[str, float]:
        core, rates = load("pamiq_async"), list[float]()

        def train() -> None:
            begun, value = perf_counter(), 0
            for number in range(100_000):
                value += number & 1
            rates.append(1e-6 * 100_000 / (perf_counter() - begun))

        clock = clocked(core)
        interaction = core.FixedIntervalInteraction.with_sleep_adjustor(agent(core), clock, INTERVAL)
        run_for(core, SECONDS, interaction, trainers={"trainer": trainer(core, train)}, **config)
        errors = list(deadlines(clock.times[100:], INTERVAL))
        return {"training": quantile(rates, 0.5), "jitter": 1e3 * quantile(errors, 0.99)}

    return measure


LABEL = "the interpreter's own 5 ms"

BENCHMARK = Benchmark(
    {OURS: with_interval(), "5 ms": with_interval(switch_interval=None)},
    [
        Row(
            "switch",
            "loops a Python trainer makes beside an agent at 1 kHz, in millions",
            "training",
            "/s",
            [at_least(0.9, "5 ms", label=LABEL)],
        ),
        Row("switch", "the agent's error of an interval, p99", "jitter", "ms", [at_most(0.5, "5 ms", label=LABEL)]),
    ],
)

if __name__ == "__main__":
    BENCHMARK.main()
