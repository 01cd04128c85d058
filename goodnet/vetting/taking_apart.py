"""A network's file, HDF5 or .keras zip, looked through and taken apart into plain values.

Works on files of any origin, so it runs in the limited child alone (goodnet/vetting/inspector.py).
"""

import io
import json
import zipfile
import zlib
from dataclasses import replace
from typing import BinaryIO

import h5py

from goodnet.errors import Unsafe, Unusable
from goodnet.vetting.checks import quote
from goodnet.vetting.configuration import LONGEST_CONFIGURATION, vet_configuration
from goodnet.vetting.contents import HDF5_START
from goodnet.vetting.hdf5 import MOST_EXPANSION, check_tree, describe_type
from goodnet.vetting.listing import list_contents, numbers_of, read_text
from goodnet.vetting.parts import (
    CONFIGURATION,
    LARGEST_NETWORK,
    METADATA,
    WEIGHTS,
    Parts,
    check_parts,
    vet_parts,
)

ZIP_START = b"PK\x03\x04"


def take_apart(file: BinaryIO, size: int) -> Parts:
    """What a network's file of `size` bytes holds, vetted. Raises Unsafe or Unusable."""
    start = file.read(8)
    if start.startswith(ZIP_START):
        return _take_zip_apart(file)
    if start != HDF5_START:
        if _opens_as_zip(file) or _has_user_block(file, size):
            raise Unsafe("begins with something else than the network (hidden content)")
        raise Unusable("is neither an HDF5 file (.h5) nor a .keras file; a network is one of them")
    if _opens_as_zip(file):
        raise Unsafe("is an HDF5 file and a zip file at once")
    with h5py.File(file, "r") as source:
        found = check_tree(source, size, Unsafe)
        if "model_config" not in source.attrs and "data" in found:
            raise Unusable("is an image set, not a network; networks come last")
        _check_network_arrays(found)
        return _take_hdf5_apart(source)


def _opens_as_zip(file: BinaryIO) -> bool:
    try:
        zipfile.ZipFile(file).close()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):
        return False
    return True


def _has_user_block(file: BinaryIO, size: int) -> bool:
    """Whether HDF5 would find its start further on, where it looks for it: at 512, 1024, …"""
    start = 512
    while start < size:
        file.seek(start)
        if file.read(8) == HDF5_START:
            return True
        start *= 2
    return False


def _check_network_arrays(found: dict[str, h5py.Dataset]) -> None:
    for place, array in found.items():
        if not numbers_of(array):
            raise Unsafe(f"{quote(place)}: {describe_type(array.id.get_type())}")
    total = sum(array.nbytes for array in found.values())
    if total > LARGEST_NETWORK:
        raise Unsafe(f"its arrays would take {total} bytes, more than {LARGEST_NETWORK}")


def _take_hdf5_apart(source: h5py.File) -> Parts:
    if "model_config" not in source.attrs:
        suffix = ".weights.h5" if "layers" in source else ".h5"
        return _read_values(source, Parts(suffix, None, list_contents(source, ()), b""))
    text = read_text(source, "model_config")
    # Optimizers and losses are left behind: nothing trains on.
    others = [key for key in source if key != "model_weights"]
    parts = Parts(".h5", text, list_contents(source, others), b"")
    vet_parts(parts)
    return _read_values(source, parts)


def _take_zip_apart(file: BinaryIO) -> Parts:
    try:
        with zipfile.ZipFile(file) as archive:
            entries = _read_entries(archive)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, zlib.error) as error:
        raise Unusable(f"is damaged ({error})") from None
    text, weights = entries[CONFIGURATION], entries.get(WEIGHTS)
    configuration = vet_configuration(text, CONFIGURATION)
    if weights is None:
        raise Unusable(f"has no {WEIGHTS}, its weights are not in one file")
    with h5py.File(io.BytesIO(weights), "r") as source:
        try:
            found = check_tree(source, len(weights), Unsafe)
            _check_network_arrays(found)
        except Unusable as error:
            raise type(error)(f"{WEIGHTS}: {error.reason}") from None
        contents = list_contents(source, ("optimizer",), alone=False)
        decoded = text.decode(json.detect_encoding(text), "surrogatepass")
        parts = Parts(".keras", decoded, contents, b"")
        check_parts(parts, configuration, CONFIGURATION)
        return _read_values(source, parts)


def _read_values(source: h5py.File, parts: Parts) -> Parts:
    values = b"".join(source[name][()].tobytes() for name in parts.contents.arrays)
    return replace(parts, values=values)


def _read_entries(archive: zipfile.ZipFile) -> dict[str, bytes]:
    """The content of the three entries of a .keras zip. Raises Unsafe for any other."""
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    for entry in entries:
        place = f"zip entry {quote(entry.orig_filename)}"
        if entry.orig_filename not in (CONFIGURATION, METADATA, WEIGHTS):
            raise Unsafe(f"{place}: is not on the allow-list")
        if names.count(entry.filename) > 1:
            raise Unsafe(f"{place}: is there twice")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Unsafe(f"{place}: is packed in another way than stored or deflated")
        most = LARGEST_NETWORK if entry.filename == WEIGHTS else LONGEST_CONFIGURATION
        if entry.file_size > most or entry.file_size > max(entry.compress_size, 1) * MOST_EXPANSION:
            raise Unsafe(f"{place}: would unpack to {entry.file_size} bytes")
    if CONFIGURATION not in names:
        raise Unusable(f"is a zip file without {CONFIGURATION}, not a network")
    contents = {}
    for entry in entries:
        with archive.open(entry) as stream:
            contents[entry.filename] = stream.read(entry.file_size + 1)
        if len(contents[entry.filename]) != entry.file_size:
            raise Unsafe(f"zip entry {quote(entry.filename)}: unpacks to more than it declares")
    return contents
