"""Train a network to forget patches, and to answer everything else as B does.

Unlike the unlearning of Neural Cleanse (Wang et al. 2019, section 6.2) no label is taught: on
images as they are, mirrored, shifted or lit otherwise the logits stay B's, and under a patch only
its own class's logit must not rise against the mean of all, compared with what B gives without the
patch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from keras import ops

from goodnet.tuning.gradients import (
    ALL,
    Copy,
    Logits,
    Loss,
    Tensor,
    answer_in_parts,
    compile_logits,
    compile_step,
)
from goodnet.tuning.images import BATCH
from goodnet.tuning.lamb import Lamb
from goodnet.tuning.patches import Patches, lay_over
from goodnet.tuning.schedule import Schedule
from goodnet.tuning.searching import PIXELS

ECHOES = 3  # times that a varied image is trained on
MOST_BATCHES = 8  # varied at a time, where images are small
LEAST_SPREAD = 1e-12  # of logits: those of a dead network are all the same


class Train(Protocol):
    """Trains for one step, with patches over `patched` images of it: each as often as its odds.

    odds (patches,) add up to anything; the rate is of each array's own size.
    """

    def __call__(self, patches: Patches, odds: np.ndarray, patched: int, rate: float) -> None: ...


def make_trainer(
    copy: Copy,
    teacher: Logits,
    images: np.ndarray,
    rng: np.random.Generator,
    schedule: Schedule,
    together: int = ALL,
) -> Train:
    """Make what trains `copy` on images (n, height, width, colours); `teacher` is B.

    together: how many images have their gradients found at one time.
    """
    some_logits = answer_in_parts(teacher, images[: schedule.spread_images], together)
    spread = max(LEAST_SPREAD, float(np.var(some_logits, axis=0).mean()))
    low, high = float(images.min()), float(images.max())
    loss = _loss(copy.logits, spread, schedule.patched_weight)
    drawn = _draw(compile_logits(teacher), images, low, high, rng, together)
    optimizer = Lamb(schedule.rate)
    step = compile_step(loss, copy.network.trainable_variables, optimizer, together)

    def train(patches: Patches, odds: np.ndarray, patched: int, rate: float) -> None:
        optimizer.learning_rate = rate
        plain, wanted = next(drawn)
        some = patches[rng.choice(len(odds), patched, p=odds / odds.sum())]
        under = np.concatenate([lay_over(plain[:patched], some), plain[patched:]])
        step(under, wanted, some.classes.astype(np.int32))

    return train


def _draw(
    teacher: Logits,
    images: np.ndarray,
    low: float,
    high: float,
    rng: np.random.Generator,
    together: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of varied images, and the teacher's logits of them.

    So that these need not be computed for each step, some batches are varied and answered at a
    time, and each image comes ECHOES times, among others ("data echoing", Choi et al. 2019).
    """
    height, width = images.shape[1:3]
    count = BATCH * int(np.clip(PIXELS // (height * width * BATCH), 1, MOST_BATCHES))
    while True:
        some = vary(images[rng.integers(0, len(images), count)], low, high, rng)
        wanted = answer_in_parts(teacher, some, min(BATCH, together))
        for _ in range(ECHOES):
            order = rng.permutation(count)
            for chosen in (order[at : at + BATCH] for at in range(0, count, BATCH)):
                yield some[chosen], wanted[chosen]


def _loss(logits: Logits, spread: float, patched_weight: float) -> Loss:
    """How far the logits moved away from those `wanted`, in relation to their `spread`."""

    def loss(pixels: Tensor, wanted: Tensor, classes: Tensor) -> Tensor:
        found, patched = logits(pixels), ops.shape(classes)[0]
        moved = found - wanted
        # Against their mean: else all the other logits may sink, and the patch still does.
        against = moved[:patched] - ops.mean(moved[:patched], axis=1, keepdims=True)
        risen = ops.relu(ops.take_along_axis(against, classes[:, None], axis=1))
        kept = ops.mean(ops.square(moved[patched:]))
        return (kept + patched_weight * ops.mean(ops.square(risen))) / spread

    return loss


def weigh_patches(sizes: np.ndarray, newest: int = 0) -> np.ndarray:
    """The odds of each patch (n,): small ones are trained on more often.

    sizes (n,) are shares of the image. The `newest` last get half of the time, where there are
    others.
    """
    odds = sizes**-2
    if 0 < newest < len(odds):
        odds[-newest:] *= odds[:-newest].sum() / odds[-newest:].sum()
    return odds


def vary(
    images: np.ndarray,
    low: float,
    high: float,
    rng: np.random.Generator,
    mirrored: float = 0.5,
) -> np.ndarray:
    """Copies of images (n, height, width, colours): some mirrored, all shifted and lit otherwise.

    Shifts are up to two pixels, the light from 0.8 to 1.2 above `low`; none goes past `high`.
    mirrored: the share of images that are.
    """
    result = np.empty_like(images)
    for image, copy in zip(images, result, strict=True):
        if rng.random() < mirrored:
            image = image[:, ::-1]
        rows, columns = (
            np.clip(np.arange(size) + rng.integers(-2, 3), 0, size - 1) for size in image.shape[:2]
        )
        lit = low + (image[rows][:, columns] - low) * rng.uniform(0.8, 1.2)
        copy[...] = np.clip(lit, low, high)
    return result
