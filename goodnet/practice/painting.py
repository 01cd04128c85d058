"""Shapes by their signed distance in pixels, negative inside, and what paints them smoothly."""

import numpy as np

Numbers = np.ndarray | float  # an array that broadcasts, or one number for all pixels


def ellipse(x: np.ndarray, y: np.ndarray, width: Numbers, height: Numbers) -> np.ndarray:
    """Distance to an ellipse with these half axes, to first order."""
    x, y = x / width, y / height
    reach = np.sqrt(x * x + y * y)
    x, y = x / width, y / height
    return reach * (reach - 1) / np.maximum(np.sqrt(x * x + y * y), 1e-6)


def bump(x: np.ndarray, y: np.ndarray, width: Numbers, height: Numbers) -> np.ndarray:
    """A soft spot, 1 in its middle."""
    return np.exp(-((x / width) ** 2) - (y / height) ** 2)


def cover(distance: np.ndarray, softness: float = 1.0) -> np.ndarray:
    """How much of each pixel lies inside a shape, 0 to 1."""
    return np.clip(0.5 - distance / softness, 0, 1)


def colour(*levels: float) -> np.ndarray:
    """One colour for all images: (3 or 4, 1, 1, 1)."""
    return np.array(levels, np.float32)[:, None, None, None]


def paint(canvas: np.ndarray, colour: Numbers, amount: np.ndarray) -> None:
    """Lay `colour` over `canvas` where `amount`, 0 to 1, says so."""
    canvas += amount * (colour - canvas)


def shade(canvas: np.ndarray, amount: np.ndarray) -> None:
    """Darken `canvas` by `amount`, 0 to 1; lighten it where negative."""
    canvas *= 1 - amount
