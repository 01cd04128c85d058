"""The limited child that unpacks an image set; goodnet/vetting/unpacked.py starts it.

It is told where the chunks are, and asked for images, which it leaves in memory that its reader
shares. It knows neither HDF5 nor Keras, may take only so much memory and may write no file.
"""

import json
import math
import mmap
import resource
import sys
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from goodnet.errors import Unusable
from goodnet.vetting.layout import LARGEST_CHUNK, Array, Chunks, band_bytes, order_axes
from goodnet.vetting.unpacking import unpack_rows

KEPT = 1 << 28  # bytes of unpacked bands, for the images that come next
MEMORY = 1 << 30  # bytes of address space, and as many as unpacking takes


@dataclass
class Decoder:
    """An image set in chunks, and what of it is unpacked.

    file, scratch: descriptors of the image set, and of a file for one large band.
    """

    file: int
    array: Array
    scratch: int | None
    bands: OrderedDict[int, np.ndarray] = field(default_factory=OrderedDict)

    def copy(self, start: int, pixels: np.ndarray, channels_first: bool) -> None:
        """Fill `pixels` (n, height, width, colours) float32 with the images from `start` on."""
        assert self.array.chunks
        step = self.array.chunks.shape[0]
        done = 0
        while done < len(pixels):
            band, first = divmod(start + done, step)
            images = self.unpacked(band)[first : first + len(pixels) - done]
            pixels[done : done + len(images)] = order_axes(images, channels_first)
            done += len(images)

    def unpacked(self, band: int) -> np.ndarray:
        """The images whose chunks are number `band` along the first axis, each unpacked once.

        Those used last are kept, as far as there is room.
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
            shared = mmap.mmap(self.scratch, whole)
            made = np.frombuffer(shared, array.dtype, math.prod(shape)).reshape(shape)
        unpack_rows(self.file, array, band, made)
        self.bands[band] = made
        return made


def limit(array: Array) -> None:
    """Take no more memory than unpacking needs, and write no file."""
    most = MEMORY + 4 * LARGEST_CHUNK + 2 * band_bytes(array)
    for kind, value in (
        (resource.RLIMIT_AS, most),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (value, value))


def answer(decoder: Decoder, slot: mmap.mmap, asked: dict) -> str:
    """Put the images that are asked for into the slot; "" or why not."""
    shape = tuple(asked["shape"])
    try:
        pixels = np.frombuffer(slot, np.float32, math.prod(shape)).reshape(shape)
        with np.errstate(all="ignore"):  # what becomes infinite is found by the reader
            decoder.copy(asked["start"], pixels, asked["channels_first"])
    except Unusable as error:
        return str(error)
    except MemoryError:
        return "unpacking it takes too much memory"
    return ""


def main() -> None:
    source = sys.stdin.buffer
    given = json.loads(source.readline())
    table = np.frombuffer(source.read(given["table"]), "<i8").reshape(-1, 3)
    chunks = Chunks(tuple(given["chunk"]), tuple(given["filters"]), table)
    array = Array(tuple(given["shape"]), given["dtype"], chunks=chunks)
    limit(array)
    decoder = Decoder(given["file"], array, given["scratch"])
    slot = mmap.mmap(given["slot"], 0)
    for line in source:
        sys.stdout.write(json.dumps(answer(decoder, slot, json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
