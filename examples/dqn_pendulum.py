"""A pendulum that does not wait, swung up by an agent that learns while it swings.

The physics are those of Gymnasium's Pendulum-v1, but they go on with the clock: a torque stays as it is until the
agent, 20 times a second, chooses another. What it learns is what a torque does within a twentieth of a second, so it
counts on its steps being on time. The clock runs five times as fast as a real one, and the agent learns meanwhile, by
DQN (Mnih et al., Nature 518, 2015) in PyTorch.

    python examples/dqn_pendulum.py                        # a return of -1300 at first, -200 after a minute
    python examples/dqn_pendulum.py --resume               # goes on from the latest state
    python examples/dqn_pendulum.py --resume --late 0.3    # each torque up to 0.3 s late: back to -500

Ctrl-C ends it in order and saves.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import math
import random
from collections import deque
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
import torch
from gymnasium.envs.classic_control import PendulumEnv
from torch import Tensor, nn
from torch.nn import functional as F

from pamiq_async import Environment, FixedIntervalInteraction, LaunchConfig, run, time
from pamiq_async.data.impls import SequentialBuffer
from pamiq_async.torch import OptimizersSetup, TorchAgent, TorchTrainer, TorchTrainingModel

STEP_SECONDS = 0.05  # Pendulum-v1's own time step
PHYSICS_SECONDS = 0.01  # at most: late steps are computed in several short ones
EPISODE_SECONDS = 10.0

TORQUES = (-2.0, -1.0, 0.0, 1.0, 2.0)
HIDDEN_UNITS = 64
DISCOUNT = 0.98
LEARNING_RATE = 1e-3
TARGET_RATE = 0.01  # how far the target network follows at each update
BATCH_SIZE = 64
NEW_STEPS_PER_TRAINING = 10  # half a second: what is learnt soon reaches the agent
UPDATES_PER_TRAINING = 10
REPLAY_SIZE = 20_000
FIRST_TRAINING = 500  # steps
EXPLORING_STEPS = 4_000  # from choosing at random to hardly ever
LEAST_EXPLORATION = 0.02
REWARD_SCALE = 0.1


class Moment(NamedTuple):
    state: list[float]  # cosine and sine of the angle, angular speed
    begins: bool  # whether an episode does; then there is nothing before
    elapsed: float = 0.0  # seconds since the moment before
    reward: float = 0.0  # for that time: 0 at rest on top, down to -16 for each STEP_SECONDS


class RunningPendulum(Environment[Moment, float]):
    """Moves on by as much system time as has passed since it was last looked at, be that the interval or more."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.physics = PendulumEnv()
        self.physics.reset(seed=seed)
        self.seconds_left = 0.0

    def observe(self) -> Moment:
        now = time.perf_counter()
        if self.seconds_left <= 0:
            self.seconds_left, self.torque, self.seen_at = EPISODE_SECONDS, 0.0, now
            state, _ = self.physics.reset()
            return Moment(state.tolist(), begins=True)
        elapsed, self.seen_at = now - self.seen_at, now
        self.seconds_left -= elapsed
        steps = 1 + int(elapsed / PHYSICS_SECONDS)
        self.physics.dt = elapsed / steps
        reward = 0.0
        for _ in range(steps):
            state, reward_rate, *_ = self.physics.step(np.array([self.torque]))
            reward += float(reward_rate) * self.physics.dt / STEP_SECONDS
        return Moment(state.tolist(), False, elapsed, reward)

    def affect(self, torque: float) -> None:
        self.torque = torque


class QNetwork(nn.Sequential):
    """What each torque is worth."""

    def __init__(self) -> None:
        super().__init__(
            nn.Linear(3, HIDDEN_UNITS),
            nn.ReLU(),
            nn.Linear(HIDDEN_UNITS, HIDDEN_UNITS),
            nn.ReLU(),
            nn.Linear(HIDDEN_UNITS, len(TORQUES)),
        )

    def best(self, state: Tensor) -> Tensor:
        return self(state).argmax(-1)


class Swinger(TorchAgent[Moment, float]):
    """Chooses the best torque, or at random now and then; hands on what happened, and reports."""

    def __init__(self, late: float) -> None:
        super().__init__()
        self.late = late
        self.steps = self.episodes = 0
        self.rewards: list[float] = []  # of this episode
        self.returns: deque[float] = deque(maxlen=10)  # of the last episodes
        self.longest_step = 0.0

    def on_inference_models_attached(self) -> None:
        self.q_network = self.get_torch_inference_model("q_network", QNetwork)

    def on_data_collectors_attached(self) -> None:
        self.transitions = self.get_data_collector("transitions")

    def step(self, moment: Moment) -> float:
        if moment.begins:
            self.end_episode()
        else:
            self.transitions.collect((*self.state, self.action, moment.reward, *moment.state))
            self.rewards.append(moment.reward)
            self.longest_step = max(self.longest_step, moment.elapsed)
            self.steps += 1
        self.state = moment.state
        self.action = self.choose(moment.state)
        time.sleep(random.uniform(0, self.late))
        return TORQUES[self.action]

    def choose(self, state: list[float]) -> int:
        exploration = max(LEAST_EXPLORATION, 1 - self.steps / EXPLORING_STEPS)
        if random.random() < exploration:
            return random.randrange(len(TORQUES))
        return int(self.q_network(torch.tensor(state)))

    def end_episode(self) -> None:
        if not self.rewards:  # the first one is only about to begin
            return
        self.episodes += 1
        self.returns.append(sum(self.rewards))
        self.rewards.clear()
        if self.episodes % 10 == 0:
            self.report()

    def teardown(self) -> None:
        super().teardown()
        self.report()

    def report(self) -> None:
        """Print one line: where it is, the mean return of the last 10 episodes, the longest that a step took."""
        mean = fmean(self.returns) if self.returns else math.nan
        longest = f"   longest step {1000 * self.longest_step:4.0f} ms" if self.longest_step else ""
        print(f"step {self.steps:7,}   episode {self.episodes:4}   return {mean:7.1f}{longest}", flush=True)
        self.longest_step = 0.0

    def save_state(self, path: Path) -> None:
        super().save_state(path)
        path.mkdir(exist_ok=True)
        state = {"steps": self.steps, "episodes": self.episodes, "returns": list(self.returns)}
        (path / "swinger.json").write_text(json.dumps(state), encoding="utf-8")

    def load_state(self, path: Path) -> None:
        super().load_state(path)
        state = json.loads((path / "swinger.json").read_text(encoding="utf-8"))
        self.steps, self.episodes = state["steps"], state["episodes"]
        self.returns.extend(state["returns"])
        print("Going on from:")
        self.report()


class DQNTrainer(TorchTrainer):
    """At most one update for each new step, on any machine."""

    def __init__(self) -> None:
        super().__init__("transitions", min_buffer_size=FIRST_TRAINING, min_new_data_count=NEW_STEPS_PER_TRAINING)

    def on_training_models_attached(self) -> None:
        self.q_network = self.get_torch_training_model("q_network", QNetwork)
        self.target = self.get_torch_training_model("target", QNetwork)

    def on_data_users_attached(self) -> None:
        self.transitions = self.get_data_user("transitions")

    def create_optimizers(self) -> OptimizersSetup:
        return {"adam": torch.optim.Adam(self.q_network.model.parameters(), lr=LEARNING_RATE)}

    def train(self) -> None:
        transitions = self.transitions.get_data()
        for _ in range(UPDATES_PER_TRAINING):
            self.update(torch.tensor(random.sample(transitions, BATCH_SIZE)))

    def update(self, batch: Tensor) -> None:
        states, actions, rewards, next_states = batch.split([3, 1, 1, 3], dim=1)
        # Double Q-learning (van Hasselt et al., 2016): one network chooses the torque, the other judges it. An episode
        # ends because time is up, not because of what the pendulum did, so there is always a future.
        with torch.no_grad():
            best = self.q_network(next_states).argmax(dim=1, keepdim=True)
            goals = REWARD_SCALE * rewards + DISCOUNT * self.target(next_states).gather(1, best)
        loss = F.smooth_l1_loss(self.q_network(states).gather(1, actions.long()), goals)
        self.optimizers["adam"].zero_grad()
        loss.backward()
        self.optimizers["adam"].step()
        with torch.no_grad():
            for slow, fast in zip(self.target.model.parameters(), self.q_network.model.parameters(), strict=True):
                slow.lerp_(fast, TARGET_RATE)


def main() -> None:
    parser = argparse.ArgumentParser(description="Learn to swing a pendulum up while swinging it.")
    parser.add_argument("--seed", type=int, default=0, help="of the pendulum, the first weights and all choices")
    parser.add_argument("--seconds", type=float, default=100.0, help="how long to run (default: %(default)s)")
    parser.add_argument("--late", type=float, default=0.0, help="most seconds a torque is held back (default: none)")
    parser.add_argument("--resume", action="store_true", help="go on from the latest state in --states-dir")
    parser.add_argument("--states-dir", type=Path, default=Path("states/dqn_pendulum"), help="default: %(default)s")
    parser.add_argument("--port", type=int, default=8319, help="of the control server; 0: a free one (default: 8319)")
    parser.add_argument("--speed", type=float, default=5.0, help="system seconds in a real one (default: %(default)s)")
    args = parser.parse_args()
    if not 0 <= args.late < math.inf:
        parser.error(f"--late is {args.late}; it must be a number of seconds, 0 or more")
    if not 0 < args.speed < math.inf:
        parser.error(f"--speed is {args.speed}; it must be a positive number")

    random.seed(args.seed)
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO, format="%(message)s")  # says where the control server listens
    network = QNetwork()
    run(
        FixedIntervalInteraction.with_sleep_adjustor(Swinger(args.late), RunningPendulum(args.seed), STEP_SECONDS),
        models={
            "q_network": TorchTrainingModel(network, inference_procedure="best"),
            "target": TorchTrainingModel(copy.deepcopy(network), has_inference_model=False),
        },
        data={"transitions": SequentialBuffer(REPLAY_SIZE)},
        trainers={"dqn": DQNTrainer()},
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
