"""How much memory a run may use, how many images at a time fit into it, and giving some back."""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from goodnet.errors import Unusable

MOST = 4 << 30  # bytes; more makes nothing faster
BATCH_SIZE = 768  # images at a time, at most: as fast as 1024, and a sixth less memory
FEWEST = 32  # Keras's own batch: fewer may be answered otherwise
SHARE = 8  # batches that would fit, for what is read ahead, waits, or is made of a batch
LEAST_SHARE = 2  # the same where no fewer images can be taken: TensorFlow keeps what it lets go
UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
# What limits a container, in the two ways of Linux.
CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Limits:
    """What a run may use: bytes of memory, and images at a time. They change no answer."""

    memory: int
    batch_size: int = BATCH_SIZE


def find_memory() -> int:
    """Half of the machine's memory, or of what a container may use, in bytes; MOST at most."""
    found = [2 * MOST]
    with suppress(AttributeError, OSError, ValueError):  # Windows does not say it in this way
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for place in CGROUPS:
        with suppress(OSError, ValueError):  # "max" is no number
            found.append(int(Path(place).read_text()))
    return min(found) // 2


def parse_memory(text: str) -> int:
    """The bytes that a text like 4G, 4GB, 1.5GiB or 800M means. Raises ValueError otherwise."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?)(?:i?B)?", text, re.IGNORECASE)
    size = int(Fraction(match[1]) * (1 << UNITS[match[2].upper()])) if match else 0
    if size < 1:
        raise ValueError(f"{text!r} is not a size like 4G or 800M")
    return size


def say_bytes(size: int) -> str:
    """A size as `parse_memory` takes it, rounded up."""
    shift, unit = (30, "G") if size > 10 << 30 else (20, "M")
    return f"{-(-size >> shift)}{unit}"


def trim() -> None:
    """Let the system have what is free of our memory; the C library of Linux else keeps much."""
    import ctypes

    with suppress(AttributeError, OSError, TypeError):  # other systems have no such call
        ctypes.CDLL(None).malloc_trim(0)


def images_at_once(bytes_each: int, limits: Limits) -> int:
    """How many images of a network may be taken at a time: a multiple of 32, or fewer if asked for.

    bytes_each: what the network takes for an image. Raises Unusable where not even 32 fit.
    """
    least = LEAST_SHARE * FEWEST * bytes_each
    if least > limits.memory:
        raise Unusable(
            f"takes {say_bytes(bytes_each)} of memory for an image, and {FEWEST} images at a time; "
            f"that is too much for --memory {say_bytes(limits.memory)}, --memory "
            f"{say_bytes(least)} would do"
        )
    fitting = limits.memory // (SHARE * bytes_each) // FEWEST * FEWEST
    return min(limits.batch_size, max(fitting, FEWEST))
