"""The last thing that a system does: save what it has come to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..exceptions import ShutdownTimeout
from ..hooks import Lane
from ..roles import Role, beside_roles
from .ending import Ending
from .states import Draft, States


async def save_final_state(states: States, ending: Ending, roles: Iterable[Role], policies: Lane) -> None:
    """Save, and apply retention; whatever prevents it is recorded as an error of the end.

    Components have the time that `ending` gives them; then the lanes of `roles` are given up, and no state is saved.
    The retention policy runs on the lane `policies`.
    """
    draft = await ending.bounded(_capture(states), "while saving the final state", roles)
    if draft is None:
        if ending.error is None:
            ending.record(ShutdownTimeout("no final state was saved in time"), "while saving the final state")
        return
    try:
        path = await states.commit(draft, "shutdown" if ending.error is None else "error")
    except Exception as error:
        ending.record(error, "while saving the final state")
        with beside_roles(policies):
            await ending.bounded(states.tell_keeper_of_doubt(error), "in states_keeper", [])
    else:
        with beside_roles(policies):
            await ending.bounded(_retain(states, path), "in states_keeper", [])


async def _capture(states: States) -> Draft:
    draft = await states.capture()
    await states.write(draft)
    return draft


async def _retain(states: States, path: Path) -> None:
    await states.tell_keeper(path)
    await states.clean_up()
