"""Helpers for components."""

from . import schedulers

__all__ = ["schedulers"]
