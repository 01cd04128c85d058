"""A copy of a network's file with some arrays changed, every other byte as it was.

Nothing of the file is parsed here. The limited child has said where the arrays lie, and their bytes
are written over; where they do not lie there plainly, the child writes the copy
(goodnet/vetting/rewriting.py). Then a child looks through the copy, as through any network.
"""

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from goodnet.errors import Unusable
from goodnet.vetting import quarantine
from goodnet.vetting.changes import ArrayChange, hand_over
from goodnet.vetting.contents import HDF5_START, StoredArray
from goodnet.vetting.quarantine import NetworkFile


def write_changed(source: NetworkFile, changes: Sequence[ArrayChange], copy: Path) -> None:
    """Write a network's file to `copy` with some arrays changed.

    Raises Unusable where the file does not hold the old values of one, or where the copy would not
    pass as a network itself.
    """
    arrays = source.rebuilt.contents.arrays
    changed = [arrays[name] for change in changes for name in change.candidates]
    if all(array.offset is not None for array in changed):
        with open(copy, "w+b") as file:
            source.original.seek(0)
            shutil.copyfileobj(source.original, file)
            for change in changes:
                _patch(file, arrays, change)
    else:
        copy.write_bytes(_rewritten(source, changes))
    try:
        with quarantine.opened([copy], []) as held:
            held.network(copy)
    except Unusable as error:
        raise type(error)(f"would not pass once it is repaired: {error.reason}") from None


def _patch(file: BinaryIO, arrays: dict[str, StoredArray], change: ArrayChange) -> None:
    for name in change.candidates:
        array = arrays[name]
        held = np.frombuffer(_read(file, array), array.dtype).reshape(array.shape)
        stored = change.stored_in(held)
        if stored is not None:
            file.seek(array.offset or 0)
            file.write(stored.tobytes())
            return
    raise change.not_held()


def _read(file: BinaryIO, array: StoredArray) -> bytes:
    """The bytes of an array. Raises Unusable where it does not lie within the file."""
    offset, end = array.offset or 0, os.fstat(file.fileno()).st_size
    if not len(HDF5_START) <= offset <= end - array.size:
        raise Unusable("is damaged: an array does not lie within the file")
    file.seek(offset)
    return file.read(array.size)


def _rewritten(source: NetworkFile, changes: Sequence[ArrayChange]) -> bytes:
    """What the limited child makes of the file and the changes, which it reads from another."""
    original = source.original.fileno()
    with tempfile.TemporaryFile() as wanted:
        hand_over(changes, wanted)
        files = [("copy", original, wanted.fileno())]
        size = os.fstat(original).st_size + os.fstat(wanted.fileno()).st_size
        (answer,) = quarantine.ask(files, size) or [quarantine.stopped(size)]
    if isinstance(answer, Unusable):
        raise answer
    return answer.content
