"""Tools for the tests of your own components. It needs no particular test runner."""

from .clock import ManualClock
from .components import ConnectedComponents, connect_components, create_mock_buffer, create_mock_models
from .contracts import BufferContract, EnvironmentContract, WrapperContract
from .running import run_steps

__all__ = [
    "BufferContract",
    "ConnectedComponents",
    "EnvironmentContract",
    "ManualClock",
    "WrapperContract",
    "connect_components",
    "create_mock_buffer",
    "create_mock_models",
    "run_steps",
]
