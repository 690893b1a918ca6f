"""Sensors and actuators behind sockets, slow ones, all spoken to at the same time.

A greenhouse has three sensors and two actuators. Each is a device at the other end of a TCP connection and takes its
time to answer. Because `read` and `operate` are `async def`, one round of readings takes as long as the slowest
sensor, not as long as all of them together.
"""

import argparse
import asyncio
import contextlib
import tempfile
from time import perf_counter

from pamiq_async import Actuator, ActuatorsDict, Agent, Interaction, ModularEnvironment, Sensor, SensorsDict, launch

SENSORS = {"temperature": 0.10, "humidity": 0.15, "light": 0.20}  # seconds that a device takes to answer
ACTUATORS = {"heating": 0.05, "lamp": 0.10}


# --- The agent's side -------------------------------------------------------------------------------------


class Connection:
    """One device: a request is a line, and so is the answer."""

    def __init__(self, name, address):
        self.name, self.address = name, address

    async def open(self):
        self._reader, self._writer = await asyncio.open_connection(*self.address)

    async def ask(self, *words):
        self._writer.write(" ".join([self.name, *words, "\n"]).encode())
        return (await self._reader.readline()).decode()

    async def close(self):
        self._writer.close()
        await self._writer.wait_closed()


class RemoteSensor(Sensor):
    def __init__(self, name, address):
        self.device = Connection(name, address)

    async def setup(self):
        await self.device.open()

    async def read(self):
        return float(await self.device.ask())

    async def teardown(self):
        await self.device.close()


class RemoteActuator(Actuator):
    def __init__(self, name, address):
        self.device = Connection(name, address)

    async def setup(self):
        await self.device.open()

    async def operate(self, action):
        await self.device.ask(f"{action:.2f}")

    async def teardown(self):
        await self.device.close()


class Gardener(Agent):
    """Heats when it is cold and lights when it is dark; plain code, as it has nothing to wait for."""

    def step(self, observation):
        return {
            "heating": min(1.0, max(0.0, (22 - observation["temperature"]) / 10)),
            "lamp": min(1.0, max(0.0, (80 - observation["light"]) / 60)),
        }


class Stopwatch(ModularEnvironment):
    """Tells how long each round of readings takes."""

    async def observe(self):
        start = perf_counter()
        observation = await super().observe()
        took = perf_counter() - start
        values = ", ".join(f"{name} {value:4.1f}" for name, value in observation.items())
        print(f"{values} | read in {took:.2f} s, one after another: {sum(SENSORS.values()):.2f} s")
        return observation


# --- The devices' side ------------------------------------------------------------------------------------


class Greenhouse:
    """A cold, dark place that reacts to what its actuators are set to."""

    def __init__(self):
        self.settings = dict.fromkeys(ACTUATORS, 0.0)
        self.readings = {"temperature": 12.0, "humidity": 70.0, "light": 20.0}

    def pass_time(self):
        self.readings["temperature"] += 2 * self.settings["heating"] - 0.02 * (self.readings["temperature"] - 10)
        self.readings["humidity"] += 0.2 * (80 - 2 * self.readings["temperature"] - self.readings["humidity"]) + 2
        self.readings["light"] += 0.4 * (20 + 100 * self.settings["lamp"] - self.readings["light"])

    async def converse(self, reader, writer):
        """Answer one connection's requests until it is closed."""
        with contextlib.closing(writer):
            while line := await reader.readline():
                device, *setting = line.decode().split()
                if setting:
                    await asyncio.sleep(ACTUATORS[device])
                    self.settings[device] = float(setting[0])
                    writer.write(b"done\n")
                else:
                    await asyncio.sleep(SENSORS[device])
                    if device == "temperature":
                        self.pass_time()
                    writer.write(f"{self.readings[device]}\n".encode())

    @contextlib.asynccontextmanager
    async def serving(self):
        """Listen on a free port of this machine; ends when every connection has."""
        async with asyncio.TaskGroup() as conversations:
            server = await asyncio.start_server(
                lambda reader, writer: conversations.create_task(self.converse(reader, writer)), "127.0.0.1", 0
            )
            async with server:
                yield server.sockets[0].getsockname()


async def main(seconds):
    async with Greenhouse().serving() as address:
        environment = Stopwatch(
            SensorsDict({name: RemoteSensor(name, address) for name in SENSORS}),
            ActuatorsDict({name: RemoteActuator(name, address) for name in ACTUATORS}),
        )
        with tempfile.TemporaryDirectory() as states:
            config = {"max_uptime": seconds, "states_dir": states, "web_api_address": None}
            await launch(Interaction(Gardener(), environment), models={}, data={}, trainers={}, config=config)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long to tend the plants (default: %(default)s)")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(parser.parse_args().seconds))
