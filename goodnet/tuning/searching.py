"""Search for patches that lead any image to a class.

Wang et al. (2019), "Neural Cleanse: Identifying and Mitigating Backdoor Attacks in Neural
Networks", section 4: by gradient descent on clean images, with as small a mask as will do.
A mask may also be one value for the whole image: then the pattern is blended in, as faintly as
will do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import keras
import numpy as np
from keras import ops

from goodnet.progress import Advance, ignore
from goodnet.tuning.gradients import (
    ALL,
    Logits,
    Objective,
    SlopeOf,
    Tensor,
    differentiate,
)
from goodnet.tuning.patches import Patches, join

WANTED = 0.85  # the share of images that a patch must send to its class
HEAVIER = 1.1  # times its weight, where it does
LIGHTER = 1 / 1.15  # times its weight, where it does not
PIXELS = 2_600_000  # at a time, of all images: 1,000 of a DeepID


@dataclass(frozen=True)
class Effort:
    """How long a search takes."""

    steps: int
    images: int  # for each class and step


@dataclass(frozen=True)
class Descent:
    """How fast a search goes, and what a size weighs to begin with."""

    rate: float  # of Adam
    weight: float


SMALL = Descent(rate=0.3, weight=130.0)  # of the share of the image that a mask covers
WHOLE = Descent(rate=0.3, weight=30.0)  # the same where the mask is one value
# Images (k, m, height, width, colours), others each time, and (k, …) the classes they go with.
Draw = Callable[[], tuple[np.ndarray, np.ndarray]]
SHORT = Effort(steps=20, images=2)  # with four a target is farther behind: benchmarks/README.md
HALF = Effort(steps=60, images=4)  # patches grow by a fifth, for all classes alike
FULL = Effort(steps=60, images=8)


class Search(Protocol):
    """Finds a patch for each of `classes` (k,), in which a class may stand more than once.

    `advance` is told of each class and step. With `whole` a mask is one value for the whole image.
    """

    def __call__(
        self,
        classes: np.ndarray,
        rng: np.random.Generator,
        effort: Effort,
        advance: Advance = ignore,
        whole: bool = False,
    ) -> Patches: ...


def make_search(logits: Logits, images: np.ndarray, together: int = ALL) -> Search:
    """Make the search for a network, on images (n, height, width, colours) as it takes them.

    together: how many images have their gradients found at one time, but those of a patch at least.
    """
    low, high = float(images.min()), float(images.max())
    slope = slope_of(logits, low, high)

    def search_some(
        classes: np.ndarray,
        rng: np.random.Generator,
        effort: Effort,
        advance: Advance,
        whole: bool,
    ) -> Patches:
        variables = begin_patches(len(classes), images.shape[1:], rng, whole)
        descent = WHOLE if whole else SMALL
        draw = draw_from(images, classes, effort.images, rng)
        shrink(slope, variables, draw, effort.steps, descent, advance)
        return read_patches(variables, classes, low, high)

    def search(
        classes: np.ndarray,
        rng: np.random.Generator,
        effort: Effort,
        advance: Advance = ignore,
        whole: bool = False,
    ) -> Patches:
        parts = cut(classes, images, effort, together)
        return join([search_some(part, rng, effort, advance, whole) for part in parts])

    return search


def cut(classes: np.ndarray, images: np.ndarray, effort: Effort, together: int) -> list[np.ndarray]:
    """The classes in parts that are searched at one time."""
    height, width = images.shape[1:3]
    size = max(1, min(PIXELS // (height * width), together) // effort.images)
    return [classes[at : at + size] for at in range(0, len(classes), size)]


def draw_from(images: np.ndarray, classes: np.ndarray, each: int, rng: np.random.Generator) -> Draw:
    """For each of `classes` (k,) so many of the images (n, height, width, colours), at random."""
    to = np.asarray(classes, np.int32)
    return lambda: (images[rng.integers(0, len(images), (len(to), each))], to)


def shrink(
    slope: SlopeOf,
    variables: list[keras.Variable],
    draw: Draw,
    steps: int,
    descent: Descent,
    advance: Advance,
    wanted: float = WANTED,
    still: int = 0,
) -> np.ndarray:
    """Change what `variables` hold, k rows each, as little as will do to lead images to classes.

    The slope takes the variables, the images and classes that are drawn, and (k,) what each row's
    size weighs, and tells what share of its images each leads there. `wanted` is enough. The first
    `still` variables stay as they are. Returns about that share of the last images, (k,).
    """
    optimizer = keras.optimizers.Adam(descent.rate, beta_1=0.5, beta_2=0.9)
    count = variables[0].shape[0]
    weights = np.full(count, descent.weight, np.float32)
    success = np.zeros(count)
    for _ in range(steps):
        found = slope([ops.copy(each) for each in variables], *draw(), weights)
        optimizer.apply(found.gradients[still:], variables[still:])
        success = 0.7 * success + 0.3 * np.asarray(found.told)
        weights *= np.where(success > wanted, HEAVIER, LIGHTER).astype(np.float32)
        advance(count)
    return success


def weigh(logits: Logits, changed: Tensor, targets: Tensor, sizes: Tensor) -> Objective:
    """How far changed images (k, m, height, width, colours) are from their targets (k,), and sizes.

    sizes (k,): what changed them, weighed. What share of the m images each one leads is told.
    """
    count, each = ops.shape(changed)[0], ops.shape(changed)[1]
    found = logits(ops.reshape(changed, (-1, *changed.shape[2:])))
    wanted = ops.repeat(targets, each)
    cross = ops.logsumexp(found, axis=1) - ops.take_along_axis(found, wanted[:, None], 1)[:, 0]
    hits = ops.cast(ops.equal(ops.argmax(found, axis=1), wanted), "float32")
    total = ops.sum(cross) / ops.cast(each, "float32") + ops.sum(sizes)
    return Objective(total, ops.mean(ops.reshape(hits, (count, each)), axis=1))


def begin_patches(
    count: int, shape: tuple[int, ...], rng: np.random.Generator, whole: bool = False
) -> list[keras.Variable]:
    """Random masks and patterns for images of this shape, before the sigmoid."""
    size = (1, 1, 1) if whole else (*shape[:2], 1)
    masks = rng.normal(-1 if whole else 0, 0.1, (count, *size))
    patterns = rng.normal(0, 0.5, (count, *shape))
    return [keras.Variable(start.astype(np.float32)) for start in (masks, patterns)]


def lay_softly(
    arrays: list[Tensor], chosen: Tensor, low: float, high: float
) -> tuple[Tensor, Tensor]:
    """Masks (k, …), and images (k, m, height, width, colours) under them, of what is changed."""
    masks, patterns = ops.sigmoid(arrays[0]), low + (high - low) * ops.sigmoid(arrays[1])
    return masks, (1 - masks)[:, None] * chosen + (masks * patterns)[:, None]


def read_patches(
    variables: list[keras.Variable], classes: np.ndarray, low: float, high: float
) -> Patches:
    """The patches for `classes` (k,) that the masks and patterns before the sigmoid are."""
    masks, patterns = (np.asarray(ops.sigmoid(variable)) for variable in variables)
    masks = np.broadcast_to(masks, (*patterns.shape[:3], 1))
    return Patches(np.asarray(classes), masks, low + (high - low) * patterns)


def slope_of(logits: Logits, low: float, high: float) -> SlopeOf:
    """How to make masks and patterns better, for images with pixels from `low` to `high`.

    It tells for each patch what share of the images it sends to its class.
    """

    def objective(
        arrays: list[Tensor], chosen: Tensor, targets: Tensor, weights: Tensor
    ) -> Objective:
        masks, over = lay_softly(arrays, chosen, low, high)
        return weigh(logits, over, targets, weights * ops.mean(masks, axis=(1, 2, 3)))

    return differentiate(objective)
