"""Probes: small questions about behaviour, asked of two packages in the same words."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import random
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

CORE = "pamiq_core"
OURS = "pamiq_async"

Result = str


class Probe(NamedTuple):
    """One question. `differs` says why the answers are meant to differ, `guide` quotes the page that tells users."""

    group: str
    names: tuple[str, ...]
    ask: Callable[..., Any]
    differs: str
    guide: str
    needs: str

    @property
    def question(self) -> str:
        return inspect.cleandoc(self.ask.__doc__ or "")

    @property
    def key(self) -> str:
        return f"{self.group}.{self.ask.__name__}"


class Group:
    """The probes of one part of the surface: a decorator that collects them."""

    def __init__(self, title: str, *, needs: str = "", new: bool = False) -> None:
        self.title = title
        self.needs = needs
        self.new = new
        self.probes: list[Probe] = []

    def __call__(
        self, *names: str, differs: str = "", guide: str = ""
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def collect(ask: Callable[..., Any]) -> Callable[..., Any]:
            self.probes.append(Probe(self.title, names, ask, differs, guide, self.needs))
            return ask

        return collect


def load(package: str) -> ModuleType:
    """Import a package with those of its parts that its root module leaves out, as far as they can be imported."""
    root = importlib.import_module(package)
    for part in ("console", "gym", "launcher", "state_persistence", "testing", "torch", "web"):
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(f"{package}.{part}")
    return root


def answer(probe: Probe, package: ModuleType) -> Result | None:
    """What the package answers; None if that can't be found out without a library that is not installed."""
    if probe.needs and not hasattr(package, probe.needs):
        return None
    random.seed(0)
    with tempfile.TemporaryDirectory() as directory, contextlib.chdir(directory), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wants_path = "path" in inspect.signature(probe.ask).parameters
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                value = probe.ask(package, *([Path(directory)] if wants_path else []))
        except Exception as error:
            return raised(error)
    return value if isinstance(value, str) else repr(value)


def raised(error: BaseException) -> str:
    """An error by the builtin that it is: what an `except` clause of a user's would catch."""
    builtin = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
    return f"raises {builtin.__name__}"


def attempt(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The result of a call, or which error it raised."""
    try:
        return call(*args, **kwargs)
    except Exception as error:
        return raised(error)


def accepted(call: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """Whether a call goes well, or which error it raises."""
    try:
        call(*args, **kwargs)
    except Exception as error:
        return raised(error)
    return "accepted"


def files_in(path: Path) -> list[str]:
    """All files below a directory, sorted; without a suffix, which says no more than the format."""
    return sorted(str(file.relative_to(path).with_suffix("")) for file in path.rglob("*") if file.is_file())


HOOKS = (
    "setup",
    "teardown",
    "on_paused",
    "on_resumed",
    "save_state",
    "load_state",
    "on_inference_models_attached",
    "on_data_collectors_attached",
    "on_training_models_attached",
    "on_data_users_attached",
    "sync_models",
)
WORK = {
    "step": lambda self, observation: observation,
    "observe": lambda self: 1,
    "affect": lambda self, action: None,
    "read": lambda self: 1,
    "operate": lambda self, action: None,
    "wrap": lambda self, value: value,
    "train": lambda self: None,
}


def recording(base: type, name: str, log: list[str], *args: Any, **methods: Callable[..., Any]) -> Any:
    """An instance of a subclass of `base` that notes every call of a hook, as a user's component would be written."""

    def noted(hook: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        def method(self: Any, *args: Any) -> Any:
            # Of a path only its name below the parent's is of interest.
            log.append(" ".join([f"{name}.{hook}", *(arg.name for arg in args if isinstance(arg, Path))]))
            return inner(self, *args)

        return method

    namespace: dict[str, Any] = {}
    for hook in HOOKS:
        if hasattr(base, hook):
            namespace[hook] = noted(hook, getattr(base, hook))
    for hook, work in WORK.items():
        if hasattr(base, hook):
            namespace[hook] = noted(hook, methods.pop(hook, work))
    return type(name, (base,), {**namespace, **methods})(*args)


@contextlib.contextmanager
def own_time(pamiq: ModuleType) -> Iterator[Any]:
    """The package's time module, put back in order afterwards."""
    try:
        yield pamiq.time
    finally:
        pamiq.time.resume()
        pamiq.time.set_time_scale(1.0)


def let_pass(time: Any, seconds: float) -> None:
    """Have time go on at once, while it is paused."""
    time.load_state_dict({name: reading + seconds for name, reading in time.state_dict().items()})


def run_system(
    pamiq: ModuleType,
    interaction: Any,
    models: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    trainers: dict[str, Any] | None = None,
    **config: Any,
) -> Any:
    """Run a whole system to its end, by the one line that a program has to change."""
    blocking = pamiq.run if hasattr(pamiq, "run") else pamiq.launch
    return blocking(interaction, models or {}, data or {}, trainers or {}, {"web_api_address": None, **config})


def lifecycle(component: Any, log: list[str], path: Path) -> list[str]:
    component.setup()
    component.on_paused()
    component.on_resumed()
    component.save_state(path / "state")
    component.load_state(path / "state")
    component.teardown()
    return log


def writing(base: type, log: list[str], name: str = "part") -> Any:
    """A component whose state is a file."""

    def save_state(self: Any, path: Path) -> None:
        path.with_suffix(".txt").write_text(name)

    def load_state(self: Any, path: Path) -> None:
        log.append(f"{name} loads {path.with_suffix('.txt').read_text()}")

    return recording(base, name, [], save_state=save_state, load_state=load_state)


def saved_and_loaded(component: Any, log: list[str], path: Path) -> Any:
    component.save_state(path / "state")
    component.load_state(path / "state")
    return [*files_in(path), *log]
