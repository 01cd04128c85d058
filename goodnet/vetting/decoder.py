"""The limited child that unpacks an image set; goodnet/vetting/unpacked.py starts it.

It is told where the chunks are, asked for images, and asks for the bytes of chunks. It knows
neither HDF5 nor Keras, and is shut into a cage (goodnet/vetting/cage.py).
"""

import json
import math
import mmap
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from goodnet.errors import Unusable
from goodnet.vetting import inside
from goodnet.vetting.layout import Array, Chunks, band_bytes
from goodnet.vetting.unpacking import unpack_rows

KEPT = 1 << 28  # bytes of unpacked bands, for the images that come next
AT_ONCE, MOST_AT_ONCE = 1 << 22, 1 << 12  # bytes of chunks that are asked for together; chunks

FetchAll = Callable[[Sequence[Sequence[int]]], Sequence[bytes | bytearray]]  # (begin, length) each


@dataclass
class Decoder:
    """An image set in chunks, and what of it is unpacked.

    scratch: memory for one large band, which is a file of its own.
    """

    array: Array
    fetch: FetchAll
    scratch: mmap.mmap | None = None
    bands: OrderedDict[int, np.ndarray] = field(default_factory=OrderedDict)
    stored: dict[int, bytes | bytearray] = field(default_factory=dict)  # chunks that come next

    def copy(self, start: int, images: np.ndarray) -> None:
        """Fill `images` (n, …), of the type that is stored, with the images from `start` on."""
        assert self.array.chunks
        step = self.array.chunks.shape[0]
        end = start + len(images)
        done = 0
        while done < len(images):
            band, first = divmod(start + done, step)
            found = self.unpacked(band, -(-end // step))[first : first + len(images) - done]
            images[done : done + len(found)] = found
            done += len(found)

    def unpacked(self, band: int, end: int) -> np.ndarray:
        """The images whose chunks are number `band` along the first axis, each unpacked once.

        Those used last are kept, as far as there is room. Bands before `end` come next.
        """
        if band in self.bands:
            self.bands.move_to_end(band)
            return self.bands[band]
        array, whole = self.array, band_bytes(self.array)
        assert array.chunks
        while self.bands and (len(self.bands) + 1) * whole > KEPT:
            self.bands.popitem(last=False)
        step = array.chunks.shape[0]
        shape = (min(step, array.shape[0] - band * step), *array.shape[1:])
        if self.scratch is None:
            made = np.empty(shape, array.dtype)
        else:
            made = np.frombuffer(self.scratch, array.dtype, math.prod(shape)).reshape(shape)
        each = len(array.chunks.table) // -(-array.shape[0] // step)
        unpack_rows(lambda number: self.read(number, end * each), array, band, made)
        self.bands[band] = made
        return made

    def read(self, number: int, end: int) -> bytes | bytearray:
        """A chunk as it is stored; with it some are fetched that come next, before `end`."""
        if number not in self.stored:
            assert self.array.chunks
            ranges = self.array.chunks.table[number : min(end, number + MOST_AT_ONCE), :2]
            count = max(1, int((np.cumsum(ranges[:, 1]) <= AT_ONCE).sum()))
            found = self.fetch(ranges[:count].tolist())
            self.stored = dict(enumerate(found, number))
        return self.stored.pop(number)


def answer(decoder: Decoder, asked: dict) -> None:
    """Say the images that are asked for, behind ""; or why not."""
    images = np.empty((asked["count"], *decoder.array.shape[1:]), decoder.array.dtype)
    try:
        decoder.copy(asked["start"], images)
    except Unusable as error:
        inside.answer({"said": str(error)})
    except MemoryError:
        inside.answer({"said": "unpacking it takes too much memory"})
    else:
        inside.answer({"said": ""}, images.data.cast("B"))


def main() -> None:
    settings = inside.hear_settings()
    scratch = None
    if settings["scratch"]:
        with tempfile.TemporaryFile() as file:
            file.truncate(settings["scratch"])
            scratch = mmap.mmap(file.fileno(), settings["scratch"])
    inside.shut_in(settings)
    table = np.frombuffer(inside.hear_bytes(settings["table"]), "<i8").reshape(-1, 3)
    chunks = Chunks(tuple(settings["chunk"]), tuple(settings["filters"]), table)
    array = Array(tuple(settings["shape"]), settings["dtype"], chunks=chunks)
    decoder = Decoder(array, lambda ranges: inside.fetch(0, ranges), scratch)
    for line in sys.stdin.buffer:
        answer(decoder, json.loads(line))
