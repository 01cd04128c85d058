"""Search for bends of the whole image that lead any image to a class.

As patches are sought (searching.py), by gradient descent on clean images, with as small a bend as
will do. Nguyen and Tran (2021), "WaNet: Imperceptible Warping-based Backdoor Attack", has such a
trigger. The smallest bend tells the class, but it is little like the trigger, which is larger: so
for a class that stands out larger ones are sought, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import keras
import numpy as np
from keras import ops

from goodnet.progress import Progress
from goodnet.tuning.changes import move, spline
from goodnet.tuning.gradients import ALL, Logits, Objective, ObjectiveOf, Tensor, differentiate
from goodnet.tuning.searching import Descent, Effort, cut, draw_from, shrink, weigh

KNOTS = 6  # each way
COPIES = 2  # bends for each class
MOST_CLASSES = 200  # of more, some at random
EFFORT = Effort(steps=150, images=8)  # with 60 steps the others need hardly more than a target
DESCENT = Descent(rate=0.1, weight=1.0)  # in pixels of an image of 32
LARGE = 8  # bends of each size to a class that stands out
SIZES, NEARLY = 4, 0.65  # how many sizes: from that of the smallest up to this share of the usual
LARGE_EFFORT = Effort(steps=100, images=8)
LARGE_DESCENT = Descent(rate=0.1, weight=0.0)  # the size is given
AS_SIZED = (0.5, 1.2)  # times its size, when it is laid on


@dataclass(frozen=True)
class Bend:
    """The smallest bend that leads images to one class; sizes as `Bends` has them."""

    label: int
    size: float
    usual: float  # the median over all classes


@dataclass(frozen=True)
class Bends:
    """Bends, and the classes that they lead to."""

    classes: np.ndarray  # (k,)
    moved: np.ndarray  # (k, 2, height, width): how far down and right each pixel is taken from

    @property
    def sizes(self) -> np.ndarray:
        """How far each bend moves a pixel, the mean, in pixels, (k,)."""
        return np.hypot(self.moved[:, 0], self.moved[:, 1]).mean(axis=(1, 2))

    @property
    def smallest(self) -> Bend:
        """The smallest of all."""
        sizes = self.sizes
        by_class = [sizes[self.classes == label].min() for label in np.unique(self.classes)]
        label = int(self.classes[sizes.argmin()])
        return Bend(label, float(sizes.min()), float(np.median(by_class)))


def find_bends(
    logits: Logits,
    images: np.ndarray,
    n_classes: int,
    rng: np.random.Generator,
    progress: Progress,
    together: int = ALL,
) -> Bends:
    """COPIES small bends for each class, on images (n, height, width, colours).

    together: how many images have their gradients found at one time.
    """
    spread = partial(_spread, shape=images.shape[1:3])
    classes = np.sort(rng.permutation(n_classes)[:MOST_CLASSES]).repeat(COPIES)
    slope, found = differentiate(_objective(logits, spread)), []
    with progress("Searching bends", EFFORT.steps * len(classes)) as advance:
        for part in cut(classes, images, EFFORT, together):
            knots = _begin(len(part), rng)
            draw = draw_from(images, part, EFFORT.images, rng)
            shrink(slope, [knots], draw, EFFORT.steps, DESCENT, advance)
            found.append(np.asarray(spread(knots.value)))
    return Bends(classes, np.concatenate(found))


def find_large_bends(
    logits: Logits,
    images: np.ndarray,
    least: Bend,
    rng: np.random.Generator,
    progress: Progress,
    together: int = ALL,
) -> np.ndarray:
    """Bends (k, 2, height, width) as `Bends` has them, which lead to a class as surely as they can.

    least: the smallest to that class. LARGE of each size are sought.
    """
    spread = partial(_spread_to_size, shape=images.shape[1:3])
    sizes = np.geomspace(least.size, max(least.size, NEARLY * least.usual), SIZES).repeat(LARGE)
    slope, found = differentiate(_objective(logits, spread)), []
    with progress("Searching larger bends", LARGE_EFFORT.steps * len(sizes)) as advance:
        for part in cut(sizes, images, LARGE_EFFORT, together):
            own, knots = keras.Variable(part.astype(np.float32)), _begin(len(part), rng)
            draw = draw_from(images, np.full(len(part), least.label), LARGE_EFFORT.images, rng)
            steps = LARGE_EFFORT.steps
            shrink(slope, [own, knots], draw, steps, LARGE_DESCENT, advance, still=1)
            found.append(np.asarray(spread(own.value, knots.value)))
    return np.concatenate(found)


def bend_some(images: np.ndarray, rng: np.random.Generator, moved: np.ndarray) -> np.ndarray:
    """Copies of images (n, height, width, colours), each under one of the bends `moved`."""
    chosen = rng.integers(0, len(moved), len(images))
    return move(images, moved[chosen] * rng.uniform(*AS_SIZED, (len(images), 1, 1, 1)))


def _begin(count: int, rng: np.random.Generator) -> keras.Variable:
    return keras.Variable(rng.normal(0, 0.7, (count, 2, KNOTS, KNOTS)).astype(np.float32))


def _spread(knots: Tensor, shape: tuple[int, int]) -> Tensor:
    """From knots (k, 2, KNOTS, KNOTS), in pixels of an image of 32, to all pixels."""
    height, width = shape
    scale = min(height, width) / 32
    down, right = scale * spline(KNOTS, height), spline(KNOTS, width)
    return ops.einsum("yi,kdij,xj->kdyx", down, knots, right)


def _spread_to_size(sizes: Tensor, knots: Tensor, shape: tuple[int, int]) -> Tensor:
    """The same, as far as it moves a pixel by `sizes` (k,), in pixels, in the mean."""
    moved = _spread(knots, shape)
    return moved * (sizes / _sizes(moved))[:, None, None, None]


def _sizes(moved: Tensor) -> Tensor:
    return ops.mean(ops.sqrt(ops.sum(ops.square(moved), axis=1) + 1e-6), axis=(1, 2))


def _objective(logits: Logits, spread: Callable[..., Tensor]) -> ObjectiveOf:
    """How good bends are; `spread` makes them of the arrays that a search has."""

    def objective(
        arrays: list[Tensor], chosen: Tensor, targets: Tensor, weights: Tensor
    ) -> Objective:
        moved = spread(*arrays)
        return weigh(logits, _move(chosen, moved), targets, weights * _sizes(moved))

    return objective


def _move(images: Tensor, moved: Tensor) -> Tensor:
    """Images (k, m, height, width, colours), all of one row bent in the same way, bilinearly."""
    each, height, width, colours = images.shape[1:]
    count = ops.shape(images)[0]
    rows = ops.clip(np.arange(height, dtype=np.float32)[:, None] + moved[:, 0], 0, height - 1)
    columns = ops.clip(np.arange(width, dtype=np.float32) + moved[:, 1], 0, width - 1)
    top, left = (ops.stop_gradient(ops.floor(place)) for place in (rows, columns))
    down, right = (rows - top)[..., None], (columns - left)[..., None]
    below, beside = ops.minimum(top + 1, height - 1), ops.minimum(left + 1, width - 1)
    first = ops.arange(count, dtype="int32")[:, None, None] * (height * width)
    flat = ops.reshape(ops.transpose(images, (0, 2, 3, 1, 4)), (-1, each * colours))

    def at(row: Tensor, column: Tensor) -> Tensor:
        return ops.take(flat, first + ops.cast(row * width + column, "int32"), axis=0)

    upper = (1 - right) * at(top, left) + right * at(top, beside)
    lower = (1 - right) * at(below, left) + right * at(below, beside)
    bent = ops.reshape((1 - down) * upper + down * lower, (count, height, width, each, colours))
    return ops.transpose(bent, (0, 3, 1, 2, 4))
