"""Where the time of one step goes, when all hooks are `def` and do nothing.

The runtime's loop is rebuilt part by part; what a part costs is what it adds to the time of those before it.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from systems import agent, environment, load, run_for
from table import OURS, Benchmark, Row

STEPS = 200_000
ROUNDS = 7
SECONDS = 2.0


class Count:
    """What the runtime counts steps in."""

    taken = 0
    is_open = True
    spent = 0.0


def ladder() -> dict[str, Callable[[], None]]:
    """Loops of so many steps, each with one part more than the one before it."""
    core = load("pamiq_async")
    still, counting = agent(core), environment(core)
    observe, step, affect = counting.observe, still.step, counting.affect

    from pamiq_async.runtime.recording import DurationRecorder

    recorder = DurationRecorder()
    flow = core.Interaction(still, counting).flow().run
    count = Count()

    def hooks() -> None:
        for _ in range(STEPS):
            affect(step(observe()))

    def chain() -> None:
        for _ in range(STEPS):
            flow()

    def gate() -> None:
        end = count.taken + STEPS
        while count.is_open and count.taken < end:
            count.taken += 1
            try:
                flow()
            except BaseException:
                count.taken -= 1
                raise

    def clock() -> None:
        end = count.taken + STEPS
        while count.is_open and count.taken < end:
            start = perf_counter()
            count.taken += 1
            try:
                flow()
            except BaseException:
                count.taken -= 1
                raise
            count.spent = perf_counter() - start

    def recording() -> None:
        add = recorder.add
        end = count.taken + STEPS
        while count.is_open and count.taken < end:
            batch = min(count.taken + 512, end)
            recorder.sort_in()
            while count.is_open and count.taken < batch:
                start = perf_counter()
                count.taken += 1
                try:
                    flow()
                except BaseException:
                    count.taken -= 1
                    raise
                add(perf_counter() - start)

    return {
        "the three hooks": hooks,
        "calling them in a chain": chain,
        "gate, limit and count": gate,
        "reading the clock twice": clock,
        "recording how long it took": recording,
    }


def ours() -> dict[str, float]:
    parts = ladder()
    best = dict.fromkeys(parts, float("inf"))
    for _ in range(ROUNDS):
        for name, loop in parts.items():
            begun = perf_counter()
            loop()
            best[name] = min(best[name], 1e9 * (perf_counter() - begun) / STEPS)
    figures, before = {}, 0.0
    for name, nanoseconds in best.items():
        figures[name] = nanoseconds - before
        before = nanoseconds
    core: Any = load("pamiq_async")
    counting = environment(core)
    run_for(core, SECONDS, core.Interaction(agent(core), counting))
    return {**figures, "a step of a system": 1e9 * SECONDS / counting.count}


PARTS = (
    "the three hooks",
    "calling them in a chain",
    "gate, limit and count",
    "reading the clock twice",
    "recording how long it took",
)

BENCHMARK = Benchmark(
    {OURS: ours},
    [
        Row("parts", "a step of a system whose hooks do nothing", "a step of a system", "ns", []),
        *(Row("parts", f"of it: {name}", name, "ns", []) for name in PARTS),
    ],
)

if __name__ == "__main__":
    BENCHMARK.main()
