"""A network's file written anew, HDF5 or .keras zip, out of what vetting has passed.

Works on files of any origin, so it runs in the limited child alone (goodnet/vetting/inspector.py).
"""

import io
import json
import zipfile
import zlib
from typing import BinaryIO, NamedTuple

import h5py

from goodnet.errors import Unsafe, Unusable
from goodnet.vetting.checks import quote
from goodnet.vetting.configuration import LONGEST_CONFIGURATION, check_arrays, vet_configuration
from goodnet.vetting.contents import HDF5_START, Contents
from goodnet.vetting.copying import copy_file, list_contents, read_text
from goodnet.vetting.hdf5 import MOST_EXPANSION, check_tree, describe_type, plain_numbers

ZIP_START = b"PK\x03\x04"
CONFIGURATION, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
LARGEST_NETWORK = 1 << 31  # bytes; ConvNeXtXLarge, the largest of keras.applications, has 1.4e9


class RebuiltNetwork(NamedTuple):
    """A network's file, written anew.

    suffix: the one that Keras reads it by: .h5 or .keras, or .weights.h5 where it is Keras 3's
    weights alone.
    """

    suffix: str
    content: bytes
    contents: Contents  # of the file as it was


def rebuild_network(file: BinaryIO, size: int) -> RebuiltNetwork:
    """A network's file of `size` bytes, vetted and written anew. Raises Unsafe or Unusable."""
    start = file.read(8)
    if start.startswith(ZIP_START):
        return RebuiltNetwork(".keras", *_rebuild_zip(file))
    if start != HDF5_START:
        if _opens_as_zip(file) or _has_user_block(file, size):
            raise Unsafe("begins with something else than the network (hidden content)")
        raise Unusable("is neither an HDF5 file (.h5) nor a .keras file; a network is one of them")
    if _opens_as_zip(file):
        raise Unsafe("is an HDF5 file and a zip file at once")
    with h5py.File(file, "r") as source:
        found = check_tree(source, size, Unsafe)
        whole = "model_config" in source.attrs
        if not whole and "data" in found:
            raise Unusable("is an image set, not a network; networks come last")
        _check_network_arrays(found)
        if whole:
            return RebuiltNetwork(".h5", *_rebuild_whole(source, found))
        suffix = ".weights.h5" if "layers" in source else ".h5"
        return RebuiltNetwork(suffix, copy_file(source, {}, ()), list_contents(source, ()))


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
        kind = array.id.get_type()
        if not plain_numbers(kind):
            raise Unsafe(f"{quote(place)}: {describe_type(kind)}")
    total = sum(array.nbytes for array in found.values())
    if total > LARGEST_NETWORK:
        raise Unsafe(f"its arrays would take {total} bytes, more than {LARGEST_NETWORK}")


def _rebuild_whole(source: h5py.File, found: dict[str, h5py.Dataset]) -> tuple[bytes, Contents]:
    configuration = vet_configuration(read_text(source, "model_config"), "model_config")
    if not isinstance(source.get("model_weights"), h5py.Group):
        raise Unusable("is damaged: it has no 'model_weights'")
    within = {place: array for place, array in found.items() if place.startswith("model_weights/")}
    check_arrays(configuration, [array.shape for array in within.values()], "model_config")
    attributes = {
        key: read_text(source, key) for key in ("keras_version", "backend") if key in source.attrs
    }
    attributes["model_config"] = json.dumps(configuration)
    # Optimizers and losses are left behind: nothing trains on.
    others = [key for key in source if key != "model_weights"]
    return copy_file(source, attributes, others), list_contents(source, others)


def _rebuild_zip(file: BinaryIO) -> tuple[bytes, Contents]:
    try:
        with zipfile.ZipFile(file) as archive:
            entries = _read_entries(archive)
            text = entries[CONFIGURATION]
            weights = entries.get(WEIGHTS)
            metadata = entries.get(METADATA, b"{}")
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, zlib.error) as error:
        raise Unusable(f"is damaged ({error})") from None
    configuration = vet_configuration(text, CONFIGURATION)
    if weights is None:
        raise Unusable(f"has no {WEIGHTS}, its weights are not in one file")
    with h5py.File(io.BytesIO(weights), "r") as source:
        try:
            found = check_tree(source, len(weights), Unsafe)
            _check_network_arrays(found)
        except Unusable as error:
            raise type(error)(f"{WEIGHTS}: {error.reason}") from None
        kept = [array.shape for place, array in found.items() if not place.startswith("optimizer/")]
        check_arrays(configuration, kept, CONFIGURATION)
        content = copy_file(source, {}, ("optimizer",))
        contents = list_contents(source, ("optimizer",), alone=False)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(METADATA, _keep_version(metadata))
        archive.writestr(CONFIGURATION, json.dumps(configuration))
        archive.writestr(WEIGHTS, content)
    return made.getvalue(), contents


def _keep_version(text: bytes) -> str:
    """The version that wrote a .keras file, and nothing else that its metadata says."""
    try:
        found = json.loads(text)
        version = str(found.get("keras_version"))
    except (ValueError, AttributeError, RecursionError):
        raise Unusable(f"{METADATA}: is damaged") from None
    return json.dumps({"keras_version": version if version.isprintable() else ""})


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
