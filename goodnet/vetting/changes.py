"""Changed arrays of a network, and how they are handed to the limited child: as plain numbers."""

import json
import math
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np

Arrays = Mapping[str, np.ndarray]  # by their path in the file, in the file's own types


def hand_over(changed: Arrays, file: BinaryIO) -> None:
    """Write arrays as `take` reads them: a line of JSON, then their values."""
    said = [(name, array.dtype.str, array.shape) for name, array in changed.items()]
    file.write(json.dumps(said).encode() + b"\n")
    for array in changed.values():
        file.write(array.tobytes())
    file.flush()


def take(file: BinaryIO) -> dict[str, np.ndarray]:
    """The arrays that `hand_over` wrote."""
    file.seek(0)
    changed = {}
    for name, dtype, shape in json.loads(file.readline()):
        values = file.read(np.dtype(dtype).itemsize * math.prod(shape))
        changed[name] = np.frombuffer(values, dtype).reshape(shape)
    return changed
