from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from pamiq_async.torch.versions import VersionLock


def until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0)


def test_a_change_is_made_at_once_when_nobody_reads() -> None:
    made_by: list[int] = []
    VersionLock().change(lambda: made_by.append(threading.get_ident()))
    assert made_by == [threading.get_ident()]


def test_readers_do_not_wait_for_one_another(threads: ThreadPoolExecutor) -> None:
    lock = VersionLock()
    both_read = threading.Barrier(2)

    def read() -> None:
        with lock:
            both_read.wait(20)

    for reader in [threads.submit(read), threads.submit(read)]:
        reader.result()


def test_a_change_is_made_by_the_reader_that_it_waits_for(threads: ThreadPoolExecutor) -> None:
    lock = VersionLock()
    made_by: list[int] = []
    with lock:
        change = threads.submit(lock.change, lambda: made_by.append(threading.get_ident()))
        until(lambda: lock._due is not None)
        assert made_by == []
    assert made_by == [threading.get_ident()]  # on leaving, with no other thread needed for it
    change.result()


def test_a_change_waits_for_the_last_reader(threads: ThreadPoolExecutor) -> None:
    lock = VersionLock()
    made: list[str] = []
    has_entered, may_leave = threading.Event(), threading.Event()

    def read() -> None:
        with lock:
            has_entered.set()
            assert may_leave.wait(20)

    with lock:
        reader = threads.submit(read)
        assert has_entered.wait(20)
        change = threads.submit(lock.change, lambda: made.append("change"))
        until(lambda: lock._due is not None)
    assert made == []
    may_leave.set()
    change.result()
    reader.result()
    assert made == ["change"]


def test_readers_that_come_later_see_what_a_due_change_makes(threads: ThreadPoolExecutor) -> None:
    lock = VersionLock()
    version = ["old"]
    came = threading.Event()

    def read() -> str:
        came.set()
        with lock:
            return version[0]

    with lock:
        change = threads.submit(lock.change, lambda: version.__setitem__(0, "new"))
        until(lambda: lock._due is not None)
        late = threads.submit(read)
        assert came.wait(20)
    assert late.result() == "new"
    change.result()


def test_who_reads_already_may_read_within_that_even_if_a_change_is_due(threads: ThreadPoolExecutor) -> None:
    lock = VersionLock()
    made: list[str] = []
    with lock:
        change = threads.submit(lock.change, lambda: made.append("change"))
        until(lambda: lock._due is not None)
        with lock:
            pass
        assert made == []
    change.result()


def test_changes_are_made_one_after_the_other(threads: ThreadPoolExecutor) -> None:
    lock = VersionLock()
    made: list[int] = []
    with lock:
        first = threads.submit(lock.change, lambda: made.append(1))
        until(lambda: lock._due is not None)
        is_asking = threading.Event()
        second = threads.submit(lambda: (is_asking.set(), lock.change(lambda: made.append(2))))
        assert is_asking.wait(20)
    first.result()
    second.result()
    assert made == [1, 2]


def test_an_error_goes_to_who_asked_for_the_change_not_to_the_reader(threads: ThreadPoolExecutor) -> None:
    lock = VersionLock()

    def fail() -> None:
        raise LookupError("no memory")

    with lock:
        change = threads.submit(lock.change, fail)
        until(lambda: lock._due is not None)
    with pytest.raises(LookupError, match="no memory"):
        change.result()
    lock.change(lambda: None)  # and nothing is left over


def test_waiting_for_oneself_is_refused() -> None:
    lock = VersionLock()
    with lock, pytest.raises(RuntimeError, match="within its own infer"):
        lock.change(lambda: None)


def test_a_reader_that_fails_leaves() -> None:
    lock = VersionLock()
    with pytest.raises(LookupError), lock:
        raise LookupError
    lock.change(lambda: None)
