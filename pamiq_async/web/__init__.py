"""Steering a system over HTTP, on its own loop.

`LaunchConfig.web_api_address` serves the calls on an address of their own. To have them in an aiohttp application that
you already have, mount `control_app`; `cleanup_ctx` starts an agent with the application and ends it with it.
"""

from .app import SYSTEM, Controllable, cleanup_ctx, control_app

__all__ = ["SYSTEM", "Controllable", "cleanup_ctx", "control_app"]
