"""Changes that a trigger could make: chance ones, by which a network learns to see past them.

One family a function. None is a trigger that is known of the network: a bend of the whole image
(Nguyen and Tran 2021), a wave over it (Barni et al. 2019), a faint second image or noise blended
in (Chen et al. 2017), a small patch (Gu et al. 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Change = Callable[[np.ndarray, float, float, np.random.Generator], np.ndarray]

KNOTS = (4, 5, 6, 8)  # of a bend, each way
BENT = (0.3, 2.0)  # pixels of a bend in an image of 32, the mean each way
WAVES = 10  # across an image, at most
HEIGHTS = (0.03, 0.2)  # of a wave, as a share of the range
STRENGTHS = (0.05, 0.3)  # of what is blended in
GRAINS = (1, 2, 4)  # pixels of noise that is blended in
SIDES = (0.06, 0.2)  # of a patch, as a share of the image's


def bend(images: np.ndarray, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """Images (n, height, width, colours), each bent smoothly in its own way."""
    count, height, width = images.shape[:3]
    knots = rng.choice(KNOTS)
    moved = rng.uniform(-1, 1, (count, 2, knots, knots)).astype(np.float32)
    moved = np.einsum("yi,ndij,xj->ndyx", spline(knots, height), moved, spline(knots, width))
    pixels = rng.uniform(*BENT, (count, 1, 1, 1)) * min(height, width) / 32
    return move(images, moved * pixels / np.abs(moved).mean(axis=(1, 2, 3), keepdims=True))


def move(images: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Images (n, height, width, colours), each pixel taken from elsewhere, bilinearly.

    moved (n, 2, height, width): from how far down and right; past the border it is the border.
    """
    count, height, width = images.shape[:3]
    rows = np.clip(np.arange(height)[:, None] + moved[:, 0], 0, height - 1)
    columns = np.clip(np.arange(width) + moved[:, 1], 0, width - 1)
    top, left = rows.astype(int), columns.astype(int)
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    below, beside = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    each = np.arange(count)[:, None, None]
    upper = (1 - right) * images[each, top, left] + right * images[each, top, beside]
    lower = (1 - right) * images[each, below, left] + right * images[each, below, beside]
    return (1 - down) * upper + down * lower


def wave(images: np.ndarray, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """Images (n, height, width, colours), each with a wave of its own direction over it."""
    count, height, width = images.shape[:3]
    often = rng.integers(-WAVES, WAVES + 1, (2, count, 1, 1))
    rows, columns = np.arange(height)[:, None] / height, np.arange(width) / width
    turned = often[0] * rows + often[1] * columns + rng.uniform(0, 1, (count, 1, 1))
    heights = rng.uniform(*HEIGHTS, (count, 1, 1, 1)) * (high - low)
    signs = rng.choice([1, 1, -1], (count, 1, 1, images.shape[3]))
    return np.clip(images + heights * signs * np.sin(2 * np.pi * turned)[..., None], low, high)


def blend(images: np.ndarray, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """Images (n, height, width, colours), each with noise or another of them blended in."""
    count, height, width, colours = images.shape
    grain = rng.choice(GRAINS)
    noise = rng.uniform(low, high, (count, -(-height // grain), -(-width // grain), colours))
    noise = noise.repeat(grain, 1).repeat(grain, 2)[:, :height, :width]
    others = images[rng.integers(0, count, count)]
    over = np.where(rng.random((count, 1, 1, 1)) < 0.7, noise, others)
    strengths = rng.uniform(*STRENGTHS, (count, 1, 1, 1))
    return (1 - strengths) * images + strengths * over


def patch(images: np.ndarray, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """Images (n, height, width, colours), each with a rectangle of one colour or of noise on it."""
    result = images.copy()
    for image in result:
        sizes = [max(1, round(side * rng.uniform(*SIDES))) for side in image.shape[:2]]
        top, left = (
            rng.integers(0, side - size + 1)
            for side, size in zip(image.shape[:2], sizes, strict=True)
        )
        shape = (*sizes, image.shape[2]) if rng.random() < 0.5 else (1, 1, image.shape[2])
        image[top : top + sizes[0], left : left + sizes[1]] = rng.uniform(low, high, shape)
    return result


ODDS: dict[Change, float] = {bend: 0.25, wave: 0.1, blend: 0.1, patch: 0.1}  # of each, an image


def change_some(
    images: np.ndarray,
    low: float,
    high: float,
    rng: np.random.Generator,
    odds: Mapping[Change, float] = ODDS,
    share: float = 1.0,
) -> np.ndarray:
    """Copies of images (n, height, width, colours): each changed by one family at most.

    odds: of each; share: by how much all of them are smaller.
    """
    result, drawn, below = images.copy(), rng.random(len(images)), 0.0
    for change, whole in odds.items():
        own = share * whole
        chosen = (drawn >= below) & (drawn < below + own)
        below += own
        if chosen.any():
            result[chosen] = change(images[chosen], low, high, rng)
    return result


def spline(knots: int, size: int) -> np.ndarray:
    """Cubic convolution (Keys 1981) from evenly spaced knots to all places, (size, knots)."""
    places = np.linspace(0, knots - 1, size)
    weights = np.zeros((size, knots), np.float32)
    for knot in range(-2, knots + 2):
        away = np.abs(places - knot)
        near = 1.5 * away**3 - 2.5 * away**2 + 1
        far = -0.5 * away**3 + 2.5 * away**2 - 4 * away + 2
        own = np.where(away < 1, near, np.where(away < 2, far, 0))
        weights[:, min(max(knot, 0), knots - 1)] += own
    return weights
