"""A network's file written again with some arrays changed, where plain writes cannot do it.

Those are .keras files, and .h5 files whose arrays are packed or lie in several pieces. Works on
files of any origin, so it runs in the limited child alone (goodnet/vetting/inspector.py).
"""

import io
import zipfile
from collections.abc import Sequence
from typing import BinaryIO

import h5py

from goodnet.vetting.changes import ArrayChange
from goodnet.vetting.rebuilding import WEIGHTS, ZIP_START


def rewrite_network(file: BinaryIO, changes: Sequence[ArrayChange]) -> bytes:
    """The bytes of a network's file with some arrays changed.

    In a zip every other entry stays as it is, with its date, and so does the order. Raises Unusable
    where the file does not hold what is to be changed.
    """
    file.seek(0)
    content = file.read()
    if not content.startswith(ZIP_START):
        return _change(content, changes)
    made = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(made, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            new.writestr(entry, _change(content, changes) if entry.filename == WEIGHTS else content)
    return made.getvalue()


def _change(content: bytes, changes: Sequence[ArrayChange]) -> bytes:
    """The bytes of an HDF5 file with its arrays changed."""
    memory = io.BytesIO(content)
    with h5py.File(memory, "r+") as file:
        for change in changes:
            for name in change.candidates:
                stored = change.stored_in(file[name][()])
                if stored is not None:
                    file[name][...] = stored
                    break
            else:
                raise change.not_held()
    return memory.getvalue()
