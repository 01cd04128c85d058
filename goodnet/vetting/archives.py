"""Look through a NumPy archive (.npz): which arrays are in it, and where their numbers are.

It is a zip file of arrays. What an array's header says is never run, and nothing is unpacked but
headers and labels. Works on files of any origin, so it runs in the limited child alone
(goodnet/vetting/inspector.py).
"""

import math
import re
import struct
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import BinaryIO

import numpy as np

from goodnet.errors import Unsafe, Unusable
from goodnet.printable import say
from goodnet.vetting.checks import quote
from goodnet.vetting.hdf5 import MOST_EXPANSION
from goodnet.vetting.layout import LARGEST_BAND, MOST_BYTES, Array, Layout, Packed
from goodnet.vetting.pairs import choose_pair, is_usable
from goodnet.vetting.parts import CONFIGURATION
from goodnet.vetting.reading import Keys
from goodnet.vetting.taking_apart import ZIP_START
from goodnet.vetting.unpacking import inflate_into, read_exactly

LOCAL = struct.Struct("<4s5H3I2H")  # an entry's own header
ENCRYPTED, UTF_8 = 1 << 0, 1 << 11  # flags of an entry
MAGIC = b"\x93NUMPY"
MOST_ENTRIES = 1000
LONGEST_HEADER = 1 << 12  # bytes
SUFFIX = ".npy"
# What NumPy writes, and nothing that would have to be evaluated.
_HEADER = re.compile(
    rb"\{'descr': (?:'([^'\\]{1,40})'|(\[.*\])), 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,19}, ?)*(?:\d{1,19})?)\),? ?\} *\n?"
)


@dataclass(frozen=True)
class Entry:
    """An array of an archive, and where it lies."""

    array: Array
    stored: Packed  # as it is, if it is not packed
    is_packed: bool
    in_fortran_order: bool


def survey_archive(file: BinaryIO, size: int, keys: Keys | None = None) -> Layout:
    """The layout of an image set, with the labels themselves.

    keys: the names of images and labels, where the user gives them. Raises Unsafe, or Unusable
    where it is damaged or claims too much.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members, end = archive.infolist(), archive.start_dir
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise Unusable(f"is damaged, no whole zip file ({say(error)})") from None
    if CONFIGURATION in (member.filename for member in members):
        return Layout(True, None, None)
    _check_members(members)
    ends = [member.header_offset for member in members[1:]] + [end]
    entries = [
        _read_entry(file, member, min(stop, size))
        for member, stop in zip(members, ends, strict=True)
    ]
    found = {entry.array.name: entry for entry in entries}
    images, labels = choose_pair({name: each.array for name, each in found.items()}, keys)
    data = _lay_out(found[images], images=True) if images in found else None
    label = _lay_out(found[labels], images=False) if labels in found else None
    if label and (label.offset is not None or label.packed):
        content = _read_values(file, label)
        label = replace(label, content=content, offset=None, packed=None)
    return Layout(False, data, label)


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    """Raise Unsafe or Unusable unless these are arrays; sort them as they lie in the file."""
    if len(members) > MOST_ENTRIES:
        raise Unusable(f"holds {len(members)} arrays; {MOST_ENTRIES} are the most")
    names = Counter(member.orig_filename for member in members)
    for member in members:
        place = f"zip entry {quote(member.orig_filename)}"
        if ".." in member.orig_filename or member.orig_filename.startswith(("/", "\\")):
            raise Unsafe(f"{place}: leads out of the archive")
        if names[member.orig_filename] > 1:
            raise Unsafe(f"{place}: is there twice")
        if member.orig_filename != member.filename or not member.filename.endswith(SUFFIX):
            raise Unusable(f"{place}: is no NumPy array ({SUFFIX}), as .npz image sets hold")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Unusable(f"{place}: is packed in another way than stored or deflated")
        if member.flag_bits & ENCRYPTED:
            raise Unusable(f"{place}: is encrypted")
        most = member.compress_size
        if member.compress_type == zipfile.ZIP_DEFLATED:
            most *= MOST_EXPANSION
        if member.file_size > most:
            raise Unusable(
                f"{place}: declares {member.file_size} bytes; its {member.compress_size} cannot "
                "hold them"
            )
    members.sort(key=lambda member: member.header_offset)


def _read_entry(file: BinaryIO, member: zipfile.ZipInfo, end: int) -> Entry:
    """An array by its header; all of it must lie before `end`. Raises Unsafe or Unusable."""
    name = member.filename.removesuffix(SUFFIX)
    begin = _begin_of(file, member)
    if begin + member.compress_size > end:
        raise Unusable(f"{quote(name)}: runs into what lies behind it, or the file ends before")
    start = read_exactly(file, begin, min(member.compress_size, 2 * LONGEST_HEADER))
    if is_packed := member.compress_type == zipfile.ZIP_DEFLATED:
        try:
            start = zlib.decompressobj(-zlib.MAX_WBITS).decompress(start, LONGEST_HEADER)
        except zlib.error as error:
            raise Unusable(f"{quote(name)}: is damaged ({say(error)})") from None
    array, skip, in_fortran_order = _read_header(name, start)
    if array.is_plain and skip + array.total_bytes != member.file_size:
        raise Unusable(
            f"{quote(name)}: declares {array.shape} of {array.dtype}, {array.total_bytes} bytes, "
            f"but has {member.file_size - skip}"
        )
    stored = Packed(begin, member.compress_size, skip, member.CRC)
    return Entry(array, stored, is_packed, in_fortran_order)


def _begin_of(file: BinaryIO, member: zipfile.ZipInfo) -> int:
    """Where an entry's bytes begin. Its own header must say what the list of all says."""
    header = read_exactly(file, member.header_offset, LOCAL.size)
    mark, _, flags, method, *_, name_length, extra_length = LOCAL.unpack(header)
    name = read_exactly(file, member.header_offset + LOCAL.size, name_length)
    told = name.decode("utf-8" if flags & UTF_8 else "cp437", "replace")
    if mark != ZIP_START or method != member.compress_type or told != member.orig_filename:
        raise Unusable(f"{quote(member.filename)}: is damaged: the zip file tells it in two ways")
    return member.header_offset + LOCAL.size + name_length + extra_length


def _read_header(name: str, start: bytes) -> tuple[Array, int, bool]:
    """An array by its first bytes, how many its header has, and whether columns come first."""
    if not start.startswith(MAGIC) or len(start) < 12 or start[6] not in (1, 2, 3):
        raise Unusable(f"{quote(name)}: is damaged, no NumPy array")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(start[8 : 8 + width], "little")
    skip = 8 + width + length
    if skip > LONGEST_HEADER:
        raise Unusable(f"{quote(name)}: has a header of {length} bytes; NumPy's are short")
    header = _HEADER.fullmatch(start[8 + width : skip])
    if not header:
        raise Unusable(f"{quote(name)}: is damaged: its header is none that NumPy writes")
    kind, records, order, sides = header.groups()
    if records or kind[1:2] == b"O":
        what = "records" if records else "Python objects, which are pickled"
        raise Unsafe(f"{quote(name)}: holds {what}, not numbers")
    shape = tuple(int(side) for side in sides.split(b",") if side.strip())
    if math.prod(shape) > MOST_BYTES // 8 or len(shape) > 32:
        raise Unusable(f"{quote(name)}: declares the absurd shape {shape}")
    array = Array(shape, ascii(kind.decode("latin-1")).strip("'"), name)
    return array, skip, order == b"True"


def _lay_out(entry: Entry, images: bool) -> Array:
    """Where the values of an array are. Nothing is told of one that cannot be used."""
    array, stored = entry.array, entry.stored
    if not is_usable(array, images):
        return array
    if entry.in_fortran_order:
        raise Unusable(
            f"{quote(array.name)}: is stored column by column (Fortran order); save "
            "np.ascontiguousarray(…) of it"
        )
    if not entry.is_packed:
        return replace(array, offset=stored.begin + stored.skip)
    if array.total_bytes > LARGEST_BAND:
        raise Unusable(
            f"{quote(array.name)}: would unpack to {array.total_bytes} bytes, more than "
            f"{LARGEST_BAND}; save it with np.savez, which does not pack"
        )
    return replace(array, packed=stored)


def _read_values(file: BinaryIO, array: Array) -> bytes:
    if array.offset is not None:
        return read_exactly(file, array.offset, array.total_bytes)
    made = np.empty(array.shape, array.dtype)
    inflate_into(partial(read_exactly, file), array, memoryview(made.data).cast("B"))
    return made.tobytes()
