"""What an HDF5 file of a network holds, in plain values: its groups, and where its arrays lie.

The limited child says it (goodnet/vetting/listing.py), as JSON. What it says is checked here again,
in plain Python: a child that was taken over could say anything.
"""

import math
from dataclasses import dataclass

# The only numbers that an array may hold, by NumPy's names: all bits used, in either byte order.
NUMBERS = (
    *("<f2", "<f4", "<f8", ">f2", ">f4", ">f8"),
    *("|i1", "<i2", "<i4", "<i8", ">i2", ">i4", ">i8"),
    *("|u1", "<u2", "<u4", "<u8", ">u2", ">u4", ">u8"),
    "|b1",
)
# Of networks alone, in a .keras file, where Keras says of the array what its two bytes are.
BFLOAT16 = "|V2"
HDF5_START = b"\x89HDF\r\n\x1a\n"

Attributes = dict[str, str | list[str]]  # a text, or a list of names


@dataclass(frozen=True)
class StoredArray:
    """An array of a file.

    offset: where its values begin, in bytes, if they lie there in one piece as they are; None if
    they are packed or in several pieces, or if the file is inside another.
    """

    dtype: str  # one of NUMBERS, or BFLOAT16
    shape: tuple[int, ...]
    offset: int | None

    @property
    def size(self) -> int:
        """How many bytes its values have."""
        return math.prod(self.shape) * int(self.dtype[2:])


@dataclass(frozen=True)
class Contents:
    """Groups and arrays by their path in the file, that of the top being ""."""

    groups: dict[str, Attributes]
    arrays: dict[str, StoredArray]

    def as_json(self) -> dict:
        """Lists and dictionaries alone."""
        arrays = [
            (name, array.dtype, array.shape, array.offset) for name, array in self.arrays.items()
        ]
        return {"groups": self.groups, "arrays": arrays}


def read_contents(found: dict) -> Contents:
    """Contents out of what `as_json` gave. Raises ValueError where it is anything else."""
    groups = {_text(path): _attributes(said) for path, said in dict(found["groups"]).items()}
    arrays: dict[str, StoredArray] = {}
    for name, dtype, shape, offset in found["arrays"]:
        if _text(name) in arrays or dtype not in (*NUMBERS, BFLOAT16):
            raise ValueError("an array is there twice, or holds no plain numbers")
        sizes = tuple(map(_whole, shape))
        arrays[name] = StoredArray(dtype, sizes, None if offset is None else _whole(offset))
    return Contents(groups, arrays)


def _attributes(said: dict) -> Attributes:
    return {
        _text(key): list(map(_text, value)) if isinstance(value, list) else _text(value)
        for key, value in dict(said).items()
    }


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a name is no text")
    return value


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("a size is no whole number")
    return value
