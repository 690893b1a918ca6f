"""The commands that are typed at the prompt and given by hot keys, carried out."""

from __future__ import annotations

from ..web import ControlClient
from .text import as_rows, in_columns, printable


async def carry_out(client: ControlClient, name: str) -> str:
    """Have the system carry out a command; gives what to tell the one who gave it."""
    match name:
        case "pause":
            await client.pause()
            return "paused"
        case "resume":
            await client.resume()
            return "resumed"
        case "save":
            return f"saved {printable(await client.save_state())}"
        case "shutdown":
            await client.shutdown()
            return "ended"
        case "status":
            return in_columns(as_rows(await client.report()))
        case _:
            raise ValueError(f"there is no command {name!r}")
