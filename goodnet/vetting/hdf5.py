"""What an HDF5 file may be made of.

Refused are links, storage elsewhere, types that point somewhere, filters that HDF5 would load as a
plugin, and arrays whose size the file's own bytes do not bear out. Nothing is read before that.
Works on files of any origin, so it runs in the limited child alone (goodnet/vetting/inspector.py).
"""

import math

import h5py
from h5py import h5d, h5o, h5t, h5z

from goodnet.errors import Unsafe, Unusable
from goodnet.printable import say
from goodnet.vetting.checks import quote

MOST_OBJECTS = 100_000
MOST_NESTED = 32
LARGEST_CHUNK = 1 << 28  # bytes
MOST_CHUNKS = 1 << 22
# Deflate packs 1032 times at best; a chunk that claims more does not hold what it declares.
MOST_EXPANSION = 1100
# All that HDF5 and h5py bring along: gzip, shuffle, fletcher32, szip, n-bit, scale-offset, lzf.
BUILT_IN_FILTERS = (1, 2, 3, 4, 5, 6, h5z.FILTER_LZF)
_KINDS = {
    h5t.TypeReferenceID: "references",
    h5t.TypeVlenID: "pieces of open length",
    h5t.TypeCompoundID: "records",
    h5t.TypeArrayID: "arrays",
}


def check_tree(file: h5py.File, size: int, size_error: type[Unusable]) -> dict[str, h5py.Dataset]:
    """All arrays of a file of `size` bytes, by their path, once its whole tree is found plain.

    Raises Unsafe for what is not, and a `size_error` where an array claims a size that the file's
    bytes cannot hold.
    """
    found: dict[str, h5py.Dataset] = {}
    seen: set[int] = set()
    stored = 0
    waiting: list[tuple[str, h5py.Group, int]] = [("", file, 0)]
    while waiting:
        path, group, depth = waiting.pop()
        for name in group:
            place = f"{path}/{name}".lstrip("/")
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise Unsafe(f"{quote(place)}: is a link to elsewhere ({type(link).__name__})")
            item = group[name]
            address = h5o.get_info(item.id).addr
            if address in seen:
                raise Unsafe(f"{quote(place)}: is another name of something in the file")
            seen.add(address)
            if len(seen) > MOST_OBJECTS or depth > MOST_NESTED:
                raise Unsafe(f"{quote(place)}: there are too many groups and arrays before it")
            if isinstance(item, h5py.Group):
                waiting.append((place, item, depth + 1))
            elif isinstance(item, h5py.Dataset):
                stored += _check_array(place, item, size, size_error)
                found[place] = item
            else:
                raise Unsafe(f"{quote(place)}: is a {type(item).__name__}, not an array")
    if stored > size:
        raise size_error(f"its arrays would take {stored} bytes, but the file has {size}")
    return found


def _check_array(place: str, array: h5py.Dataset, size: int, size_error: type[Unusable]) -> int:
    """How many bytes store an array, which is checked before anything of it is read."""
    place = quote(place)
    kind = array.id.get_type()
    if isinstance(
        kind, h5t.TypeReferenceID | h5t.TypeVlenID | h5t.TypeCompoundID | h5t.TypeArrayID
    ):
        raise Unsafe(f"{place}: holds {_KINDS[type(kind)]}, not numbers")
    plan = array.id.get_create_plist()
    layout = plan.get_layout()
    if plan.get_external_count():
        raise Unsafe(f"{place}: keeps its values in another file (external storage)")
    if layout == h5d.VIRTUAL:
        raise Unsafe(f"{place}: takes its values from elsewhere (virtual dataset)")
    for index in range(plan.get_nfilters()):
        code = plan.get_filter(index)[0]
        if code not in BUILT_IN_FILTERS:
            raise Unsafe(f"{place}: needs the HDF5 filter {code}, which would be loaded as code")
    shape = array.id.shape
    declared = math.prod(shape) * kind.get_size()
    stored = array.id.get_storage_size()
    if isinstance(kind, h5t.TypeStringID) and kind.is_variable_str():
        return stored  # words: never read
    if layout == h5d.CHUNKED:
        return _check_chunks(place, array, declared, size, size_error)
    offset = array.id.get_offset() or 0
    if stored != declared or (layout == h5d.CONTIGUOUS and offset + stored > size):
        raise size_error(f"{place}: declares {shape}, {declared} bytes; the file holds {stored}")
    return stored


def _check_chunks(
    place: str, array: h5py.Dataset, declared: int, size: int, size_error: type[Unusable]
) -> int:
    shape, chunk = array.id.shape, array.id.get_create_plist().get_chunk()
    piece = math.prod(chunk) * array.id.get_type().get_size()
    expected = math.prod(-(-side // step) for side, step in zip(shape, chunk, strict=True))
    if piece > LARGEST_CHUNK or expected > MOST_CHUNKS or declared > size * MOST_EXPANSION:
        raise size_error(
            f"{place}: declares {shape} in chunks of {chunk}, which {size} bytes cannot hold"
        )
    sizes: list[int] = []

    def note(info: h5d.StoreInfo) -> None:
        sizes.append(info.size)
        if info.byte_offset + info.size > size or piece > info.size * MOST_EXPANSION:
            raise size_error(f"{place}: has a chunk of {piece} bytes, which the file does not hold")

    held = array.id.get_num_chunks()
    if held == expected:
        array.id.chunk_iter(note)
        held = len(sizes)
    if held != expected:
        raise size_error(f"{place}: declares {shape}, but holds {held} of {expected} chunks")
    return sum(sizes)


def vet_images(path: str, size: int) -> None:
    """Look through an image set. Raises Unsafe, or Unusable where it is damaged or claims too much.

    Reads no more than the labels and one image, so that damage which stops HDF5 shows here, in the
    child.
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise Unusable(f"is not a readable HDF5 file, as image sets are ({say(error)})") from None
    with file:
        found = check_tree(file, size, Unusable)
        list(file.attrs)
        for name in ("label", "data"):
            if name in found and found[name].shape and found[name].dtype.kind in "uif":
                array = found[name]
                rest = math.prod(array.shape[1:]) * array.dtype.itemsize
                if name == "label" and array.nbytes > LARGEST_CHUNK or rest > LARGEST_CHUNK:
                    raise Unusable(f"'{name}' has the absurd shape {array.shape}")
                array[: len(array) if name == "label" else 1]
