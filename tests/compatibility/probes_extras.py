"""The testing kit and Gymnasium."""

from __future__ import annotations

from types import ModuleType
from typing import Any
from unittest.mock import MagicMock, Mock

from tests.compatibility.probing import Group, accepted, attempt, recording

testing = Group("Testing kit")
gym = Group("Gymnasium", needs="gym")

Pamiq = ModuleType


# --- Testing kit ----------------------------------------------------------------------------------


@testing("testing", "testing.connect_components", "testing.ConnectedComponents")
def connecting(pamiq: Pamiq) -> Any:
    """agent first; a trainer or a mapping of them; what comes back"""
    agent, trainer = recording(pamiq.Agent, "agent", []), recording(pamiq.Trainer, "trainer", [])
    buffers = {"items": pamiq.data.impls.SequentialBuffer(3)}
    models = {"policy": pamiq.testing.create_mock_models()[0]}
    parts = pamiq.testing.connect_components(agent, trainer, buffers, models)
    agent.get_data_collector("items").collect(1)
    other = recording(pamiq.Trainer, "other", [])
    pamiq.testing.connect_components(trainers={"a": trainer, "b": other}, buffers=buffers)
    return (
        parts._fields,
        [type(part).__name__ for part in parts],
        parts.data_users["items"].get_data(),
        agent.get_inference_model("policy") is parts.inference_models["policy"],
        trainer.run(),
        pamiq.testing.connect_components()[0].data,
    )


@testing("testing.connect_components", differs="as in a system: models, then data", guide="| `connect_components` of")
def order_of_attaching(pamiq: Pamiq) -> Any:
    """what is attached first"""
    log: list[str] = []
    pamiq.testing.connect_components(recording(pamiq.Agent, "agent", log), recording(pamiq.Trainer, "trainer", log))
    return log


@testing("testing.create_mock_models")
def mock_models(pamiq: Pamiq) -> Any:
    """what they are mocks of; flags"""
    training, inference = pamiq.testing.create_mock_models()
    _, lone = pamiq.testing.create_mock_models(has_inference_model=False)
    only, _ = pamiq.testing.create_mock_models(inference_thread_only=True)
    return (
        [
            isinstance(training, Mock),
            isinstance(training, pamiq.TrainingModel),
            isinstance(inference, pamiq.InferenceModel),
        ],
        training.inference_model is inference,
        [training.has_inference_model, training.inference_thread_only, only.inference_thread_only],
        lone is not None,
    )


@testing("testing.create_mock_buffer")
def mock_buffer(pamiq: Pamiq) -> Any:
    """what it is a mock of; its queue; collected into"""
    buffer = pamiq.testing.create_mock_buffer(max_queue_size=3)
    parts = pamiq.testing.connect_components(buffers={"items": buffer})
    parts.data_collectors.acquire("items").collect("x")
    parts.data_users["items"].update()
    size = pamiq.testing.create_mock_buffer().max_queue_size
    return (
        isinstance(buffer, MagicMock),
        isinstance(buffer, pamiq.DataBuffer),
        buffer.max_queue_size,
        size,
        buffer.add.call_args,
    )


@testing("Agent.step")
def mocked_agents(pamiq: Pamiq) -> Any:
    """what `Mock(spec=Agent).step` is"""
    agent = Mock(spec=pamiq.Agent)
    agent.step.return_value = 3
    return type(agent.step).__name__, agent.step(1)


# --- Gymnasium ------------------------------------------------------------------------------------


def gym_agent(pamiq: Pamiq, log: list[Any]) -> Any:
    class Balancer(pamiq.gym.GymAgent):
        def on_reset(self, obs: Any, info: Any) -> int:
            log.append("reset")
            return 0

        def on_step(self, obs: Any, reward: float, terminated: bool, truncated: bool, info: Any) -> int:
            log.append(("end" if terminated or truncated else "step", reward))
            return 1

    return Balancer()


@gym(
    "gym",
    *[f"gym.GymAgent{m}" for m in ("", ".setup", ".on_reset", ".on_step", ".step")],
    *[f"gym.GymEnvironment{m}" for m in ("", ".setup", ".observe", ".affect")],
    "gym.agent",
    "gym.env",
)
def episodes(pamiq: Pamiq) -> Any:
    """CartPole until the second episode: what the agent sees"""
    import gymnasium

    log: list[Any] = []
    env = gymnasium.make("CartPole-v1")
    reset = env.reset
    env.reset = lambda **kwargs: reset(seed=0)  # type: ignore[method-assign]
    interaction = pamiq.Interaction(gym_agent(pamiq, log), pamiq.gym.GymEnvironment(env))
    interaction.setup()
    while log.count("reset") < 2:
        interaction.step()
    interaction.teardown()
    return log


@gym("gym.GymEnvironment")
def made_by_id(pamiq: Pamiq) -> Any:
    """made by an id, with keywords of `gymnasium.make`"""
    env = pamiq.gym.GymEnvironment("CartPole-v1", max_episode_steps=7)
    return env.env.spec.id, env.env.spec.max_episode_steps


@gym("gym.GymEnvironment", differs="the parameter's name; positionally all is the same", guide="| `GymEnvironment(env=")
def by_keyword(pamiq: Pamiq) -> Any:
    """`GymEnvironment(env="CartPole-v1")`"""
    return accepted(pamiq.gym.GymEnvironment, env="CartPole-v1")


@gym("gym.GymAgent")
def asking_for_a_reset(pamiq: Pamiq) -> Any:
    """`need_reset` set in a step ends the episode"""
    log: list[Any] = []
    agent = gym_agent(pamiq, log)
    interaction = pamiq.Interaction(agent, pamiq.gym.GymEnvironment("CartPole-v1"))
    interaction.setup()
    interaction.step()
    agent.need_reset = True
    for _ in range(2):
        interaction.step()
    interaction.teardown()
    return log, agent.need_reset


@gym("gym.types", *[f"gym.types.{name}" for name in ("EnvReset", "EnvStep", "EnvStep.done", "GymAction", "GymObs")])
def types(pamiq: Pamiq) -> Any:
    """fields, equality, that they can't be changed"""
    module = pamiq.gym.types
    step = module.EnvStep(1, 0.5, False, True, {})
    reset = module.EnvReset(obs=1, info={})
    return (
        [reset.obs, reset.info, step.obs, step.reward, step.terminated, step.truncated, step.info, step.done],
        reset == module.EnvReset(1, {}),
        attempt(setattr, reset, "obs", 2),
        module.GymAction(action=3, need_reset=True).need_reset,
    )
