"""Agents, environments, what lies between them, and how they are paced."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.compatibility.probing import Group, accepted, attempt, lifecycle, recording, saved_and_loaded, writing

probe = Group("Interaction")

Pamiq = ModuleType

HOOKS = ("setup", "on_paused", "on_resumed", "save_state", "load_state", "teardown")


def pair(pamiq: Pamiq, log: list[str]) -> Any:
    return pamiq.Interaction(recording(pamiq.Agent, "agent", log), recording(pamiq.Environment, "env", log))


# --- Interaction ----------------------------------------------------------------------------------


@probe("Interaction", "Interaction.step", "Agent.step", "Environment.observe", "Environment.affect")
def step(pamiq: Pamiq) -> Any:
    """the order of a step, and what is handed on"""
    log: list[str] = []
    agent = recording(pamiq.Agent, "agent", log, step=lambda self, observation: observation * 2)
    environment = recording(
        pamiq.Environment, "env", log, observe=lambda self: 21, affect=lambda self, action: log.append(f"got {action}")
    )
    pamiq.Interaction(agent=agent, environment=environment).step()
    return log


@probe(
    "Interaction.setup",
    "Interaction.teardown",
    "Interaction.on_paused",
    "Interaction.on_resumed",
    "Interaction.save_state",
    "Interaction.load_state",
)
def hooks_are_passed_on(pamiq: Pamiq, path: Path) -> Any:
    """hooks reach the agent, then the environment; each gets its path"""
    log: list[str] = []
    return lifecycle(pair(pamiq, log), log, path)


@probe("Interaction", differs="a wrong type is an error at once, not in the first step", guide="| a component of the ")
def wrong_types(pamiq: Pamiq) -> Any:
    """`Interaction("agent", "environment")`"""
    return accepted(pamiq.Interaction, "agent", "environment")


@probe("Interaction.save_state")
def interaction_state(pamiq: Pamiq, path: Path) -> Any:
    """files of a state"""
    log: list[str] = []
    parts = [writing(base, log, name) for base, name in [(pamiq.Agent, "a"), (pamiq.Environment, "e")]]
    return saved_and_loaded(pamiq.Interaction(*parts), log, path)


# --- Agent ----------------------------------------------------------------------------------------


@probe("Agent", *[f"Agent.{hook}" for hook in HOOKS])
def child_agents(pamiq: Pamiq, path: Path) -> Any:
    """hooks are passed on to child agents, their states lie below the parent's"""
    log: list[str] = []
    children = {name: recording(pamiq.Agent, name, log) for name in ("left", "right")}
    return lifecycle(recording(pamiq.Agent, "parent", log, children), log, path)


@probe("Agent.save_state")
def agent_without_children(pamiq: Pamiq, path: Path) -> Any:
    """an agent without state or children writes nothing"""
    recording(pamiq.Agent, "agent", []).save_state(path / "state")
    return list(path.iterdir())


@probe("Agent")
def step_is_abstract(pamiq: Pamiq) -> Any:
    """without `step` it can't be made"""
    return attempt(pamiq.Agent)


@probe(
    "Agent.attach_inference_models",
    "Agent.on_inference_models_attached",
    "Agent.attach_data_collectors",
    "Agent.on_data_collectors_attached",
)
def attaching(pamiq: Pamiq) -> Any:
    """attaching calls the hooks, then those of the children"""
    log: list[str] = []
    agent = recording(pamiq.Agent, "parent", log, {"child": recording(pamiq.Agent, "child", log)})
    agent.attach_inference_models(pamiq.model.InferenceModelsDict())
    agent.attach_data_collectors(pamiq.data.DataCollectorsDict())
    return log


@probe("Agent.get_inference_model")
def getting_a_model(pamiq: Pamiq) -> Any:
    """a model by name, as often as one likes; an unknown name"""
    _, model = pamiq.testing.create_mock_models()
    agent = recording(pamiq.Agent, "agent", [])
    agent.attach_inference_models(pamiq.model.InferenceModelsDict({"policy": model}))
    got = [agent.get_inference_model("policy") is model for _ in range(2)]
    return got, attempt(agent.get_inference_model, "polcy")


@probe("Agent.get_inference_model", differs="the message lists the names there are", guide="| unknown model, buffer |")
def unknown_model(pamiq: Pamiq) -> Any:
    """what an unknown name's error says"""
    _, model = pamiq.testing.create_mock_models()
    agent = recording(pamiq.Agent, "agent", [])
    agent.attach_inference_models(pamiq.model.InferenceModelsDict({"policy": model}))
    try:
        agent.get_inference_model("polcy")
    except KeyError as error:
        return str(error)


@probe("Agent.get_data_collector", "data.DataCollectorsDict.acquire")
def getting_a_collector(pamiq: Pamiq) -> Any:
    """a collector once; a second time; an unknown name; by a child of who has it"""
    users = pamiq.data.DataUsersDict.from_data_buffers(episode=pamiq.data.impls.SequentialBuffer(3))
    child = recording(pamiq.Agent, "child", [])
    agent = recording(pamiq.Agent, "agent", [], {"child": child})
    agent.attach_data_collectors(users.data_collectors_dict)
    agent.get_data_collector("episode").collect(1)
    others = [attempt(a.get_data_collector, name) for a, name in [(agent, "episode"), (agent, "x"), (child, "episode")]]
    return users["episode"].get_data(), others


@probe(
    "Agent.get_inference_model",
    "Agent.get_data_collector",
    differs="the error says where to ask instead",
    guide="| asked for before a system",
)
def not_attached(pamiq: Pamiq) -> Any:
    """asked for in `__init__`, before there is a system"""
    agent = recording(pamiq.Agent, "agent", [])
    return attempt(agent.get_inference_model, "policy"), attempt(agent.get_data_collector, "episode")


@probe("Agent", differs="it may be left out", guide="| `super().__init__()` left out")
def agent_without_init(pamiq: Pamiq) -> Any:
    """`super().__init__()` left out by an agent, then `setup()`"""
    return accepted(recording(pamiq.Agent, "agent", [], __init__=lambda self: None).setup)


@probe("Environment", "Sensor", "Actuator", "Wrapper")
def others_without_init(pamiq: Pamiq, path: Path) -> Any:
    """`super().__init__()` left out by others, then all hooks"""
    log: list[str] = []
    for base in (pamiq.Environment, pamiq.Sensor, pamiq.Actuator, pamiq.Wrapper):
        lifecycle(recording(base, base.__name__, log, __init__=lambda self: None), log, path)
    return len(log)


# --- Pacing ---------------------------------------------------------------------------------------


def adjustor(pamiq: Pamiq, log: list[str]) -> Any:
    class Adjustor(pamiq.IntervalAdjustor):
        def adjust_impl(self) -> None:
            log.append("adjust")

        def reset(self) -> float:
            log.append("reset")
            return float(super().reset())

    return Adjustor(0.25, offset=0.05)


@probe("FixedIntervalInteraction", "FixedIntervalInteraction.step", "FixedIntervalInteraction.setup")
def fixed_interval(pamiq: Pamiq) -> Any:
    """the adjustor is reset after setup, and adjusts after each step"""
    log: list[str] = []
    parts = recording(pamiq.Agent, "agent", log), recording(pamiq.Environment, "env", log)
    interaction = pamiq.FixedIntervalInteraction(*parts, adjustor=adjustor(pamiq, log))
    interaction.setup()
    interaction.step()
    return log[: log.index("adjust") + 1]


@probe("IntervalAdjustor.adjust", differs="the next deadline follows from the last one", guide="| `adjust` of an")
def adjusting(pamiq: Pamiq) -> Any:
    """what `adjust` calls"""
    log: list[str] = []
    adjustor(pamiq, log).adjust()
    return log


@probe("FixedIntervalInteraction.with_sleep_adjustor", "SleepIntervalAdjustor", "SleepIntervalAdjustor.adjust_impl")
def sleep_adjustor(pamiq: Pamiq) -> Any:
    """positional and keyword arguments; the class; three steps at 10 ms take more than 20 ms"""
    log: list[str] = []
    parts = recording(pamiq.Agent, "agent", log), recording(pamiq.Environment, "env", log)
    with_offset = pamiq.FixedIntervalInteraction.with_sleep_adjustor(*parts, interval=0.01, offset=0.0)
    interaction = pamiq.FixedIntervalInteraction.with_sleep_adjustor(*parts, 0.01)
    interaction.setup()
    began = pamiq.time.perf_counter()
    for _ in range(3):
        interaction.step()
    return type(with_offset).__name__, pamiq.time.perf_counter() - began > 0.02


@probe("FixedIntervalInteraction.with_sleep_adjustor", differs="is refused, with the reason", guide="| an interval of ")
def odd_intervals(pamiq: Pamiq) -> Any:
    """an interval of 0, below 0, NaN, or shorter than the offset"""
    arguments = [(0.0,), (-1.0,), (math.nan,), (0.1, 0.2)]
    return [accepted(pamiq.SleepIntervalAdjustor, *each) for each in arguments]


@probe("IntervalAdjustor", "IntervalAdjustor.reset", "IntervalAdjustor.adjust", "IntervalAdjustor.adjust_impl")
def adjustor_of_ones_own(pamiq: Pamiq) -> Any:
    """`reset` gives the time, `adjust` what has passed since, `adjust_impl` is yours; it is abstract"""
    log: list[str] = []
    own = adjustor(pamiq, log)
    started = own.reset()
    return 0 <= own.adjust() <= pamiq.time.perf_counter() - started, log[:2], attempt(pamiq.IntervalAdjustor, 0.1)


@probe("IntervalAdjustor.adjust")
def adjust_before_reset(pamiq: Pamiq) -> Any:
    """what `adjust` gives before the first `reset`"""
    passed = adjustor(pamiq, []).adjust()
    return "inf" if passed == math.inf else passed >= 0


@probe(
    "IntervalAdjustor.adjust", differs="deadlines are absolute, so the mean rate is exact", guide="| fixed interval |"
)
def lateness(pamiq: Pamiq) -> Any:
    """a step 60 ms late at an interval of 200 ms: when does the next one begin?"""
    interval = pamiq.SleepIntervalAdjustor(0.2)
    interval.reset()
    pamiq.time.fixed_sleep(0.26)  # the step takes longer than the interval
    interval.adjust()
    waited = interval.adjust()
    return "200 ms after it" if waited > 0.19 else "earlier"


# --- Modules --------------------------------------------------------------------------------------


@probe("interaction.event_mixin.InteractionEventMixin")
def event_mixin(pamiq: Pamiq) -> Any:
    """its hooks do nothing, and components are of its kind"""
    import importlib

    found = [importlib.import_module(f"{pamiq.__name__}.{m}") for m in places(pamiq)]
    mixin = found[0].InteractionEventMixin
    return mixin().setup(), mixin().teardown(), [issubclass(c, mixin) for c in (pamiq.Agent, pamiq.Sensor)]


def places(pamiq: Pamiq) -> list[str]:
    return ["interaction.event_mixin"] if pamiq.__name__ == "pamiq_core" else ["lifecycle"]


@probe(
    "interaction",
    *[f"interaction.{module}" for module in ("agent", "env", "interactions", "interval_adjustors")],
    "interaction.modular_env",
    "interaction.wrappers",
)
def modules(pamiq: Pamiq) -> Any:
    """the same classes by their modules' names"""
    return [
        pamiq.interaction.Agent is pamiq.Agent,
        pamiq.interaction.agent.Agent is pamiq.Agent,
        pamiq.interaction.env.Environment is pamiq.Environment,
        pamiq.interaction.interactions.Interaction is pamiq.Interaction,
        pamiq.interaction.interval_adjustors.IntervalAdjustor is pamiq.IntervalAdjustor,
        pamiq.interaction.modular_env.Sensor is pamiq.Sensor,
        pamiq.interaction.wrappers.Wrapper is pamiq.Wrapper,
    ]
