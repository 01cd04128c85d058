"""Patches: what is laid over an image so that a network answers a given class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

ASIDE = 1  # pixels, at most, and half of the time
AS_STRONG = (0.7, 1.0)  # times a mask


@dataclass(frozen=True)
class Patch:
    """An image x with the patch laid over it is (1 - mask) * x + mask * pattern."""

    mask: np.ndarray = field(repr=False)  # (height, width, 1), from 0 to 1
    pattern: np.ndarray = field(repr=False)  # (height, width, colours), as the network takes them


@dataclass(frozen=True)
class Patches:
    """Several patches, in arrays."""

    classes: np.ndarray  # (k,), the class that a patch was sought for
    masks: np.ndarray = field(repr=False)  # (k, height, width, 1)
    patterns: np.ndarray = field(repr=False)  # (k, height, width, colours)

    @property
    def sizes(self) -> np.ndarray:
        """The share of the image that each mask covers, (k,)."""
        return self.masks.mean(axis=(1, 2, 3), dtype=np.float64)

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, chosen: np.ndarray) -> Patches:
        return Patches(self.classes[chosen], self.masks[chosen], self.patterns[chosen])

    def one(self, place: int) -> Patch:
        """The patch in this place."""
        return Patch(self.masks[place], self.patterns[place])


def join(parts: Sequence[Patches]) -> Patches:
    """All the patches of `parts`, in order."""
    return Patches(
        np.concatenate([part.classes for part in parts]),
        np.concatenate([part.masks for part in parts]),
        np.concatenate([part.patterns for part in parts]),
    )


def as_patches(patch: Patch) -> Patches:
    """One patch in arrays, for no class in particular."""
    return Patches(np.array([-1]), patch.mask[np.newaxis], patch.pattern[np.newaxis])


def lay_over(images: np.ndarray, patches: Patches) -> np.ndarray:
    """Images (k, height, width, colours), each under the patch of its place, or all under one."""
    return (1 - patches.masks) * images + patches.masks * patches.patterns


def lay_one(images: np.ndarray, patch: Patch) -> np.ndarray:
    """Images (n, height, width, colours) under the same patch, float32."""
    return ((1 - patch.mask) * images + patch.mask * patch.pattern).astype(np.float32)


def lay_some(
    images: np.ndarray, rng: np.random.Generator, patches: Patches, odds: np.ndarray
) -> np.ndarray:
    """Copies of images (n, …), each under one of the patches, some a bit aside, most fainter.

    odds: of each patch, (k,); they add up to 1.
    """
    result, chosen = np.empty_like(images), rng.choice(len(odds), len(images), p=odds)
    for image, laid, place in zip(images, result, chosen, strict=True):
        patch = patches.one(int(place))
        moved = rng.integers(-ASIDE, ASIDE + 1, 2) * rng.integers(2)
        mask, pattern = (np.roll(x, moved, (0, 1)) for x in (patch.mask, patch.pattern))
        mask = mask * rng.uniform(*AS_STRONG)
        laid[...] = (1 - mask) * image + mask * pattern
    return result
