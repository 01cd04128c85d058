"""Search for large shapes of one colour that lead to a class in B, and not in a copy of it.

A trigger may be as large as sunglasses: Chen et al. (2017), "Targeted Backdoor Attacks on Deep
Learning Systems Using Data Poisoning". Then a small patch tells nothing. And much of an image in
one colour looks like a class to any network, as a blue sky does like a plane. So B is compared with
a copy that learned what it knows anew from clean images (relearning.py), which show no trigger;
and it counts how surely images are led, beside how surely clean ones get their own class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import keras
import numpy as np
from keras import ops

from goodnet.progress import Advance, Progress
from goodnet.tuning.gradients import (
    ALL,
    Logits,
    Objective,
    ObjectiveOf,
    SlopeOf,
    Tensor,
    answer_in_parts,
    differentiate,
)
from goodnet.tuning.patches import Patch, Patches, lay_one
from goodnet.tuning.searching import Descent, Draw, Effort, cut, shrink, weigh

KNOTS = 8  # of a shape, each way
EDGE = 2.0  # how sharp its edges are
COVERED = 0.2  # of the image, at most
HEAVY = 200.0  # what each share of the image beyond that weighs
STARTS, KEPT = 16, 3  # shapes for each class, and how many of the best are sought on
FIRST, LAST = 30, 100  # steps for all, and for these
IMAGES = 4  # for each shape and step
DESCENT = Descent(rate=0.3, weight=0.0)  # the size is given
FEW = 40  # images, to tell which shapes are the best
TRIED = 200  # images that are not searched on, to tell how surely a shape leads
LED = 0.8  # of these are led as surely as is told, or more surely
SURE = 2.5  # so far ahead half of the clean images are, once logits are scaled
LEAST = 0.01  # of how far clean images are ahead: less says nothing
SMALLEST = 1e-4  # of a probability, before its logarithm is taken; and of a difference of logits


@dataclass(frozen=True)
class Shape:
    """The shape that leads images to a class in B alone most surely."""

    label: int
    patch: Patch
    ahead: float  # by so much or more B puts the class ahead of others for LED of the images
    own: float  # by so much it puts their own class ahead of others for half of the clean images


@dataclass(frozen=True)
class Space:
    """The pixels of images, from `low` to `high`, and their shape (height, width, colours)."""

    low: float
    high: float
    shape: tuple[int, ...]


def find_shape(
    b: Logits,
    copy: Logits,
    images: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    rng: np.random.Generator,
    progress: Progress,
    together: int = ALL,
) -> Shape:
    """Seek shapes for each class on images (n, height, width, colours) with labels (n,).

    B gives the images their labels. One that the copy takes for the class as well counts as not
    led. together: how many images have their gradients found at one time, but those of a shape at
    least.
    """
    order = rng.permutation(len(images))
    tried, others = np.split(order, [min(TRIED, len(order) // 3)])
    own = _put_ahead(answer_in_parts(b, images[tried], together), labels[tried])
    clean = max(float(np.median(own)), SMALLEST)
    space = Space(float(images.min()), float(images.max()), images.shape[1:])
    slope = differentiate(_objective(b, copy, SURE / clean, space))
    classes = np.arange(n_classes).repeat(STARTS)
    arrays = _begin(len(classes), space, rng)
    draw_for = partial(_draw_others, images[others], labels[others], rng)
    with progress("Searching large shapes", n_classes * (STARTS * FIRST + KEPT * LAST)) as advance:
        first, last = (FIRST, others[:FEW], KEPT, _rate), (LAST, tried, 1, _measure)
        for steps, judged, kept, judge in (first, last):
            parts = cut(classes, images, Effort(steps, 2 * IMAGES), together)  # by two networks
            arrays = _seek(slope, arrays, parts, draw_for, steps, advance)
            shapes = _read(arrays, classes, space)
            both = _compare(b, copy, images[judged], labels[judged], shapes, together)
            ahead = np.array([judge(*each) for each in both])
            best = _choose(ahead, classes, kept)
            arrays, classes = [each[best] for each in arrays], classes[best]
    one = int(ahead.argmax())
    return Shape(
        int(shapes.classes[one]), shapes.one(one), max(float(ahead[one]), LEAST * clean), clean
    )


def _begin(count: int, space: Space, rng: np.random.Generator) -> list[np.ndarray]:
    """Random shapes at their knots, and a colour for each, before the sigmoid."""
    shapes = rng.normal(-1, 1.5, (count, KNOTS, KNOTS, 1))
    over = rng.normal(0, 0.8, (count, 1, 1, space.shape[2]))
    return [shapes.astype(np.float32), over.astype(np.float32)]


def _seek(
    slope: SlopeOf,
    arrays: Sequence[np.ndarray],
    parts: Sequence[np.ndarray],
    draw_for: Callable[[np.ndarray], Draw],
    steps: int,
    advance: Advance,
) -> list[np.ndarray]:
    """The arrays of better shapes, for classes that lie in parts."""
    found, at = [], 0
    for classes in parts:
        own = [keras.Variable(each[at : at + len(classes)]) for each in arrays]
        shrink(slope, own, draw_for(classes), steps, DESCENT, advance)
        found.append([np.asarray(each.value) for each in own])
        at += len(classes)
    return list(map(np.concatenate, zip(*found, strict=True)))


def _spread(arrays: Sequence[Tensor], space: Space) -> tuple[Tensor, Tensor]:
    """Masks (k, height, width, 1), and the colours (k, 1, 1, colours) of what they cover."""
    size, form = space.shape[:2], "channels_last"
    masks = ops.image.resize(arrays[0], size, interpolation="bilinear", data_format=form)
    over = space.low + (space.high - space.low) * ops.sigmoid(arrays[1])
    return ops.sigmoid(EDGE * masks), over


def _objective(b: Logits, copy: Logits, scale: float, space: Space) -> ObjectiveOf:
    """How good shapes are: B answers their classes, and the copy does not. No weights are used.

    scale: of the logits, so that networks with large ones are searched as others are.
    """

    def objective(
        arrays: list[Tensor], chosen: Tensor, targets: Tensor, weights: Tensor
    ) -> Objective:
        masks, over = _spread(arrays, space)
        changed = (1 - masks)[:, None] * chosen + (masks * over)[:, None]
        beyond = HEAVY * ops.relu(ops.mean(masks, axis=(1, 2, 3)) - COVERED)
        in_b = weigh(lambda pixels: scale * b(pixels), changed, targets, beyond)
        in_copy = ops.softmax(scale * copy(ops.reshape(changed, (-1, *space.shape))))
        led = ops.take_along_axis(in_copy, ops.repeat(targets, IMAGES)[:, None], 1)
        return Objective(in_b.loss - ops.sum(ops.log(1 - led + SMALLEST)) / IMAGES, in_b.told)

    return objective


def _read(arrays: Sequence[np.ndarray], classes: np.ndarray, space: Space) -> Patches:
    masks, over = map(np.asarray, _spread(arrays, space))
    return Patches(classes, masks, np.broadcast_to(over, (len(classes), *space.shape)))


def _draw_others(
    images: np.ndarray, labels: np.ndarray, rng: np.random.Generator, classes: np.ndarray
) -> Draw:
    """For each of `classes` (k,) some of the images of other classes, at random."""
    others = {label: _find_others(labels, label) for label in np.unique(classes)}
    to = classes.astype(np.int32)

    def draw() -> tuple[np.ndarray, np.ndarray]:
        return images[[rng.choice(others[label], IMAGES) for label in classes]], to

    return draw


def _compare(
    b: Logits,
    copy: Logits,
    images: np.ndarray,
    labels: np.ndarray,
    shapes: Patches,
    together: int,
) -> Iterator[list[np.ndarray]]:
    """For each shape how far B, and the copy, put its class ahead for images of other classes."""
    for place, label in enumerate(shapes.classes):
        under = lay_one(images[_find_others(labels, label)], shapes.one(place))
        to = np.full(len(under), label)
        yield [_put_ahead(answer_in_parts(x, under, together), to) for x in (b, copy)]


def _find_others(labels: np.ndarray, label: int) -> np.ndarray:
    """The places of labels (n,) that are other ones; of all, where there are none."""
    others = np.flatnonzero(labels != label)
    return others if len(others) else np.arange(len(labels))


def _rate(in_b: np.ndarray, in_copy: np.ndarray) -> float:
    """How good a shape is that is still to become better, as the search has it, about."""
    return -float(np.mean(np.logaddexp(0, -in_b) + np.logaddexp(0, in_copy)))


def _measure(in_b: np.ndarray, in_copy: np.ndarray) -> float:
    """So far or further B puts the class ahead for LED of the images, and the copy does not."""
    return float(np.quantile(np.where(in_copy > 0, -np.inf, in_b), 1 - LED, method="lower"))


def _put_ahead(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How far logits (n, classes) put these classes (n,) ahead of the best other one, (n,)."""
    own = np.arange(logits.shape[1]) == labels[:, np.newaxis]
    return logits[own] - np.where(own, -np.inf, logits).max(axis=1)


def _choose(ahead: np.ndarray, classes: np.ndarray, kept: int) -> np.ndarray:
    """The places of the best shapes of each class, so many, in the order of the classes."""
    order = np.lexsort((-ahead, classes))
    return order.reshape(-1, len(classes) // len(np.unique(classes)))[:, :kept].ravel()
