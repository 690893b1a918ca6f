"""The public names of a package: modules, classes, their methods, functions, and how they are called."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

Signature = list[str] | None


def public_names(package: str) -> dict[str, Signature]:
    """All public names below a package, without its own name, by the shortest path; with parameters, if callable."""
    names: dict[str, Signature] = {}
    seen: dict[int, str] = {}
    # Packages say what they export; of a plain module everything defined in it is public.
    for module in sorted(modules(package), key=lambda module: (module.__name__.count("."), module.__name__)):
        prefix = module.__name__.removeprefix(package).removeprefix(".")
        if prefix:
            names.setdefault(prefix, None)
        for name, value in exported(module):
            path = f"{prefix}.{name}".removeprefix(".")
            if id(value) in seen:
                continue
            seen[id(value)] = path
            names[path] = parameters(value)
            if inspect.isclass(value):
                for member, function in methods(value):
                    names[f"{path}.{member}"] = parameters(function)
    return names


def modules(package: str) -> Iterator[ModuleType]:
    root = importlib.import_module(package)
    yield root
    for found in pkgutil.walk_packages(root.__path__, f"{package}.", onerror=lambda name: None):
        if "._" in found.name:
            continue
        try:
            yield importlib.import_module(found.name)
        except ModuleNotFoundError:
            continue  # a part that needs a library which is not installed


def exported(module: ModuleType) -> list[tuple[str, Any]]:
    if hasattr(module, "__all__"):
        return [(name, getattr(module, name)) for name in module.__all__ if not inspect.ismodule(getattr(module, name))]
    return [
        (name, value) for name, value in vars(module).items() if not name.startswith("_") and belongs_to(value, module)
    ]


def belongs_to(value: Any, module: ModuleType) -> bool:
    owner = inspect.unwrap(value) if callable(value) else value
    defined_in = getattr(owner, "__module__", None) or getattr(type(owner), "__module__", None)
    return defined_in == module.__name__


def methods(cls: type) -> Iterator[tuple[str, Any]]:
    for name, value in vars(cls).items():
        if name.startswith("_"):
            continue
        if isinstance(value, property):
            yield name, value
        elif isinstance(value, classmethod | staticmethod):
            yield name, getattr(cls, name)
        elif inspect.isfunction(value):
            yield name, value


def parameters(value: Any) -> Signature:
    """Parameters as they matter to a caller: names, kinds and defaults; not types."""
    if isinstance(value, property) or not callable(value):
        return None
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return None
    return [text_of(parameter) for parameter in signature.parameters.values()]


def text_of(parameter: inspect.Parameter) -> str:
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        return "*args"
    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        return "**kwargs"
    return str(parameter.replace(annotation=inspect.Parameter.empty))


def lookup(package: ModuleType, name: str) -> Any:
    """The thing of that name, wherever in the package it was defined."""
    value: Any = package
    path = package.__name__
    for part in name.split("."):
        if inspect.ismodule(value):
            path = f"{path}.{part}"
            if not hasattr(value, part):
                importlib.import_module(path)
        value = getattr(value, part)
    return value


def accepts_the_same_calls(theirs: Signature, ours: Signature) -> bool:
    """Whether what was called with their parameters can be called with ours: all others must be optional."""
    if theirs is None or ours is None or theirs == ["*args", "**kwargs"]:  # no callable, or all that a dict takes
        return True
    if len(ours) < len(theirs):
        return False
    shared = zip(theirs, ours, strict=False)
    return all(fits(mine, own) for mine, own in shared) and all(is_optional(p) for p in ours[len(theirs) :])


def fits(theirs: str, ours: str) -> bool:
    return theirs == ours or (theirs == ours.partition("=")[0] and "*" not in theirs)


def is_optional(parameter: str) -> bool:
    return "=" in parameter or parameter.startswith("*")
