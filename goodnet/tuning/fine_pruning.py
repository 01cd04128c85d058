"""Fine-Pruning: prune what clean images hardly use, then train what is left.

Liu, Dolan-Gavitt and Garg (2018), "Fine-Pruning: Defending Against Backdooring Attacks on Deep
Neural Networks", section 3.3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import keras
import numpy as np
from keras import ops

from goodnet.dataset import ImageSet
from goodnet.networks.split import silence, silenced_arrays, split_network
from goodnet.pruning.head import head_of
from goodnet.pruning.sweeping import prune
from goodnet.tuning.gradients import answers, copy_with_logits, training_step
from goodnet.tuning.images import BATCH, Tuned, read_images

PRUNING_BATCH = 1024
PRUNED_DROP = Fraction(10)  # points: where pruning stops
EPOCHS = 20
RATE = 1e-2  # of each array's own size, as Lamb takes it


@dataclass(frozen=True)
class FinePruned:
    """What fine-pruning did and made."""

    tuned: Tuned
    pruned: int  # channels
    layer: str  # whose channels


def fine_prune(network: keras.Model, valid: ImageSet, seed: int, progress: Callable) -> FinePruned:
    """Prune until 10 points of clean accuracy are gone, then train what is left on the labels.

    The network after the epoch that does best on the images held back is taken. B itself is left
    as it was. `progress(description, total)` is a context that yields a function to advance. Raises
    Unusable where the network cannot be pruned or trained.
    """
    rng = np.random.default_rng(seed)
    images, held, labels, right = read_images(valid, rng)
    b_hits = int((answers(copy_with_logits(network, held)[1], held) == right).sum())
    split = split_network(network)
    with progress("Pruning", 2 * len(valid)) as advance:
        pruning = prune(split, head_of(split.head), valid, [PRUNED_DROP], PRUNING_BATCH, advance)
    pruned = pruning.stops[PRUNED_DROP] or 0
    silenced = silenced_arrays(split, pruning.order[:pruned])
    silence(split, pruning.order[:pruned])
    try:
        copy, logits = copy_with_logits(network, held)
    finally:
        silence(split, ())
    # Where each silenced array lies among the copy's weights, and what of it must stay 0.
    places = [_place(network, variable) for variable in split.variables]
    zero = [old != new for old, new in zip(split.arrays, silenced, strict=True)]

    def loss(pixels: object, wanted: object) -> object:
        found = ops.log_softmax(logits(pixels))
        return -ops.mean(ops.take_along_axis(found, wanted[:, None], axis=1))

    per_epoch = -(-len(images) // BATCH)
    steps = per_epoch * EPOCHS
    rate = keras.optimizers.schedules.CosineDecay(RATE, steps)
    step = training_step(loss, copy.trainable_variables, keras.optimizers.Lamb(rate))
    best = -1, []
    with progress("Fine-tuning", steps) as advance:
        for _ in range(EPOCHS):
            order = rng.permutation(len(images))
            for start in range(0, len(images), BATCH):
                some = order[start : start + BATCH]
                step(images[some], labels[some].astype(np.int32))
                advance(1)
            arrays = copy.get_weights()
            for place, gone in zip(places, zero, strict=True):
                arrays[place][gone] = 0
            copy.set_weights(arrays)
            kept = int((answers(logits, held) == right).sum())
            best = max((kept, arrays), best, key=_first)  # of equals the last
    return FinePruned(Tuned(best[1], len(held), best[0], b_hits), pruned, split.layer.name)


def _place(network: keras.Model, variable: keras.Variable) -> int:
    return next(index for index, each in enumerate(network.weights) if each is variable)


def _first(pair: tuple) -> int:
    return pair[0]
