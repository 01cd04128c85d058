"""Split a network at the channels that are pruned, and silence some of them.

The trunk computes everything up to the measuring point and what runs past it; the head computes
the answer from there. Silencing a channel changes nothing in the trunk but that channel, which
becomes 0 at the measuring point: the trunk runs once over the images, the head once per row.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import keras
import numpy as np
from keras import ops

from goodnet.dataset import ImageShape
from goodnet.errors import Unusable
from goodnet.networks.channels import Channels, choose_channels
from goodnet.networks.graph import copy_network, flatten, node_of, nodes, unroll

TRIED = (64, 64, 3)  # an image


@dataclass(frozen=True)
class Split:
    """A network B, cut at the measuring point of some channels.

    trunk: images -> list of arrays, the measuring point (n, …, channels) first, then whatever
    runs past it; head: that list -> B's answers (n, classes). Both share B's weights, but where
    silencing changes the head's: it has its own then. So silencing never changes the head.

    Where what enters is infinite, as in float16 it may be, silenced channels are no 0: 0 times it
    is none. Such images are for the plain computation: see `overflown`.
    """

    network: keras.Model
    trunk: keras.Model
    watched: keras.Model  # the trunk, and last (n,) the largest number that enters what is silenced
    head: keras.Model
    layer: keras.Layer  # whose channels
    reason: str  # why this layer: for the user
    measured_at: str  # the layer whose output is the measuring point
    silenced_in: str | None  # the layer behind it whose kernel changes; None: what is before it
    variables: tuple[keras.Variable, ...]  # what silencing changes
    arrays: tuple[np.ndarray, ...]  # their values in B
    channels: int
    lock: threading.Lock = field(default_factory=threading.Lock)  # held to run or silence B


def split_network(
    network: keras.Model, layer_name: str | None = None, image: ImageShape = TRIED
) -> Split:
    """Split B at the channels of the named layer, or those its last pooling layer leads to.

    image: (height, width, colours) on which silencing is tried, where B leaves sizes open. Raises
    Unusable, with the reason, where there is no such layer or where silencing its channels would
    not be exact.
    """
    flat = flatten(network)
    found = choose_channels(flat, layer_name)
    trunk, head = _cut(flat, node_of(flat, found.chain[-1]).outputs[0])
    split = Split(
        network=network,
        trunk=trunk,
        watched=_watch(trunk, found),
        head=copy_network(head) if found.enters else head,
        layer=found.layer,
        reason=found.reason,
        measured_at=found.chain[-1].name,
        silenced_in=found.enters.name if found.enters else None,
        variables=found.variables,
        arrays=tuple(keras.ops.convert_to_numpy(each).copy() for each in found.variables),
        channels=found.count,
    )
    _check_silence(split, image)
    return split


def silenced_arrays(split: Split, channels: Sequence[int] | np.ndarray) -> list[np.ndarray]:
    """The values of `split.variables` with the given channels silenced."""
    index = np.asarray(channels, dtype=int)
    arrays = [array.copy() for array in split.arrays]
    for array in arrays:
        by_channel(split, array)[..., index] = 0
    return arrays


def by_channel(split: Split, array: np.ndarray) -> np.ndarray:
    """One of `split.arrays`, or one like it, as (…, channels); it shares the memory."""
    if split.silenced_in:  # (…, of each position the channels, units)
        return np.moveaxis(array.reshape(-1, split.channels, array.shape[-1]), 1, -1)
    # The last axes of an array, of which a depthwise kernel has two, count the channels.
    return array.reshape(-1, split.channels)


def silence(split: Split, channels: Sequence[int]) -> None:
    """Silence exactly the given channels in B itself; none gives B as it was."""
    arrays = silenced_arrays(split, channels)
    for variable, array in zip(split.variables, arrays, strict=True):
        variable.assign(array)


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


def overflown(largest: np.ndarray) -> np.ndarray:
    """Of which images (n,) the last output of `Split.watched` says that silence is not exact."""
    return ~np.isfinite(largest)


def _watch(trunk: keras.Model, found: Channels) -> keras.Model:
    entering = trunk.outputs[0] if found.enters else node_of(trunk, found.layer).input_tensors[0]
    largest = ops.max(ops.abs(entering), axis=tuple(range(1, len(entering.shape))))
    return keras.Model(trunk.inputs, [*trunk.outputs, largest], name="watched")


def _check_silence(split: Split, image: ImageShape) -> None:
    """Silence every channel once and look at what is left of them."""
    sizes = zip(split.network.inputs[0].shape[1:], image, strict=True)
    shape = [int(own or size or 1) for own, size in sizes]
    noise = np.random.default_rng(0).uniform(0, 255, (2, *shape)).astype("float32")
    try:
        silence(split, range(split.channels))
        measured, *past = map(keras.ops.convert_to_numpy, unroll(split.trunk, [noise]))
        answered = keras.ops.convert_to_numpy(unroll(split.network, [noise])[0])
    finally:
        silence(split, ())
    if split.silenced_in:
        nothing = unroll(split.head, [np.zeros_like(measured), *past])[0]
        if not np.allclose(answered, nothing, rtol=1e-3, equal_nan=True):
            raise Unusable(
                f"its layer {split.layer.name} cannot be pruned exactly: with every channel "
                f"silenced in {split.silenced_in}, the answer is not what it is without them"
            )
    elif np.any(measured != 0):
        raise Unusable(
            f"its layer {split.layer.name} cannot be pruned exactly: with every channel silenced, "
            f"{split.measured_at} still answers {measured.ravel()[np.argmax(measured != 0)]:.3g}"
        )
