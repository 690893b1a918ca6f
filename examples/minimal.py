"""The smallest system: a thrower finds out, while throwing, how far an effort carries the ball.

The agent throws ten times a second, at a new target each time. It believes that an effort of 1 carries 1 m; in truth
it is 0.4 m, and less and less as the arm gets tired. After every few throws the trainer corrects the belief.
"""

import argparse
import random
import tempfile

from pamiq_async import Agent, Environment, FixedIntervalInteraction, InferenceModel, Trainer, TrainingModel, run
from pamiq_async.data.impls import SequentialBuffer


class Field(Environment):
    """Shows where the last ball landed and where the next target is."""

    strength, landed, throws = 0.4, None, 0

    def observe(self):
        self.target = random.uniform(10, 50)
        return self.landed, self.target

    def affect(self, effort):
        self.landed = effort * self.strength
        self.strength *= 0.995
        self.throws += 1
        miss = self.landed - self.target
        print(f"throw {self.throws:3}: target at {self.target:4.1f} m, missed by {miss:+6.1f} m {'*' * int(abs(miss))}")


class Thrower(Agent):
    effort = None

    def on_inference_models_attached(self):
        self.arm = self.get_inference_model("arm")

    def on_data_collectors_attached(self):
        self.throws = self.get_data_collector("throws")

    def step(self, observation):
        landed, target = observation
        if landed is not None:
            self.throws.collect((self.effort, landed))
        self.effort = self.arm.infer(target)
        return self.effort


class Arm(InferenceModel):
    metres_per_effort = 1.0

    def infer(self, distance):
        return distance / self.metres_per_effort


class TrainableArm(TrainingModel):
    metres_per_effort = 1.0

    def _create_inference_model(self):
        return Arm()

    def forward(self, effort):
        return effort * self.metres_per_effort

    def sync_impl(self, arm):
        arm.metres_per_effort = self.metres_per_effort


class Coach(Trainer):
    def __init__(self):
        super().__init__("throws", min_new_data_count=5)

    def on_training_models_attached(self):
        self.arm = self.get_training_model("arm")

    def on_data_users_attached(self):
        self.throws = self.get_data_user("throws")

    def train(self):
        throws = self.throws.get_data()
        self.arm.metres_per_effort = sum(landed for _, landed in throws) / sum(effort for effort, _ in throws)
        print(f"          coach: an effort of 1 carries {self.arm.metres_per_effort:.2f} m")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long to throw (default: %(default)s)")
    parser.add_argument("--states", metavar="DIR", help="where to save the final state (default: nowhere that lasts)")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as nowhere:
        run(
            FixedIntervalInteraction.with_sleep_adjustor(Thrower(), Field(), interval=0.1),
            models={"arm": TrainableArm()},
            data={"throws": SequentialBuffer(max_size=10)},
            trainers={"coach": Coach()},
            config={
                "max_uptime": options.seconds,
                "states_dir": options.states or nowhere,
                "web_api_address": None,
            },
        )
