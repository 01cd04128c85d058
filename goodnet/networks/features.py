"""What a network makes its answer of: the features that its last Dense layer takes."""

import keras
from keras import layers

from goodnet.errors import Unusable
from goodnet.networks.graph import call_making, flatten, nodes


def with_features(network: keras.Model) -> keras.Model:
    """The same network, sharing the weights, which answers its features as well, behind its answer.

    Those before dropout, which is there for training alone. A network without a Dense layer, or
    one that nests others in a way that cannot be unrolled, is answered as it is.
    """
    try:
        flat = flatten(network)
    except Unusable:
        return network
    taking = [node for node in nodes(flat) if isinstance(node.operation, layers.Dense)]
    if not taking:
        return network
    features = taking[-1].input_tensors[0]
    while isinstance((made := call_making(features)).operation, layers.Dropout):
        features = made.input_tensors[0]
    return keras.Model(flat.inputs, [flat.outputs[0], features])
