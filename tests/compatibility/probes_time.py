"""System time, and what is done at intervals of it."""

from __future__ import annotations

import threading
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.compatibility.probing import Group, accepted, attempt, let_pass, own_time

probe = Group("Time and schedulers")

Pamiq = ModuleType

CLOCKS = ("time", "perf_counter", "monotonic")


@probe("time", *[f"time.{clock}" for clock in CLOCKS], "time.fixed_time", "time.fixed_sleep")
def clocks(pamiq: Pamiq) -> Any:
    """all clocks go on; the fixed ones are the real ones"""
    import time as real

    before = [getattr(pamiq.time, clock)() for clock in CLOCKS]
    pamiq.time.fixed_sleep(0.001)
    after = [getattr(pamiq.time, clock)() for clock in CLOCKS]
    moved = [a > b for a, b in zip(after, before, strict=True)]
    return moved, abs(pamiq.time.fixed_time() - real.time()) < 1


@probe("time.pause", "time.resume", "time.is_paused")
def pausing(pamiq: Pamiq) -> Any:
    """time stands still while paused, and leaves no gap; pausing twice"""
    with own_time(pamiq) as time:
        time.pause()
        time.pause()
        before = [getattr(time, clock)() for clock in CLOCKS]
        time.fixed_sleep(0.2)
        still = [getattr(time, clock)() for clock in CLOCKS] == before
        was_paused = time.is_paused()
        time.resume()
        return still, was_paused, time.is_paused(), time.monotonic() - before[2] < 0.2


@probe("time.set_time_scale", "time.get_time_scale")
def scaling(pamiq: Pamiq) -> Any:
    """system time passes faster, for all clocks"""
    with own_time(pamiq) as time:
        time.set_time_scale(1000.0)
        before = [getattr(time, clock)() for clock in CLOCKS]
        time.fixed_sleep(0.01)
        passed = [getattr(time, clock)() - b for clock, b in zip(CLOCKS, before, strict=True)]
        return time.get_time_scale(), [p >= 9.9 for p in passed]


@probe(
    "time.set_time_scale",
    differs="a ValueError, as elsewhere; an assert is gone under `python -O`",
    guide="| a time scale of",
)
def bad_scale(pamiq: Pamiq) -> Any:
    """a scale of 0"""
    with own_time(pamiq) as time:
        return accepted(time.set_time_scale, 0.0)


@probe("time.sleep")
def sleeping(pamiq: Pamiq) -> Any:
    """sleeps in system time"""
    with own_time(pamiq) as time:
        time.set_time_scale(100.0)
        real, system = time.fixed_time(), time.perf_counter()
        time.sleep(secs=1.0)
        return time.perf_counter() - system >= 1.0, time.fixed_time() - real < 0.9


@probe("time.sleep", differs="a sleep begun while paused waits", guide="| `time.sleep` begun during a pause |")
def sleeping_while_paused(pamiq: Pamiq) -> Any:
    """begun during a pause: does it come back before time goes on?"""
    with own_time(pamiq) as time:
        time.pause()
        slept = threading.Event()

        def sleeper() -> None:
            time.sleep(0.001)
            slept.set()

        thread = threading.Thread(target=sleeper)
        thread.start()
        came_back = slept.wait(0.1)
        time.resume()
        thread.join()
        return came_back


@probe(
    "time.sleep", differs="goes on after resume with what was left", guide="| `time.sleep` that a pause interrupts |"
)
def pausing_a_sleep(pamiq: Pamiq) -> Any:
    """a pause of 0.2 s within a sleep of 0.1 s: is it longer than the pause?"""
    with own_time(pamiq) as time:
        began = time.fixed_time()
        thread = threading.Thread(target=time.sleep, args=(0.1,))
        thread.start()
        time.fixed_sleep(0.01)
        time.pause()
        time.fixed_sleep(0.2)
        time.resume()
        thread.join()
        return time.fixed_time() - began > 0.25


@probe("time.state_dict", "time.load_state_dict")
def time_state(pamiq: Pamiq) -> Any:
    """loaded 1000 s later than saved, all clocks are moved by that"""
    with own_time(pamiq) as time:
        time.pause()
        before = [getattr(time, clock)() for clock in CLOCKS]
        state = time.state_dict()
        time.load_state_dict(state_dict={key: value + 1000 for key, value in state.items()})
        moved = [round(getattr(time, clock)() - b) for clock, b in zip(CLOCKS, before, strict=True)]
        time.load_state_dict(state)
        return moved


@probe(
    "time.TimeController.TimeControllerState",
    differs="a matter of the package, as all that is saved",
    guide="| format |",
)
def keys_of_the_state(pamiq: Pamiq) -> Any:
    """what a clock's state consists of"""
    return sorted(pamiq.time.state_dict())


@probe(
    "time.get_global_time_controller",
    "time.TimeController",
    *[f"time.TimeController.{name}" for name in (*CLOCKS, "sleep", "pause", "resume", "is_paused")],
    *[f"time.TimeController.{name}" for name in ("set_time_scale", "get_time_scale")],
)
def controller(pamiq: Pamiq) -> Any:
    """the module's functions are those of one controller; another one is on its own"""
    with own_time(pamiq) as time:
        other = time.TimeController()
        other.sleep(0.0)
        other.set_time_scale(2.0)
        time.get_global_time_controller().pause()
        answers = [time.is_paused(), other.is_paused(), other.get_time_scale(), time.get_time_scale()]
        other.pause()
        stands = [getattr(other, clock)() == getattr(other, clock)() for clock in CLOCKS]
        other.resume()
        return answers, stands


@probe(*[f"time.TimeController.{name}" for name in ("state_dict", "load_state_dict", "save_state", "load_state")])
def controller_state(pamiq: Pamiq, path: Path) -> Any:
    """saved and loaded by another controller"""
    saved, loaded = pamiq.time.TimeController(), pamiq.time.TimeController()
    saved.load_state_dict({key: value + 5000 for key, value in saved.state_dict().items()})
    saved.save_state(path / "time")
    loaded.load_state(path / "time")
    return round(loaded.monotonic() - pamiq.time.TimeController().monotonic(), -2)


# --- Schedulers -----------------------------------------------------------------------------------


def schedulers(name: str) -> list[str]:
    return [f"utils.schedulers.{name}{member}" for member in ("", ".update", ".is_available")]


def always(pamiq: Pamiq, *args: Any) -> Any:
    class Always(pamiq.utils.schedulers.Scheduler):
        def is_available(self) -> bool:
            return True

        def update(self) -> None:
            super().update()

    return Always(*args)


@probe("utils", "utils.schedulers", "utils.schedulers.Callback", *schedulers("Scheduler"))
def own_scheduler(pamiq: Pamiq) -> Any:
    """its callbacks run when it is available: one, or several in order; it is abstract"""
    calls: list[str] = []
    always(pamiq, lambda: calls.append("one")).update()
    always(pamiq, [lambda: calls.append("first"), lambda: calls.append("second")]).update()
    return calls, attempt(pamiq.utils.schedulers.Scheduler)


@probe("utils.schedulers.Scheduler.register_callback", "utils.schedulers.Scheduler.remove_callback")
def callbacks(pamiq: Pamiq) -> Any:
    """added and removed; one removed that was not there"""
    calls: list[str] = []
    scheduler = always(pamiq)
    scheduler.update()

    def second() -> None:
        calls.append("second")

    scheduler.register_callback(lambda: calls.append("first"))
    scheduler.register_callback(second)
    scheduler.update()
    scheduler.remove_callback(second)
    scheduler.update()
    return calls, attempt(scheduler.remove_callback, second)


@probe(*schedulers("StepIntervalScheduler"))
def steps(pamiq: Pamiq) -> Any:
    """every third update; an interval of 0"""
    calls: list[int] = []
    scheduler = pamiq.utils.schedulers.StepIntervalScheduler(3, lambda: calls.append(1))
    counts = []
    for _ in range(7):
        scheduler.update()
        counts.append((len(calls), scheduler.is_available()))
    return counts, attempt(pamiq.utils.schedulers.StepIntervalScheduler, 0)


@probe(*schedulers("TimeIntervalScheduler"))
def times(pamiq: Pamiq) -> Any:
    """at once; when the interval of system time has passed; right after that; a negative interval"""
    calls: list[int] = []
    with own_time(pamiq) as time:
        time.pause()
        scheduler = pamiq.utils.schedulers.TimeIntervalScheduler(50.0, callbacks=[lambda: calls.append(1)])
        answers: list[Any] = [scheduler.is_available()]
        scheduler.update()
        let_pass(time, 60.0)
        answers.append(scheduler.is_available())
        scheduler.update()
        answers.append(scheduler.is_available())
    return answers, len(calls), attempt(pamiq.utils.schedulers.TimeIntervalScheduler, -1.0)
