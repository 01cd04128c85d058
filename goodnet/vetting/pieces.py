"""Bytes of an open file from a place on, for several threads at once, on every system."""

from collections.abc import Iterator
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO

from goodnet.errors import Unusable

if TYPE_CHECKING:
    import numpy as np

PIECE = 1 << 24  # bytes at a time
_one_at_a_time = Lock()  # a file has one position, and threads share it


def size_of(file: BinaryIO) -> int:
    """How many bytes an open file has."""
    with _one_at_a_time:
        return file.seek(0, 2)


def read_into(file: BinaryIO, target: "np.ndarray", begin: int) -> None:
    """Fill an array with the bytes of a file from there on. Raises Unusable where it has fewer."""
    _fill(file, memoryview(target.data).cast("B"), begin)


def read_pieces(file: BinaryIO, begin: int, length: int) -> Iterator[bytearray]:
    """So many bytes of a file from there on, in pieces. Raises Unusable where it has fewer."""
    for start in range(begin, begin + length, PIECE):
        piece = bytearray(min(PIECE, begin + length - start))
        _fill(file, memoryview(piece), start)
        yield piece


def _fill(file: BinaryIO, rest: memoryview, begin: int) -> None:
    while rest:
        with _one_at_a_time:
            file.seek(begin)
            got = file.readinto(rest)  # type: ignore[attr-defined]  # every binary file has it
        if not got:
            raise Unusable("cannot be read (it ends too early)")
        rest, begin = rest[got:], begin + got
