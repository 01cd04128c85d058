"""Find a function by its place, "module:name", only when it is wanted: tables need no NumPy."""

from importlib import import_module
from typing import Any


def look_up(place: str) -> Any:
    """What stands at "module:name"."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
