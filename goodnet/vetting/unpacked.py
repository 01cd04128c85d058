"""An image set that is stored in chunks, read through a limited child that unpacks it.

The child leaves images in memory that this process reads as a file: plain numbers, of a length that
was agreed. Nothing else is taken from it but one line for each request.
"""

import fcntl
import json
import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import BinaryIO

import numpy as np

from goodnet.errors import Unusable
from goodnet.vetting.children import start_child
from goodnet.vetting.layout import Array, band_bytes

SECONDS = 60  # by the clock, for each request
IN_MEMORY = 1 << 27  # bytes of a band; a larger one is unpacked into a file without a name
LONGEST_ANSWER = 1 << 12  # bytes

_CHILD = "from goodnet.vetting.decoder import main; main()"


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
            said = _ask(self.child, json.dumps(asked).encode() + b"\n")
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
        slot = _make_slot(slot_bytes)
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
    _tell(child, [json.dumps(given).encode() + b"\n", array.chunks.table.tobytes()])
    return Unpacked(child, slot)


def _make_slot(size: int) -> BinaryIO:
    """Memory to share, as a file that nobody can make shorter where the system can see to that."""
    if not hasattr(os, "memfd_create"):
        slot = tempfile.TemporaryFile(buffering=0)
        slot.truncate(size)
        return slot
    slot = os.fdopen(os.memfd_create("images", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "r+b", 0)
    slot.truncate(size)
    fcntl.fcntl(slot, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return slot


def _tell(child: subprocess.Popen[bytes], parts: Iterable[bytes]) -> None:
    assert child.stdin
    try:
        for part in parts:
            child.stdin.write(part)
        child.stdin.flush()
    except BrokenPipeError:
        pass  # it has ended: its answer will be missing


def _ask(child: subprocess.Popen[bytes], line: bytes) -> str:
    """What the child answers to a request: "" where it is done."""
    assert child.stdout
    _tell(child, [line])
    answer, deadline = b"", time.monotonic() + SECONDS
    with selectors.DefaultSelector() as waiting:
        waiting.register(child.stdout, selectors.EVENT_READ)
        while not answer.endswith(b"\n") and len(answer) < LONGEST_ANSWER:
            ready = waiting.select(max(0.0, deadline - time.monotonic()))
            piece = os.read(child.stdout.fileno(), LONGEST_ANSWER) if ready else b""
            if not piece:
                child.kill()
                return f"unpacking it crashes or takes more than {SECONDS} seconds"
            answer += piece
    try:
        said = json.loads(answer)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, str):
        return "unpacking it went wrong"
    return "".join(char if char.isprintable() else "?" for char in said[:200])


def read_exactly_into(file: int, target: np.ndarray, begin: int) -> None:
    """Fill an array with the bytes of a file from there on. Raises Unusable where it has fewer."""
    rest = memoryview(target.data).cast("B")
    while rest:
        got = os.preadv(file, [rest], begin)
        if not got:
            raise Unusable("cannot be read (it ends too early)")
        rest, begin = rest[got:], begin + got
