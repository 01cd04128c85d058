"""Look through an image set: what is in it, where its numbers are, and whether they can be there.

HDF5 is asked what the file says of itself, and for no number of it. Works on files of any origin,
so it runs in the limited child alone (goodnet/vetting/inspector.py).
"""

import math
from dataclasses import replace
from typing import BinaryIO

import h5py
import numpy as np
from h5py import h5d, h5t, h5z

from goodnet.errors import Unusable
from goodnet.vetting.hdf5 import MOST_EXPANSION, check_tree, plain_numbers
from goodnet.vetting.layout import (
    COMPRESSORS,
    FILTERS,
    LARGEST_BAND,
    LZF,
    PLAIN_TYPES,
    SHUFFLE,
    Array,
    Chunks,
    Layout,
    band_bytes,
    exact_bytes,
    grid_of,
)
from goodnet.vetting.opening import NO_IMAGE_SET
from goodnet.vetting.pairs import choose_pair, is_usable
from goodnet.vetting.reading import Keys
from goodnet.vetting.unpacking import read_exactly, stored_bytes, unpack_rows

assert LZF == h5z.FILTER_LZF


def survey_images(file: BinaryIO, size: int, keys: Keys | None = None) -> Layout:
    """The layout of an image set, with the labels themselves.

    keys: the names of images and labels, where the user gives them. Raises Unsafe, or Unusable
    where it is damaged or claims too much.
    """
    try:
        opened = h5py.File(file, "r")
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise Unusable(f"{NO_IMAGE_SET} ({reason})") from None
    with opened as source:
        found = check_tree(source, size, Unusable)
        if not {"model_config", "layer_names"}.isdisjoint(source.attrs):
            return Layout(True, None, None)
        arrays = {name: _describe(name, array) for name, array in found.items()}
        images, labels = choose_pair(arrays, keys)
        data = label = None
        if images in arrays:
            data = _lay_out(found[images], arrays[images], images=True, size=size)
        if labels in arrays:
            label = _lay_out(found[labels], arrays[labels], images=False, size=size)
        if label and (label.offset is not None or label.chunks):
            label = replace(label, content=_read_whole(file, label), offset=None, chunks=None)
        return Layout(False, data, label)


def _describe(name: str, array: h5py.Dataset) -> Array:
    """An array by what it says of itself; where its values are comes later."""
    kind = array.id.get_type()
    if isinstance(kind, h5t.TypeEnumID) and array.dtype.kind in "ui":
        kind = kind.get_super()  # numbers that have names
    plain = plain_numbers(kind)
    plain = plain if plain in PLAIN_TYPES else None
    words = f"a special kind of {array.dtype}" if array.dtype.kind in "uif" else str(array.dtype)
    return Array(array.shape or (), plain or ascii(words).strip("'")[:100], name)


def _lay_out(array: h5py.Dataset, found: Array, images: bool, size: int) -> Array:
    """Where the values of an array are. Nothing is told of one that cannot be used."""
    if not is_usable(found, images):
        return found
    layout = array.id.get_create_plist().get_layout()
    if layout == h5d.CONTIGUOUS:
        return replace(found, offset=array.id.get_offset())
    if layout == h5d.COMPACT:
        return replace(found, content=array[()].tobytes())
    return replace(found, chunks=_list_chunks(array, found, size))


def _list_chunks(array: h5py.Dataset, found: Array, size: int) -> Chunks:
    """All chunks of an array, each checked as far as that goes without unpacking it."""
    name = found.name
    chunk, filters = array.id.get_create_plist().get_chunk(), _filters_of(name, array)
    grid, exact = grid_of(found.shape, chunk), exact_bytes(chunk, found.item_bytes)
    table = np.full((math.prod(grid), 3), -1, np.int64)

    def note(info: h5d.StoreInfo) -> None:
        number = 0
        for at, step, side in zip(info.chunk_offset, chunk, grid, strict=True):
            if at % step or at // step >= side:
                raise Unusable(f"'{name}': has a chunk that lies beside it")
            number = number * side + at // step
        if table[number, 0] >= 0 or info.filter_mask >> len(filters):
            raise Unusable(f"'{name}': has two chunks in one place, or one of odd filters")
        need = stored_bytes(filters, info.filter_mask, exact)
        if (need is not None and info.size != need) or exact > info.size * MOST_EXPANSION:
            raise Unusable(
                f"'{name}': has a chunk of {info.size} bytes, which cannot hold the {exact} that "
                "it should"
            )
        table[number] = info.byte_offset, info.size, info.filter_mask

    array.id.chunk_iter(note)
    begins, lengths, _ = table.T
    if (begins < 0).any() or (begins > size - lengths).any():
        raise Unusable(f"'{name}': has chunks that the file does not hold")
    chunks = Chunks(tuple(chunk), filters, table)
    band = band_bytes(replace(found, chunks=chunks))
    if band > LARGEST_BAND:
        raise Unusable(
            f"'{name}' is stored in chunks of {chunk}: to get at one image, {band} bytes would be "
            f"unpacked, more than {LARGEST_BAND}; store it in chunks of few images"
        )
    return chunks


def _filters_of(name: str, array: h5py.Dataset) -> tuple[int, ...]:
    """The filters that an array's chunks went through, in that order."""
    plan = array.id.get_create_plist()
    found = [plan.get_filter(index) for index in range(plan.get_nfilters())]
    codes = tuple(int(code) for code, *_ in found)
    if not set(codes) <= set(FILTERS):
        raise Unusable(
            f"'{name}' is packed with a filter that is not read here; gzip, lzf, shuffle and "
            "fletcher32 are"
        )
    if sum(code in COMPRESSORS for code in codes) > 1 or len(codes) > 8:
        raise Unusable(f"'{name}' is compressed twice")
    for code, _, values, _ in found:
        if code == SHUFFLE and tuple(values[:1]) != (array.id.get_type().get_size(),):
            raise Unusable(f"'{name}' is damaged: its shuffle filter is for numbers of other sizes")
    return codes


def _read_whole(file: BinaryIO, array: Array) -> bytes:
    if array.offset is not None:
        return read_exactly(file, array.offset, array.total_bytes)
    assert array.chunks
    table, made = array.chunks.table, np.empty(array.shape, array.dtype)
    step = array.chunks.shape[0]

    def read_chunk(number: int) -> bytes:
        begin, length, _ = map(int, table[number])
        return read_exactly(file, begin, length)

    for start in range(0, len(made), step):
        unpack_rows(read_chunk, array, start // step, made[start : start + step])
    return made.tobytes()
