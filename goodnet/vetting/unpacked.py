"""An image set that is packed, read through a limited child that unpacks it.

The child is sent bytes of the file and answers plain numbers, as many as were agreed. Nothing else
is taken from it but one line for each request.
"""

import json
import math
import tempfile
import time
from dataclasses import dataclass, field
from threading import Lock
from typing import BinaryIO, cast

import numpy as np

from goodnet.errors import Unusable
from goodnet.vetting.asking import Started
from goodnet.vetting.children import Child, Most, start_child
from goodnet.vetting.layout import LARGEST_CHUNK, Array, band_bytes, order_axes

SECONDS = 60  # by the clock, for each request
IN_MEMORY = 1 << 27  # bytes of a band; a larger one is unpacked into a file without a name
PIECE = 1 << 24  # bytes of an array that are taken at a time
MEMORY = 1 << 30  # bytes for the child, and as many as unpacking takes
LONGEST_SAID = 200  # characters
LONGEST_ANSWER = 1 << 20  # bytes of a line: as it asks for chunks, it says where each is

_CHILD = "from goodnet.vetting.decoder import main; main()"
_INFLATER = "from goodnet.vetting.inflating import main; main()"


@dataclass(frozen=True)
class Unpacked:
    """A child that unpacks one image set, until it is closed."""

    child: Child
    file: BinaryIO
    array: Array
    lock: Lock = field(default_factory=Lock)  # one request at a time

    def fill(self, pixels: np.ndarray, start: int, channels_first: bool) -> None:
        """Fill `pixels` (n, height, width, colours) float32 with the images from `start` on."""
        stored = self.read(start, len(pixels))
        with np.errstate(over="ignore"):  # what becomes infinite is told by who judges pixels
            pixels[...] = order_axes(stored, channels_first)

    def read(self, start: int, count: int) -> np.ndarray:
        """So many images from `start` on, as they are stored. Raises Unusable where that fails."""
        with self.lock:
            self.child.deadline = time.monotonic() + SECONDS
            self.child.tell(json.dumps({"start": int(start), "count": count}).encode() + b"\n")
            said, whole = _serve(self.child, self.file), count * self.array.row_bytes
            values = b"" if said else self.child.hear_bytes(whole)
            self.child.deadline = math.inf
        if len(values) < whole:
            raise Unusable(f"cannot be read ({said or _stopped()})")
        return np.frombuffer(values, self.array.dtype).reshape(count, *self.array.shape[1:])

    def close(self) -> None:
        """End the child, and with it a request that is not answered yet."""
        self.child.kill()
        with self.lock:
            self.child.end()


def _serve(child: Child, file: BinaryIO) -> str:
    """What the child answers at last, when it has got the bytes that it asked for."""
    try:
        answer = child.hear_answer([file], LONGEST_ANSWER)
    except Unusable:  # the file has become shorter
        child.kill()
        raise
    match answer:
        case {"said": str(said)}:
            return "".join(char if char.isprintable() else "?" for char in said[:LONGEST_SAID])
    child.kill()
    return _stopped() if answer is None else "unpacking it went wrong"


def _stopped() -> str:
    return f"unpacking it crashes or takes more than {SECONDS} seconds"


def start_unpacking(file: BinaryIO, array: Array, started: Started) -> Unpacked:
    """Start a child that unpacks an array of an open file; `started` is told of it at once."""
    assert array.chunks
    whole, table = band_bytes(array), array.chunks.table
    settings = {
        "scratch": whole if whole > IN_MEMORY else 0,
        "shape": array.shape,
        "dtype": array.dtype,
        "chunk": array.chunks.shape,
        "filters": array.chunks.filters,
        "table": table.nbytes,
    }
    most = Most(MEMORY + 4 * LARGEST_CHUNK + 2 * whole)
    child = start_child(_CHILD, most, settings, started)
    child.tell(table.tobytes())
    return Unpacked(child, file, array)


def inflate(file: BinaryIO, array: Array, started: Started) -> BinaryIO:
    """The values of an array that is packed in one piece, as a file without a name, as they are.

    started: is told of the child, so that it can be ended with the command. Raises Unusable where
    they cannot be unpacked.
    """
    settings = {"shape": array.shape, "dtype": array.dtype, "packed": array.packed}
    whole = array.total_bytes
    child = start_child(_INFLATER, Most(MEMORY + 2 * whole), settings, started)
    child.deadline = time.monotonic() + SECONDS
    made = cast(BinaryIO, tempfile.SpooledTemporaryFile(IN_MEMORY))
    try:
        said = _serve(child, file)
        while not said and (left := whole - made.tell()):
            made.write(piece := child.hear_bytes(min(PIECE, left)))
            said = "" if piece else _stopped()
        if said:
            raise Unusable(f"cannot be read ({said})")
    except BaseException:
        made.close()
        raise
    finally:
        child.end()
    return made
