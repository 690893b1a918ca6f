"""Steering a system over HTTP.

`LaunchConfig.web_api_address` serves the calls on an address of their own, on the system's loop. To have them in an
aiohttp application that you already have, mount `control_app`; `cleanup_ctx` starts an agent with the application and
ends it with it.

From the other end, `ControlClient` makes the calls, and `BlockingControlClient` does so in code that blocks.
"""

from .app import SYSTEM, Controllable, Measurable, cleanup_ctx, control_app
from .client import BlockingControlClient, ControlClient

__all__ = [
    "SYSTEM",
    "BlockingControlClient",
    "ControlClient",
    "Controllable",
    "Measurable",
    "cleanup_ctx",
    "control_app",
]
