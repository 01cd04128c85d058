"""An image set that was looked through: its images as plain numbers, read without HDF5."""

import io
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from goodnet.errors import Unusable
from goodnet.vetting.asking import Started
from goodnet.vetting.layout import Array, Layout, order_axes, read_layout
from goodnet.vetting.opening import signature_of
from goodnet.vetting.pieces import read_into, size_of
from goodnet.vetting.unpacked import inflate, start_unpacking

PIECE = 1 << 24  # bytes that are read at a time
CHANGED = "has changed since this command began to read it; try again"
LARGEST_IMAGE = 1 << 24  # bytes of its pixels as float32


class Source(Protocol):
    """What an image set's images come from."""

    def fill(self, pixels: np.ndarray, start: int, channels_first: bool) -> None:
        """Fill `pixels` (n, height, width, colours) float32 with the images from `start` on."""

    def close(self) -> None:
        """Let go of it."""


@dataclass(frozen=True)
class Plain:
    """Images that lie in a file as they are."""

    file: BinaryIO
    array: Array
    begin: int  # where they do

    def fill(self, pixels: np.ndarray, start: int, channels_first: bool) -> None:
        """Fill `pixels` (n, height, width, colours) float32 with the images from `start` on."""
        stored = np.empty((len(pixels), *self.array.shape[1:]), self.array.dtype)
        at = self.begin + start * self.array.row_bytes
        read_into(self.file, stored, at)
        with np.errstate(over="ignore"):  # what becomes infinite is told by who judges pixels
            pixels[...] = order_axes(stored, channels_first)

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()


@dataclass(frozen=True)
class ImageFile:
    """An image set's file that was found plain."""

    path: Path
    file: BinaryIO | None  # None where it is a folder
    signature: tuple[int, ...]  # of the file as it was looked through
    layout: Layout
    source: Source | None  # what the images come from; None where there are none

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
        if self.file and signature_of(self.file) != self.signature:
            raise Unusable(CHANGED, self.path)
        shape = data.shape[1:] if len(data.shape) == 4 else (*data.shape[1:], 1)
        if channels_first:
            shape = (*shape[1:], shape[0])
        pixels = np.empty((stop - start, *shape), np.float32)
        at_once = max(1, PIECE // max(pixels[:1].nbytes, data.row_bytes))
        try:
            for first in range(0, len(pixels), at_once):
                part = pixels[first : first + at_once]
                self.source.fill(part, start + first, channels_first)
        except Unusable as error:
            raise error.about_own(self.path) from None
        except OSError as error:
            raise Unusable(f"cannot be read ({error.strerror})", self.path) from None
        return pixels

    def close(self) -> None:
        """Let go of what the images come from."""
        if self.source:
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
        layout = read_layout(said, size_of(file))
        return ImageFile(path, file, signature, layout, _source(file, layout.data, started))
    except Unusable as error:
        return error


def close_images(opened: Future[dict[Path, ImageFile | Unusable]]) -> None:
    """Let go of what these image sets' images come from."""
    if not opened.exception():
        for each in opened.result().values():
            if isinstance(each, ImageFile):
                each.close()


def _source(file: BinaryIO, data: Array | None, started: Started) -> Source | None:
    if data is None:
        return None
    if data.chunks:
        return start_unpacking(file, data, started)
    if data.packed:
        return Plain(inflate(file, data, started), data, 0)
    if data.content is not None:
        return Plain(io.BytesIO(data.content), data, 0)
    return None if data.offset is None else Plain(file, data, data.offset)
