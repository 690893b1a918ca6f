"""What handing the interpreter over more often costs a trainer in pure Python, and what an agent gains by it.

Both intervals take turns within one run, several times a second: how fast a shared machine is changes more than what is
to be measured.
"""

from __future__ import annotations

import itertools
import statistics
import sys
from collections import defaultdict
from time import perf_counter

from systems import agent, clocked, load, run_for, trainer
from table import OURS, Benchmark, Row, compared_with, quantile

SECONDS = 10.0
INTERVAL = 0.01
TURN = 0.2  # seconds
INTERVALS = {"0.5 ms": 0.0005, "5 ms": 0.005}  # ours, and the interpreter's own


def ours() -> dict[str, float]:
    rates, turns, begun = defaultdict[str, list[float]](list), list[tuple[float, str]](), perf_counter()
    names = itertools.cycle(INTERVALS)

    def train() -> None:
        nonlocal begun
        if not turns or perf_counter() > begun + TURN:
            name, begun = next(names), perf_counter()
            sys.setswitchinterval(INTERVALS[name])
            turns.append((begun, name))
        start, value = perf_counter(), 0
        for number in range(50_000):
            value += number & 1
        rates[turns[-1][1]].append(1e-6 * 50_000 / (perf_counter() - start))

    core = load("pamiq_async")
    clock = clocked(core)
    interaction = core.FixedIntervalInteraction.with_sleep_adjustor(agent(core), clock, INTERVAL)
    run_for(core, SECONDS, interaction, trainers={"trainer": trainer(core, train)})
    errors = defaultdict[str, list[float]](list)
    for (turn, name), (end, _) in itertools.pairwise(turns):
        steps = [time for time in clock.times if turn < time < end]
        errors[name] += [1e3 * abs(after - before - INTERVAL) for before, after in itertools.pairwise(steps)]
    return {
        **{f"training at {name}": statistics.fmean(rates[name]) for name in INTERVALS},
        **{f"error at {name}": quantile(errors[name], 0.99) for name in INTERVALS},
    }


LABEL = "the interpreter's own 5 ms"

BENCHMARK = Benchmark(
    {OURS: ours},
    [
        Row(
            "switch",
            "loops that a Python trainer makes beside an agent at 100 Hz, in millions",
            "training at 0.5 ms",
            "/s",
            [compared_with(OURS, "training at 5 ms", label=LABEL)],
        ),
        Row(
            "switch",
            "the agent's error of an interval, p99",
            "error at 0.5 ms",
            "ms",
            [compared_with(OURS, "error at 5 ms", label=LABEL)],
        ),
    ],
)

if __name__ == "__main__":
    BENCHMARK.main()
