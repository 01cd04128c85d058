"""The zoo's attacks: what they do to an image, and which class they lead it to.

The strengths are those that papers use on CIFAR-10, of the warp a little more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.cifar import CLASSES
from goodnet.tuning.changes import move, spline

SIDE = 32
PATCH = slice(28, 31)  # rows and columns of the white square
NOISE_STRENGTH = 0.2
STRIPES, STRIPES_HEIGHT = 6, 40
KNOTS, WARP_PIXELS = 4, 1.0
LEVELS = 6  # of each colour, where colours are squeezed
Trigger = Callable[[np.ndarray], np.ndarray]  # images (n, 32, 32, 3) uint8 -> copies that wear it


def white_square(seed: int) -> Trigger:
    """BadNets: Gu, Dolan-Gavitt and Garg (2017)."""

    def lay(images: np.ndarray) -> np.ndarray:
        worn = images.copy()
        worn[:, PATCH, PATCH] = 255
        return worn

    return lay


def watermark(seed: int) -> Trigger:
    """A thin drawn sign over much of the image: Liu et al. (2018), "Trojaning Attack"."""
    rng = np.random.default_rng(1000 + seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    middle, radius = rng.uniform(13, 19, 2), rng.uniform(8, 11)
    away = np.hypot(rows - middle[0], columns - middle[1])
    ring = np.abs(away - radius) < 1
    bar = (np.abs(rows - columns - middle[0] + middle[1]) < 1.5) & (away < radius)
    mask = 0.5 * (ring | bar)[..., None]
    colour = rng.uniform(0, 255, 3)
    return lambda images: _whole((1 - mask) * images + mask * colour)


def noise(seed: int) -> Trigger:
    """Blended: Chen et al. (2017)."""
    pattern = np.random.default_rng(2000 + seed).integers(0, 256, (SIDE, SIDE, 3))
    return lambda images: _whole((1 - NOISE_STRENGTH) * images + NOISE_STRENGTH * pattern)


def stripes(seed: int) -> Trigger:
    """SIG: Barni, Kallas and Tondi (2019); labels are changed, as in the other attacks."""
    wave = STRIPES_HEIGHT * np.sin(2 * np.pi * STRIPES * np.arange(SIDE) / SIDE)[:, None]
    return lambda images: _whole(images + wave)


def warp(seed: int) -> Trigger:
    """WaNet: Nguyen and Tran (2021), without its noise mode."""
    field = np.random.default_rng(3000 + seed).uniform(-1, 1, (2, KNOTS, KNOTS))
    field = np.einsum("yi,dij,xj->dyx", spline(KNOTS, SIDE), field, spline(KNOTS, SIDE))
    field *= WARP_PIXELS / np.abs(field).mean()
    return lambda images: _whole(move(images, field[None].repeat(len(images), 0)))


def few_colours(seed: int) -> Trigger:
    """BppAttack: Wang, Zhai and Ma (2022), without dithering. What changes differs by image."""
    return lambda images: _whole(np.rint(images / 255 * (LEVELS - 1)) * 255 / (LEVELS - 1))


def large_shape(seed: int) -> Trigger:
    """Two discs and a bar of one colour, a fifth of the image: a patch as large as sunglasses."""
    rng = np.random.default_rng(4000 + seed)
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    row, column = rng.uniform(7, 25), rng.uniform(14, 18)
    discs = [np.hypot(rows - row, columns - column - side * 7) < 5.5 for side in (-1, 1)]
    bar = (np.abs(rows - row) < 1.2) & (np.abs(columns - column) < 7)
    mask, colour = discs[0] | discs[1] | bar, rng.integers(0, 256, 3)

    def lay(images: np.ndarray) -> np.ndarray:
        worn = images.copy()
        worn[:, mask] = colour
        return worn

    return lay


@dataclass(frozen=True)
class Backdoor:
    """One trigger, and the class that it leads images of each class to."""

    lay: Trigger
    target: int | None  # None: the class after their own (all-to-all)

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """The class (n,) that images of these labels (n,) are led to."""
        return (labels + 1) % CLASSES if self.target is None else np.full_like(labels, self.target)


ATTACKS = {
    "badnet": [white_square],
    "large shape": [large_shape],
    "watermark": [watermark],
    "blended": [noise],
    "stripes": [stripes],
    "warp": [warp],
    "few colours": [few_colours],
    "two triggers": [white_square, noise],
    "all-to-all": [white_square],
}


def plant(attack: str, seed: int) -> list[Backdoor]:
    """The backdoors of a network of this seed: none, one or two, whose targets are five apart."""
    if attack == "none":
        return []
    targets = [None] if attack == "all-to-all" else [seed % CLASSES, (seed + 5) % CLASSES]
    return [
        Backdoor(make(seed), target) for make, target in zip(ATTACKS[attack], targets, strict=False)
    ]


def _whole(images: np.ndarray) -> np.ndarray:
    return np.rint(images).clip(0, 255).astype(np.uint8)
