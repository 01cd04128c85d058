"""Unpack an array that HDF5 stores in chunks, without HDF5: every chunk to its exact size, or not.

HDF5 1.14 believes that a chunk unpacks to the size that it should have: what is missing is read out
of the process's own memory. Works on bytes of any origin, so it runs in limited children alone.
"""

import math
import zlib
from collections.abc import Callable, Sequence
from typing import BinaryIO

import numpy as np

from goodnet.errors import Unusable
from goodnet.vetting.layout import (
    COMPRESSORS,
    DEFLATE,
    FLETCHER32,
    SHUFFLE,
    Array,
    exact_bytes,
    grid_of,
)

CHECKSUM = 4  # bytes that fletcher32 adds
PIECE = 1 << 20  # bytes, at a time
_WORDS = 1 << 20  # of a checksum, at a time

ReadChunk = Callable[[int], bytes | bytearray]  # the chunk of that number, as it is stored
ReadBytes = Callable[[int, int], bytes | bytearray]  # so many bytes of the file from there on


def stored_bytes(filters: Sequence[int], left_out: int, exact: int) -> int | None:
    """How many bytes a chunk is stored in; None where it was compressed, so that none can say."""
    for index, code in enumerate(filters):
        if not left_out >> index & 1:
            if code in COMPRESSORS:
                return None
            exact += CHECKSUM * (code == FLETCHER32)
    return exact


def unpack_rows(read: ReadChunk, array: Array, band: int, into: np.ndarray) -> None:
    """Fill `into` (rows, …) with the rows that the chunks number `band` along the first axis hold.

    Each is read once, in order. Raises Unusable where one is damaged.
    """
    assert array.chunks
    chunk = array.chunks.shape
    grid = grid_of(array.shape, chunk)
    each = math.prod(grid[1:])
    for index in range(each):
        place = np.unravel_index(index, grid[1:])
        values = _unpack_chunk(read, array, band * each + index)
        corner = [int(at) * side for at, side in zip(place, chunk[1:], strict=True)]
        sides = (slice(at, at + side) for at, side in zip(corner, chunk[1:], strict=True))
        target = into[(slice(None), *sides)]
        target[...] = values[tuple(slice(side) for side in target.shape)]


def _unpack_chunk(read: ReadChunk, array: Array, number: int) -> np.ndarray:
    assert array.chunks
    left_out = int(array.chunks.table[number, 2])
    exact = exact_bytes(array.chunks.shape, array.item_bytes)
    content: bytes | bytearray | np.ndarray = read(number)
    filters = array.chunks.filters
    for index in reversed(range(len(filters))):
        if left_out >> index & 1:
            continue
        code, stored = filters[index], bytes(content)
        if code == SHUFFLE:
            content = _unshuffle(stored, array.item_bytes)
        elif code == FLETCHER32:
            content = _check_fletcher32(stored, number)
        else:
            need = stored_bytes(filters[:index], left_out, exact)
            if need is None:
                raise Unusable(f"chunk {number} is compressed twice")
            content = _inflate(stored, need) if code == DEFLATE else _unpack_lzf(stored, need)
    if len(content) != exact:
        raise Unusable(f"chunk {number} does not unpack to what it should hold")
    return np.frombuffer(content, array.dtype).reshape(array.chunks.shape)


def read_exactly(file: BinaryIO, begin: int, length: int) -> bytes:
    """So many bytes of a file from there on. Raises Unusable where it has fewer."""
    file.seek(begin)
    content = file.read(length)
    if len(content) < length:
        raise Unusable("the file ends too early")
    return content


def inflate_into(read: ReadBytes, array: Array, into: memoryview) -> None:
    """Fill `into` with the values of an array that is packed in one piece.

    Raises Unusable where it unpacks to other than it should.
    """
    assert array.packed
    at, length, skip, checksum = array.packed
    piece: bytes | bytearray
    stream, found, done = zlib.decompressobj(-zlib.MAX_WBITS), 0, -skip
    end = at + length
    try:
        while not stream.eof:
            piece = stream.unconsumed_tail
            if not piece:
                piece = read(at, min(PIECE, end - at))
                at += len(piece)
            made = stream.decompress(piece, PIECE)
            if not (piece or made):
                break
            found = zlib.crc32(made, found)
            values = made[max(0, -done) :]
            begin = max(0, done)
            done += len(made)
            into[begin : begin + len(values)] = values
    except (zlib.error, ValueError):
        done = -1
    if not stream.eof or done != len(into) or found != checksum or at < end:
        raise Unusable("does not unpack to what it should hold")


def _inflate(content: bytes, need: int) -> bytes:
    """Deflate, as gzip has it; nothing where it is damaged or has more than is needed."""
    stream = zlib.decompressobj()
    try:
        made = stream.decompress(content, need + 1)
    except zlib.error:
        return b""
    return made if stream.eof and len(made) == need else b""


def _unpack_lzf(content: bytes, need: int) -> bytes:
    """LZF: pieces of up to 32 bytes as they are, and pieces that were there before.

    Nothing where it is damaged or has more than is needed.
    """
    made, at, end = bytearray(), 0, len(content)
    try:
        while at < end:
            control = content[at]
            at += 1
            if control < 32:
                made += content[at : at + control + 1]
                at += control + 1
                continue
            length = control >> 5
            if length == 7:
                length += content[at]
                at += 1
            back = ((control & 31) << 8) + content[at] + 1
            at += 1
            length += 2
            begin = len(made) - back
            if begin < 0 or len(made) > need:
                return b""
            piece = made[begin : begin + length]
            made += (piece * -(-length // back))[:length] if back < length else piece
    except IndexError:
        return b""
    return bytes(made) if at == end and len(made) == need else b""


def _unshuffle(content: bytes, item: int) -> np.ndarray:
    """Bytes that were laid out as all first bytes of the items, then all second ones, and so on."""
    count = len(content) // item
    made, given = np.empty(len(content), np.uint8), np.frombuffer(content, np.uint8)
    items = made[: count * item].reshape(count, item)
    for place in range(item):  # faster than all at once
        items[:, place] = given[place * count : (place + 1) * count]
    made[count * item :] = given[count * item :]
    return made


def _check_fletcher32(content: bytes, number: int) -> bytes:
    """The bytes before a checksum, which they must have."""
    body, stored = content[:-CHECKSUM], content[-CHECKSUM:]
    if len(content) < CHECKSUM or fletcher32(body).to_bytes(CHECKSUM, "little") != stored:
        raise Unusable(f"chunk {number} does not have its checksum")
    return body


def fletcher32(content: bytes) -> int:
    """The checksum of HDF5: two sums of words of 16 bits, most significant byte first."""
    words = np.frombuffer(content + bytes(len(content) % 2), ">u2")
    first = second = 0
    for start in range(0, len(words), _WORDS):
        part = words[start : start + _WORDS].astype(np.uint64)
        # The second sum adds the first after each word, so that a word counts once for each
        # word from it on.
        behind = np.arange(len(part), 0, -1, dtype=np.uint64)
        second += first * len(part) + int((part * behind).sum())
        first += int(part.sum())
    return _fold(second) << 16 | _fold(first)


def _fold(total: int) -> int:
    """Modulo 65535, but 65535 itself for what is not 0: so do sums with the carry added."""
    return total and (total - 1) % 65535 + 1
