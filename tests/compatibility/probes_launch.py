"""Whole systems, and their configuration."""

from __future__ import annotations

import inspect
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.compatibility.probing import Group, accepted, attempt, recording, run_system

probe = Group("Launch")

Pamiq = ModuleType


# --- Launch ---------------------------------------------------------------------------------------


def pair(pamiq: Pamiq, log: list[str], **agent: Any) -> Any:
    return pamiq.Interaction(recording(pamiq.Agent, "agent", log, **agent), recording(pamiq.Environment, "env", log))


@probe("launch", differs="is awaited in your loop; `run` blocks, as `launch` did", guide="| start |")
def how_it_is_called(pamiq: Pamiq) -> Any:
    """a function that blocks, or a coroutine?"""
    return "coroutine" if inspect.iscoroutinefunction(pamiq.launch) else "blocks"


@probe("launch", differs="the older signature is the specification", guide="| third argument |")
def third_argument(pamiq: Pamiq) -> Any:
    """names of its parameters"""
    return list(inspect.signature(pamiq.launch).parameters)


@probe("launch", "launcher", "launcher.launch")
def a_run(pamiq: Pamiq, path: Path) -> Any:
    """hooks of a run that `max_uptime` ends, without repetition; a state is left"""
    log: list[str] = []
    run_system(pamiq, pair(pamiq, log), states_dir=path / "states", max_uptime=0.5)
    order = list(dict.fromkeys(entry for entry in log if "save_state" not in entry and "teardown" not in entry))
    return order, len(list((path / "states").glob("*.state")))


@probe("launch")
def learning(pamiq: Pamiq, path: Path) -> Any:
    """what the agent collects reaches the trainer; what is trained reaches the agent"""
    seen: set[str] = set()

    class Acting(pamiq.InferenceModel):
        version = 0

        def infer(self) -> int:
            return self.version

    class Training(pamiq.TrainingModel):
        version = 0

        def _create_inference_model(self) -> Any:
            return Acting()

        def forward(self) -> int:
            return self.version

        def sync_impl(self, inference_model: Any) -> None:
            inference_model.version = self.version

    class Learner(pamiq.Trainer):
        def on_training_models_attached(self) -> None:
            self.model = self.get_training_model("policy")

        def train(self) -> None:
            seen.add(f"trained on {self.get_data_user('items').get_data()[0]}")
            self.model.version = 1

    class Actor(pamiq.Agent):
        def on_inference_models_attached(self) -> None:
            self.model = self.get_inference_model("policy")

        def on_data_collectors_attached(self) -> None:
            self.items = self.get_data_collector("items")

        def step(self, observation: Any) -> Any:
            self.items.collect("lived through")
            if self.model():
                seen.add("acts with what was trained")

    interaction = pamiq.FixedIntervalInteraction.with_sleep_adjustor(
        Actor(), recording(pamiq.Environment, "env", []), 0.01
    )
    run_system(
        pamiq,
        interaction,
        {"policy": Training()},
        {"items": pamiq.data.impls.SequentialBuffer(8)},
        {"learner": Learner("items", min_buffer_size=1)},
        states_dir=path / "states",
        max_uptime=1.0,
    )
    return sorted(seen)


@probe("launch")
def resuming(pamiq: Pamiq, path: Path) -> Any:
    """`saved_state_path` is loaded before anything starts; a path that is not there"""
    run_system(pamiq, pair(pamiq, []), states_dir=path / "states", max_uptime=0.1)
    (saved,) = (path / "states").glob("*.state")
    log: list[str] = []
    run_system(pamiq, pair(pamiq, log), states_dir=path / "states", max_uptime=0.1, saved_state_path=saved)
    loading = log.index("agent.load_state agent"), log.index("env.load_state environment"), log.index("agent.setup")
    unknown = attempt(run_system, pamiq, pair(pamiq, []), states_dir=path / "states", saved_state_path=path / "no")
    return loading == tuple(sorted(loading)), unknown


@probe("launch", differs="both on one thread", guide="| an agent's hooks |")
def threads(pamiq: Pamiq, path: Path) -> Any:
    """are an agent's models attached on the thread that steps it?"""
    found: dict[str, int] = {}

    def attached(self: Any) -> None:
        found["attached"] = threading.get_ident()

    def step(self: Any, observation: Any) -> Any:
        found["step"] = threading.get_ident()

    interaction = pair(pamiq, [], on_inference_models_attached=attached, step=step)
    run_system(pamiq, interaction, states_dir=path / "states", max_uptime=0.5)
    return found["attached"] == found["step"]


@probe("launch", differs="the component's own error leaves `launch`", guide="| an error in a component |")
def failing(pamiq: Pamiq, path: Path) -> Any:
    """an agent whose `step` fails"""

    def step(self: Any, observation: Any) -> Any:
        raise OverflowError

    config = {"states_dir": path / "states", "max_uptime": 1.0}
    hook = threading.excepthook
    threading.excepthook = lambda args: None  # where the error is printed is not the question
    try:
        return accepted(run_system, pamiq, pair(pamiq, [], step=step), **config)
    finally:
        threading.excepthook = hook


@probe(
    "LaunchConfig",
    differs="it goes on; the figures need no second step",
    guide="| a single step within",
)
def one_step_per_interval(pamiq: Pamiq, path: Path) -> Any:
    """statistics of step times shown after each step: does the agent live on?"""
    steps: list[int] = []

    def step(self: Any, observation: Any) -> Any:
        steps.append(1)
        pamiq.time.fixed_sleep(0.01)

    hook = threading.excepthook
    threading.excepthook = lambda args: None  # where the error is printed is not the question
    try:
        config = {"states_dir": path / "states", "max_uptime": 0.6, "log_tick_time_statistics_interval": 0.005}
        run_system(pamiq, pair(pamiq, [], step=step), **config)
    finally:
        threading.excepthook = hook
    return len(steps) > 3


@probe("launch", differs="is refused before anything starts", guide="| the same trainer under two names |")
def trainer_twice(pamiq: Pamiq, path: Path) -> Any:
    """the same trainer under two names"""
    trainer = recording(pamiq.Trainer, "trainer", [])
    config = {"states_dir": path / "states", "max_uptime": 0.1}
    return accepted(run_system, pamiq, pair(pamiq, []), trainers={"a": trainer, "b": trainer}, **config)


@probe("launch")
def time_scale(pamiq: Pamiq, path: Path) -> Any:
    """`time_scale` holds while the system runs, and not afterwards"""
    seen: set[float] = set()

    def step(self: Any, observation: Any) -> Any:
        seen.add(pamiq.time.get_time_scale())

    run_system(pamiq, pair(pamiq, [], step=step), states_dir=path / "states", max_uptime=5.0, time_scale=10.0)
    return seen, pamiq.time.get_time_scale()


@probe("LaunchConfig")
def config(pamiq: Pamiq) -> Any:
    """a field by keyword; that it can't be changed; an unknown field"""
    made = pamiq.LaunchConfig(max_uptime=3.0)
    return made.max_uptime, attempt(setattr, made, "max_uptime", 4.0), attempt(pamiq.LaunchConfig, max_uptme=3.0)


@probe("LaunchConfig", differs="the older signature is the specification", guide="| fields of `LaunchConfig` |")
def config_fields(pamiq: Pamiq) -> Any:
    """some fields that the two share, in the order of each"""
    shared = {"states_dir", "state_name_format", "saved_state_path", "save_state_condition", "max_uptime", "time_scale"}
    fields = list(inspect.signature(pamiq.LaunchConfig).parameters)
    return [name for name in fields if name in shared]


@probe("LaunchConfig", differs="the ports of the two differ", guide="| default port |")
def default_address(pamiq: Pamiq) -> Any:
    """default address of the control server"""
    return pamiq.LaunchConfig().web_api_address


@probe("LaunchConfig", differs="is refused on construction", guide="| bad values in `LaunchConfig` |")
def bad_config(pamiq: Pamiq) -> Any:
    """`max_uptime=-1`, `time_scale=0`, `web_api_command_queue_size=0`"""
    values: list[dict[str, Any]] = [{"max_uptime": -1.0}, {"time_scale": 0.0}, {"web_api_command_queue_size": 0}]
    return [accepted(pamiq.LaunchConfig, **value) for value in values]


@probe("LaunchConfig", differs="a str is turned into a Path", guide="| `states_dir` |")
def config_paths(pamiq: Pamiq) -> Any:
    """type of `states_dir` when a str is given"""
    return isinstance(pamiq.LaunchConfig(states_dir="there").states_dir, Path)


@probe("launch", "LaunchConfig")
def saving_on_condition(pamiq: Pamiq, path: Path) -> Any:
    """`save_state_condition` and `states_keeper`: more states saved than kept"""
    keep = pamiq.state_persistence.LatestStatesKeeper
    (path / "states").mkdir()
    saved: list[str] = []

    class Keeper(keep):
        def append(self, path: Path) -> None:
            super().append(path)
            saved.append(path.name)

    run_system(
        pamiq,
        pair(pamiq, []),
        states_dir=path / "states",
        max_uptime=1.5,
        save_state_condition=pamiq.state_persistence.PeriodicSaveCondition(0.1),
        states_keeper=Keeper(path / "states", 2),
    )
    return len(saved) > 2, len(list((path / "states").glob("*.state"))) <= 3
