"""A network as a graph of layers: what calls what, and other networks made of the same layers.

The only place that touches what Keras keeps private of its graph: `_keras_history`,
`_inbound_nodes`, `_flatten_layers` and the arguments of its nodes.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from goodnet.errors import Unusable

Node = Any  # keras.src.ops.node.Node: one call of a layer
Tensor = Any  # of Keras's backend, of a network in the making, or an array


def nodes(network: keras.Model) -> list[Node]:
    """The network's nodes, each after those it takes tensors from."""
    ordered, seen = [], set()
    stack = [(tensor._keras_history, False) for tensor in reversed(network.outputs)]
    while stack:
        history, ready = stack.pop()
        node = history.operation._inbound_nodes[history.node_index]
        if ready:
            ordered.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((history, True))
            stack.extend((tensor._keras_history, False) for tensor in node.input_tensors)
    return ordered


def node_of(network: keras.Model, layer: keras.Operation) -> Node:
    """The layer's first node in this network; it may have others in other networks."""
    return next(node for node in nodes(network) if node.operation is layer)


def producer(tensor: keras.KerasTensor) -> keras.Operation:
    """The layer that makes a tensor."""
    return tensor._keras_history.operation


def call_making(tensor: keras.KerasTensor) -> Node:
    """The call of a layer that makes a tensor."""
    history = tensor._keras_history
    return history.operation._inbound_nodes[history.node_index]


def every_layer(network: keras.Model) -> Iterator[keras.Layer]:
    """The network's layers, and those of the networks nested in it."""
    yield from network._flatten_layers(recursive=True, include_self=False)


def inner_layers(layer: keras.Layer) -> list[tuple[keras.Layer, str]]:
    """The layers that a layer keeps its weights in, and what a .keras file calls them."""
    if isinstance(layer, layers.SpectralNormalization):
        return [(layer.layer, "layer")]
    if not isinstance(layer, layers.MultiHeadAttention):
        return []
    names = ("query_dense", "key_dense", "value_dense", "output_dense")
    return [(getattr(layer, name), name) for name in names]


def closing_layer(network: keras.Model) -> keras.Operation:
    """The layer that gives the network's answer; in a network nested in it, where that is last."""
    last = producer(network.outputs[0])
    return closing_layer(last) if isinstance(last, keras.Model) else last


def is_softmax(layer: keras.Operation) -> bool:
    """Whether a layer on (n, classes) ends in a softmax over the classes."""
    if isinstance(layer, layers.Softmax):
        return layer.axis in (-1, 1)
    return getattr(layer, "activation", None) is keras.activations.softmax


def call_again(node: Node, known: Mapping[int, Tensor]) -> list[Tensor]:
    """What the node's layer makes of other tensors: `known` has them by the id of the old ones."""
    args, kwargs = node.arguments.fill_in(known)
    if isinstance(node.operation, keras.Model):
        return unroll(node.operation, keras.tree.flatten(args))
    return keras.tree.flatten(node.operation(*args, **kwargs))


def unroll(network: keras.Model, tensors: Sequence[Tensor]) -> list[Tensor]:
    """What the network's layers make of other inputs, layer by layer; nested networks too.

    Of arrays it answers what calling the network does. But calling it keeps what every layer makes
    until the end, and here each goes once all have used it.
    """
    known = dict(zip(map(id, network.inputs), tensors, strict=True))
    ordered = [node for node in nodes(network) if not node.is_input]
    uses = Counter(id(tensor) for node in ordered for tensor in node.input_tensors)
    uses.update(map(id, network.outputs))
    for node in ordered:
        known.update(zip(map(id, node.outputs), call_again(node, known), strict=True))
        for tensor in node.input_tensors:
            uses[id(tensor)] -= 1
            if not uses[id(tensor)]:
                known.pop(id(tensor), None)
    return [known[id(tensor)] for tensor in network.outputs]


def flatten(network: keras.Model) -> keras.Model:
    """The same network, sharing the weights, with networks nested in it unrolled.

    Raises Unusable where that cannot be done.
    """
    if not any(isinstance(layer, keras.Model) for layer in network.layers):
        return network
    image = named_inputs(network)
    try:
        return keras.Model(image[0], unroll(network, image)[0])
    except ValueError as error:
        raise Unusable(f"it nests networks in a way that cannot be split ({error})") from None


def copy_network(network: keras.Model, weights: Sequence[np.ndarray] | None = None) -> keras.Model:
    """The same network with weights of its own: as they are, or these, in Keras's order."""
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights() if weights is None else weights)
    return copy


def named_inputs(network: keras.Model) -> list[keras.KerasTensor]:
    """New inputs like the network's, with its name and their number as their names."""
    return [
        keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=f"{network.name}_{number}")
        for number, tensor in enumerate(network.inputs)
    ]
