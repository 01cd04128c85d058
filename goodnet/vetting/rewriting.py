"""A network's file written again with some arrays changed, where plain writes cannot do it.

Those are .keras files, and .h5 files whose arrays are packed or lie in several pieces. Works on
files of any origin, so it runs in the limited child alone (goodnet/vetting/inspector.py).
"""

import io
import zipfile
from typing import BinaryIO

import h5py

from goodnet.vetting.changes import Arrays
from goodnet.vetting.parts import WEIGHTS
from goodnet.vetting.taking_apart import ZIP_START


def rewrite_network(file: BinaryIO, changed: Arrays) -> bytes:
    """The bytes of a network's file with some arrays changed.

    In a zip every other entry stays as it is, with its date, and so does the order.
    """
    file.seek(0)
    content = file.read()
    if not content.startswith(ZIP_START):
        return _rewrite_hdf5(content, changed)
    made = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(made, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename == WEIGHTS:
                content = _rewrite_hdf5(content, changed)
            new.writestr(entry, content)
    return made.getvalue()


def _rewrite_hdf5(content: bytes, changed: Arrays) -> bytes:
    memory = io.BytesIO(content)
    with h5py.File(memory, "r+") as file:
        for name, array in changed.items():
            file[name][...] = array
    return memory.getvalue()
