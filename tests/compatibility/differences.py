"""Names that are not here, or take other arguments, and why; each with words of the guide that tell users."""

from __future__ import annotations

# Below a name that is not here nothing is.
NOT_HERE = {
    "console.Console": ("`pamiq-async console` is another program", "| `console.Console`"),
    "console.ControlCommands": ("the inside of pamiq-core's server", "| `console.WebApiServer`"),
    "console.SystemStatus": ("it is `SystemStatus`", "| `console.SystemStatus` |"),
    "console.SystemStatusProvider": ("the inside of pamiq-core's server", "| `console.WebApiServer`"),
    "console.WebApiClient": ("`web.BlockingControlClient` and `web.ControlClient`", "| `console.WebApiClient` |"),
    "console.WebApiServer": ("the inside of pamiq-core's server", "| `console.WebApiServer`"),
    "console.cui": ("a module's name", "| names of inner modules |"),
    "console.system_status": ("a module's name", "| names of inner modules |"),
    "console.web_api": ("a module's name", "| names of inner modules |"),
    "data.impls.random_replacement_buffer": ("a module's name", "| names of inner modules |"),
    "data.impls.sequential_buffer": ("a module's name", "| names of inner modules |"),
    "data.interface.TimestampingQueue": ("the inside of a collector", "| `data.interface.TimestampingQueue` |"),
    "gym.types.EnvOutput": ("a type of no use by itself", "| `gym.types.EnvOutput`"),
    "interaction.event_mixin": ("a module's name", "| names of inner modules |"),
    "thread": ("the machinery of pamiq-core's threads", "| `thread`"),
    "time.TimeController.with_lock": ("reading time takes no lock", "`TimeController.with_lock` |"),
    "trainer.base": ("a module's name", "| names of inner modules |"),
    "utils.reflection": ("the inside of pamiq-core's logging", "| `utils.reflection` |"),
    "utils.schedulers.CallbackIterable": ("a type of no use by itself", "`utils.schedulers.CallbackIterable` |"),
}

SIGNATURES = {
    "launch": ("the older signature is the specification", "| third argument |"),
    "LaunchConfig": ("the older signature is the specification", "| fields of `LaunchConfig` |"),
    "gym.GymEnvironment": ("positionally all is the same", "| `GymEnvironment(env="),
}
