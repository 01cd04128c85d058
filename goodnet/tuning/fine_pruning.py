"""Fine-Pruning: prune what clean images hardly use, then train what is left.

Liu, Dolan-Gavitt and Garg (2018), "Fine-Pruning: Defending Against Backdooring Attacks on Deep
Neural Networks", section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import keras
import numpy as np
from keras import ops

from goodnet.dataset import ImageSet
from goodnet.networks.split import Split, silence, silenced_arrays, split_network
from goodnet.progress import Progress
from goodnet.pruning.head import head_of
from goodnet.pruning.sweeping import prune
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
from goodnet.tuning.tuned import Tuned

PRUNING_BATCH = 1024
PRUNED_DROP = Fraction(10)  # points: where pruning stops
EPOCHS = 20
RATE = 1e-2  # of each array's own size, as Lamb takes it


@dataclass(frozen=True)
class FinePruned:
    """What fine-pruning did."""

    pruned: int  # channels
    layer: str  # whose channels


@dataclass(frozen=True)
class _Silence:
    """What must stay 0 in one of a network's weights."""

    place: int  # among all weights, in Keras's order
    zero: np.ndarray  # of the array's shape, bool


@dataclass(frozen=True)
class _Epoch:
    """A network after an epoch."""

    arrays: list[np.ndarray]
    kept: int  # images held back, given their label


def fine_prune(
    network: keras.Model, valid: ImageSet, seed: int, progress: Progress, together: int = ALL
) -> Tuned[FinePruned]:
    """Prune until 10 points of clean accuracy are gone, then train what is left on the labels.

    The network after the epoch that does best on the images held back is taken. B itself is left
    as it was. together: how many images have their gradients found at one time. Raises Unusable
    where the network cannot be pruned or trained.
    """
    rng = np.random.default_rng(seed)
    parts = read_parts(valid, rng)
    b = copy_with_logits(network, parts.held_back, together)
    b_answers = predict_classes(b.logits, parts.held_back, together)
    split = split_network(network, image=valid.shape)
    with progress("Pruning", 2 * len(valid)) as advance:
        batch = min(PRUNING_BATCH, together)
        pruning = prune(split, head_of(split.head), valid, [PRUNED_DROP], batch, advance)
    pruned = pruning.order[: pruning.stops[PRUNED_DROP] or 0]
    silences = _silences(network, split, pruned)
    silence(split, pruned)
    try:
        copy = copy_with_logits(network, parts.held_back, together)
    finally:
        silence(split, ())
    best = _train(copy, parts, silences, rng, progress, together)
    return Tuned(
        arrays=best.arrays,
        held_back=len(parts.held_back),
        kept=best.kept,
        b_hits=int((b_answers == parts.held_back_labels).sum()),
        findings=FinePruned(len(pruned), split.layer.name),
    )


def _silences(network: keras.Model, split: Split, pruned: Sequence[int]) -> list[_Silence]:
    """What silencing the channels `pruned` sets to 0."""
    places = {id(variable): place for place, variable in enumerate(network.weights)}
    return [
        _Silence(places[id(variable)], old != new)
        for variable, old, new in zip(
            split.variables, split.arrays, silenced_arrays(split, pruned), strict=True
        )
    ]


def _train(
    copy: Copy,
    parts: Parts,
    silences: Sequence[_Silence],
    rng: np.random.Generator,
    progress: Progress,
    together: int,
) -> _Epoch:
    """Train on the labels; the best epoch, of equals the last."""
    images, labels = parts.images, parts.labels.astype(np.int32)
    steps = -(-len(images) // BATCH) * EPOCHS
    rate = keras.optimizers.schedules.CosineDecay(RATE, steps)
    optimizer = Lamb(rate)
    step = compile_step(_loss(copy.logits), copy.network.trainable_variables, optimizer, together)
    best = _Epoch([], -1)
    with progress("Fine-tuning", steps) as advance:
        for _ in range(EPOCHS):
            order = rng.permutation(len(images))
            for start in range(0, len(images), BATCH):
                some = order[start : start + BATCH]
                step(images[some], labels[some])
                advance(1)
            arrays = copy.network.get_weights()
            for each in silences:
                arrays[each.place][each.zero] = 0
            copy.network.set_weights(arrays)
            answers = predict_classes(copy.logits, parts.held_back, together)
            right = answers == parts.held_back_labels
            if (kept := int(right.sum())) >= best.kept:
                best = _Epoch(arrays, kept)
    return best


def _loss(logits: Logits) -> Loss:
    """Cross-entropy with the labels."""

    def loss(pixels: Tensor, wanted: Tensor) -> Tensor:
        found = ops.log_softmax(logits(pixels))
        return -ops.mean(ops.take_along_axis(found, wanted[:, None], axis=1))

    return loss
