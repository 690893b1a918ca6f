"""Models and trainers."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from tests.compatibility.probing import Group, accepted, attempt, files_in, own_time, recording

probe = Group("Models and trainers")

Pamiq = ModuleType


def make_model(pamiq: Pamiq, log: list[str], *args: Any, **kwargs: Any) -> Any:
    class Acting(pamiq.InferenceModel):
        def infer(self, *args: Any, **kwds: Any) -> Any:
            return args, kwds

    class Training(pamiq.TrainingModel):
        def _create_inference_model(self) -> Any:
            log.append("create")
            return Acting()

        def forward(self, *args: Any, **kwds: Any) -> Any:
            return args, kwds

        def sync_impl(self, inference_model: Any) -> None:
            log.append(f"sync {type(inference_model).__name__}")

        def save_state(self, path: Path) -> None:
            path.with_suffix(".txt").write_text("weights")

        def load_state(self, path: Path) -> None:
            log.append(f"load {path.with_suffix('.txt').read_text()}")

    return Training(*args, **kwargs)


# --- Models ---------------------------------------------------------------------------------------


@probe("InferenceModel", "InferenceModel.infer", "TrainingModel", "TrainingModel.forward")
def calling(pamiq: Pamiq) -> Any:
    """calling a model is `infer` on the one side, `forward` on the other; both are abstract"""
    model = make_model(pamiq, [])
    return (
        [model.inference_model(1, b=2), model.inference_model.infer(1, b=2), model(3, d=4), model.forward(3, d=4)],
        attempt(pamiq.InferenceModel),
        attempt(pamiq.TrainingModel),
    )


@probe("TrainingModel.inference_model")
def inference_model(pamiq: Pamiq) -> Any:
    """is made when first asked for, once"""
    log: list[str] = []
    model = make_model(pamiq, log)
    before = list(log)
    return before, model.inference_model is model.inference_model, log


@probe("TrainingModel.inference_model")
def no_inference_model(pamiq: Pamiq) -> Any:
    """of a model that has none; none and inference-thread-only together"""
    without = make_model(pamiq, [], has_inference_model=False)
    return attempt(lambda: without.inference_model), attempt(make_model, pamiq, [], False, True)


@probe("TrainingModel.sync", "TrainingModel.sync_impl")
def syncing(pamiq: Pamiq) -> Any:
    """`sync` publishes; not without an inference model, nor if inference-thread-only"""
    logs: list[list[str]] = [[], [], []]
    for log, flags in zip(logs, [(True, False), (False, False), (True, True)], strict=True):
        make_model(pamiq, log, *flags).sync()
    return logs


@probe("model.TrainingModelsDict", "model.TrainingModelsDict.inference_models_dict", "model.InferenceModelsDict")
def models_dict(pamiq: Pamiq) -> Any:
    """who reaches which model: trainers, agents; an unknown name"""
    models = pamiq.model.TrainingModelsDict(
        {"both": make_model(pamiq, []), "acting": make_model(pamiq, [], inference_thread_only=True)}
    )
    models["training"] = make_model(pamiq, [], has_inference_model=False)
    reached = [name for name in models if isinstance(attempt(lambda name=name: models[name]), pamiq.TrainingModel)]
    unreachable = attempt(lambda: models["acting"]), attempt(lambda: models["x"])
    return sorted(reached), sorted(models.inference_models_dict), unreachable


@probe("model.TrainingModelsDict.save_state", "model.TrainingModelsDict.load_state")
def models_state(pamiq: Pamiq, path: Path) -> Any:
    """each below its name; what was loaded is published"""
    log: list[str] = []
    models = pamiq.model.TrainingModelsDict({"policy": make_model(pamiq, log)})
    models.save_state(path / "models")
    models.load_state(path / "models")
    return files_in(path), [entry for entry in log if entry != "create"]


@probe("model", "model.container", "model.interface", "trainer", "trainer.container")
def modules(pamiq: Pamiq) -> Any:
    """the same classes by their modules' names"""
    return [
        pamiq.model.interface.TrainingModel is pamiq.TrainingModel,
        pamiq.model.container.TrainingModelsDict is pamiq.model.TrainingModelsDict,
        pamiq.trainer.Trainer is pamiq.Trainer,
        pamiq.trainer.container.TrainersDict is pamiq.trainer.TrainersDict,
    ]


# --- Trainers -------------------------------------------------------------------------------------


def connected(pamiq: Pamiq, trainer: Any, count: int = 0, models: dict[str, Any] | None = None) -> Any:
    """The trainer, attached to models and to a buffer in which some items wait."""
    parts = pamiq.testing.connect_components(
        trainers=trainer, buffers={"items": pamiq.data.impls.SequentialBuffer(100)}, models=models or {}
    )
    collector = parts.data_collectors.acquire("items")
    for number in range(count):
        collector.collect(number)
    return collector


@probe("Trainer", "Trainer.run", "Trainer.setup", "Trainer.train", "Trainer.sync_models", "Trainer.teardown")
def training(pamiq: Pamiq) -> Any:
    """the order of a training, and what `run` gives"""
    log: list[str] = []
    trainer = recording(pamiq.Trainer, "trainer", log)
    connected(pamiq, trainer)
    log.clear()
    return trainer.run(), log


@probe("Trainer.run", "Trainer.is_trainable")
def not_trainable(pamiq: Pamiq) -> Any:
    """when it is not trainable, nothing is called"""
    log: list[str] = []
    trainer = recording(pamiq.Trainer, "trainer", log, is_trainable=lambda self: False)
    return trainer.run(), log


@probe(
    "Trainer.attach_training_models",
    "Trainer.on_training_models_attached",
    "Trainer.attach_data_users",
    "Trainer.on_data_users_attached",
)
def attaching(pamiq: Pamiq) -> Any:
    """attaching calls the hooks"""
    log: list[str] = []
    trainer = recording(pamiq.Trainer, "trainer", log)
    trainer.attach_training_models(pamiq.model.TrainingModelsDict())
    trainer.attach_data_users(pamiq.data.DataUsersDict())
    return log


@probe("Trainer.get_training_model", "Trainer.sync_models")
def models_that_are_synced(pamiq: Pamiq) -> Any:
    """those that the trainer has asked for, and those alone; an unknown one"""
    log: list[str] = []
    trainer = recording(
        pamiq.Trainer, "trainer", [], on_training_models_attached=lambda self: self.get_training_model("mine")
    )
    other: list[str] = []
    connected(pamiq, trainer, models={"mine": make_model(pamiq, log), "other": make_model(pamiq, other)})
    trainer.run()
    return log[-1], other, attempt(trainer.get_training_model, "x")


@probe("Trainer.get_data_user")
def getting_data(pamiq: Pamiq) -> Any:
    """its data, as often as one likes; an unknown name"""
    trainer = recording(pamiq.Trainer, "trainer", [])
    connected(pamiq, trainer, 2)
    return [trainer.get_data_user("items").get_data() for _ in range(2)], attempt(trainer.get_data_user, "x")


@probe("Trainer.is_trainable")
def condition(pamiq: Pamiq) -> Any:
    """with enough items; again without new ones; with fewer new ones than wanted; with enough of them"""
    with own_time(pamiq) as time:
        time.set_time_scale(1000.0)  # so that an item that comes later is later on the clock, too
        trainer = recording(pamiq.Trainer, "trainer", [], "items", 3, 2)
        collector = connected(pamiq, trainer, 2)
        answers = [trainer.run()]
        for count in (1, 0, 1, 1):
            for _ in range(count):
                time.fixed_sleep(0.001)
                collector.collect(0)
            answers.append(trainer.run())
        return answers


@probe(
    "Trainer.is_trainable", differs="asking changes nothing; training does", guide="| asking `is_trainable()` twice |"
)
def asking_twice(pamiq: Pamiq) -> Any:
    """asked twice while the same new items wait"""
    trainer = recording(pamiq.Trainer, "trainer", [], "items", 0, 1)
    connected(pamiq, trainer, 1)
    return trainer.is_trainable(), trainer.is_trainable()


@probe("Trainer", differs="is refused, with the reason", guide="| `Trainer(min_buffer_size=3)` without")
def condition_without_buffer(pamiq: Pamiq) -> Any:
    """`min_buffer_size` without a buffer's name"""
    return accepted(recording, pamiq.Trainer, "trainer", [], None, 3)


@probe(
    "Trainer", differs="an unknown name is an error at start, not in the first training", guide="| a trainer's buffer"
)
def condition_unknown(pamiq: Pamiq) -> Any:
    """a condition on a buffer that is not there, when attached"""
    trainer = recording(pamiq.Trainer, "trainer", [], "other", 3)
    return accepted(connected, pamiq, trainer)


@probe("Trainer.teardown", differs="what was set up is torn down", guide="| `Trainer.teardown` after")
def failing_training(pamiq: Pamiq) -> Any:
    """a `train` that fails: what is called"""
    log: list[str] = []

    def train(self: Any) -> None:
        raise OverflowError

    trainer = recording(pamiq.Trainer, "trainer", log, train=train)
    connected(pamiq, trainer)
    log.clear()
    return attempt(trainer.run), log


@probe("Trainer.save_state", "Trainer.load_state")
def trainer_state(pamiq: Pamiq, path: Path) -> Any:
    """after a restart, what was learnt from is not new; two more items are"""

    def start() -> tuple[Any, Any, Any]:
        trainer = recording(pamiq.Trainer, "trainer", [], "items", 0, 2)
        buffers = {"items": pamiq.data.impls.SequentialBuffer(9)}
        parts = pamiq.testing.connect_components(trainers=trainer, buffers=buffers)
        return trainer, parts.data_users, parts.data_collectors.acquire("items")

    with own_time(pamiq) as time:
        trainer, users, collector = start()
        collector.collect(1)
        collector.collect(2)
        answers = [trainer.run()]
        trainer.save_state(path / "trainer")
        users.save_state(path / "data")

        trainer, users, collector = start()
        trainer.load_state(path / "trainer")
        users.load_state(path / "data")
        answers.append(trainer.run())
        for number in (3, 4):
            time.fixed_sleep(0.001)
            collector.collect(number)
            answers.append(trainer.run())
        return answers, users["items"].get_data()


@probe("Trainer.save_state", differs="the state's content is a matter of the package", guide="| format |")
def trainer_files(pamiq: Pamiq, path: Path) -> Any:
    """files of a trainer's state"""
    recording(pamiq.Trainer, "trainer", []).save_state(path / "trainer")
    return files_in(path)


TRAINERS_DICT = ("attach_training_models", "attach_data_users", "on_paused", "on_resumed", "save_state", "load_state")


@probe("trainer.TrainersDict", *[f"trainer.TrainersDict.{method}" for method in TRAINERS_DICT])
def trainers_dict(pamiq: Pamiq, path: Path) -> Any:
    """hooks reach all trainers, in order"""
    log: list[str] = []
    trainers = pamiq.trainer.TrainersDict({name: recording(pamiq.Trainer, name, log) for name in ("b", "a")})
    trainers.attach_training_models(pamiq.model.TrainingModelsDict())
    trainers.attach_data_users(pamiq.data.DataUsersDict())
    trainers.on_paused()
    trainers.on_resumed()
    trainers.save_state(path / "trainers")
    trainers.load_state(path / "trainers")
    return log, list(trainers)
