"""Split a network at the layer that is pruned, and silence channels of that layer.

The trunk computes everything up to the measuring point and what runs past it; the head computes
the answer from there. Silencing a channel changes nothing in the trunk but that channel, which
becomes 0 at the measuring point: the trunk runs once over the images, the head once per row.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import keras
import numpy as np
from keras import layers

from goodnet.errors import Unusable
from goodnet.networks.graph import Node, flatten, node_of, nodes, producer

CONVOLUTIONS = (layers.Conv2D, layers.SeparableConv2D, layers.DepthwiseConv2D)
POOLINGS = (
    layers.MaxPooling2D,
    layers.AveragePooling2D,
    layers.GlobalMaxPooling2D,
    layers.GlobalAveragePooling2D,
)
ACTIVATIONS = (
    layers.Activation,
    layers.ReLU,
    layers.LeakyReLU,
    layers.PReLU,
    layers.ELU,
)
CHANNELWISE = (
    layers.BatchNormalization,
    layers.Dropout,
    layers.SpatialDropout2D,
    *ACTIVATIONS,
    *POOLINGS,
)


@dataclass(frozen=True)
class Split:
    """A network B, cut at the measuring point of one conv layer.

    trunk: images -> list of arrays, the measuring point (n, …, channels) first, then whatever
    runs past it; head: that list -> B's answers (n, classes). Both share B's weights.
    """

    network: keras.Model
    trunk: keras.Model
    head: keras.Model
    layer: keras.Layer
    reason: str  # why this layer: for the user
    measured_at: str  # the layer whose output is the measuring point
    variables: tuple[keras.Variable, ...]  # what silencing changes
    arrays: tuple[np.ndarray, ...]  # their values in B
    channels: int
    lock: threading.Lock = field(default_factory=threading.Lock)  # held to run or silence B


def split_network(network: keras.Model, layer_name: str | None = None) -> Split:
    """Split B at the named conv layer, or at the one that its last pooling layer leads to.

    Raises Unusable, with the reason, where there is no such layer or where silencing its
    channels would not make the measuring point exactly 0.
    """
    flat = flatten(network)
    if layer_name is None:
        layer, reason = _choose_layer(flat)
    else:
        layer, reason = _named_layer(flat, layer_name), "named with --layer"
    chain = _channelwise_chain(flat, layer)
    channels = _channels(flat, layer)
    trunk, head = _cut(flat, node_of(flat, chain[-1]).outputs[0])
    norms = [link for link in chain if isinstance(link, layers.BatchNormalization)]
    variables = tuple(_silenced_variables(layer, norms))
    split = Split(
        network=network,
        trunk=trunk,
        head=head,
        layer=layer,
        reason=reason,
        measured_at=chain[-1].name,
        variables=variables,
        arrays=tuple(keras.ops.convert_to_numpy(variable).copy() for variable in variables),
        channels=channels,
    )
    _check_silence(split)
    return split


def silenced_arrays(split: Split, channels: Sequence[int] | np.ndarray) -> list[np.ndarray]:
    """The values of `split.variables` with the given channels silenced."""
    index = np.asarray(channels, dtype=int)
    arrays = [array.copy() for array in split.arrays]
    for array in arrays:
        by_channel = array
        if isinstance(split.layer, layers.DepthwiseConv2D) and array.ndim == 4:
            # (height, width, input, multiplier): channel c is (c // multiplier, c % multiplier).
            by_channel = array.reshape(*array.shape[:2], -1)
        by_channel[..., index] = 0
    return arrays


def silence(split: Split, channels: Sequence[int]) -> None:
    """Silence exactly the given channels in B itself; none gives B as it was."""
    arrays = silenced_arrays(split, channels)
    for variable, array in zip(split.variables, arrays, strict=True):
        variable.assign(array)


def _choose_layer(network: keras.Model) -> tuple[keras.Layer, str]:
    """The conv layer to prune, and why it."""
    convolutions = [
        layer
        for layer in network.layers
        if isinstance(layer, CONVOLUTIONS) and layer is not producer(network.outputs[0])
    ]
    pooling = next((x for x in reversed(network.layers) if isinstance(x, POOLINGS)), None)
    if pooling is None:
        if not convolutions:
            raise Unusable("it has no conv layer, so it has no channels to prune")
        return convolutions[-1], "the last conv layer; there is no pooling layer"
    before = pooling
    while isinstance(before, CHANNELWISE):
        before = producer(node_of(network, before).input_tensors[0])
    if isinstance(before, CONVOLUTIONS):
        layer, why = before, f"the conv layer behind the last pooling layer, {pooling.name}"
    else:
        order = network.layers.index(pooling)
        earlier = [x for x in convolutions if network.layers.index(x) < order]
        if not earlier:
            raise Unusable(f"no conv layer comes before its last pooling layer, {pooling.name}")
        layer, why = earlier[-1], f"the last conv layer before the last pooling, {pooling.name}"
    reaching = _channels(network, pooling)
    share = _channels(network, layer) / reaching * 100
    return layer, f"{why}; it makes {share:.3g} % of the {reaching} channels there"


def _named_layer(network: keras.Model, name: str) -> keras.Layer:
    convolutions = [layer for layer in network.layers if isinstance(layer, CONVOLUTIONS)]
    for layer in convolutions:
        if layer.name == name.replace("/", "_"):  # as vetting has renamed it
            return layer
    names = ", ".join(layer.name for layer in convolutions) or "none"
    raise Unusable(f"it has no conv layer {name!r}; its conv layers are: {names}")


def _channels(network: keras.Model, layer: keras.Layer) -> int:
    return node_of(network, layer).outputs[0].shape[-1]


def _channelwise_chain(network: keras.Model, layer: keras.Layer) -> list[keras.Layer]:
    """The conv layer and the layers behind it that keep channels apart and it alone feeds."""
    every = nodes(network)
    uses = [node.operation for node in every]
    if uses.count(layer) != 1:
        raise Unusable(f"its layer {layer.name} is used {uses.count(layer)} times, not once")
    if layer.data_format != "channels_last":
        raise Unusable(f"its layer {layer.name} has its channels first; they must come last")
    if layer is producer(network.outputs[0]):
        raise Unusable(f"its layer {layer.name} is the output; there is nothing behind it")
    chain = [layer]
    while True:
        tensor = node_of(network, chain[-1]).outputs[0]
        followers = [node for node in every if any(t is tensor for t in node.input_tensors)]
        if len(followers) != 1 or not _keeps_channels_apart(followers[0]):
            return chain
        follower = followers[0].operation
        if uses.count(follower) != 1 or follower is producer(network.outputs[0]):
            return chain
        chain.append(follower)


def _keeps_channels_apart(node: Node) -> bool:
    layer = node.operation
    if isinstance(layer, layers.BatchNormalization):
        return layer.axis in (-1, len(node.outputs[0].shape) - 1)
    if isinstance(layer, layers.Activation):
        return getattr(layer.activation, "__name__", "") not in ("softmax", "log_softmax")
    if isinstance(layer, POOLINGS):
        return layer.data_format == "channels_last"
    return isinstance(layer, CHANNELWISE)


def _cut(network: keras.Model, measured: keras.KerasTensor) -> tuple[keras.Model, keras.Model]:
    """Trunk and head; tensors that run past the measuring point go along with it."""
    behind = {id(measured)}
    past: dict[int, keras.KerasTensor] = {}
    for node in nodes(network):
        if any(id(tensor) in behind for tensor in node.input_tensors):
            behind.update(id(tensor) for tensor in node.outputs)
            past |= {id(t): t for t in node.input_tensors if id(t) not in behind}
    if id(network.outputs[0]) not in behind:
        raise Unusable("its answer does not depend on that layer")
    tensors = [measured, *past.values()]
    trunk = keras.Model(network.inputs[0], tensors, name="trunk")
    return trunk, keras.Model(tensors, network.outputs[0], name="head")


def _silenced_variables(
    layer: keras.Layer, norms: Sequence[layers.BatchNormalization]
) -> Iterator[keras.Variable]:
    if isinstance(layer, layers.SeparableConv2D):
        yield layer.pointwise_kernel
    else:
        yield layer.kernel
    if layer.use_bias:
        yield layer.bias
    for norm in norms:
        yield from (v for v in (norm.gamma, norm.beta, norm.moving_mean) if v is not None)


def _check_silence(split: Split) -> None:
    """Silence every channel once and look at what the measuring point then holds."""
    shape = [size or 64 for size in split.network.inputs[0].shape[1:]]
    noise = np.random.default_rng(0).uniform(0, 255, (2, *shape)).astype("float32")
    silence(split, range(split.channels))
    measured = keras.ops.convert_to_numpy(split.trunk(noise, training=False)[0])
    silence(split, ())
    if np.any(measured != 0):
        raise Unusable(
            f"its layer {split.layer.name} cannot be pruned exactly: with every channel silenced, "
            f"{split.measured_at} still answers {measured.ravel()[np.argmax(measured != 0)]:.3g}"
        )
