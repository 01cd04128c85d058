"""The arrays of a network's file that was taken apart."""

import numpy as np

from goodnet.errors import Unusable
from goodnet.vetting.parts import Parts


def arrays_of(parts: Parts) -> dict[str, np.ndarray]:
    """The arrays by their path in the file. Raises Unusable where the values have another size."""
    arrays = parts.contents.arrays.items()
    if sum(array.size for _, array in arrays) != len(parts.values):
        raise Unusable("is damaged: its arrays have another size than they are said to have")
    found, values, start = {}, memoryview(parts.values), 0
    for name, array in arrays:
        end = start + array.size
        found[name] = np.frombuffer(values[start:end], array.dtype).reshape(array.shape)
        start = end
    return found
