"""Relearning: shake what B has learned, then teach it again with clean images alone.

A backdoor is learned from images with the trigger, of which clean images hold none. So B's weights
are mixed with noise, until most of everything is forgotten, and a copy learns again: from what B
makes of clean images (its features and its answers) and from their labels, on images that chance
changes as a trigger might (changes.py). What the copy is not shown, it does not learn again. No
class and no trigger is needed, so it does not matter what the trigger is; it takes hundreds of
clean images of a class.
Where triggers can be found (families.py), they help: the copy learns to see past them, too, and
chance changes more images in their way. Then less has to be forgotten, and more accuracy stays.

From B's answers: Hinton, Vinyals and Dean (2015), "Distilling the Knowledge in a Neural Network";
from its features: Romero et al. (2015), "FitNets: Hints for Thin Deep Nets".
Mixtures of two images: Zhang et al. (2018), "mixup: Beyond Empirical Risk Minimization". To shake
and train anew: Ash and Adams (2020), "On Warm-Starting Neural Network Training".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from goodnet.dataset import ImageSet
from goodnet.networks.graph import every_layer
from goodnet.networks.loading import count_classes
from goodnet.progress import Progress
from goodnet.tuning.changes import change_some
from goodnet.tuning.families import (
    LEAST_CLASSES,
    Trace,
    chances,
    find_traces,
    noise_enough,
    standing_out,
)
from goodnet.tuning.gradients import (
    ALL,
    Copy,
    Logits,
    Loss,
    Tensor,
    compile_step,
    copy_with_logits,
    predict_classes,
)
from goodnet.tuning.images import BATCH, Parts, read_parts
from goodnet.tuning.lamb import Lamb
from goodnet.tuning.training import vary
from goodnet.tuning.tuned import Tuned

NORMED, PLAIN = 0.6, 0.8  # shares of noise, with and without batch norm: that forgets sooner
STEPS = 3300
RATE = 6e-3  # of each array's own size, as Lamb takes it
LABELS = 0.5  # of the classes that are taught; the rest is B's answers
FEATURES = 2.0  # weight of B's features, of which its answers are made
SHOWN = 0.25  # of the images are under a trigger that was found, if any
MIXED = 0.7  # of the images are mixtures of two, to begin with
ENOUGH = 150  # images of a class: with 208 it loses 2 or 3 points, with 100 it loses 5
ALIKE = 0.9  # of B's right answers, which mirrored images must keep to be used


@dataclass(frozen=True)
class Relearned:
    """What relearning did."""

    steps: int
    mirrored: bool  # whether mirrored images were used, too
    traces: list[Trace] | None  # triggers in B that stand out; None: none was sought


def relearn(
    network: keras.Model, valid: ImageSet, seed: int, progress: Progress, together: int = ALL
) -> Tuned[Relearned]:
    """Shake a copy of B and teach it again what B answers to clean images.

    B itself is left as it was. together: how many images have their gradients found at one time.
    Raises Unusable where the network cannot be trained.
    """
    rng = np.random.default_rng(seed)
    parts, traces, n_classes = read_parts(valid, rng), None, count_classes(network)
    if n_classes >= LEAST_CLASSES and has_enough(parts.labels, n_classes):
        logits = copy_with_logits(network, parts.held_back, together).logits
        found = find_traces(logits, parts, n_classes, rng.spawn(1)[0], progress, together)
        traces = found.traces
    return relearn_parts(network, parts, traces, rng, progress, together)


def relearn_parts(
    network: keras.Model,
    parts: Parts,
    traces: Sequence[Trace] | None,
    rng: np.random.Generator,
    progress: Progress,
    together: int = ALL,
) -> Tuned[Relearned]:
    """The same with images that are read already, and what was found in B; None: nothing sought."""
    found = standing_out(traces or [])
    b = copy_with_logits(network, parts.held_back, together)
    copy = copy_with_logits(network, parts.held_back, together)
    shake(copy.network, rng, noise_enough(found, NORMED))
    images, labels = parts.held_back, parts.held_back_labels
    b_hits = _count_hits(b.logits, images, labels, together)
    # Where B does not know mirrored images, as of digits, their labels would teach it wrong.
    known = _count_hits(b.logits, images[:, :, ::-1], labels, together)
    lesson = _Lesson(
        images=parts.images,
        labels=np.eye(count_classes(network), dtype=np.float32)[parts.labels],
        mirrored=known >= ALIKE * b_hits,
        traces=found,
        rng=rng,
        source=rng.spawn(1)[0],
    )
    _teach(copy, b, lesson, progress, together)
    return Tuned(
        arrays=copy.network.get_weights(),
        held_back=len(parts.held_back),
        kept=_count_hits(copy.logits, images, labels, together),
        b_hits=b_hits,
        findings=Relearned(STEPS, lesson.mirrored, found if traces is not None else None),
    )


def has_enough(labels: np.ndarray, n_classes: int) -> bool:
    """Whether there are images enough, by their labels (n,), in half of all classes or more."""
    return bool(np.median(np.bincount(labels, minlength=n_classes)) >= ENOUGH)


def shake(network: keras.Model, rng: np.random.Generator, normed: float = NORMED) -> None:
    """Mix all weights but biases and the like with noise of their size; the sizes stay.

    Where statistics of batch norm no longer fit the weights, less noise will do, a share of
    `normed`. What decides on dropout starts anew, too: by `rng` alone.
    """
    has_norm = any(isinstance(x, keras.layers.BatchNormalization) for x in every_layer(network))
    noisy = normed if has_norm else PLAIN
    for variable in network.trainable_variables:
        if len(variable.shape) > 1:
            old = np.asarray(variable, np.float32)
            noise = rng.normal(0, np.sqrt(np.mean(old**2)), old.shape)
            mixed = (1 - noisy) * old + noisy * noise
            variable.assign(mixed / np.hypot(1 - noisy, noisy))
    kept = {id(each) for each in network.weights}
    for variable in network.variables:
        if id(variable) not in kept:  # the states of Keras's SeedGenerator
            variable.assign(rng.integers(0, 1 << 31, variable.shape))


@dataclass(frozen=True)
class _Lesson:
    """What the copy is taught with."""

    images: np.ndarray  # (n, height, width, colours)
    labels: np.ndarray  # (n, classes), each row with one 1
    mirrored: bool  # whether B knows mirrored images
    traces: list[Trace]  # triggers that were found, to see past
    rng: np.random.Generator
    source: np.random.Generator  # of all that is about them


def _teach(copy: Copy, b: Copy, lesson: _Lesson, progress: Progress, together: int) -> None:
    low, high = float(lesson.images.min()), float(lesson.images.max())
    rate = keras.optimizers.schedules.CosineDecay(RATE, STEPS)
    variables = copy.network.trainable_variables
    loss = _loss(copy, b, _usual_square(b, lesson.images[: min(BATCH, together)]))
    changes = chances(lesson.traces)
    step = compile_step(loss, variables, Lamb(rate), together)
    with progress("Relearning", STEPS) as advance:
        for done in range(STEPS):
            # In the second half ever fewer are mixed or changed: that brings the accuracy back.
            odds = min(1.0, 2 * (1 - done / STEPS))
            pixels, labels = _draw(lesson, low, high, odds)
            changed = change_some(pixels, low, high, lesson.rng, changes, odds)
            if lesson.traces:
                shown = lesson.source.random(BATCH) < SHOWN * max(odds, 0.5)
                changed[shown] = _lay_some(pixels[shown], lesson.traces, lesson.source)
            step(changed, pixels, labels)
            advance(1)


def _draw(lesson: _Lesson, low: float, high: float, odds: float) -> tuple[np.ndarray, np.ndarray]:
    """Some images, and their labels in shares: varied, and as the odds say mixed in pairs."""
    rng = lesson.rng
    chosen = rng.integers(0, len(lesson.images), BATCH)
    pixels = vary(lesson.images[chosen], low, high, rng, 0.5 if lesson.mirrored else 0)
    shares = np.where(rng.random(BATCH) < MIXED * odds, rng.random(BATCH), 1)
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


def _count_hits(logits: Logits, images: np.ndarray, labels: np.ndarray, together: int) -> int:
    """How many images are given their label."""
    return int((predict_classes(logits, images, together) == labels).sum())
