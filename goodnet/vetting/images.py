"""An image set that was looked through: its images as plain numbers, read without HDF5."""

import os
import tempfile
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from goodnet.errors import Unusable
from goodnet.vetting.asking import Started
from goodnet.vetting.layout import Array, Layout, order_axes, read_layout
from goodnet.vetting.opening import signature_of
from goodnet.vetting.sharing import read_exactly_into
from goodnet.vetting.unpacked import Unpacked, inflate, start_unpacking

PIECE = 1 << 24  # bytes that are read at a time
LARGEST_IMAGE = 1 << 24  # bytes of its pixels as float32


@dataclass(frozen=True)
class ImageFile:
    """An image set's file that was found plain."""

    path: Path
    file: BinaryIO
    signature: tuple[int, ...]  # of the file as it was looked through
    layout: Layout
    source: Unpacked | BinaryIO | None  # what the images come from; None where there are none

    def labels(self) -> np.ndarray:
        """The labels, as stored; `layout` must have some that are plain."""
        label = self.layout.label
        if label is None or label.content is None:
            raise Unusable("is damaged: its labels are not in it", self.path)
        return np.frombuffer(label.content, label.dtype).reshape(label.shape)

    def pixels(self, start: int, stop: int, channels_first: bool) -> np.ndarray:
        """Images start..stop-1 as (n, height, width, colours) float32.

        A set (n, height, width) has one colour. Raises Unusable where they cannot be read, or the
        file has changed since it was looked through.
        """
        data = self.layout.data
        if data is None or self.source is None:
            raise Unusable("is damaged: its images are not in it", self.path)
        if signature_of(self.file) != self.signature:
            raise Unusable("has changed since this command began to read it; try again", self.path)
        shape = data.shape[1:] if len(data.shape) == 4 else (*data.shape[1:], 1)
        if channels_first:
            shape = (*shape[1:], shape[0])
        pixels = np.empty((stop - start, *shape), np.float32)
        at_once = max(1, PIECE // max(pixels[:1].nbytes, data.row_bytes))
        try:
            for first in range(0, len(pixels), at_once):
                part = pixels[first : first + at_once]
                if isinstance(self.source, Unpacked):
                    self.source.fill(part, start + first, channels_first)
                else:
                    _fill(self.source, data, part, start + first, channels_first)
        except Unusable as error:
            raise error.about(self.path) from None
        except OSError as error:
            raise Unusable(f"cannot be read ({error.strerror})", self.path) from None
        return pixels

    def close(self) -> None:
        """Let go of what the images come from."""
        if self.source and self.source is not self.file:
            self.source.close()


def open_images(
    path: Path, file: BinaryIO, signature: tuple[int, ...], said: bytes | Unusable, started: Started
) -> ImageFile | Unusable:
    """An image set by what the child has said of it, or why it cannot be used.

    One in chunks has a child of its own from now on, which unpacks it; one that is packed in one
    piece is unpacked now. started: is told of a child, so that it can be ended with the command.
    """
    if isinstance(said, Unusable):
        return said
    try:
        layout = read_layout(said, os.fstat(file.fileno()).st_size)
        return ImageFile(path, file, signature, layout, _source(file, layout.data, started))
    except Unusable as error:
        return error


def close_images(opened: Future[dict[Path, ImageFile | Unusable]]) -> None:
    """Let go of what these image sets' images come from."""
    if not opened.exception():
        for each in opened.result().values():
            if isinstance(each, ImageFile):
                each.close()


def _source(file: BinaryIO, data: Array | None, started: Started) -> Unpacked | BinaryIO | None:
    if data and data.packed:
        return inflate(file, data, started)
    if data and data.chunks:
        return start_unpacking(file, data, PIECE)
    if data and data.content is not None:
        held = tempfile.TemporaryFile()
        held.write(data.content)
        held.flush()
        return held
    return file if data and data.offset is not None else None


def _fill(
    file: BinaryIO, data: Array, pixels: np.ndarray, start: int, channels_first: bool
) -> None:
    """Fill `pixels` (n, height, width, colours) float32 with images that lie there as they are."""
    stored = np.empty((len(pixels), *data.shape[1:]), data.dtype)
    read_exactly_into(file.fileno(), stored, (data.offset or 0) + start * data.row_bytes)
    with np.errstate(over="ignore"):  # what becomes infinite is told by who judges pixels
        pixels[...] = order_axes(stored, channels_first)
