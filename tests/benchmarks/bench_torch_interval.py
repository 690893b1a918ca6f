"""Steps at a fixed interval beside a trainer of PyTorch with batches of 10 ms: how exact rate and intervals are.

As `bench_interval` has it for other loads. pamiq-core is missing here, for want of a small PyTorch for its Python.
"""

from __future__ import annotations

from bench_interval import INTERVALS, WARM_UP
from systems import agent, clocked, deadlines, load, run_for
from table import OURS, Benchmark, Row, at_most, quantile
from torch_systems import Training, batch, mlp

from pamiq_async.torch import TorchTrainingModel

SECONDS = 10.0


def ours() -> dict[str, float]:
    core, figures = load("pamiq_async"), {}
    for rate, interval in INTERVALS.items():
        clock = clocked(core)
        interaction = core.FixedIntervalInteraction.with_sleep_adjustor(agent(core), clock, interval)
        models, trainers = {"net": TorchTrainingModel(mlp())}, {"trainer": Training(batch())}
        run_for(core, SECONDS + WARM_UP, interaction, models, {}, trainers)
        times = [moment for moment in clock.times if moment > clock.times[0] + WARM_UP]
        errors = list(deadlines(times, interval))
        figures[f"{rate}: rate error"] = 100 * abs((len(times) - 1) / (times[-1] - times[0]) * interval - 1)
        figures |= {f"{rate}: jitter {share}": 1e3 * quantile(errors, q) for share, q in (("p50", 0.5), ("p99", 0.99))}
    return figures


BENCHMARK = Benchmark(
    {OURS: ours},
    [
        Row("4", "rate error at 100 Hz, PyTorch trainer", "100 Hz: rate error", "%", [at_most(0.02)]),
        Row("5", "rate error at 1 kHz, PyTorch trainer", "1 kHz: rate error", "%", [at_most(0.5)]),
        *(
            Row(
                "6",
                f"error of an interval at {rate}, PyTorch trainer, {share}",
                f"{rate}: jitter {share}",
                "ms",
                [],
            )
            for rate in INTERVALS
            for share in ("p50", "p99")
        ),
    ],
    needs_torch=True,
)

if __name__ == "__main__":
    BENCHMARK.main()
