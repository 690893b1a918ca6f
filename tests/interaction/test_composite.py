from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pamiq_async import Agent, Environment, Interaction, Sensor, start
from pamiq_async.exceptions import BlockingCall
from pamiq_async.interaction.composite import Component, Composite, check_component
from pamiq_async.roles import Role
from tests.fakes import Boom, FakeBuffer, Log, fake

Made = Callable[[str, Callable[..., Any]], Callable[..., Any]]

HOOKS = ("setup", "on_paused", "on_resumed", "save_state", "load_state", "teardown")


class Family(Composite):
    def __init__(self, **children: Component) -> None:
        super().__init__()
        self.children = children

    def _children(self) -> dict[str, Component]:
        return self.children


@pytest.fixture
def log() -> Log:
    return Log()


def family_tree(log: Log, **options: Any) -> Agent[Any, Any]:
    """a with the children b and c; d is b's."""

    def person(name: str, children: dict[str, Any] | None = None) -> Any:
        mine = {key.partition("_")[2]: value for key, value in options.items() if key.startswith(f"{name}_")}
        return fake(Agent, name, log, **mine)(children)

    return person("a", {"b": person("b", {"d": person("d")}), "c": person("c")})


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("asynchronous", [(), ("a",), ("b", "c"), ("a", "b", "c", "d")], ids=str)
async def test_each_hook_reaches_everybody_once_parents_first(
    hook: str, asynchronous: tuple[str, ...], log: Log, role: Role, tmp_path: Path
) -> None:
    tree = family_tree(log, **{f"{name}_async_hooks": True for name in asynchronous})

    await role.call(getattr(tree, hook), *([tmp_path / "a"] if hook.endswith("_state") else []))

    assert log.names() == [f"{name}.{hook}" for name in "abdc"]


async def test_blocking_hooks_below_async_ones_run_on_the_lane(log: Log, role: Role) -> None:
    tree = family_tree(log, a_async_hooks=True, b_async_hooks=True)

    await role.call(tree.setup)

    ident = await role.call(__import__("threading").get_ident)
    assert log.threads("c") == log.threads("d") == {ident}
    assert log.threads("a") == log.threads("b") != {ident}


def test_states_lie_below_the_parents_by_name(tmp_path: Path) -> None:
    class Child(Component):
        saved_to = loaded_from = Path()

        def save_state(self, path: Path) -> None:
            self.saved_to = path

        def load_state(self, path: Path) -> None:
            self.loaded_from = path

    child = Child()
    family = Family(inner=Family(child=child))

    family.save_state(tmp_path / "state")
    family.load_state(tmp_path / "elsewhere")

    assert child.saved_to == tmp_path / "state/inner/child"
    assert child.saved_to.parent.is_dir()
    assert not child.saved_to.exists()  # it is the child's own to make
    assert child.loaded_from == tmp_path / "elsewhere/inner/child"


def test_without_children_nothing_is_saved(tmp_path: Path) -> None:
    Family().save_state(tmp_path / "state")

    assert list(tmp_path.iterdir()) == []


def test_the_parent_may_have_made_the_directory(tmp_path: Path) -> None:
    Family(child=Component()).save_state(tmp_path)


async def test_an_async_save_makes_no_directory_on_the_loop(role: Role, tmp_path: Path) -> None:
    class AsyncFamily(Family):
        async def save_state(self, path: Path) -> None:  # type: ignore[override]
            super().save_state(path)

    await role.call(AsyncFamily(child=Component()).save_state, tmp_path / "state")  # else the suite's guard fails

    assert await asyncio.to_thread((tmp_path / "state").is_dir)


def test_a_composite_must_name_its_children() -> None:
    with pytest.raises(NotImplementedError, match="Composite does not say what its children are"):
        Composite().setup()


# --- Failing in setup -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fails", "torn_down"),
    [
        # in order: a (b (d) c)
        ("d", []),
        ("b", []),
        ("c", ["b", "d"]),
        ("a", []),
    ],
)
def test_when_setup_fails_what_was_set_up_is_torn_down_and_nothing_else(
    fails: str, torn_down: list[str], log: Log
) -> None:
    tree = family_tree(log, **{f"{fails}_fails_in": "setup"})

    with pytest.raises(Boom, match=f"{fails}.setup"):
        tree.setup()

    assert [name for name in log.names() if name.endswith("teardown")] == [f"{name}.teardown" for name in torn_down]


@pytest.mark.parametrize("asynchronous", [(), ("a",), ("b", "c"), ("a", "b", "c", "d", "env")], ids=str)
async def test_a_system_that_fails_to_start_tears_down_what_was_set_up(
    asynchronous: tuple[str, ...], log: Log, tmp_path: Path
) -> None:
    tree = family_tree(log, c_fails_in="setup", **{f"{name}_async_hooks": True for name in asynchronous})
    environment = fake(Environment, "env", log, async_hooks="env" in asynchronous)()

    with pytest.raises(Boom, match=r"c\.setup"):
        await start(Interaction(tree, environment), {}, {}, {}, {"states_dir": tmp_path, "web_api_address": None})

    assert log.names() == ["a.setup", "b.setup", "d.setup", "c.setup", "b.teardown", "d.teardown"]


async def test_a_parent_that_fails_after_its_children_were_set_up(log: Log, tmp_path: Path) -> None:
    class Parent(Agent[Any, Any]):
        def setup(self) -> None:
            super().setup()
            raise Boom("parent")

        def teardown(self) -> None:
            raise AssertionError("it was never set up")

        def step(self, observation: Any) -> Any: ...

    children = {name: fake(Agent, name, log)() for name in "ab"}
    interaction = Interaction(Parent(children), fake(Environment, "env", log)())

    with pytest.raises(Boom, match="parent"):
        await start(interaction, {}, {}, {}, {"states_dir": tmp_path, "web_api_address": None})

    assert log.names() == ["a.setup", "b.setup", "b.teardown", "a.teardown"]


def test_a_failure_while_tearing_down_is_noted_at_the_first_error(log: Log) -> None:
    tree = family_tree(log, c_fails_in="setup", b_fails_in="teardown")

    with pytest.raises(Boom, match=r"c\.setup") as caught:
        tree.setup()

    assert "b.teardown" in caught.value.__notes__[0]


def test_one_failing_teardown_does_not_keep_others_from_theirs(log: Log) -> None:
    family = Family(**{name: fake(Agent, name, log, fails_in="teardown")() for name in "ab"}, c=fake(Agent, "c", log)())

    with pytest.raises(Boom, match=r"a\.teardown") as caught:
        family.teardown()

    assert log.names() == ["a.teardown", "b.teardown", "c.teardown"]
    assert "b.teardown" in caught.value.__notes__[0]


# --- Hooks that are chains --------------------------------------------------------------------------------


def test_an_async_hook_outside_of_a_system_is_refused_with_the_way_out() -> None:
    class Late(Component):
        async def setup(self) -> None:  # type: ignore[override]
            raise AssertionError

    with pytest.raises(TypeError, match=r"Late\.setup is async def .* await it, or start a system"):
        Family(late=Late()).setup()


async def test_a_blocking_chain_is_refused_in_an_async_hook(role: Role) -> None:
    from pamiq_async import SensorsDict

    class Thermometer(Sensor[int]):
        def read(self) -> int:
            raise AssertionError

    sensors = SensorsDict({"thermometer": Thermometer()})

    async def observe() -> Any:
        return sensors.read()

    with pytest.raises(BlockingCall, match=r"SensorsDict\.read is a plain def hook"):
        await role.call(observe)


@pytest.mark.parametrize(
    ("value", "expected", "message"),
    [
        (3, Sensor, "eye is 3; it must be a Sensor"),
        (None, Agent, "eye is None; it must be an Agent"),
        (FakeBuffer, Environment, r"eye is <class .*FakeBuffer'>; it must be an Environment"),
    ],
)
def test_a_component_of_the_wrong_type_is_named(value: object, expected: type, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        check_component(value, expected, "eye")
