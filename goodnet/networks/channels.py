"""Whose channels are pruned, where they are measured, and what silences them.

Mostly a conv layer's: its kernel and bias are set to 0, and what a batch norm adds behind it. Where
no one conv layer makes what the last pooling gives (residual and dense networks add or join what
several make), the channels of the pooling itself: they are silenced where they enter the
classifier, in the rows of the kernel that takes them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import keras
from keras import layers

from goodnet.errors import Unusable
from goodnet.networks.graph import Node, node_of, nodes, producer

CONVOLUTIONS = (layers.Conv2D, layers.SeparableConv2D, layers.DepthwiseConv2D)
POOLINGS = (
    layers.MaxPooling2D,
    layers.AveragePooling2D,
    layers.GlobalMaxPooling2D,
    layers.GlobalAveragePooling2D,
    layers.AdaptiveMaxPooling2D,
    layers.AdaptiveAveragePooling2D,
)
ACTIVATIONS = (
    layers.Activation,
    layers.ReLU,
    layers.LeakyReLU,
    layers.PReLU,
    layers.ELU,
)
MIXING = ("softmax", "log_softmax", "sparsemax")  # activations that let channels see others
CHANNELWISE = (
    layers.BatchNormalization,
    layers.Dropout,
    layers.SpatialDropout2D,
    *ACTIVATIONS,
    *POOLINGS,
)
# Values change places, nothing else. Where the last axis is a multiple of the channels, what lies
# at i there is still of channel i % channels.
MOVING = (layers.Flatten, layers.Reshape, layers.Dropout)


@dataclass(frozen=True)
class Channels:
    """The channels of one layer of a network."""

    layer: keras.Layer  # a conv layer, or the last pooling
    reason: str  # why this layer: for the user
    count: int
    chain: list[keras.Layer]  # the layer, and those behind it that keep its channels apart
    enters: keras.Layer | None  # where they are silenced, if not in the chain: what takes them

    @property
    def variables(self) -> tuple[keras.Variable, ...]:
        """What silencing changes."""
        return (self.enters.kernel,) if self.enters else tuple(_silenced_variables(self.chain))


def choose_channels(network: keras.Model, name: str | None) -> Channels:
    """The channels of the named layer, or those that the last pooling layer leads to.

    Raises Unusable, with the reason, where there is no such layer or it cannot be pruned.
    """
    if name is None:
        layer, reason = _choose_layer(network)
    else:
        layer, reason = _named_layer(network, name), "named with --layer"
    chain = _channelwise_chain(network, layer)
    enters = _taking_layer(network, chain) if isinstance(layer, POOLINGS) else None
    return Channels(layer, reason, _count(network, layer), chain, enters)


def _choose_layer(network: keras.Model) -> tuple[keras.Layer, str]:
    """The layer to prune, and why it."""
    convolutions = _convolutions(network)
    pooling = _last_pooling(network)
    if pooling is None:
        if not convolutions:
            raise Unusable("it has no conv layer, so it has no channels to prune")
        return convolutions[-1], "the last conv layer; there is no pooling layer"
    before = pooling
    while isinstance(before, CHANNELWISE):
        before = producer(node_of(network, before).input_tensors[0])
    reaching = _count(network, pooling)
    if isinstance(before, CONVOLUTIONS):
        layer, why = before, f"the conv layer behind the last pooling layer, {pooling.name}"
    else:
        order = network.layers.index(pooling)
        earlier = [x for x in convolutions if network.layers.index(x) < order]
        if not earlier:
            raise Unusable(f"no conv layer comes before its last pooling layer, {pooling.name}")
        if _can_be_pruned(network, pooling):
            return pooling, f"the last pooling layer; {before.name} feeds it, not one conv layer"
        layer, why = earlier[-1], f"the last conv layer before the last pooling, {pooling.name}"
    share = _count(network, layer) / reaching * 100
    return layer, f"{why}; it makes {share:.3g} % of the {reaching} channels there"


def _convolutions(network: keras.Model) -> list[keras.Layer]:
    output = producer(network.outputs[0])
    return [x for x in network.layers if isinstance(x, CONVOLUTIONS) and x is not output]


def _last_pooling(network: keras.Model) -> keras.Layer | None:
    return next((x for x in reversed(network.layers) if isinstance(x, POOLINGS)), None)


def _named_layer(network: keras.Model, name: str) -> keras.Layer:
    choices = [layer for layer in network.layers if isinstance(layer, CONVOLUTIONS)]
    pooling = _last_pooling(network)
    if pooling and _can_be_pruned(network, pooling):
        choices.append(pooling)
    for layer in choices:
        if layer.name == name.replace("/", "_"):  # as vetting has renamed it
            return layer
    names = ", ".join(layer.name for layer in choices) or "none"
    raise Unusable(f"it has no layer {name!r} that can be pruned; these can be: {names}")


def _can_be_pruned(network: keras.Model, pooling: keras.Layer) -> bool:
    try:
        _taking_layer(network, _channelwise_chain(network, pooling))
    except Unusable:
        return False
    return True


def _count(network: keras.Model, layer: keras.Layer) -> int:
    return node_of(network, layer).outputs[0].shape[-1]


def _channelwise_chain(network: keras.Model, layer: keras.Layer) -> list[keras.Layer]:
    """The layer and those behind it that keep channels apart and it alone feeds."""
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
        followers = _followers(network, chain[-1])
        if len(followers) != 1 or not _keeps_channels_apart(followers[0]):
            return chain
        follower = followers[0].operation
        if uses.count(follower) != 1 or follower is producer(network.outputs[0]):
            return chain
        chain.append(follower)


def _followers(network: keras.Model, layer: keras.Layer) -> list[Node]:
    tensor = node_of(network, layer).outputs[0]
    return [node for node in nodes(network) if any(t is tensor for t in node.input_tensors)]


def _keeps_channels_apart(node: Node) -> bool:
    layer = node.operation
    if isinstance(layer, layers.BatchNormalization):
        return layer.axis in (-1, len(node.outputs[0].shape) - 1)
    if isinstance(layer, layers.Activation):
        return getattr(layer.activation, "__name__", "") not in MIXING
    if isinstance(layer, POOLINGS):
        return layer.data_format == "channels_last"
    return isinstance(layer, CHANNELWISE)


def _taking_layer(network: keras.Model, chain: Sequence[keras.Layer]) -> keras.Layer:
    """The layer that alone takes what comes out of the chain, by a kernel.

    Raises Unusable where there is none.
    """
    uses = [node.operation for node in nodes(network)]
    last, channels = chain[-1], _count(network, chain[0])
    while True:
        followers = _followers(network, last)
        if len(followers) != 1 or uses.count(followers[0].operation) != 1:
            break
        follower = followers[0].operation
        if isinstance(follower, MOVING):
            last = follower
            continue
        whole = (followers[0].input_tensors[0].shape[-1] or 0) % channels == 0
        if whole and type(follower) in (layers.Dense, layers.Conv2D) and _mixes_all(follower):
            return follower
        break
    raise Unusable(f"its layer {chain[0].name} does not lead to one layer that has a kernel")


def _mixes_all(layer: keras.Layer) -> bool:
    """Whether each output of the layer takes all that comes in, channels last."""
    if isinstance(layer, layers.Dense):
        return True
    return bool(layer.groups == 1 and layer.data_format == "channels_last")


def _silenced_variables(chain: Sequence[keras.Layer]) -> Iterator[keras.Variable]:
    """What makes a conv layer's channels, and what the batch norms behind it add."""
    layer = chain[0]
    yield layer.pointwise_kernel if isinstance(layer, layers.SeparableConv2D) else layer.kernel
    if layer.use_bias:
        yield layer.bias
    for norm in chain:
        if isinstance(norm, layers.BatchNormalization):
            yield from (v for v in (norm.gamma, norm.beta, norm.moving_mean) if v is not None)
