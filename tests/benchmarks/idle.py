"""What an idle system costs: an agent at 10 Hz, a trainer that waits for data, the control server on, nobody calling.

    python tests/benchmarks/idle.py

prints the share of one core that the process uses and its context switches a second, both as the kernel counts them.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import tempfile
import time

from pamiq_async import Agent, Environment, FixedIntervalInteraction, Trainer, start
from pamiq_async.data.impls import SequentialBuffer


class Collecting(Agent[int, int]):
    def on_data_collectors_attached(self) -> None:
        self.collector = self.get_data_collector("observations")

    def step(self, observation: int) -> int:
        self.collector.collect(observation)
        return observation


class Still(Environment[int, int]):
    def observe(self) -> int:
        return 0

    def affect(self, action: int) -> None: ...


class Waiting(Trainer):
    def train(self) -> None:
        raise AssertionError("there are never enough data")


async def main(seconds: float) -> None:
    interaction = FixedIntervalInteraction.with_sleep_adjustor(Collecting(), Still(), 0.1)
    data = {"observations": SequentialBuffer(100_000)}
    trainers = {"waiting": Waiting("observations", min_buffer_size=100_000)}
    with tempfile.TemporaryDirectory() as states:
        config = {"states_dir": states, "web_api_address": ("localhost", 0)}
        async with start(interaction, {}, data, trainers, config) as system:
            await asyncio.sleep(1.0)  # what starting costs is not counted
            steps, before, began = system.statistics().step_times.count, usage(), time.perf_counter()
            await asyncio.sleep(seconds)
            took = time.perf_counter() - began
            cpu, switches = (after - b for after, b in zip(usage(), before, strict=True))
            steps = system.statistics().step_times.count - steps
    print(
        f"{100 * cpu / took:.2f} % of a core, {switches / took:.0f} context switches/s, {steps} steps in {took:.1f} s"
    )


def usage() -> tuple[float, int]:
    """CPU seconds, and context switches, of this process up to now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, used.ru_nvcsw + used.ru_nivcsw


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to measure (default: %(default)s)")
    asyncio.run(main(parser.parse_args().seconds))
