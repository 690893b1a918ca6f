"""Checking the components that a system is made of, and making them known to each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from ..data.buffer import DataBuffer
from ..data.container import DataUsersDict
from ..exceptions import ComponentInUse
from ..interaction.composite import Component, Composite
from ..interaction.interactions import Interaction
from ..model.container import TrainingModelsDict
from ..model.interface import TrainingModel
from ..trainer.container import TrainersDict
from ..trainer.trainer import Trainer

_OWNER = "_pamiq_owner"  # attribute of a component: which system it serves, as `_mark`


@attrs.frozen
class Components:
    """What a system runs."""

    interaction: Interaction[Any, Any]
    models: TrainingModelsDict
    data: DataUsersDict
    trainers: TrainersDict

    @classmethod
    def check(cls, interaction: object, models: object, data: object, trainers: object) -> Components:
        """Take in what a user gave.

        Raises:
            TypeError: something is of the wrong type.
            ValueError: a name can't be used.
            ComponentInUse: one component has two places.
        """
        if not isinstance(interaction, Interaction):
            raise TypeError(f"interaction is {interaction!r}; it must be an Interaction")
        components = cls(
            interaction,
            TrainingModelsDict(_checked("models", models, TrainingModel)),
            DataUsersDict.from_data_buffers(_checked("data", data, DataBuffer)),
            TrainersDict(_checked("trainers", trainers, Trainer)),
        )
        places: dict[int, str] = {}
        for place, component in components.exclusive():
            if id(component) in places:
                raise ComponentInUse(
                    f"{place} and {places[id(component)]} are the same {type(component).__qualname__}; make two of them"
                )
            places[id(component)] = place
        return components

    def exclusive(self) -> Iterator[tuple[str, object]]:
        """The components that can have one place in one system alone, and where that is."""
        yield from _tree("interaction", self.interaction)
        for name, trainer in self.trainers.items():
            yield f"trainers[{name!r}]", trainer
        for name, user in self.data.items():
            yield f"data[{name!r}]", user._buffer


def claim(components: Components, owner: object) -> None:
    """Make `owner` the only user of the components, until `release`.

    Raises:
        ComponentInUse: one of them serves another system.
    """
    for place, component in components.exclusive():
        mark = vars(component).get(_OWNER)
        if mark is not None and mark[0] == id(component) and mark != _mark(component, owner):
            raise ComponentInUse(
                f"{place} ({type(component).__qualname__}) is part of a system that is still running; "
                f"shut that one down first, or make another {type(component).__qualname__}"
            )
    for _, component in components.exclusive():
        vars(component)[_OWNER] = _mark(component, owner)


def release(components: Components, owner: object) -> None:
    """Undo `claim`."""
    for _, component in components.exclusive():
        if vars(component).get(_OWNER) == _mark(component, owner):
            del vars(component)[_OWNER]


def _mark(component: object, owner: object) -> tuple[int, int]:
    """Two plain numbers, so that a component can still be copied and pickled; a copy's own number is another."""
    return id(component), id(owner)


def _tree(place: str, component: Component) -> Iterator[tuple[str, Component]]:
    yield place, component
    if isinstance(component, Composite):
        for name, child in component._children().items():
            yield from _tree(f"{place}.{name}", child)


def _checked(argument: str, value: object, expected: type) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{argument} is {value!r}; it must be a mapping of names to {expected.__name__}s")
    for name, item in value.items():
        if not isinstance(item, expected):
            raise TypeError(f"{argument}[{name!r}] is {item!r}; it must be a {expected.__name__}")
    return value
