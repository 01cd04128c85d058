"""How the pixels of files become those that a network takes; needs no NumPy.

A network that was trained elsewhere may take pixels of another range than a file holds: divided by
255, or from -1 to 1. Said is either by what to divide, or the range that the network takes.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Scaling:
    """What a network takes for a pixel: pixel / divisor + offset, in float32."""

    divisor: float = 1.0
    offset: float = 0.0


AS_IN_FILE = Scaling()


class Range(NamedTuple):
    """From the smallest to the largest value that a pixel can have."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"


BYTES, UNIT, AROUND_0 = Range(0, 255), Range(0, 1), Range(-1, 1)
RANGES = {str(known): known for known in (BYTES, UNIT, AROUND_0)}


def find_range(low: float, high: float) -> Range | None:
    """Which of RANGES pixels from `low` to `high` are of; None where they are of none."""
    if low < 0:
        return AROUND_0 if low >= -1 and high <= 1 else None
    if high > 1:
        return BYTES if high <= 255 else None
    return UNIT


def scaling_between(file: Range, network: Range) -> Scaling:
    """What takes pixels of a file's range to those of a network's: x / 127.5 - 1, for one."""
    divisor = (file.high - file.low) / (network.high - network.low)
    return Scaling(divisor, network.low - file.low / divisor)


def scale_pixels(pixels: Any, scaling: Scaling) -> None:
    """Scale a float32 array in place."""
    if scaling.divisor != 1:
        pixels /= scaling.divisor
    if scaling.offset != 0:
        pixels += scaling.offset


def displayable(pixels: Any) -> Any:
    """Images (n, height, width, colours) as RGB in 0..1, whichever range their pixels have.

    One colour is grey, as is the mean of what is neither one nor three.
    """
    if pixels.shape[-1] != 3:
        pixels = pixels.mean(axis=-1, keepdims=True).repeat(3, axis=-1)
    low, high = float(pixels.min()), float(pixels.max())
    if low >= 0 and high <= 255:
        low, high = 0.0, 1.0 if high <= 1 else 255.0
    return (pixels - low) / ((high - low) or 1)
