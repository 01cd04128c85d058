"""A lesson: a copy learns from clean images what B makes of them, and to see past triggers.

It is taught B's answers and features, and the labels, on images that chance changes as a trigger
might (changes.py), some of them under triggers that were found (families.py). What it is taught of
a changed image is what B makes of the unchanged one.

From B's answers: Hinton, Vinyals and Dean (2015), "Distilling the Knowledge in a Neural Network";
from its features: Romero et al. (2015), "FitNets: Hints for Thin Deep Nets".
Mixtures of two images: Zhang et al. (2018), "mixup: Beyond Empirical Risk Minimization".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from goodnet.progress import Progress
from goodnet.tuning.changes import change_some
from goodnet.tuning.gradients import Copy, Loss, Tensor, compile_step
from goodnet.tuning.images import BATCH
from goodnet.tuning.lamb import Lamb
from goodnet.tuning.traces import Trace, chances
from goodnet.tuning.training import vary

LABELS = 0.5  # of the classes that are taught; the rest is B's answers
FEATURES = 2.0  # weight of B's features, of which its answers are made
SHOWN = 0.5  # of the images are under a trigger that was found, if any
TIMES, UNTIL = 3, 0.6  # how often triggers are sought, and the share of steps that shows them
Seek = Callable[[], Sequence[Trace]]  # triggers that work in the copy as it is


@dataclass(frozen=True)
class Pace:
    """How far a lesson leads from what the copy knows, and how long it takes."""

    steps: int
    rate: float  # of each array's own size, as Lamb takes it
    mixed: float  # the share of images that are mixtures of two, to begin with


@dataclass(frozen=True)
class Lesson:
    """What the copy is taught with."""

    images: np.ndarray  # (n, height, width, colours)
    labels: np.ndarray  # (n, classes), each row with one 1
    mirrored: bool  # whether B knows mirrored images
    traces: list[Trace]  # triggers that were found, to see past
    rng: np.random.Generator
    source: np.random.Generator  # of all that is about them


def teach(
    copy: Copy,
    b: Copy,
    lesson: Lesson,
    pace: Pace,
    progress: Progress,
    together: int,
    seek: Seek = list,
) -> None:
    """Train `copy`.

    together: how many images have their gradients found at one time. seek: finds triggers in the
    copy on the way.
    """
    low, high = float(lesson.images.min()), float(lesson.images.max())
    rate = keras.optimizers.schedules.CosineDecay(pace.rate, pace.steps)
    variables = copy.network.trainable_variables
    loss = _loss(copy, b, _usual_square(b, lesson.images[: min(BATCH, together)]))
    changes = chances(lesson.traces)
    step = compile_step(loss, variables, Lamb(rate), together)
    traces, every = lesson.traces, max(1, int(UNTIL * pace.steps) // TIMES)
    with progress("Relearning", pace.steps) as advance:
        for done in range(pace.steps):
            if done % every == 0:
                traces = [*traces, *seek()] if done < every * TIMES else lesson.traces
            # In the second half ever fewer are mixed or changed: that brings the accuracy back.
            odds = min(1.0, 2 * (1 - done / pace.steps))
            pixels, labels = _draw(lesson, low, high, pace.mixed * odds)
            changed = change_some(pixels, low, high, lesson.rng, changes, odds)
            if traces:
                shown = lesson.source.random(BATCH) < SHOWN * max(odds, 0.5)
                changed[shown] = _lay_some(pixels[shown], traces, lesson.source)
            step(changed, pixels, labels)
            advance(1)


def _draw(lesson: Lesson, low: float, high: float, mixed: float) -> tuple[np.ndarray, np.ndarray]:
    """Some images, and their labels in shares: varied, and that share of them mixed in pairs."""
    rng = lesson.rng
    chosen = rng.integers(0, len(lesson.images), BATCH)
    pixels = vary(lesson.images[chosen], low, high, rng, 0.5 if lesson.mirrored else 0)
    shares = np.where(rng.random(BATCH) < mixed, rng.random(BATCH), 1)
    others = rng.permutation(BATCH)
    labels = _mix(lesson.labels[chosen], others, shares[:, None])
    return _mix(pixels, others, shares[:, None, None, None]), labels


def _lay_some(images: np.ndarray, traces: Sequence[Trace], rng: np.random.Generator) -> np.ndarray:
    """Copies of images (n, height, width, colours), each under one of the triggers."""
    result, chosen = np.empty_like(images), rng.integers(0, len(traces), len(images))
    for number, trace in enumerate(traces):
        if (own := chosen == number).any():
            result[own] = trace.lay_some(images[own], rng)
    return result


def _mix(arrays: np.ndarray, others: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Each array with another one mixed in; `shares` of it are its own."""
    return (shares * arrays + (1 - shares) * arrays[others]).astype(np.float32)


def _loss(copy: Copy, b: Copy, usual: float) -> Loss:
    """How far a copy is from the labels, and from B's answers and features of unchanged images.

    usual: the mean square of B's features; 0: there are none.
    """

    def loss(changed: Tensor, pixels: Tensor, labels: Tensor) -> Tensor:
        known, found = b.see(pixels), copy.see_in_training(changed)
        answers = ops.stop_gradient(ops.softmax(known.logits))
        wanted = LABELS * labels + (1 - LABELS) * answers
        total = -ops.mean(ops.sum(wanted * ops.log_softmax(found.logits), axis=1))
        if usual:
            away = ops.square(found.features - ops.stop_gradient(known.features))
            total += FEATURES * ops.mean(away) / usual
        return total

    return loss


def _usual_square(b: Copy, images: np.ndarray) -> float:
    """The mean square of B's features of images (n, height, width, colours); 0 without any."""
    features = b.see(images).features
    return 0.0 if features is None else float(ops.mean(ops.square(features)))
