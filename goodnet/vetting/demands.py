"""The arrays and tensors that a network's configuration asks for, layer by layer, without Keras.

Found in a configuration that vetting has rebuilt, so that no network is built whose arrays are not
in its file, and none whose weightless layers blow a tensor up.
"""

import math
from dataclasses import dataclass, field

from goodnet.errors import Unsafe, Unusable
from goodnet.vetting.calls import LARGEST_TENSOR, ArrayShape, Call, Made, Shape
from goodnet.vetting.connections import find_tensors, list_ends
from goodnet.vetting.layers import NETWORKS, find_layer

MOST_CALLS = 50_000


@dataclass(frozen=True)
class Demand:
    """An array that a layer needs: the layer's place, what the array is, and its shape."""

    place: str
    array: str
    shape: ArrayShape


@dataclass
class _Walk:
    """What was found so far: the arrays that the layers need, and how often one was called."""

    demands: list[Demand] = field(default_factory=list)
    calls: int = 0


def find_demands(network: dict, place: str) -> list[Demand]:
    """Every array that a rebuilt network needs. `place` names it in errors.

    Raises Unsafe where a tensor would be too large or a layer has no shape rule, Unusable where the
    layers do not fit together.
    """
    walk = _Walk()
    shape = _find_input(network)
    if shape is not None:  # else Keras makes nothing of it either
        _follow_network(network, shape, place, walk)
    return walk.demands


def apply_rule(layer: dict, inputs: list[Shape], place: str) -> Made:
    """What a rebuilt layer makes of tensors of these shapes, by the rule of its row.

    Raises Unsafe where it has none, Unusable where the tensors do not fit it.
    """
    row = find_layer(layer["class_name"], layer.get("module"), place)
    try:
        return row.rule(Call(layer["class_name"], layer["config"], inputs))
    except (ValueError, TypeError, IndexError, ZeroDivisionError) as error:
        raise Unusable(f"{place}: does not fit its input {inputs} ({error})") from None


def _follow_call(part: dict, inputs: list[Shape], place: str, walk: _Walk, first: bool) -> Shape:
    """The output's shape of one call, the first or a later one, of a layer or an inner network."""
    walk.calls += 1
    if walk.calls > MOST_CALLS:
        raise Unsafe(f"{place}: the network takes more than {MOST_CALLS} steps")
    if part["class_name"] in NETWORKS:
        return _follow_inner(part, inputs[0], place, walk, first)
    made = apply_rule(part, inputs, place)
    _refuse_large(made.shape, place)
    if first:
        walk.demands += [Demand(place, array, shape) for array, shape in made.arrays.items()]
    return made.shape


def _refuse_large(shape: Shape, place: str) -> None:
    values = math.prod(size or 1 for size in shape[1:])  # open sizes count once
    if values > LARGEST_TENSOR:
        raise Unsafe(f"{place}: makes {values} values of one image, more than {LARGEST_TENSOR}")


def _follow_inner(network: dict, given: Shape, place: str, walk: _Walk, first: bool) -> Shape:
    """One call of a network that stands in a layer's place."""
    # Its arrays are made for its own input where it has one, whatever it is called on.
    own = _find_input(network)
    if first and own is not None:
        _follow_network(network, own, place, walk)
    inner = _Walk(calls=walk.calls)
    output = _follow_network(network, given, place, inner)
    walk.calls = inner.calls
    if first and own is None:
        walk.demands += inner.demands
    return output


def _find_input(part: dict) -> Shape | None:
    """The shape of the input that a layer or a network says it has."""
    config = part["config"]
    if "input_layers" in config:
        layers = [layer for layer in config["layers"] if layer["class_name"] == "InputLayer"]
        return _stated_shape(layers[0]["config"]) if layers else None
    if part["class_name"] == "Sequential":
        first = _find_input(config["layers"][0]) if config["layers"] else None
        return first or config.get("build_input_shape")
    return _stated_shape(config)


def _stated_shape(settings: dict) -> Shape | None:
    """The shape, with the batch, that a layer's settings say its input has."""
    if "batch_shape" in settings:
        return settings["batch_shape"]
    return [None, *settings["input_shape"]] if "input_shape" in settings else None


def _follow_network(network: dict, shape: Shape, place: str, walk: _Walk) -> Shape:
    """A network's output on a tensor of this shape."""
    _refuse_large(shape, f"{place}: the input")
    config = network["config"]
    if "input_layers" in config:
        return _follow_graph(config, shape, place, walk)
    for index, layer in enumerate(config["layers"]):
        inner = f"{place}: layers[{index}] {ascii(layer['config'].get('name', ''))}"
        if layer["class_name"] != "InputLayer":
            shape = _follow_call(layer, [shape], inner, walk, True)
    return shape


def _follow_graph(config: dict, given: Shape, place: str, walk: _Walk) -> Shape:
    """A functional network's output on a tensor of the given shape."""
    layers = {layer["name"]: layer for layer in config["layers"]}
    places = {name: f"{place}: layers[{index}] {ascii(name)}" for index, name in enumerate(layers)}
    outputs: dict[str, list[Shape]] = {name: [] for name in layers}
    waiting: dict[str, list[list]] = {}  # for each layer, the tensors of the calls still to follow
    for name, layer in layers.items():
        if layer["class_name"] == "InputLayer":
            own = _stated_shape(layer["config"])
            if own is None:
                raise Unusable(f"{places[name]}: has no shape")
            outputs[name].append(given if len(given) == len(own) else own)
        else:
            waiting[name] = [find_tensors(node) for node in layer["inbound_nodes"]]
    while waiting:
        before = walk.calls
        for name in list(waiting):
            while waiting[name]:
                inputs = _find_shapes(waiting[name][0], outputs, place)
                if not inputs:
                    break
                first = not outputs[name]
                outputs[name].append(_follow_call(layers[name], inputs, places[name], walk, first))
                waiting[name].pop(0)
            if not waiting[name]:
                del waiting[name]
        if waiting and walk.calls == before:
            raise Unusable(f"{places[next(iter(waiting))]}: is never reached from the input")
    ends = list_ends(config["output_layers"])
    made = [shape for name, *_ in ends for shape in outputs.get(name, [])[:1]]
    if not made:
        raise Unusable(f"{place}: has no output")
    return made[0]


def _find_shapes(tensors: list[list], outputs: dict[str, list[Shape]], place: str) -> list[Shape]:
    """The shapes of these tensors; none at all while one of them is not made yet."""
    shapes = []
    for name, call, *_ in tensors:
        if name not in outputs:
            raise Unusable(f"{place}: names a layer {ascii(name)} that it does not have")
        shapes += outputs[name][call : call + 1]
    return shapes if len(shapes) == len(tensors) else []
