"""PNG and JPEG files of strangers as pixels, decoded by a limited child.

This process sends the child a file's bytes, and takes back plain numbers, of a length that it
knows, and words on what was changed.
"""

import json
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import numpy as np

from goodnet.errors import Unsafe, Unusable
from goodnet.printable import printable
from goodnet.threads import one_thread
from goodnet.vetting.children import Child, Most, start_child
from goodnet.vetting.opening import open_plain
from goodnet.vetting.pieces import read_pieces, size_of

MODES = {1: "L", 3: "RGB"}  # Pillow's, by the number of colours
MOST_PIXELS = 50_000_000
MOST_BYTES = 1 << 29  # of a file: no image of so many pixels has more, and others are not read on
SECONDS = 10  # of processor time for an image
PATIENCE = 4  # the clock may take so many times as long
MEMORY = 3 << 29  # bytes for the child: some copies of the largest image
MOST_NOTES = 8
LONGEST_REASON = 500  # characters
LONGEST_ANSWER = 1 << 16  # bytes of a line

_CHILD = "from goodnet.vetting.developing import main; main()"

ImageShape = tuple[int | None, int | None, int]  # (height, width, colours); None where it is open


@dataclass(frozen=True)
class Photo:
    """An image file as a network takes it, its pixels not yet scaled."""

    path: Path
    pixels: np.ndarray  # (height, width, colours) uint8
    notes: Sequence[str]  # what was changed for it


@dataclass(frozen=True)
class _Decoded:
    """What a child says of an image that it has decoded."""

    size: tuple[int, int]  # (height, width)
    notes: Sequence[str]


@dataclass
class PhotoReader:
    """Decodes image files one after the other; the child that does it is started when it must be.

    One that ends at a file is followed by another.
    """

    starting: Future[Child] | None = None
    begun: list[Child] = field(default_factory=list)  # the same child, as soon as it runs
    lock: Lock = field(default_factory=Lock)  # one file at a time

    def start(self) -> None:
        """Have a child ready."""
        if not self.starting:
            with one_thread() as thread:
                self.starting = thread.submit(
                    start_child, _CHILD, Most(MEMORY), {}, self.begun.append
                )

    def decode(self, file: BinaryIO, shape: ImageShape) -> tuple[np.ndarray, Sequence[str]]:
        """The pixels of an image file, (height, width, colours) uint8, and what was changed.

        It is made to fit the shape as `developing.develop` does it. Raises Unusable where it is no
        PNG or JPEG image or is damaged, Unsafe where the image is too large to be unpacked.
        """
        with self.lock:
            self.start()
            assert self.starting
            try:
                found = _ask(self.starting.result(), file, shape)
            except BaseException:
                self.close()
                raise
        if isinstance(found, Unusable):
            raise found
        return found

    def close(self) -> None:
        """End the child, if there is one."""
        for child in self.begun:
            child.kill()
        if self.starting:
            with suppress(Unusable):  # it did not start
                self.starting.result().end()
        self.starting, self.begun = None, []


@contextmanager
def photo_reader() -> Iterator[PhotoReader]:
    """A reader whose child is getting ready."""
    reader = PhotoReader()
    reader.start()
    try:
        yield reader
    finally:
        reader.close()


def read_photo(reader: PhotoReader, path: Path, shape: ImageShape) -> Photo:
    """An image file, made to fit what the network takes. Raises as `PhotoReader.decode`."""
    try:
        with open_plain(path) as file:
            return Photo(path, *reader.decode(file, shape))
    except OSError as error:
        told = OSError(error.errno, error.strerror, str(path)) if error.filename else error.strerror
        raise Unusable(f"cannot be read as an image ({told})", path) from None
    except Unusable as error:
        raise error.about(path) from None


def _ask(
    child: Child, file: BinaryIO, shape: ImageShape
) -> tuple[np.ndarray, Sequence[str]] | Unusable:
    """The pixels of an image file and what was changed, or why the child refuses it.

    Raises Unusable where the child fails, or the file becomes shorter.
    """
    child.allow(SECONDS)
    child.deadline = time.monotonic() + PATIENCE * SECONDS
    size = min(size_of(file), MOST_BYTES)
    child.tell(json.dumps({"shape": shape, "bytes": size}).encode() + b"\n")
    for piece in read_pieces(file, 0, size):
        child.tell(piece)
    try:
        found = _understand(json.loads(child.hear_line(LONGEST_ANSWER)), shape)
        if isinstance(found, Unusable):
            return found
        pixels = np.frombuffer(child.hear_bytes(math.prod(found.size) * shape[2]), np.uint8)
        return pixels.reshape(*found.size, shape[2]), found.notes
    except (Unusable, ValueError, RecursionError):
        reason = f"decoding it crashes, goes wrong or takes more than {SECONDS} seconds"
        raise Unusable(f"cannot be read as an image ({reason})") from None
    finally:
        child.deadline = math.inf


def _understand(said: object, shape: ImageShape) -> _Decoded | Unusable:
    """What the child has said of an image, or why it refuses it: it may have been taken over.

    Raises Unusable where it makes no sense.
    """
    match said:
        case {"status": 2 | 3 as status, "reason": str(reason)}:
            refused = Unsafe if status == Unsafe.exit_status else Unusable
            return refused(printable(reason[:LONGEST_REASON]))
        case {"status": 0, "size": [int(height), int(width)], "notes": [*notes]}:
            fits = all(
                want in (None, side) for want, side in zip(shape, (height, width), strict=False)
            )
            if fits and height > 0 and width > 0 and height * width <= MOST_PIXELS:
                told = [printable(note)[:LONGEST_REASON] for note in notes[:MOST_NOTES]]
                return _Decoded((int(height), int(width)), told)
    raise Unusable("makes no sense")
