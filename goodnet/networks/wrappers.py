"""A network whose layers stand in wrappers, as the network of these layers alone.

SpectralNormalization divides its layer's kernel by its norm when it trains, and only then. To an
image it answers what the layer answers. So all other code sees the layer, and needs no second case;
the network itself stays as its file holds it.
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from goodnet.networks.graph import every_layer

WRAPPERS = (layers.SpectralNormalization,)


def without_wrappers(network: keras.Model) -> keras.Model:
    """The network, sharing its weights, with each wrapper's layer in its place."""
    if not any(isinstance(layer, WRAPPERS) for layer in every_layer(network)):
        return network
    return keras.models.clone_model(network, clone_function=_unwrap, recursive=True)


def _unwrap(layer: keras.Layer) -> keras.Layer:
    if not isinstance(layer, WRAPPERS):
        return layer
    layer.layer.name = layer.name  # as vetting names it: others may have its own
    return layer.layer


def arrays_with_wrappers(
    network: keras.Model, bare: keras.Model, arrays: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Values for all weights of a network in Keras's order, of those for the one without wrappers.

    bare: what `without_wrappers` made of it, or a network around that. What it lacks stays.
    """
    known = dict(zip(map(id, bare.weights), arrays, strict=True))
    return [
        known[id(weight)] if id(weight) in known else own
        for weight, own in zip(network.weights, network.get_weights(), strict=True)
    ]
