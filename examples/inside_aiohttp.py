"""A web service with an agent living in it: a house that learns to heat itself.

The service is an aiohttp application with a page of its own. The agent acts a hundred times a second in the same
process, on the same event loop, and learns while the house is being lived in; it starts and ends with the service.
Watch it at http://localhost:8080 and steer it there, or from a shell:

    curl -X POST http://localhost:8080/agent/api/pause
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
from aiohttp import web

from pamiq_async import (
    Agent,
    Environment,
    FixedIntervalInteraction,
    InferenceModel,
    System,
    Trainer,
    TrainingModel,
    start,
    time,
)
from pamiq_async.data.impls import SequentialBuffer
from pamiq_async.web import SYSTEM, cleanup_ctx, control_app

WANTED = 21.0

# --- The agent: learns what a heater does -------------------------------------------------------------------


class House(Environment[float, float]):
    """Loses heat to a winter's day outside. How fast, and what the heater can do, nobody tells the agent."""

    temperature = 8.0

    def observe(self) -> float:
        return self.temperature

    def affect(self, heat: float) -> None:
        outside = 5 * math.sin(time.monotonic() / 10)
        self.temperature += 0.002 * (outside - self.temperature) + 0.08 * heat + random.gauss(0, 0.005)


class Heating(InferenceModel):
    """How much to heat, from 0 to 1, to get from one temperature to another within a step."""

    def __init__(self, weights: np.ndarray) -> None:
        self.weights = weights

    def infer(self, now: float, wanted: float) -> float:
        by_itself, by_heat, offset = self.weights
        return min(max((wanted - offset - by_itself * now) / by_heat, 0.0), 1.0) if by_heat > 0 else 0.5


class HeatingModel(TrainingModel[Heating]):
    """next temperature = by_itself · temperature + by_heat · heat + offset"""

    def __init__(self) -> None:
        super().__init__()
        self.weights = np.zeros(3)

    def forward(self, now_and_heat: np.ndarray) -> np.ndarray:
        return now_and_heat @ self.weights[:2] + self.weights[2]

    def _create_inference_model(self) -> Heating:
        return Heating(self.weights)

    def sync_impl(self, inference_model: Heating) -> None:
        inference_model.weights = self.weights

    def save_state(self, path: Path) -> None:
        np.save(path.with_suffix(".npy"), self.weights)

    def load_state(self, path: Path) -> None:
        self.weights = np.load(path.with_suffix(".npy"))


class Thermostat(Agent[float, float]):
    """Heats as its model says, and tries a little more or less to learn from."""

    before: tuple[float, float] | None = None

    def on_inference_models_attached(self) -> None:
        self.heating = self.get_inference_model("heating")

    def on_data_collectors_attached(self) -> None:
        self.steps = self.get_data_collector("steps")

    def step(self, temperature: float) -> float:
        if self.before is not None:
            self.steps.collect((*self.before, temperature))
        heat = min(max(self.heating.infer(temperature, WANTED) + random.uniform(-0.2, 0.2), 0.0), 1.0)
        self.before = (temperature, heat)
        return heat


class HeatingTrainer(Trainer):
    """Fits the model to the last steps, four times a second."""

    def __init__(self) -> None:
        super().__init__("steps", min_buffer_size=25, min_new_data_count=25)

    def on_training_models_attached(self) -> None:
        self.model = self.get_training_model("heating")

    def train(self) -> None:
        steps = np.array(self.get_data_user("steps").get_data())
        inputs = np.column_stack([steps[:, :2], np.ones(len(steps))])
        self.model.weights = np.linalg.lstsq(inputs, steps[:, 2], rcond=None)[0]


# --- The service --------------------------------------------------------------------------------------------

HOUSE = web.AppKey("house", House)

PAGE = """<!doctype html>
<meta charset="utf-8"><title>A house that learns to heat itself</title>
<style>body { font: 1.2rem/1.6 system-ui; max-width: 28rem; margin: 4rem auto } dt { float: left; width: 12rem }</style>
<h1 id="temperature">…</h1>
<dl id="figures"></dl>
<button>pause</button> <button>resume</button> <button>save-state</button>
<p id="answer"></p>
<script>
  const show = (id, text) => document.getElementById(id).textContent = text
  const rows = figures => Object.entries(figures).flatMap(([name, value]) =>
    ["dt", "dd"].map((tag, i) => Object.assign(document.createElement(tag), {textContent: [name, value][i]})))
  setInterval(async () => {
    const {temperature, ...figures} = await (await fetch("figures")).json()
    show("temperature", temperature)
    document.getElementById("figures").replaceChildren(...rows(figures))
  }, 250)
  for (const button of document.querySelectorAll("button")) button.onclick = async () =>
    show("answer", await (await fetch("agent/api/" + button.textContent, {method: "POST"})).text())
</script>
"""


async def page(_: web.Request) -> web.Response:
    return web.Response(text=PAGE, content_type="text/html")


async def figures(request: web.Request) -> web.Response:
    system: System = request.config_dict[SYSTEM]
    known = system.statistics()
    return web.json_response(
        {
            "temperature": f"{request.app[HOUSE].temperature:.1f} °C",
            "agent": known.status.value,
            "steps": f"{known.step_times.count} ({known.step_rate:.1f} per second)",
            "trainings": known.trainings["heating"].count,
            "up for": f"{known.uptime:.0f} s",
        }
    )


def service() -> web.Application:
    house = House()
    app = web.Application()
    app[HOUSE] = house
    app.add_routes([web.get("/", page), web.get("/figures", figures)])

    agent = start(
        FixedIntervalInteraction.with_sleep_adjustor(Thermostat(), house, 0.01),
        models={"heating": HeatingModel()},
        data={"steps": SequentialBuffer(2000)},
        trainers={"heating": HeatingTrainer()},
        config={"saved_state_path": "latest", "max_keep_states": 3, "web_api_address": None},
    )
    app.cleanup_ctx.append(cleanup_ctx(agent))
    app.add_subapp("/agent", control_app())
    return app


# --- What the service feels of the agent --------------------------------------------------------------------


async def measure_lag(seconds: float = 10.0, interval: float = 0.005) -> str:
    """How much later than asked for the event loop wakes a task; up to 1 ms is its own timers' rounding."""
    loop = asyncio.get_running_loop()
    lags = []
    end = loop.time() + seconds
    while (asked := loop.time()) < end:
        await asyncio.sleep(interval)
        lags.append((loop.time() - asked - interval) * 1000)
    lags.sort()
    p50, p99 = lags[len(lags) // 2], lags[len(lags) * 99 // 100]
    return f"lag of the loop in ms: p50 {p50:.2f}, p99 {p99:.2f}, max {lags[-1]:.2f} ({len(lags)} samples)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8080, help="where to serve on localhost (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=math.inf, help="end by itself after so long")
    parser.add_argument("--measure-lag", action="store_true", help="tell the event loop's lag over 10 s, and end")
    arguments = parser.parse_args()

    async def until_the_end(_: web.Application) -> AsyncIterator[None]:
        async def wait() -> None:
            if arguments.measure_lag:
                print(await measure_lag(min(10.0, arguments.seconds)))
            else:
                await asyncio.sleep(arguments.seconds)
            raise web.GracefulExit

        waiting = asyncio.create_task(wait())
        yield
        waiting.cancel()

    app = service()
    app.cleanup_ctx.append(until_the_end)
    web.run_app(app, host="localhost", port=arguments.port)


if __name__ == "__main__":
    main()
