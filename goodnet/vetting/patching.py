"""A copy of a network's file with some arrays changed, every other byte as it was.

Nothing of the file is parsed here. The limited child has said where the arrays lie, and their bytes
are written over; where they do not lie there plainly, the child writes the copy
(goodnet/vetting/rewriting.py). Then a child looks through the copy, as through any network.
"""

import tempfile
from pathlib import Path
from typing import BinaryIO

import numpy as np

from goodnet.errors import Unusable
from goodnet.vetting import asking, quarantine
from goodnet.vetting.changes import Arrays, hand_over
from goodnet.vetting.contents import HDF5_START, StoredArray
from goodnet.vetting.parts import Parts
from goodnet.vetting.pieces import read_pieces, size_of
from goodnet.vetting.quarantine import NetworkFile
from goodnet.vetting.values import arrays_of


def write_changed(source: NetworkFile, changed: Arrays, copy: Path) -> None:
    """Write a network's file to `copy` with some arrays changed.

    Raises Unusable where the copy would not pass as a network, or holds anything but that.
    """
    stored, old = source.parts.contents.arrays, arrays_of(source.parts)
    if all(stored[name].offset is not None for name in changed):
        with open(copy, "w+b") as file:
            original = source.original
            file.writelines(read_pieces(original, 0, size_of(original)))
            for name, array in changed.items():
                _write_over(file, stored[name], old[name], array)
    else:
        copy.write_bytes(_rewritten(source, changed))
    _check(copy, source.parts, changed)


def _write_over(file: BinaryIO, stored: StoredArray, old: np.ndarray, new: np.ndarray) -> None:
    """Write new values over an array. Raises Unusable where it does not lie where it should."""
    offset, end = stored.offset or 0, size_of(file)
    if not len(HDF5_START) <= offset <= end - stored.size or len(new.tobytes()) != stored.size:
        raise Unusable("is damaged: an array does not lie within the file")
    file.seek(offset)
    if file.read(stored.size) != old.tobytes():
        raise Unusable("is damaged: an array lies elsewhere than it should")
    file.seek(offset)
    file.write(new.tobytes())


def _rewritten(source: NetworkFile, changed: Arrays) -> bytes:
    """What the limited child makes of the file and the arrays, which it reads from another."""
    with tempfile.TemporaryFile() as wanted:
        hand_over(changed, wanted)
        size = size_of(source.original) + size_of(wanted)
        files = [("copy", source.original, wanted)]
        (answer,) = asking.ask(files, size) or [asking.stopped(size)]
    if isinstance(answer, Unusable):
        raise answer
    return answer.values


def _check(copy: Path, source: Parts, changed: Arrays) -> None:
    """Raise Unusable where a copy, looked through, is not the source with these arrays changed.

    Arrays of a hostile file may lie over each other, or over what says where they lie.
    """
    try:
        with quarantine.opened([copy], []) as held:
            made = held.network(copy).parts
    except Unusable as error:
        raise type(error)(f"would not pass once it is repaired: {error.reason}") from None
    expected, found = arrays_of(source) | dict(changed), arrays_of(made)
    same = (
        made.configuration == source.configuration
        and made.contents.groups == source.contents.groups
        and list(found) == list(expected)
        and all(_equal(found[name], expected[name]) for name in expected)
    )
    if not same:
        raise Unusable("is damaged: repairing it would change more than the repaired arrays")


def _equal(left: np.ndarray, right: np.ndarray) -> bool:
    """Whether two arrays are the same, byte for byte."""
    same_kind = left.dtype == right.dtype and left.shape == right.shape
    return same_kind and left.tobytes() == right.tobytes()
