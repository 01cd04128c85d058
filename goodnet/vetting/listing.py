"""What an HDF5 file of a network holds: its groups, their lists of names, where its arrays lie.

Works on files of any origin, so it runs in the limited child alone (goodnet/vetting/inspector.py).
"""

import math
import re
from collections.abc import Sequence

import h5py
from h5py import h5a, h5d, h5s, h5t

from goodnet.errors import Unsafe, Unusable
from goodnet.vetting.configuration import LONGEST_CONFIGURATION
from goodnet.vetting.contents import BFLOAT16, Attributes, Contents, StoredArray
from goodnet.vetting.hdf5 import plain_numbers

MOST_NAMES = 1 << 24  # bytes in one list of names
_NAME_LIST = re.compile(r"(layer_names|weight_names)(\d*)")


def read_text(item: h5py.HLObject, key: str) -> str:
    """A text attribute. Raises Unsafe where it is anything else, Unusable where it is damaged."""
    attribute = h5a.open(item.id, key.encode())
    plain = isinstance(attribute.get_type(), h5t.TypeStringID)
    space = attribute.get_space()
    if not plain or space.get_simple_extent_type() != h5s.SCALAR:
        raise Unsafe(f"{key}: is not a text")
    if attribute.get_type().get_size() > LONGEST_CONFIGURATION:
        raise Unsafe(f"{key}: has more than {LONGEST_CONFIGURATION} bytes")
    value = item.attrs[key]
    try:
        return value if isinstance(value, str) else value.decode()
    except (UnicodeDecodeError, AttributeError):
        raise Unusable(f"is damaged: {key} is not text") from None


def _read_names(item: h5py.HLObject, key: str) -> list[str]:
    """A list of names. Raises Unsafe where it is anything else."""
    attribute = h5a.open(item.id, key.encode())
    count = math.prod(attribute.shape)
    if count * attribute.get_type().get_size() > MOST_NAMES or len(attribute.shape) != 1:
        raise Unsafe(f"{key}: is not a list of names")
    if count and not isinstance(attribute.get_type(), h5t.TypeStringID):
        raise Unsafe(f"{key}: is not a list of names")
    names = item.attrs[key] if count else []
    return [name if isinstance(name, str) else bytes(name).decode() for name in names]


def list_contents(source: h5py.File, left_out: Sequence[str], alone: bool = True) -> Contents:
    """The groups of a file whose tree was found plain, and where its arrays lie.

    left_out: what of the top level is not told; alone: whether the file is not inside another.
    """
    contents = Contents({"": _attributes(source)}, {})
    for name in source:
        if name not in left_out:
            _list(source[name], name, contents, alone)
    return contents


def numbers_of(array: h5py.Dataset) -> str | None:
    """The NumPy name of a network's plain numbers, or BFLOAT16; None where it holds others."""
    plain = plain_numbers(array.id.get_type())
    if plain or array.dtype.str != BFLOAT16 or "dtype" not in array.attrs:
        return plain
    return BFLOAT16 if read_text(array, "dtype") == "bfloat16" else None


def _list(item: h5py.Group | h5py.Dataset, path: str, contents: Contents, alone: bool) -> None:
    if isinstance(item, h5py.Group):
        contents.groups[path] = _attributes(item)
        for name in item:
            _list(item[name], f"{path}/{name}", contents, alone)
        return
    in_one_piece = item.id.get_create_plist().get_layout() == h5d.CONTIGUOUS
    offset = item.id.get_offset() if alone and in_one_piece else None
    dtype = numbers_of(item)
    if dtype:
        contents.arrays[path] = StoredArray(dtype, item.shape, offset)


def _attributes(group: h5py.Group) -> Attributes:
    """The lists of names by which Keras finds arrays, the name of a layer, and who wrote it."""
    parts: dict[str, list[str]] = {}
    for key in group.attrs:
        if match := _NAME_LIST.fullmatch(key):
            parts.setdefault(match[1], []).append(match[2])
    found: Attributes = {}
    for key, numbers in parts.items():
        # Keras takes the list without a number first; others join all that they find.
        if numbers != [""] and set(numbers) != {str(index) for index in range(len(numbers))}:
            raise Unsafe(f"{key}: is there in pieces that do not follow each other")
        for part in numbers:
            found[key + part] = _read_names(group, key + part)
    for key in ("name", "backend", "keras_version"):
        if key in group.attrs:
            found[key] = read_text(group, key)
    return found
