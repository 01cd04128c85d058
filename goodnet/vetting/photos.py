"""PNG and JPEG files of strangers as pixels, decoded by a limited child.

This process copies a file's bytes to where the child finds them, and takes back plain numbers, of a
length that it knows, and words on what was changed.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import numpy as np

from goodnet.errors import Unsafe, Unusable
from goodnet.printable import printable
from goodnet.vetting.children import start_child
from goodnet.vetting.opening import open_plain
from goodnet.vetting.sharing import (
    ask_child,
    make_shared,
    make_slot,
    read_exactly_into,
    tell_child,
)

MODES = {1: "L", 3: "RGB"}  # Pillow's, by the number of colours
MOST_PIXELS = 50_000_000
MOST_BYTES = 1 << 29  # of a file: no image of so many pixels has more, and others are not read on
SECONDS = 10  # of processor time for an image
PATIENCE = 4  # the clock may take so many times as long
PIECE = 1 << 20  # bytes that are copied at a time
MOST_NOTES = 8
LONGEST_REASON = 500  # characters

_CHILD = "from goodnet.vetting.developing import main; main()"

ImageShape = tuple[int | None, int | None, int]  # (height, width, colours); None where it is open


@dataclass(frozen=True)
class Photo:
    """An image file as a network takes it, its pixels not yet scaled."""

    path: Path
    pixels: np.ndarray  # (height, width, colours) uint8
    notes: Sequence[str]  # what was changed for it


@dataclass(frozen=True)
class Developer:
    """A child that decodes image files."""

    child: subprocess.Popen[bytes]
    file: BinaryIO  # where it finds a file's bytes
    slot: BinaryIO  # where it leaves pixels

    def close(self) -> None:
        """End the child."""
        self.child.kill()
        for each in (self.child.stdin, self.child.stdout, self.file, self.slot):
            with suppress(BrokenPipeError):
                each and each.close()
        self.child.wait()


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

    developer: Developer | None = None
    lock: Lock = field(default_factory=Lock)  # one file at a time

    def start(self) -> None:
        """Have a child ready."""
        self.developer = self.developer or _start()

    def decode(self, file: BinaryIO, shape: ImageShape) -> tuple[np.ndarray, Sequence[str]]:
        """The pixels of an image file, (height, width, colours) uint8, and what was changed.

        It is made to fit the shape as `developing.develop` does it. Raises Unusable where it is no
        PNG or JPEG image or is damaged, Unsafe where the image is too large to be unpacked.
        """
        with self.lock:
            self.start()
            assert self.developer
            _copy(file, self.developer.file)
            try:
                asked = {"shape": shape, "seconds": SECONDS}
                said = ask_child(self.developer.child, asked, PATIENCE * SECONDS)
                found = _understand(said, shape)
            except BaseException as error:
                self.close()
                if not isinstance(error, Unusable):
                    raise
                reason = f"decoding it crashes, goes wrong or takes more than {SECONDS} seconds"
                raise Unusable(f"cannot be read as an image ({reason})") from None
            if isinstance(found, Unusable):
                raise found
            pixels = np.empty((*found.size, shape[2]), np.uint8)
            read_exactly_into(self.developer.slot.fileno(), pixels, 0)
            return pixels, found.notes

    def close(self) -> None:
        """End the child, if there is one."""
        if self.developer:
            self.developer.close()
        self.developer = None


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


def _start() -> Developer:
    file, slot = make_shared("photo"), make_slot(MOST_PIXELS * max(MODES))
    child = start_child(_CHILD, [file.fileno(), slot.fileno()])
    tell_child(child, [json.dumps({"file": file.fileno(), "slot": slot.fileno()}).encode() + b"\n"])
    return Developer(child, file, slot)


def _copy(file: BinaryIO, shared: BinaryIO) -> None:
    """Put a file's bytes where the child finds them."""
    shared.truncate(0)
    at = 0
    while piece := file.read(min(PIECE, MOST_BYTES - at)):
        at += os.pwrite(shared.fileno(), piece, at)


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
