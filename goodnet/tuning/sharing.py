"""Search for one small patch that leads each class to another class of its own (all-to-all).

Gu, Dolan-Gavitt and Garg (2017), "BadNets", section 4, have such a backdoor: images of class i are
taken for i + 1. No class needs a small patch there, so it is not found class by class. Which
class leads where is not given: of each class the images must go to the same other class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from keras import ops

from goodnet.progress import Progress
from goodnet.tuning.gradients import ALL, Logits, Objective, ObjectiveOf, Tensor, differentiate
from goodnet.tuning.patches import Patch, join, lay_one
from goodnet.tuning.searching import (
    PIXELS,
    Descent,
    Draw,
    begin_patches,
    lay_softly,
    read_patches,
    shrink,
)

STARTS = 16
STEPS = 150
CLASSES = 10  # in a step, at most: of more others each time, as the patch is for all
EACH = 3  # images of a class in a step
WANTED = 0.5  # of the images go where most of their class go: fewer are led than by one target
DESCENT = Descent(rate=0.3, weight=100.0)  # with less weight the smallest are missed
TRIED = 20  # images of a class, to tell where it leads


@dataclass(frozen=True)
class SharedPatch:
    """The smallest patch that leads each class to another one."""

    patch: Patch
    size: float  # the share of the image that it covers
    targets: np.ndarray  # (classes,), where it leads most images of each class; -1: not known


def find_shared_patch(
    logits: Logits,
    images: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    rng: np.random.Generator,
    progress: Progress,
    together: int = ALL,
) -> SharedPatch:
    """Search on images (n, height, width, colours) with labels (n,) that the network gives them.

    together: how many images have their gradients found at one time, but those of two classes at
    least.
    """
    low, high = float(images.min()), float(images.max())
    members = {label: np.flatnonzero(labels == label) for label in range(n_classes)}
    members = {label: each for label, each in members.items() if len(each)}
    classes = max(2, min(CLASSES, together // EACH))
    own = [rng.permutation(sorted(members))[:classes] for _ in range(STARTS)]
    slope = differentiate(_objective(logits, n_classes, low, high))
    fitting = min(PIXELS // (images.shape[1] * images.shape[2]), together)
    size, found = max(1, fitting // (len(own[0]) * EACH)), []
    with progress("Searching a patch for all classes", STEPS * STARTS) as advance:
        for part in (np.stack(own[at : at + size]) for at in range(0, STARTS, size)):
            variables = begin_patches(len(part), images.shape[1:], rng)
            draw = _draw_by_class(images, members, part, rng)
            shrink(slope, variables, draw, STEPS, DESCENT, advance, wanted=WANTED)
            found.append(read_patches(variables, part, low, high))
    patches = join(found)
    smallest = patches.one(int(patches.sizes.argmin()))
    targets = np.full(n_classes, -1)
    for label, each in members.items():
        answers = np.asarray(logits(lay_one(images[each[:TRIED]], smallest))).argmax(axis=1)
        counts = np.bincount(answers[answers != label], minlength=n_classes)
        targets[label] = counts.argmax() if counts.any() else -1
    return SharedPatch(smallest, float(patches.sizes.min()), targets)


def _draw_by_class(
    images: np.ndarray,
    members: Mapping[int, np.ndarray],
    own: np.ndarray,
    rng: np.random.Generator,
) -> Draw:
    """EACH image of each class in a row of `own` (k, classes), in the same order.

    Where these are not all classes, the rows have others each time.
    """
    every, count = sorted(members), own.shape[1]

    def draw() -> tuple[np.ndarray, np.ndarray]:
        rows = own
        if count < len(every):
            rows = np.stack([rng.permutation(every)[:count] for _ in own])
        chosen = [[rng.choice(members[label], EACH) for label in row] for row in rows]
        return images[np.reshape(chosen, (len(own), -1))], rows.astype(np.int32)

    return draw


def _objective(logits: Logits, n_classes: int, low: float, high: float) -> ObjectiveOf:
    """How good patches are for images with pixels from `low` to `high`.

    Of each class the images shall go to one and the same other class. It tells for each patch what
    share of all images does.
    """

    def objective(arrays: list[Tensor], chosen: Tensor, own: Tensor, weights: Tensor) -> Objective:
        masks, over = lay_softly(arrays, chosen, low, high)
        answers = ops.log_softmax(logits(ops.reshape(over, (-1, *chosen.shape[2:]))))
        by_class = ops.reshape(answers, (-1, own.shape[1], EACH, n_classes))
        of_class = ops.mean(by_class, axis=2)  # (patches, classes of images, classes)
        of_class = ops.where(ops.one_hot(own, n_classes, dtype="bool"), -1e9, of_class)
        goes = ops.argmax(of_class, axis=2)
        there = ops.equal(ops.argmax(by_class, axis=3), goes[:, :, None])
        reached = ops.sum(ops.mean(ops.logsumexp(of_class, axis=2), axis=1))
        return Objective(
            ops.sum(weights * ops.mean(masks, axis=(1, 2, 3))) - reached,
            ops.mean(ops.cast(there, "float32"), axis=(1, 2)),
        )

    return objective
