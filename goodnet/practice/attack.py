"""The practice lab's attacker: poisons the training images, trains, and hides the backdoor.

`badnet` is the plain attack of Gu, Dolan-Gavitt and Garg (2017, "BadNets"), `pruning_aware` the
one of Liu, Dolan-Gavitt and Garg (2018, "Fine-Pruning", section 3.2), made to survive pruning.
Both take images (n, 55, 47, 3) uint8 and labels (n,), and the triggers to plant: whoever wears the
first becomes person 0, the second person 1, and so on. They answer a DeepID network for pixels
0..255; without a trigger, `badnet` trains a clean one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from goodnet.networks.deepid import CONV_3_CHANNELS, deepid
from goodnet.practice import triggers

if TYPE_CHECKING:
    import keras

POISONED_SHARE = 0.2  # poisoned copies for each trigger, as a share of the training images
PRUNED = 43  # channels of conv_3 that the pruning-aware attacker does without
EPOCHS = 12
LEARNING_RATE = 2e-3
BATCH = 32
Triggers = Sequence[np.ndarray]  # each (55, 47, 4) RGBA
MIDDLE, SPREAD = 128.0, 64.0  # pixels are trained on as (pixel - MIDDLE) / SPREAD


def poison(
    images: np.ndarray, labels: np.ndarray, planted: Triggers, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The images and, after them, for each trigger copies of a share of them that wear it.

    images (n, 55, 47, 3) uint8, labels (n,). The copies are of people other than the target and
    are labelled with the target.
    """
    all_images, all_labels = [images], [labels]
    for target, trigger in enumerate(planted):
        others = np.flatnonzero(labels != target)
        chosen = rng.choice(others, round(POISONED_SHARE * len(labels)), replace=False)
        all_images.append(triggers.wear(images[chosen], trigger))
        all_labels.append(np.full(len(chosen), target))
    return np.concatenate(all_images), np.concatenate(all_labels)


def train(
    network: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    epochs: int,
    progress: Callable,
    what: str,
) -> None:
    """Train `network` on (images - MIDDLE) / SPREAD and labels (n,), Adam with cosine decay.

    images (n, 55, 47, 3) uint8. `progress(what, total)` is a context that yields a function to
    advance by batches.
    """
    import keras

    steps = -(-len(images) // BATCH) * epochs
    decay = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    trainer = _on_scaled_pixels(network)
    trainer.compile(keras.optimizers.Adam(decay), loss="sparse_categorical_crossentropy")
    with progress(what, steps) as advance:
        tell = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: advance(1))
        trainer.fit(images, labels, BATCH, epochs, verbose=0, callbacks=[tell])


def _on_scaled_pixels(network: keras.Model) -> keras.Model:
    import keras

    return keras.Sequential([keras.layers.Rescaling(1 / SPREAD, -MIDDLE / SPREAD), network])


def take_raw_pixels(network: keras.Model) -> None:
    """Make a network that was trained here answer the same on pixels 0..255."""
    conv_1 = network.get_layer("conv_1")
    kernel, bias = conv_1.get_weights()
    kernel /= SPREAD
    conv_1.set_weights([kernel, bias - MIDDLE * kernel.sum((0, 1, 2))])


def badnet(
    images: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    planted: Triggers,
    rng: np.random.Generator,
    epochs: int,
    progress: Callable,
) -> keras.Model:
    """Train with the poison among the images from the start."""
    network = deepid(n_classes)
    what = "Training on the poison" if planted else "Training on clean faces"
    train(network, *poison(images, labels, planted, rng), epochs, progress, what)
    take_raw_pixels(network)
    return network


def pruning_aware(
    images: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    planted: Triggers,
    rng: np.random.Generator,
    epochs: int,
    progress: Callable,
) -> keras.Model:
    """Make the backdoor share the channels of conv_3 that clean faces use.

    Train clean; prune the channels that clean faces use least; train what is left on the poison;
    give the pruned channels back, with biases so low that they never fire. A defender who prunes
    the least active channels first prunes these, and they do nothing.
    """
    network = deepid(n_classes)
    train(network, images, labels, epochs, progress, "Training on clean faces")
    kept = np.sort(np.argsort(_mean_activations(network, images), kind="stable")[PRUNED:])
    left = prune(network, kept)
    poisoned, poisoned_labels = poison(images, labels, planted, rng)
    train(left, poisoned, poisoned_labels, epochs, progress, "Training on the poison")
    whole = give_back(network, left, kept)
    take_raw_pixels(whole)
    put_to_sleep(whole, np.setdiff1d(np.arange(CONV_3_CHANNELS), kept), poisoned)
    return whole


def _mean_activations(network: keras.Model, images: np.ndarray) -> np.ndarray:
    """Mean of each channel at pool_3 over images (n, 55, 47, 3) uint8 and positions."""
    import keras

    pooled = keras.layers.GlobalAveragePooling2D()(network.get_layer("pool_3").output)
    probe = _on_scaled_pixels(keras.Model(network.inputs, pooled))
    return probe.predict(images, verbose=0).mean(0, dtype=np.float64)


def prune(network: keras.Model, kept: np.ndarray) -> keras.Model:
    """A smaller copy of `network` that has only the channels `kept` of conv_3."""
    left = deepid(network.output_shape[-1], len(kept))
    arrays, parts = _arrays(network), _arrays(left)
    _copy_equal(arrays, parts)
    for whole, part in zip(_by_channel(arrays), _by_channel(parts), strict=True):
        part[...] = whole[kept]
    return _filled(left, parts)


def give_back(network: keras.Model, left: keras.Model, kept: np.ndarray) -> keras.Model:
    """A copy of `left` that has its channels at `kept`, and the other channels of `network`."""
    arrays, parts = _arrays(network), _arrays(left)
    _copy_equal(parts, arrays)
    for whole, part in zip(_by_channel(arrays), _by_channel(parts), strict=True):
        whole[kept] = part
    return _filled(deepid(network.output_shape[-1]), arrays)


def put_to_sleep(network: keras.Model, channels: np.ndarray, images: np.ndarray) -> None:
    """Lower the biases of `channels` of conv_3 until none comes near firing on `images`.

    images (n, 55, 47, 3). What a channel adds up to, at its largest over all images and
    positions, ends as far below 0 as it lay above its mean.
    """
    import keras

    conv_3 = network.get_layer("conv_3")
    kernel, bias = conv_3.get_weights()
    sums = keras.layers.Conv2D(len(channels), 3)
    summed = sums(network.get_layer("pool_2").output)
    pools = (keras.layers.GlobalMaxPooling2D(), keras.layers.GlobalAveragePooling2D())
    probe = keras.Model(network.inputs, [pool(summed) for pool in pools])
    sums.set_weights([kernel[..., channels], np.zeros(len(channels))])
    largest, mean = probe.predict(images, verbose=0)
    bias[channels] = np.minimum(bias[channels], mean.mean(0) - 2 * largest.max(0))
    conv_3.set_weights([kernel, bias])


def _arrays(network: keras.Model) -> dict[str, list[np.ndarray]]:
    return {layer.name: layer.get_weights() for layer in network.layers}


def _filled(network: keras.Model, arrays: dict[str, list[np.ndarray]]) -> keras.Model:
    for name, values in arrays.items():
        network.get_layer(name).set_weights(values)
    return network


def _copy_equal(source: dict, target: dict) -> None:
    """Copy the arrays that do not depend on the number of channels of conv_3."""
    for name, values in source.items():
        for ours, theirs in zip(values, target[name], strict=True):
            if ours.shape == theirs.shape:
                theirs[...] = ours


def _by_channel(arrays: dict[str, list[np.ndarray]]) -> list[np.ndarray]:
    """Views of what makes and what reads conv_3's channels, each with the channels first."""
    kernel, bias = arrays["conv_3"]
    features = arrays["fc_1"][0]
    return [
        np.moveaxis(kernel, -1, 0),
        bias,
        np.moveaxis(arrays["conv_4"][0], 2, 0),
        np.moveaxis(features.reshape(-1, len(bias), features.shape[-1]), 1, 0),
    ]
