"""What a network's configuration asks for, arrays and memory, layer by layer, without Keras.

Found in a configuration that vetting has rebuilt, so that no network is built whose arrays are not
in its file, none that takes more memory for an image than any that people use, and none that Keras
takes minutes to build. The layers are followed in the order in which Keras's loader does.
"""

from collections import Counter
from dataclasses import dataclass, field
from itertools import chain

from goodnet.errors import Unsafe, Unusable
from goodnet.vetting.calls import ArrayShape, Call, Made, Shape, count_values
from goodnet.vetting.connections import find_places, find_tensors
from goodnet.vetting.layers import NETWORKS, find_layer
from goodnet.vetting.tensors import (
    Followed,
    fill_in,
    find_ends,
    find_inputs,
    find_shapes,
    take_inputs,
)

MOST_KEPT = 1 << 32  # bytes of all tensors of an image: EfficientNetB7's (600 x 600) are 3.9 GiB
MOST_ALIVE = 300 << 20  # bytes of those that are there at one time: EfficientNetB7's are 269 MiB
MOST_STEPS = 6_000  # of Keras, which needs a second or two for a thousand; NASNetLarge takes 1,041
DEEPEST = 2_000  # layers one behind the other; Keras gives up at about 1,000, EfficientNetV2L's
WORKING = (
    3  # tensors of its output's size that a layer has while it works: result, bias, activation
)


@dataclass(frozen=True)
class Demand:
    """An array that a layer needs: the layer's place, what the array is, and its shape."""

    place: str
    array: str
    shape: ArrayShape


@dataclass(frozen=True)
class Demands:
    """What a network asks for: arrays, and bytes for each image.

    kept: all tensors together, as training keeps them, and Keras where it goes from layer to layer;
    most: the most of them at one time, where each goes when it was used, as in `predict`.
    """

    arrays: list[Demand]
    kept: int
    most: int


@dataclass
class _Walk:
    """What was found so far: arrays, bytes of all tensors, steps of Keras's loader."""

    arrays: list[Demand] = field(default_factory=list)
    kept: int = 0
    steps: int = 0


@dataclass(frozen=True)
class _Made:
    """A call's outputs, their bytes, and the most that are alive in it, beside its inputs."""

    shapes: list[Shape]
    size: int
    most: int


def find_demands(network: dict, place: str, image: Shape | None = None) -> Demands:
    """What a rebuilt network asks for; `place` names it in errors.

    image: (height, width, colours), for sizes that the network leaves open; else they count as 1.
    Raises Unsafe where that is too much or a layer has no shape rule, Unusable where the layers do
    not fit together.
    """
    walk, most = _Walk(), 0
    inputs = find_inputs(network)
    if inputs is not None:  # else Keras makes nothing of it either
        if image is not None and len(inputs) == 1:
            inputs = [fill_in(inputs[0], image)]
        size = walk.kept = sum(map(_count_bytes, inputs))
        _check_memory(size, size, f"{place}: the input")
        most = size + _follow_network(network, inputs, place, walk).most
        _check_memory(walk.kept, most, place)
    return Demands(walk.arrays, walk.kept, most)


def apply_rule(layer: dict, inputs: list[Shape], place: str, places: list | None = None) -> Made:
    """What a rebuilt layer makes of tensors of these shapes, by the rule of its row.

    places: what it is told to take of its tensor. Raises Unsafe where it has none, Unusable where
    the tensors do not fit it.
    """
    row = find_layer(layer["class_name"], layer.get("module"), place)
    try:
        return row.rule(Call(layer["class_name"], layer["config"], inputs, places))
    except (ValueError, TypeError, IndexError, ZeroDivisionError) as error:
        raise Unusable(f"{place}: does not fit its input {inputs} ({error})") from None


def _count_bytes(shape: Shape, each: int = 4) -> int:
    """The bytes of a tensor of one image, of `each` value so many; open sizes count as 1."""
    return count_values(shape[1:]) * each


def _check_memory(kept: int, alive: int, place: str) -> None:
    if alive > MOST_ALIVE:
        raise Unsafe(f"{place}: takes {alive} bytes for one image, more than {MOST_ALIVE}")
    if kept > MOST_KEPT:
        raise Unsafe(
            f"{place}: up to here, what the layers make of one image has {kept} bytes, more than "
            f"{MOST_KEPT}"
        )


def _count_step(walk: _Walk, place: str) -> None:
    walk.steps += 1
    if walk.steps > MOST_STEPS:
        raise Unsafe(f"{place}: Keras would take more than {MOST_STEPS} steps to build the network")


def _follow_call(
    part: dict,
    inputs: list[Shape],
    place: str,
    walk: _Walk,
    first: bool,
    node: list | dict | None = None,
) -> _Made:
    """One call, the first or a later one, of a layer or an inner network; its node, if any."""
    _count_step(walk, place)
    if part["class_name"] in NETWORKS:
        return _follow_inner(part, inputs, place, walk, first)
    made = apply_rule(part, inputs, place, find_places(node) if node else None)
    each = 8 if "float64" in str(part["config"].get("dtype")) else 4
    size = _count_bytes(made.shape, each)
    most = WORKING * size + made.work * each
    walk.kept += size
    _check_memory(walk.kept, most, place)
    if first:
        walk.arrays += [Demand(place, array, shape) for array, shape in made.arrays.items()]
    return _Made([made.shape], size, most)


def _follow_inner(network: dict, given: list[Shape], place: str, walk: _Walk, first: bool) -> _Made:
    """One call of a network that stands in a layer's place."""
    # Its arrays are made for its own inputs where it has some, whatever it is called on.
    own = find_inputs(network) if first else None
    if own is not None:
        built = _Walk(walk.arrays, walk.kept, walk.steps)
        _follow_network(network, own, place, built)
        walk.steps = built.steps
    called = _Walk([], walk.kept, walk.steps)
    made = _follow_network(network, given, place, called)
    walk.kept, walk.steps = called.kept, called.steps
    if first and own is None:
        walk.arrays += called.arrays
    return made


def _follow_network(network: dict, given: list[Shape], place: str, walk: _Walk) -> _Made:
    """A network's output on tensors of these shapes."""
    config = network["config"]
    if "input_layers" in config:
        return _follow_graph(config, given, place, walk)
    if len(given) != 1:
        raise Unusable(f"{place}: takes one tensor")
    _check_depth(len(config["layers"]), place)
    made, most = _Made(given, 0, 0), 0
    for index, layer in enumerate(config["layers"]):
        inner = f"{place}: layers[{index}] {ascii(layer['config'].get('name', ''))}"
        if layer["class_name"] != "InputLayer":
            before = made.size
            made = _follow_call(layer, made.shapes, inner, walk, True)
            most = max(most, before + made.most)
    return _Made(made.shapes, made.size, most)


def _check_depth(depth: int, place: str) -> None:
    if depth > DEEPEST:
        raise Unsafe(f"{place}: has more than {DEEPEST} layers one behind the other")


def _follow_graph(config: dict, given: list[Shape], place: str, walk: _Walk) -> _Made:
    """A functional network's outputs on tensors of the given shapes, as Keras's loader goes."""
    layers = {layer["name"]: layer for layer in config["layers"]}
    places = {name: f"{place}: layers[{index}] {ascii(name)}" for index, name in enumerate(layers)}
    waiting = {name: list(x["inbound_nodes"]) for name, x in layers.items()}
    calls = take_inputs(config, given, places, place)
    waiting = {name: nodes for name, nodes in waiting.items() if not calls[name]}
    ends = find_ends(config, layers)
    nodes = map(find_tensors, chain(*waiting.values()))
    uses = Counter((name, call) for tensors in (ends, *nodes) for name, call, *_ in tensors)
    alive = most = 0
    while waiting:
        before = len(waiting), sum(map(len, waiting.values()))
        for name in list(waiting):
            while waiting[name]:
                node = waiting[name][0]
                taken = find_tensors(node)
                inputs = find_shapes(taken, calls, place)
                if not inputs:  # Keras tries it as well, and comes back to it
                    _count_step(walk, places[name])
                    break
                first = not calls[name]
                made = _follow_call(layers[name], inputs, places[name], walk, first, node)
                depth = 1 + max(calls[of][number].depth for of, number, *_ in taken)
                _check_depth(depth, places[name])
                calls[name].append(Followed(made.shapes, made.size, depth))
                most = max(most, alive + made.most)
                uses.subtract((of, number) for of, number, *_ in taken)
                gone = {(of, number) for of, number, *_ in taken if not uses[of, number]}
                alive += made.size - sum(calls[of][number].size for of, number in gone)
                waiting[name].pop(0)
            if not waiting[name]:
                del waiting[name]
        if waiting and before == (len(waiting), sum(map(len, waiting.values()))):
            raise Unusable(f"{places[next(iter(waiting))]}: is never reached from the input")
    outputs = find_shapes(ends, calls, place)
    if not outputs:
        raise Unusable(f"{place}: has no output")
    return _Made(outputs, sum(map(_count_bytes, outputs)), most)
