"""What a limited child does: it hears its settings, shuts itself in, asks for bytes and answers.

goodnet/vetting/children.py is at the other end of its two pipes.
"""

import codecs
import gc
import io
import json
import os
import sys
import time
import traceback
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from importlib import import_module

import numpy as np

from goodnet.printable import say
from goodnet.vetting import cage
from goodnet.vetting.children import READY

PAGE = 1 << 18  # bytes
PAGES = 64  # are kept of a file
TRIED = 1 << 26  # bytes
NO_WORK = "it cannot work in its cage here"
# What Python and its libraries import when they first need it: no more, once the cage is shut.
LATE_MODULES = ("heapq", "linecache")
LATE_ENCODINGS = (
    *("ascii", "cp437", "latin-1", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"),
    *("utf-32", "utf-32-le", "utf-32-be"),
)

Fetch = Callable[[int, int], bytes | bytearray]  # so many bytes from there on


def hear_settings() -> dict:
    """What this child is told first."""
    return json.loads(sys.stdin.buffer.readline())


def shut_in(settings: dict) -> None:
    """Shut the cage, try whether work can be done in it, and say that it is shut."""
    for name in LATE_MODULES:
        import_module(name)
    for name in LATE_ENCODINGS:
        codecs.lookup(name)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    print(NO_WORK, flush=True)  # what is heard last where it ends now
    walls = cage.shut(settings["memory"], settings["seconds"])
    try:
        _try_out()
    except BaseException as error:
        print(f"{NO_WORK}: {say(error)}", flush=True)
        raise SystemExit from None
    answer({READY: walls})


def _try_out() -> None:
    """Do what the work takes. Another Python or C library may do it by calls that are refused.

    No stranger's byte has been read yet, so what goes wrong here is no file's fault.
    """
    os.read(0, 0)
    numbers = np.zeros(TRIED, np.uint8)
    held = bytes(bytearray(TRIED)[:: TRIED >> 10])
    given = json.loads(json.dumps({"a": [int(numbers[::PAGE].sum()), 0.5, None, len(held)]}))
    packed = zlib.compress(str(given).encode())
    try:
        raise ValueError(zlib.decompress(packed).decode("utf-16-le", "replace"))
    except ValueError:
        traceback.format_exc()
    gc.collect()
    time.monotonic()


def hear_bytes(length: int) -> bytearray:
    """So many bytes of what this child is sent."""
    heard = bytearray(length)
    rest = memoryview(heard)
    while rest:
        got = sys.stdin.buffer.readinto(rest)  # type: ignore[union-attr]
        if not got:
            raise SystemExit  # nobody is there any more
        rest = rest[got:]
    return heard


def fetch(number: int, ranges: Sequence[Sequence[int]]) -> list[bytearray]:
    """Bytes of the file of that number: (begin, length) of each piece."""
    answer({"read": (number, ranges)})
    return [hear_bytes(length) for _, length in ranges]


def fetch_piece(number: int, begin: int, length: int) -> bytearray:
    """So many bytes of the file of that number, from there on."""
    return fetch(number, [(begin, length)])[0]


def answer(header: dict, content: bytes | memoryview = b"") -> None:
    """Say a line of JSON, and bytes."""
    out = sys.stdout.buffer
    out.write(json.dumps(header).encode() + b"\n")
    out.write(content)
    out.flush()


class PagedFile(io.RawIOBase):
    """A file whose bytes are fetched, a page at a time, for h5py and zipfile."""

    def __init__(self, fetch: Fetch, size: int) -> None:
        self._fetch, self._size, self._at = fetch, size, 0
        self._pages: OrderedDict[int, bytes | bytearray] = OrderedDict()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if at < 0:
            raise ValueError("before the start of the file")
        self._at = at
        return at

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]
        rest = memoryview(target).cast("B")[: max(0, self._size - self._at)]
        whole = len(rest)
        while rest:
            number, first = divmod(self._at, PAGE)
            if not first and len(rest) >= PAGE:  # too large to be asked for again
                piece = memoryview(self._fetch(self._at, len(rest)))
            else:
                piece = memoryview(self._page(number))[first : first + len(rest)]
            rest[: len(piece)] = piece
            rest, self._at = rest[len(piece) :], self._at + len(piece)
        return whole

    def _page(self, number: int) -> bytes | bytearray:
        if number not in self._pages:
            begin = number * PAGE
            self._pages[number] = self._fetch(begin, min(PAGE, self._size - begin))
            if len(self._pages) > PAGES:
                self._pages.popitem(last=False)
        self._pages.move_to_end(number)
        return self._pages[number]
