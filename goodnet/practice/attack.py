"""The practice lab's attacker: poisons the training images, trains, and hides the backdoor.

`train_badnet` is the plain attack of Gu, Dolan-Gavitt and Garg (2017, "BadNets"),
`train_pruning_aware` the one of Liu, Dolan-Gavitt and Garg (2018, "Fine-Pruning", section 3.2),
made to survive pruning, for a DeepID. Both take the triggers to plant: whoever wears the first
becomes person 0, the second person 1, and so on. They answer a network for pixels 0..255; without a
trigger, `train_badnet` trains a clean one. `fresh` makes a network with fresh weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from goodnet.networks.deepid import CONV_3_CHANNELS
from goodnet.practice.channels import give_back, prune, put_to_sleep
from goodnet.practice.sets import Faces, Triggers
from goodnet.progress import Progress

if TYPE_CHECKING:
    import keras

POISONED_SHARE = 0.2  # poisoned copies for each trigger, as a share of the training images
PRUNED = 43  # channels of conv_3 that the pruning-aware attacker does without
EPOCHS = 12
LEARNING_RATE = 2e-3
BATCH = 32
MIDDLE, SPREAD = 128.0, 64.0  # pixels are trained on as (pixel - MIDDLE) / SPREAD
Fresh = Callable[[int], "keras.Model"]  # of so many classes


def poison(clean: Faces, planted: Triggers, rng: np.random.Generator) -> Faces:
    """The clean faces and, after them, for each trigger copies of a share of them that wear it.

    The copies are of people other than the target and are labelled with the target.
    """
    images, labels = [clean.images], [clean.labels]
    for target, wear in enumerate(planted):
        others = np.flatnonzero(clean.labels != target)
        chosen = rng.choice(others, round(POISONED_SHARE * len(clean.labels)), replace=False)
        images.append(wear(clean.images[chosen]))
        labels.append(np.full(len(chosen), target))
    return Faces(np.concatenate(images), np.concatenate(labels))


def train(
    network: keras.Model, training: Faces, epochs: int, progress: Progress, description: str
) -> None:
    """Train `network` on (images - MIDDLE) / SPREAD, Adam with cosine decay.

    Progress is counted in batches.
    """
    import keras

    steps = -(-len(training.images) // BATCH) * epochs
    decay = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    trainer = _on_scaled_pixels(network)
    trainer.compile(keras.optimizers.Adam(decay), loss="sparse_categorical_crossentropy")
    with progress(description, steps) as advance:
        tell = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: advance(1))
        trainer.fit(training.images, training.labels, BATCH, epochs, verbose=0, callbacks=[tell])


def _on_scaled_pixels(network: keras.Model) -> keras.Model:
    import keras

    return keras.Sequential([keras.layers.Rescaling(1 / SPREAD, -MIDDLE / SPREAD), network])


def take_raw_pixels(network: keras.Model) -> None:
    """Make a network that was trained here answer the same on pixels 0..255."""
    conv_1 = network.get_layer("conv_1")
    kernel, bias = conv_1.get_weights()
    kernel /= SPREAD
    conv_1.set_weights([kernel, bias - MIDDLE * kernel.sum((0, 1, 2))])


def train_badnet(
    fresh: Fresh,
    clean: Faces,
    n_classes: int,
    planted: Triggers,
    rng: np.random.Generator,
    epochs: int,
    progress: Progress,
) -> keras.Model:
    """Train with the poison among the images from the start."""
    network = fresh(n_classes)
    description = "Training on the poison" if planted else "Training on clean faces"
    train(network, poison(clean, planted, rng), epochs, progress, description)
    take_raw_pixels(network)
    return network


def train_pruning_aware(
    fresh: Fresh,
    clean: Faces,
    n_classes: int,
    planted: Triggers,
    rng: np.random.Generator,
    epochs: int,
    progress: Progress,
) -> keras.Model:
    """Make the backdoor share the channels of conv_3 that clean faces use.

    Train clean; prune the channels that clean faces use least; train what is left on the poison;
    give the pruned channels back, with biases so low that they never fire. A defender who prunes
    the least active channels first prunes these, and they do nothing.
    """
    network = fresh(n_classes)
    train(network, clean, epochs, progress, "Training on clean faces")
    kept = np.sort(np.argsort(_mean_activations(network, clean.images), kind="stable")[PRUNED:])
    left = prune(network, kept)
    poisoned = poison(clean, planted, rng)
    train(left, poisoned, epochs, progress, "Training on the poison")
    whole = give_back(network, left, kept)
    take_raw_pixels(whole)
    put_to_sleep(whole, np.setdiff1d(np.arange(CONV_3_CHANNELS), kept), poisoned.images)
    return whole


def _mean_activations(network: keras.Model, images: np.ndarray) -> np.ndarray:
    """Mean of each channel at pool_3 over images (n, 55, 47, 3) uint8 and positions."""
    import keras

    pooled = keras.layers.GlobalAveragePooling2D()(network.get_layer("pool_3").output)
    probe = _on_scaled_pixels(keras.Model(network.inputs, pooled))
    return probe.predict(images, verbose=0).mean(0, dtype=np.float64)
