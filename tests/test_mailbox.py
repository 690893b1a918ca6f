from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pamiq_async.mailbox import Mailbox

Make = Callable[[], Mailbox]


def bells() -> set[str]:
    """The descriptors of this process that are open eventfds."""

    def look() -> Iterator[str]:
        for descriptor in Path("/proc/self/fd").glob("*"):
            with contextlib.suppress(FileNotFoundError):  # that of the listing itself
                if "eventfd" in os.readlink(descriptor):
                    yield descriptor.name

    return set(look())


@pytest.fixture(params=["a bell", "no such thing", "no descriptor left", "a bell that can't be waited for"])
def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a mailbox on the running loop, on various machines."""

    def no_descriptor(*args: object) -> int:
        raise OSError("no space left")

    def make() -> Mailbox:
        if request.param == "no such thing":
            monkeypatch.delattr(os, "eventfd")
        elif request.param == "no descriptor left":
            monkeypatch.setattr(os, "eventfd", no_descriptor)
        elif request.param == "a bell that can't be waited for":
            monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", no_descriptor, raising=False)
        return Mailbox(asyncio.get_running_loop())

    return make


async def test_calls_are_made_on_the_loop_in_order(make: Make) -> None:
    mailbox, made, last = make(), list[tuple[int, bool]](), asyncio.Event()

    def call(number: int) -> None:
        made.append((number, asyncio.get_running_loop() is loop))
        if number == 99:
            last.set()

    loop = asyncio.get_running_loop()
    await asyncio.to_thread(lambda: [mailbox.put(call, number) for number in range(100)])
    await last.wait()
    assert made == [(number, True) for number in range(100)]
    mailbox.close()


async def test_none_is_lost_that_threads_hand_in_at_the_same_time(make: Make) -> None:
    mailbox, left, done = make(), 4 * 2000, asyncio.Event()

    def call() -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    def hand_in() -> None:
        for _ in range(2000):
            mailbox.put(call)

    await asyncio.gather(*(asyncio.to_thread(hand_in) for _ in range(4)))
    await done.wait()
    mailbox.close()


async def test_a_call_may_hand_in_another(make: Make) -> None:
    mailbox, done = make(), asyncio.Event()
    await asyncio.to_thread(lambda: mailbox.put(mailbox.put, done.set))
    await done.wait()
    mailbox.close()


async def test_a_call_that_fails_holds_no_other_up(make: Make) -> None:
    mailbox, done, errors = make(), asyncio.Event(), list[object]()

    def fail() -> None:
        raise ValueError("of a call")

    asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(context["exception"]))
    await asyncio.to_thread(lambda: [mailbox.put(fail), mailbox.put(done.set)])
    await done.wait()
    assert [str(error) for error in errors] == ["of a call"]
    mailbox.close()


async def test_a_loop_that_answers_twice_does_no_harm() -> None:
    """As one does that was interrupted in between, or runs within itself."""
    mailbox, made, done = Mailbox(asyncio.get_running_loop()), list[int](), asyncio.Event()
    mailbox.put(made.append, 1)
    if mailbox._bell is not None:  # uvloop has a way of its own
        mailbox._answer()
        mailbox._answer()
    mailbox.put(done.set)
    await done.wait()
    assert made == [1]
    mailbox.close()


async def test_closing_makes_the_calls_that_wait_and_frees_the_descriptor(make: Make) -> None:
    before, made = await asyncio.to_thread(bells), list[int]()
    mailbox = make()
    mailbox.put(made.append, 1)
    mailbox.close()
    await asyncio.sleep(0)
    assert made == [1]
    assert await asyncio.to_thread(bells) == before


async def test_a_call_after_the_end_is_made_all_the_same(make: Make) -> None:
    mailbox, done = make(), asyncio.Event()
    mailbox.close()
    await asyncio.to_thread(lambda: mailbox.put(done.set))
    await done.wait()


@pytest.mark.parametrize("closes", [True, False])
def test_nothing_comes_of_a_call_to_a_loop_that_has_closed(make: Make, closes: bool) -> None:
    made: list[int] = []

    async def main() -> Mailbox:
        mailbox = make()
        if closes:
            mailbox.close()
        return mailbox

    before = bells()
    mailbox = asyncio.run(main())
    mailbox.put(made.append, 1)
    mailbox.put(made.append, 2)
    del mailbox
    gc.collect()
    assert made == []
    assert bells() == before
