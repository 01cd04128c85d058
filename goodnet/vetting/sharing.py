"""Ask a limited child for numbers, which it leaves in memory that this process shares with it.

Nothing else is taken from it but one line for each request.
"""

import fcntl
import json
import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np

from goodnet.errors import Unusable

LONGEST_ANSWER = 1 << 12  # bytes


def make_slot(size: int) -> BinaryIO:
    """Memory to share, as a file that nobody can make shorter where the system can see to that."""
    slot = make_shared("images")
    slot.truncate(size)
    if hasattr(os, "memfd_create"):
        fcntl.fcntl(slot, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return slot


def make_shared(name: str) -> BinaryIO:
    """An empty file in memory, or where the system has none, one on the disk without a name."""
    if not hasattr(os, "memfd_create"):
        return tempfile.TemporaryFile(buffering=0)
    return os.fdopen(os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "r+b", 0)


def tell_child(child: subprocess.Popen[bytes], parts: Iterable[bytes]) -> None:
    """Write to a child. One that has ended is told nothing: its answer will be missing."""
    assert child.stdin
    try:
        for part in parts:
            child.stdin.write(part)
        child.stdin.flush()
    except BrokenPipeError:
        pass


def ask_child(child: subprocess.Popen[bytes], asked: dict, seconds: float) -> object:
    """What the child answers to a request, as JSON has it. One that takes too long is ended.

    seconds: by the clock. Raises Unusable, which says what became of the child, where it does not
    answer.
    """
    assert child.stdout
    tell_child(child, [json.dumps(asked).encode() + b"\n"])
    answer, deadline = b"", time.monotonic() + seconds
    with selectors.DefaultSelector() as waiting:
        waiting.register(child.stdout, selectors.EVENT_READ)
        while not answer.endswith(b"\n") and len(answer) < LONGEST_ANSWER:
            ready = waiting.select(max(0.0, deadline - time.monotonic()))
            piece = os.read(child.stdout.fileno(), LONGEST_ANSWER) if ready else b""
            if not piece:
                child.kill()
                raise Unusable(f"crashes or takes more than {seconds:g} seconds")
            answer += piece
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        raise Unusable("went wrong") from None


def read_exactly_into(file: int, target: np.ndarray, begin: int) -> None:
    """Fill an array with the bytes of a file from there on. Raises Unusable where it has fewer."""
    rest = memoryview(target.data).cast("B")
    while rest:
        got = os.preadv(file, [rest], begin)
        if not got:
            raise Unusable("cannot be read (it ends too early)")
        rest, begin = rest[got:], begin + got
