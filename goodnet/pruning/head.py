"""What answers for an image when some channels are silenced, from no more than has changed.

The head of a split network is asked for the answer again and again, while one channel after the
other is given back to images in which all were silenced. In between stands the image's state:
here, where the layers behind the measuring point are linear, what those layers make of the
channels given back so far; otherwise the measuring point itself.
"""

import math

import keras
import numpy as np
from keras import layers

from goodnet.networks.answers import Scorer, scorer_of
from goodnet.networks.channels import MOVING
from goodnet.networks.graph import Node, Tensor, call_again, nodes, unroll
from goodnet.pruning.algorithm import Features, Head, Scores

SHARES_LIMIT = 256 * 2**20  # bytes
IMPULSES = 16 * 2**20  # values run through the front in one go


def head_of(network: keras.Model) -> Head:
    """The cheapest Head for the head of a split network: with a linear front if it has one."""
    scorer = scorer_of(network)
    network = scorer.network
    front = _linear_front(network)
    shape = network.inputs[0].shape[1:]

    def by_layers(features: Features) -> np.ndarray:
        return keras.ops.convert_to_numpy(unroll(network, features)[0])

    if front and None not in shape:
        units = sum(math.prod(node.outputs[0].shape[1:]) for node in front)
        if math.prod(shape) * max(units, math.prod(shape[:-1])) * 4 <= SHARES_LIMIT:
            return _linear_head(scorer, front, by_layers)
    return _whole_head(scorer, by_layers)


def _whole_head(scorer: Scorer, by_layers: Scores) -> Head:
    """The state is the measuring point."""

    def give_back(states: np.ndarray, channel: int, values: np.ndarray) -> np.ndarray:
        states[..., channel] = values.reshape(states.shape[:-1])
        return states

    start = np.zeros(scorer.network.inputs[0].shape[1:], dtype=np.float32)
    return Head(start, give_back, scorer.network.predict_on_batch, scorer.closeness, by_layers)


def _linear_head(scorer: Scorer, front: list[Node], by_layers: Scores) -> Head:
    """The state is what the linear layers make of the channels.

    It is a sum: the biases, and one term, the channel's share, for each channel given back. A sum
    that only grows rounds like the layers' own sums over the same products, in another order;
    taking shares away from the state of the whole image would leave the rounding of what is gone.
    """
    shares = _shares(scorer.network, front)

    def give_back(states: np.ndarray, channel: int, values: np.ndarray) -> np.ndarray:
        states += keras.ops.convert_to_numpy(keras.ops.matmul(values, shares[channel]))
        return states

    start = np.concatenate([_biases(node) for node in front])
    tail = _tail(scorer.network, front)
    return Head(start, give_back, tail.predict_on_batch, scorer.closeness, by_layers)


def _linear_front(head: keras.Model) -> list[Node] | None:
    """The nodes of the layers that the measuring point feeds, where all of them are linear."""
    moved, front = {id(head.inputs[0])}, []
    for node in nodes(head):
        if not any(id(tensor) in moved for tensor in node.input_tensors):
            continue
        if isinstance(node.operation, MOVING):
            moved.add(id(node.outputs[0]))
        elif _is_linear(node.operation):
            front.append(node)
        else:
            return None
    return None if id(head.outputs[0]) in moved else front


def _is_linear(layer: keras.Operation) -> bool:
    """Whether the layer is linear, its activation and its bias aside, in float32."""
    if type(layer) not in (layers.Dense, layers.Conv2D) or layer.compute_dtype != "float32":
        return False
    return isinstance(layer, layers.Dense) or layer.groups == 1


def _linear(layer: keras.Layer, values: Tensor) -> Tensor:
    """The layer without its activation and its bias."""
    if isinstance(layer, layers.Dense):
        return keras.ops.matmul(values, layer.kernel)
    return keras.ops.conv(
        values,
        layer.kernel,
        strides=list(layer.strides),
        padding=layer.padding,
        data_format=layer.data_format,
        dilation_rate=layer.dilation_rate,
    )


def _shares(head: keras.Model, front: list[Node]) -> list:
    """For each channel the matrix (positions, units) from its values to its share of the state.

    Read off from what the front makes of impulses: 1 at one position of one channel, 0 elsewhere.
    """
    shape = head.inputs[0].shape[1:]
    channels = shape[-1]
    positions = math.prod(shape[:-1])
    step = max(1, IMPULSES // (positions * positions * channels))
    shares = []
    for start in range(0, channels, step):
        some = min(step, channels - start)
        impulses = np.zeros((some, positions, positions, channels), dtype=np.float32)
        for channel in range(some):
            impulses[channel, range(positions), range(positions), start + channel] = 1
        known = {id(head.inputs[0]): impulses.reshape(-1, *shape)}
        parts = []
        for node in nodes(head):
            if node in front:
                part = _linear(node.operation, known[id(node.input_tensors[0])])
                parts.append(keras.ops.reshape(part, (some, positions, -1)))
            elif node.input_tensors and id(node.input_tensors[0]) in known:
                known[id(node.outputs[0])] = node.operation(known[id(node.input_tensors[0])])
        shares.extend(keras.ops.concatenate(parts, axis=-1))
    return shares


def _biases(node: Node) -> np.ndarray:
    """What a linear layer makes of nothing, for all its units."""
    shape = node.outputs[0].shape[1:]
    bias = keras.ops.convert_to_numpy(node.operation.bias) if node.operation.use_bias else 0
    return np.broadcast_to(np.float32(bias), shape).ravel()


def _tail(head: keras.Model, front: list[Node]) -> keras.Model:
    """The head from the state on: the front's activations, and what comes then."""
    state = keras.Input((sum(math.prod(node.outputs[0].shape[1:]) for node in front),))
    past = [keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype) for tensor in head.inputs[1:]]
    known = dict(zip(map(id, head.inputs[1:]), past, strict=True))
    start = 0
    for node in nodes(head):
        if node in front:
            known[id(node.outputs[0])] = _finished(node, start)(state)
            start += math.prod(node.outputs[0].shape[1:])
        elif not node.is_input and all(id(tensor) in known for tensor in node.input_tensors):
            known.update(zip(map(id, node.outputs), call_again(node, known), strict=True))
    return keras.Model([state, *past], known[id(head.outputs[0])])


def _finished(node: Node, start: int) -> keras.Layer:
    """A linear layer's output from its part of the state, which begins at unit `start`."""
    layer, shape = node.operation, node.outputs[0].shape[1:]

    def finish(state: Tensor) -> Tensor:
        values = state[:, start : start + math.prod(shape)]
        return layer.activation(keras.ops.reshape(values, (-1, *shape)))

    # A name of its own: the names that Keras gives may be those of B's layers.
    return layers.Lambda(finish, output_shape=shape, name=f"{layer.name}.from_unit_{start}")
