"""An image set that is packed, read through a limited child that unpacks it.

The child leaves images in memory that this process reads as a file: plain numbers, of a length that
was agreed.
"""

import json
import subprocess
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import BinaryIO

import numpy as np

from goodnet.errors import Unusable
from goodnet.vetting.asking import Started
from goodnet.vetting.children import start_child
from goodnet.vetting.layout import Array, band_bytes
from goodnet.vetting.sharing import ask_child, make_slot, read_exactly_into, tell_child

SECONDS = 60  # by the clock, for each request
IN_MEMORY = 1 << 27  # bytes of a band; a larger one is unpacked into a file without a name

_CHILD = "from goodnet.vetting.decoder import main; main()"
_INFLATER = "from goodnet.vetting.inflating import main; main()"


@dataclass(frozen=True)
class Unpacked:
    """A child that unpacks one image set, until it is closed."""

    child: subprocess.Popen[bytes]
    slot: BinaryIO  # where it leaves images
    lock: Lock = field(default_factory=Lock)  # one request at a time

    def fill(self, pixels: np.ndarray, start: int, channels_first: bool) -> None:
        """Fill `pixels` (n, height, width, colours) float32 with the images from `start` on.

        They must fit the slot. Raises Unusable where they cannot be unpacked.
        """
        asked = {"start": int(start), "shape": pixels.shape, "channels_first": channels_first}
        with self.lock:
            said = _ask(self.child, asked)
            if said:
                raise Unusable(f"cannot be read ({said})")
            read_exactly_into(self.slot.fileno(), pixels, 0)

    def close(self) -> None:
        """End the child, and with it a request that is not answered yet."""
        self.child.kill()
        with self.lock:
            for pipe in (self.child.stdin, self.child.stdout, self.slot):
                with suppress(BrokenPipeError):
                    pipe and pipe.close()
            self.child.wait()


def start_unpacking(file: BinaryIO, array: Array, slot_bytes: int) -> Unpacked:
    """Start a child that unpacks an array of an open file, so many bytes at a time."""
    assert array.chunks
    whole = band_bytes(array)
    with ExitStack() as files:
        scratch = files.enter_context(tempfile.TemporaryFile()) if whole > IN_MEMORY else None
        if scratch:
            scratch.truncate(whole)
        slot = make_slot(slot_bytes)
        given = {
            "file": file.fileno(),
            "slot": slot.fileno(),
            "scratch": scratch and scratch.fileno(),
            "shape": array.shape,
            "dtype": array.dtype,
            "chunk": array.chunks.shape,
            "filters": array.chunks.filters,
            "table": array.chunks.table.nbytes,
        }
        descriptors = [each.fileno() for each in (file, slot, scratch) if each]
        child = start_child(_CHILD, descriptors)
    tell_child(child, [json.dumps(given).encode() + b"\n", array.chunks.table.tobytes()])
    return Unpacked(child, slot)


def inflate(file: BinaryIO, array: Array, started: Started) -> BinaryIO:
    """The values of an array that is packed in one piece, as a file without a name, as they are.

    started: is told of the child, so that it can be ended with the command. Raises Unusable where
    they cannot be unpacked.
    """
    whole = array.total_bytes
    if whole <= IN_MEMORY:
        made = make_slot(whole)
    else:
        made = tempfile.TemporaryFile(buffering=0)
        made.truncate(whole)
    given = {
        "file": file.fileno(),
        "into": made.fileno(),
        "shape": array.shape,
        "dtype": array.dtype,
        "packed": array.packed,
    }
    child = start_child(_INFLATER, [file.fileno(), made.fileno()])
    started(child)
    with child:
        said = _ask(child, given)
        child.kill()
    if said:
        made.close()
        raise Unusable(f"cannot be read ({said})")
    return made


def _ask(child: subprocess.Popen[bytes], asked: dict) -> str:
    """What the child answers to a request: "" where it is done."""
    try:
        said = ask_child(child, asked, SECONDS)
    except Unusable as error:
        return f"unpacking it {error}"
    if not isinstance(said, str):
        return "unpacking it went wrong"
    return "".join(char if char.isprintable() else "?" for char in said[:200])
