"""Helpers for components."""
