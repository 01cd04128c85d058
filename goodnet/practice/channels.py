"""Channels of conv_3 of a DeepID network: take some out, give them back, keep them silent.

With these the pruning-aware attacker (goodnet/practice/attack.py) hides a backdoor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from goodnet.networks.deepid import deepid

if TYPE_CHECKING:
    import keras


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
