"""What is said to the front beside networks and images: read as the scripts read their options."""

import argparse
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias, TypeVar

from goodnet.cli import options
from goodnet.errors import Unusable
from goodnet.memory import Limits, find_memory
from goodnet.pixels import AS_IN_FILE, Range, Scaling
from goodnet.vetting.classes import list_classes
from goodnet.vetting.reading import Reading

KeyNames: TypeAlias = str | tuple[str, str]  # "images,labels", or both names
# The file that lists all classes, or their names in the network's order.
ClassNames: TypeAlias = str | os.PathLike[str] | Iterable[str]
Value = TypeVar("Value")


def as_option(argparse_type: Callable[[str], Value], name: str, value: object) -> Value:
    """A value as a script reads it from its command line. Raises Unusable where it is none."""
    try:
        return argparse_type(str(value))
    except argparse.ArgumentTypeError as error:
        raise Unusable(f"argument {name}: {error}") from None


def reading_of(keys: KeyNames | None, classes: ClassNames | None) -> Reading:
    """How files and folders are read: what --keys and --classes say, or the names themselves.

    Raises Unusable where it is no such thing.
    """
    named = listed = None
    if keys is not None:
        named = as_option(
            options.keys, "keys", keys if isinstance(keys, str) else ",".join(map(str, keys))
        )
    if isinstance(classes, str | os.PathLike):
        listed = as_option(options.classes, "classes", os.fspath(classes))
    elif classes is not None:
        listed = list_classes(Path("classes"), classes)
    return Reading(named, listed)


def limits_of(batch_size: int) -> Limits:
    """What a run may use. Raises Unusable where it is no such number of images."""
    return Limits(find_memory(), as_option(options.positive_int, "batch_size", batch_size))


def scaling_of(pixels: str | None, scale: float | None) -> Scaling | Range:
    """What --pixels or --scale say. Raises Unusable where it is no such thing, or both are given"""
    if pixels is not None and scale is not None:
        raise Unusable("argument scale: not allowed with argument pixels")
    if pixels is not None:
        return as_option(options.pixel_range, "pixels", pixels)
    return AS_IN_FILE if scale is None else as_option(options.scale, "scale", scale)
