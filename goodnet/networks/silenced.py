"""Whether a repaired network is B with channels of one layer silenced, and which they are."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from goodnet.dataset import ImageShape
from goodnet.networks.channels import CONVOLUTIONS
from goodnet.networks.graph import every_layer
from goodnet.networks.split import TRIED, Split, by_channel, silenced_arrays, split_network


@dataclass(frozen=True)
class Silenced:
    """A repaired network, as B with some channels silenced."""

    split: Split  # of B
    kept: np.ndarray  # (channels,) bool


def find_silenced(
    network: keras.Model,
    repaired: keras.Model,
    image: ImageShape = TRIED,
    known: Split | None = None,
) -> Silenced | None:
    """B split at the one layer in which B' differs, and what B' keeps; None: it differs otherwise.

    image: (height, width, colours), where B leaves sizes open; known: a split of B that is at hand.
    """
    if network.to_json() != repaired.to_json():
        return None
    others = dict(zip(map(id, network.weights), repaired.weights, strict=True))
    changed = {
        id(variable)
        for variable in network.weights
        if not np.array_equal(variable, others[id(variable)])
    }
    if known is not None and changed <= set(map(id, known.variables)):
        split: Split | None = known
    else:
        split = _split_where_changed(network, changed, image)
    if split is None:
        return None
    arrays = [np.asarray(others[id(variable)]) for variable in split.variables]
    differs = [
        by_channel(split, own != other).reshape(-1, split.channels).any(axis=0)
        for own, other in zip(split.arrays, arrays, strict=True)
    ]
    channels = np.flatnonzero(np.any(differs, axis=0))
    silenced = silenced_arrays(split, channels)
    if not all(map(np.array_equal, silenced, arrays)):
        return None
    kept = np.ones(split.channels, bool)
    kept[channels] = False
    return Silenced(split, kept)


def _split_where_changed(
    network: keras.Model, changed: set[int], image: ImageShape
) -> Split | None:
    """B split where silencing channels may have changed these variables (by id), if it may."""
    touched = [
        layer
        for layer in every_layer(network)
        if isinstance(layer, CONVOLUTIONS) and changed & set(map(id, layer.weights))
    ]
    if not changed or len(touched) > 1:  # it was trained
        return None
    for name in (None, *(layer.name for layer in touched)):
        try:
            split = split_network(network, name, image)
        except Exception:  # Unusable, or what the backend says of images of this size
            continue
        if changed <= set(map(id, split.variables)):
            return split
    return None
