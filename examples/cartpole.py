"""CartPole, learnt while it is being played.

The agent acts every 20 ms of system time and never waits for learning. Beside it, on a thread of its own, a trainer
learns from what the agent has lived through and publishes its weights after each training. The method is DQN (Mnih et
al., Nature 518, 2015) with one hidden layer, written in NumPy.

    python examples/cartpole.py              # 20 steps an episode at first, hundreds within a minute
    python examples/cartpole.py --resume     # goes on from the latest state

Ctrl-C ends it in order and saves. While it runs, it listens to others:

    curl -X POST http://localhost:8319/api/pause        # also: resume, save-state, shutdown
"""

from __future__ import annotations

import argparse
import json
import logging
from collections import deque
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pamiq_async import (
    DataBuffer,
    EndOfInteraction,
    FixedIntervalInteraction,
    InferenceModel,
    LaunchConfig,
    Trainer,
    TrainingModel,
    run,
)
from pamiq_async.gym import GymAgent, GymEnvironment
from pamiq_async.utils.schedulers import StepIntervalScheduler

Array = NDArray[Any]

STEP_SECONDS = 0.02  # CartPole's own time step
SOLVED = 475  # mean steps an episode; 500 is the longest episode there is

HIDDEN_UNITS = 256
DISCOUNT = 0.99
LEARNING_RATE = 1e-3
TARGET_RATE = 0.01  # how far the target weights follow at each update
BATCH_SIZE = 128
UPDATES_PER_TRAINING = 16  # some milliseconds: what is learnt soon reaches the agent
REPLAY_SIZE = 50_000
FIRST_TRAINING = 500  # transitions
EXPLORING_STEPS = 3_000  # from choosing at random to hardly ever
LEAST_EXPLORATION = 0.02

OBSERVATION_RANGE = np.array([2.4, 3.0, 0.21, 3.0], np.float32)  # position, speed, angle, angular speed

TRANSITION = np.dtype(
    [("observation", np.float32, 4), ("action", np.int64), ("next_observation", np.float32, 4), ("fell", np.bool_)]
)


class Replay(DataBuffer[tuple[Array, int, Array, bool], Array]):
    """The latest transitions, in one array that is used as a ring."""

    def __init__(self, size: int) -> None:
        super().__init__(max_queue_size=size)
        self._ring = np.zeros(size, TRANSITION)
        self._count = 0

    def add(self, data: tuple[Array, int, Array, bool]) -> None:
        self._ring[self._count % len(self._ring)] = data
        self._count += 1

    def get_data(self) -> Array:
        """All transitions, in no particular order: a view, which can't be written to."""
        view = self._ring[: len(self)]
        view.flags.writeable = False
        return view

    def __len__(self) -> int:
        return min(self._count, len(self._ring))

    def save_state(self, path: Path) -> None:
        path.mkdir()
        np.savez(path / "replay.npz", count=self._count, transitions=self.get_data())

    def load_state(self, path: Path) -> None:
        with np.load(path / "replay.npz") as file:
            self._count = int(file["count"])
            self._ring[: len(self)] = file["transitions"]


def layers(weights: Array) -> list[Array]:
    """The matrix and the bias of both layers, as views of the vector that holds all weights."""
    w1, b1, w2, b2 = np.split(weights, [4 * HIDDEN_UNITS, 5 * HIDDEN_UNITS, 7 * HIDDEN_UNITS])
    return [w1.reshape(4, HIDDEN_UNITS), b1, w2.reshape(HIDDEN_UNITS, 2), b2]


def values(weights: Array, observations: Array) -> Array:
    """What pushing left and pushing right are worth, for each observation."""
    w1, b1, w2, b2 = layers(weights)
    hidden: Array = np.maximum(observations @ w1 + b1, 0)
    return hidden @ w2 + b2


class Policy(InferenceModel):
    """The side that acts. It gets all weights in one assignment, so no step sees half of an update."""

    def __init__(self, weights: Array) -> None:
        self.weights = weights

    def infer(self, observation: Array) -> int:
        return int(values(self.weights, observation).argmax())


class QNetwork(TrainingModel[Policy]):
    """The side that is trained. An update makes a new vector of weights, so the old one may stay in use."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__()
        self.weights: Array = np.zeros(7 * HIDDEN_UNITS + 2, np.float32)
        w1, _, w2, _ = layers(self.weights)
        w1[:] = rng.normal(0, np.sqrt(2 / 4), w1.shape)
        w2[:] = rng.normal(0, np.sqrt(2 / HIDDEN_UNITS), w2.shape)

    def forward(self, observations: Array) -> Array:
        return values(self.weights, observations)

    def gradient(self, observations: Array, actions: Array, targets: Array) -> Array:
        """That of half the mean squared error between the targets and the values of the actions taken."""
        w1, b1, w2, b2 = layers(self.weights)
        hidden = np.maximum(observations @ w1 + b1, 0)
        output = hidden @ w2 + b2
        taken = np.arange(len(actions)), actions
        error = np.zeros_like(output)
        error[taken] = (output[taken] - targets) / len(actions)
        hidden_error = (error @ w2.T) * (hidden > 0)
        parts = observations.T @ hidden_error, hidden_error.sum(0), hidden.T @ error, error.sum(0)
        return np.concatenate([part.ravel() for part in parts])

    def _create_inference_model(self) -> Policy:
        return Policy(self.weights)

    def sync_impl(self, inference_model: Policy) -> None:
        inference_model.weights = self.weights

    def save_state(self, path: Path) -> None:
        path.mkdir()
        np.save(path / "weights.npy", self.weights)

    def load_state(self, path: Path) -> None:
        self.weights = np.load(path / "weights.npy")
        self.sync()


class Adam:
    """Kingma & Ba, 2015."""

    def __init__(self, size: int) -> None:
        self.mean: Array = np.zeros(size, np.float32)
        self.square: Array = np.zeros(size, np.float32)
        self.updates = 0

    def step(self, gradient: Array) -> Array:
        """How far to move the weights."""
        self.updates += 1
        self.mean += 0.1 * (gradient - self.mean)
        self.square += 0.001 * (gradient**2 - self.square)
        rate = LEARNING_RATE * np.sqrt(1 - 0.999**self.updates) / (1 - 0.9**self.updates)
        return np.float32(-rate) * self.mean / (np.sqrt(self.square) + 1e-8)


class DQNTrainer(Trainer):
    """Learns what a push is worth: 0 if the pole then stays up forever, close to -1 if it is about to fall.

    CartPole pays 1 for each step. Paying -1 for falling and nothing else ranks the pushes alike, and keeps the values
    in a range that a network learns easily. At most one update is made for each new transition, on any machine.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__("transitions", min_buffer_size=FIRST_TRAINING, min_new_data_count=UPDATES_PER_TRAINING)
        self.rng = rng

    def on_training_models_attached(self) -> None:
        self.network = cast(QNetwork, self.get_training_model("q_network"))
        self.target: Array = self.network.weights.copy()
        self.optimizer = Adam(len(self.target))

    def on_data_users_attached(self) -> None:
        self.transitions = self.get_data_user("transitions")

    def train(self) -> None:
        transitions = self.transitions.get_data()
        for _ in range(UPDATES_PER_TRAINING):
            self.update(transitions[self.rng.integers(len(transitions), size=BATCH_SIZE)])

    def update(self, batch: Array) -> None:
        # Double DQN (van Hasselt et al., 2016): one set of weights chooses the push, the other judges it.
        best = self.network(batch["next_observation"]).argmax(axis=1)
        future = values(self.target, batch["next_observation"])[np.arange(len(batch)), best]
        targets = np.where(batch["fell"], -1, DISCOUNT * future).astype(np.float32)
        gradient = self.network.gradient(batch["observation"], batch["action"], targets)
        self.network.weights = self.network.weights + self.optimizer.step(gradient)
        self.target += TARGET_RATE * (self.network.weights - self.target)

    def save_state(self, path: Path) -> None:
        super().save_state(path)
        adam = self.optimizer
        np.savez(path / "dqn.npz", target=self.target, mean=adam.mean, square=adam.square, updates=adam.updates)

    def load_state(self, path: Path) -> None:
        super().load_state(path)
        with np.load(path / "dqn.npz") as file:
            self.target, self.optimizer.mean, self.optimizer.square = file["target"], file["mean"], file["square"]
            self.optimizer.updates = int(file["updates"])


class Learner(GymAgent[Array, int]):
    """Pushes the cart the better way, or at random now and then; hands on what happened, and reports."""

    def __init__(self, rng: np.random.Generator, episodes: float) -> None:
        super().__init__()
        self.rng = rng
        self.steps = self.episodes = self.episode_steps = 0
        self.last_episode = episodes
        self.lengths: deque[int] = deque(maxlen=20)
        self.report_schedule = StepIntervalScheduler(2_000, self.report)

    def on_inference_models_attached(self) -> None:
        self.policy = self.get_inference_model("q_network")

    def on_data_collectors_attached(self) -> None:
        self.transitions = self.get_data_collector("transitions")

    def on_reset(self, obs: Array, info: dict[str, Any]) -> int:
        self.episode_steps = 0
        return self.act(obs / OBSERVATION_RANGE)

    def on_step(self, obs: Array, reward: float, terminated: bool, truncated: bool, info: dict[str, Any]) -> int:
        observation = obs / OBSERVATION_RANGE
        self.transitions.collect((self.observation, self.action, observation, terminated))
        self.steps += 1
        self.episode_steps += 1
        self.report_schedule.update()
        if terminated or truncated:
            self.end_episode()
        return self.act(observation)

    def act(self, observation: Array) -> int:
        exploration = max(LEAST_EXPLORATION, 1 - self.steps / EXPLORING_STEPS)
        explore = self.rng.random() < exploration
        self.observation = observation
        self.action = int(self.rng.integers(2)) if explore else self.policy(observation)
        return self.action

    def end_episode(self) -> None:
        self.episodes += 1
        self.lengths.append(self.episode_steps)
        if self.episodes == 20:
            self.report()  # chance alone, to compare with
        solved = len(self.lengths) == 20 and np.mean(self.lengths) >= SOLVED
        if solved or self.episodes >= self.last_episode:
            self.report()
            print("Solved." if solved else f"That was episode {self.episodes}.")
            raise EndOfInteraction

    def report(self) -> None:
        """Print one line: where it is, a column for each of the last 20 episodes, and their mean."""
        columns = "".join("▁▂▃▄▅▆▇█"[min(length // 63, 7)] for length in self.lengths)
        mean = np.mean(self.lengths) if self.lengths else 0
        print(f"step {self.steps:7,}   episode {self.episodes:5,}   {columns:>20}  {mean:5.1f} steps", flush=True)

    def save_state(self, path: Path) -> None:
        super().save_state(path)
        path.mkdir(exist_ok=True)
        state = {"steps": self.steps, "episodes": self.episodes, "lengths": list(self.lengths)}
        (path / "learner.json").write_text(json.dumps(state), encoding="utf-8")

    def load_state(self, path: Path) -> None:
        super().load_state(path)
        state = json.loads((path / "learner.json").read_text(encoding="utf-8"))
        self.steps, self.episodes = state["steps"], state["episodes"]
        self.lengths.extend(state["lengths"])
        print("Going on from:")
        self.report()
        self.lengths.clear()  # a run is judged by its own episodes


def main() -> None:
    parser = argparse.ArgumentParser(description="Learn CartPole while playing it.")
    parser.add_argument("--seed", type=int, default=0, help="of the environment, the first weights and all choices")
    parser.add_argument("--seconds", type=float, default=100.0, help="how long to run, at most (default: %(default)s)")
    parser.add_argument("--episodes", type=float, default=np.inf, help="the episode to end with (default: no limit)")
    parser.add_argument("--resume", action="store_true", help="go on from the latest state in --states-dir")
    parser.add_argument("--states-dir", type=Path, default=Path("states/cartpole"), help="default: %(default)s")
    parser.add_argument("--port", type=int, default=8319, help="of the control server; 0: a free one (default: 8319)")
    parser.add_argument("--speed", type=float, default=20.0, help="system seconds in a real one (default: %(default)s)")
    args = parser.parse_args()

    network_rng, trainer_rng, agent_rng = np.random.default_rng(args.seed).spawn(3)
    environment = GymEnvironment("CartPole-v1", seed=args.seed)
    logging.basicConfig(level=logging.INFO, format="%(message)s")  # says where the control server listens
    learner = Learner(agent_rng, args.episodes)
    run(
        FixedIntervalInteraction.with_sleep_adjustor(learner, environment, STEP_SECONDS),
        models={"q_network": QNetwork(network_rng)},
        data={"transitions": Replay(REPLAY_SIZE)},
        trainers={"dqn": DQNTrainer(trainer_rng)},
        config=LaunchConfig(
            states_dir=args.states_dir,
            saved_state_path="latest" if args.resume else None,
            save_state_interval=30 * args.speed,  # intervals are in system time
            max_keep_states=3,
            log_tick_time_statistics_interval=30 * args.speed,
            max_uptime=args.seconds * args.speed,
            web_api_address=("localhost", args.port),
            time_scale=args.speed,
        ),
    )
    print("--resume goes on from there.")


if __name__ == "__main__":
    main()
