"""How an image set's file stores its arrays, as the limited child says it and its reader checks it.

What is said is a line of JSON, then bytes of lengths that the line tells: no library for files is
needed to read that, and a child that was taken over can say nothing here but numbers within bounds.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from goodnet.errors import Unusable
from goodnet.vetting.contents import NUMBERS

MOST_IMAGES = 1 << 22
MOST_CHUNKS = 1 << 22
LARGEST_CHUNK = 1 << 28  # bytes
LARGEST_BAND = 1 << 31  # bytes: the chunks that have one image in common, unpacked
MOST_BYTES = 1 << 62  # of an array: beyond what any file has
LONGEST_NAME = 200  # characters
PLAIN_TYPES = tuple(name for name in NUMBERS if name != "|b1")
DEFLATE, SHUFFLE, FLETCHER32, LZF = 1, 2, 3, 32000  # as HDF5 counts its filters
COMPRESSORS = (DEFLATE, LZF)
FILTERS = (*COMPRESSORS, SHUFFLE, FLETCHER32)


@dataclass(frozen=True)
class Chunks:
    """An array in pieces that are packed one by one.

    table: (chunks, 3) int64, where each begins in the file, its bytes there, and a bit for each
    filter that it was not put through; in the order of the pieces in the array.
    """

    shape: tuple[int, ...]  # of every piece
    filters: tuple[int, ...]  # in the order in which they were applied
    table: np.ndarray


class Packed(NamedTuple):
    """An array that is deflated in one piece, behind a header that is deflated with it."""

    begin: int  # in the file
    length: int  # in the file
    skip: int  # bytes of the header, unpacked
    checksum: int  # CRC-32 of all that is unpacked


@dataclass(frozen=True)
class Array:
    """An array and where its values are: at an offset in the file, in chunks, packed, or here.

    None of the four is told of an array that is of no use: not of plain numbers, or no images.
    """

    shape: tuple[int, ...]
    dtype: str  # one of PLAIN_TYPES, or words for what it is instead
    name: str = ""  # in the file
    offset: int | None = None
    chunks: Chunks | None = None
    packed: Packed | None = None
    content: bytes | None = field(default=None, repr=False)

    @property
    def is_plain(self) -> bool:
        return self.dtype in PLAIN_TYPES

    @property
    def item_bytes(self) -> int:
        return int(self.dtype[2:])

    @property
    def row_bytes(self) -> int:
        """The bytes of one image, or one label."""
        return math.prod(self.shape[1:]) * self.item_bytes

    @property
    def total_bytes(self) -> int:
        return math.prod(self.shape) * self.item_bytes


@dataclass(frozen=True)
class Layout:
    """What an image set's file holds; None for what it does not."""

    is_network: bool
    data: Array | None
    label: Array | None


def exact_bytes(chunks_shape: Sequence[int], item_bytes: int) -> int:
    """The bytes of a chunk, unpacked."""
    return math.prod(chunks_shape) * item_bytes


def grid_of(shape: Sequence[int], chunk: Sequence[int]) -> tuple[int, ...]:
    """How many chunks lie along each axis."""
    return tuple(-(-side // step) for side, step in zip(shape, chunk, strict=True))


def order_axes(images: np.ndarray, channels_first: bool) -> np.ndarray:
    """Images as stored, as (n, height, width, colours); where no axis is of colours, one is."""
    if images.ndim == 3:
        return images[..., np.newaxis]
    return images.transpose(0, 2, 3, 1) if channels_first else images


def band_bytes(array: Array) -> int:
    """The bytes of the images that share their chunks, unpacked."""
    assert array.chunks
    return min(array.chunks.shape[0], array.shape[0]) * array.row_bytes


def write_layout(layout: Layout) -> bytes:
    """A layout as the child says it."""
    arrays = (layout.data, layout.label)
    said = {
        "network": layout.is_network,
        "data": layout.data and _describe(layout.data),
        "label": layout.label and _describe(layout.label),
    }
    tails = [part for array in arrays if array for part in (_content(array), _table(array))]
    return json.dumps(said).encode() + b"\n" + b"".join(tails)


def _describe(array: Array) -> dict:
    chunks = array.chunks
    return {
        "shape": array.shape,
        "dtype": array.dtype,
        "name": array.name,
        "packed": array.packed,
        "offset": array.offset,
        "content": len(array.content) if array.content is not None else None,
        "chunks": chunks
        and {"shape": chunks.shape, "filters": chunks.filters, "count": len(chunks.table)},
    }


def _content(array: Array) -> bytes:
    return array.content or b""


def _table(array: Array) -> bytes:
    return array.chunks.table.astype("<i8").tobytes() if array.chunks else b""


def read_layout(said: bytes, size: int) -> Layout:
    """A layout that the child has said of a file of `size` bytes, checked.

    Raises Unusable where it is no such thing, or names bytes that the file does not have.
    """
    try:
        end = said.index(b"\n")
        top = json.loads(said[:end])
        tail = memoryview(said)[end + 1 :]
        found = []
        for name in ("data", "label"):
            array = top[name] and _read_array(top[name], tail, size)
            tail = tail[len(_content(array)) + len(_table(array)) :] if array else tail
            found.append(array)
        _require(type(top["network"]) is bool and not len(tail))
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        raise Unusable("is damaged: what was found in it makes no sense") from None
    return Layout(top["network"], *found)


def _require(so: bool) -> None:
    if not so:
        raise ValueError


def _whole(value: object, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ValueError
    return value


def _shape(value: list, low: int = 0) -> tuple[int, ...]:
    _require(type(value) is list and len(value) <= 32)
    return tuple(_whole(side, low, MOST_BYTES) for side in value)


def _read_array(said: dict, tail: memoryview, size: int) -> Array:
    shape, dtype, name = _shape(said["shape"]), said["dtype"], said["name"]
    _require(isinstance(dtype, str) and dtype.isascii() and dtype.isprintable())
    _require(len(dtype) <= 100 and isinstance(name, str) and len(name) <= LONGEST_NAME)
    array = Array(shape, dtype, name)
    places = ("offset", "content", "chunks", "packed")
    told = [place for place in places if said[place] is not None]
    if not told:
        return array
    (place,) = told
    _require(array.is_plain and array.total_bytes <= MOST_BYTES and 0 < shape[0] <= MOST_IMAGES)
    if place == "offset":
        return replace(array, offset=_whole(said["offset"], 0, size - array.total_bytes))
    if place == "content":
        _require(_whole(said["content"], 0, len(tail)) == array.total_bytes)
        return replace(array, content=bytes(tail[: array.total_bytes]))
    if place == "packed":
        return replace(array, packed=_read_packed(array, said["packed"], size))
    return replace(array, chunks=_read_chunks(array, said["chunks"], tail, size))


def _read_packed(array: Array, said: list, size: int) -> Packed:
    packed = Packed(*(_whole(number, 0, MOST_BYTES) for number in said))
    _require(packed.begin <= size - packed.length and packed.checksum < 1 << 32)
    _require(array.total_bytes <= LARGEST_BAND and packed.skip <= LARGEST_CHUNK)
    return packed


def _read_chunks(array: Array, said: dict, tail: memoryview, size: int) -> Chunks:
    shape = _shape(said["shape"], 1)
    filters = tuple(said["filters"])
    _require(len(shape) == len(array.shape) and len(filters) <= 8 and set(filters) <= set(FILTERS))
    _require(exact_bytes(shape, array.item_bytes) <= LARGEST_CHUNK)
    count = math.prod(grid_of(array.shape, shape))
    _require(said["count"] == count <= MOST_CHUNKS and len(tail) >= 24 * count)
    table = np.frombuffer(tail[: 24 * count], "<i8").reshape(count, 3)
    begins, lengths, left_out = table.T
    _require(bool((begins >= 0).all() and (lengths > 0).all() and (lengths <= size).all()))
    _require(bool((begins <= size - lengths).all()))
    _require(bool((left_out >= 0).all() and (left_out < 1 << len(filters)).all()))
    chunks = Chunks(shape, filters, table)
    _require(band_bytes(replace(array, chunks=chunks)) <= LARGEST_BAND)
    return chunks
