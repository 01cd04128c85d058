"""Changes of a network's arrays, and how they are handed to the limited child: as plain numbers."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from goodnet.errors import Unusable
from goodnet.vetting.contents import NUMBERS


@dataclass(frozen=True)
class ArrayChange:
    """New values for a variable of a network.

    candidates: the arrays of the file that may be the variable's: the first that holds `old` is it.
    old, new: arrays of one shape and type, whose numbers every file can hold.
    """

    variable: str
    candidates: tuple[str, ...]
    old: np.ndarray
    new: np.ndarray

    def stored_in(self, held: np.ndarray) -> np.ndarray | None:
        """What is to be stored instead of the file's array `held`; None where that is not `old`.

        Raises Unusable where an array of that type cannot hold the new values.
        """
        if not _same(held, self.old):
            return None
        with np.errstate(invalid="ignore", over="ignore"):
            stored = self.new.astype(held.dtype)
        if not _same(stored, self.new):
            raise Unusable(
                f"keeps {self.variable} as {held.dtype}, which cannot hold the repaired values"
            )
        return stored

    def not_held(self) -> Unusable:
        """The error where no candidate holds `old`."""
        return Unusable(f"does not hold {self.variable} where Keras keeps it")


def plain(array: np.ndarray) -> np.ndarray:
    """An array in numbers that every file can hold; bfloat16, which NumPy lacks, as float32."""
    fits = array.dtype.str in NUMBERS
    return np.ascontiguousarray(array if fits else array.astype(np.float32)).reshape(array.shape)


def hand_over(changes: Iterable[ArrayChange], file: BinaryIO) -> None:
    """Write changes as `take` reads them: a line of JSON, then for each its old and new values."""
    changes = list(changes)
    said = [
        {
            "variable": change.variable,
            "candidates": change.candidates,
            "dtype": change.old.dtype.str,
            "shape": change.old.shape,
        }
        for change in changes
    ]
    file.write(json.dumps(said).encode() + b"\n")
    for change in changes:
        file.write(change.old.tobytes())
        file.write(change.new.tobytes())
    file.flush()


def take(file: BinaryIO) -> list[ArrayChange]:
    """The changes that `hand_over` wrote."""
    file.seek(0)
    changes = []
    for said in json.loads(file.readline()):
        dtype, shape = np.dtype(said["dtype"]), said["shape"]
        size = dtype.itemsize * math.prod(shape)
        old, new = (np.frombuffer(file.read(size), dtype).reshape(shape) for _ in range(2))
        changes.append(ArrayChange(said["variable"], tuple(said["candidates"]), old, new))
    return changes


def _same(left: np.ndarray, right: np.ndarray) -> bool:
    """Whether two arrays hold the same numbers; NaN is the same as NaN."""
    return np.array_equal(left, right, equal_nan=True)
