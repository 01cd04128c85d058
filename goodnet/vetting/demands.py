"""The arrays and tensors that a network's configuration asks for, layer by layer, without Keras.

Reckoned on a configuration that vetting has rebuilt, so that no network is built whose arrays are
not in its file, and none whose weightless layers blow a tensor up.
"""

import math
from dataclasses import dataclass, field

from goodnet.errors import Unsafe, Unusable
from goodnet.vetting.layers import NETWORKS
from goodnet.vetting.shapes import Shape, reckon_layer

LARGEST_TENSOR = 1 << 26  # values for one image; the largest of keras.applications has 2**24
MOST_CALLS = 50_000


@dataclass
class Reckoning:
    """What was found so far: the arrays that the layers demand, and how often one was called."""

    arrays: list[tuple[str, str, tuple[int, ...]]] = field(default_factory=list)
    calls: int = 0


def reckon(network: dict, place: str) -> Reckoning:
    """Walk a rebuilt network; `arrays` then has (place, what, shape) of every array it demands.

    Raises Unsafe where a tensor would be too large, Unusable where the layers do not fit together.
    """
    found = Reckoning()
    shape = _own_input(network)
    if shape is not None:  # else Keras makes nothing of it either
        _network(network, shape, place, found)
    return found


def _call(layer: dict, inputs: list[Shape], place: str, found: Reckoning, first: bool) -> Shape:
    """The output's shape of one call of a layer, or of a network in its place."""
    found.calls += 1
    if found.calls > MOST_CALLS:
        raise Unsafe(f"{place}: the network takes more than {MOST_CALLS} steps")
    if layer["class_name"] in NETWORKS:
        # Its arrays are made for its own input where it has one, whatever it is called on.
        own = _own_input(layer)
        if first and own is not None:
            _network(layer, own, place, found)
        again = Reckoning(calls=found.calls)
        output = _network(layer, inputs[0], place, again)
        found.calls = again.calls
        if first and own is None:
            found.arrays += again.arrays
        return output
    try:
        output, arrays = reckon_layer(layer, inputs)
    except (ValueError, TypeError, IndexError, ZeroDivisionError) as error:
        raise Unusable(f"{place}: does not fit its input {inputs} ({error})") from None
    if volume(output) > LARGEST_TENSOR:
        raise Unsafe(
            f"{place}: makes {volume(output)} values of one image, more than {LARGEST_TENSOR}"
        )
    if first:
        found.arrays += [(place, what, shape) for what, shape in arrays.items()]
    return output


def _own_input(layer: dict) -> Shape | None:
    """The shape of the input that a layer or a network says it has."""
    config = layer["config"]
    if "input_layers" in config:
        layers = [one for one in config["layers"] if one["class_name"] == "InputLayer"]
        return input_shape(layers[0]["config"]) if layers else None
    if layer["class_name"] == "Sequential":
        first = _own_input(config["layers"][0]) if config["layers"] else None
        return first or config.get("build_input_shape")
    return input_shape(config)


def _network(network: dict, shape: Shape, place: str, found: Reckoning) -> Shape:
    """A network's output on a tensor of this shape."""
    config = network["config"]
    if "input_layers" in config:
        return _functional(config, shape, place, found)
    for index, layer in enumerate(config["layers"]):
        inner = f"{place}: layers[{index}] {ascii(layer['config'].get('name', ''))}"
        if layer["class_name"] != "InputLayer":
            shape = _call(layer, [shape], inner, found, True)
    return shape


def _functional(config: dict, given: Shape, place: str, found: Reckoning) -> Shape:
    layers = {layer["name"]: layer for layer in config["layers"]}
    places = {
        layer["name"]: f"{place}: layers[{index}] {ascii(layer['name'])}"
        for index, layer in enumerate(config["layers"])
    }
    outputs: dict[str, list[Shape]] = {name: [] for name in layers}
    waiting: dict[str, list[list]] = {}
    for name, layer in layers.items():
        if layer["class_name"] == "InputLayer":
            own = input_shape(layer["config"])
            if own is None:
                raise Unusable(f"{places[name]}: has no shape")
            outputs[name].append(given if len(given) == len(own) else own)
        else:
            waiting[name] = [references(node) for node in layer["inbound_nodes"]]

    def output(name: str, index: int) -> Shape | None:
        if name not in layers:
            raise Unusable(f"{place}: names a layer {ascii(name)} that it does not have")
        return outputs[name][index] if index < len(outputs[name]) else None

    while waiting:
        before = found.calls
        for name in list(waiting):
            while waiting[name]:
                inputs = [output(*tensor[:2]) for tensor in waiting[name][0]]
                if not inputs or any(shape is None for shape in inputs):
                    break
                first = not outputs[name]
                outputs[name].append(_call(layers[name], inputs, places[name], found, first))
                waiting[name].pop(0)
            if not waiting[name]:
                del waiting[name]
        if waiting and found.calls == before:
            raise Unusable(f"{places[next(iter(waiting))]}: is never reached from the input")
    made = [shape for name, *_ in config["output_layers"] for shape in outputs.get(name, [])[:1]]
    if not made:
        raise Unusable(f"{place}: has no output")
    return made[0]


def volume(dims: Shape) -> int:
    """How many values a tensor of this shape has for one image; open sizes count once."""
    return math.prod(dim or 1 for dim in dims[1:])


def references(node: list | dict) -> list[list]:
    """[layer, call, output, …] of each tensor that a rebuilt node takes: the node's own lists."""
    if isinstance(node, list):
        return node
    found: list[list] = []

    def walk(value: object) -> None:
        if isinstance(value, list):
            for item in value:
                walk(item)
        elif isinstance(value, dict):
            found.append(value["config"]["keras_history"])

    walk(node["args"])
    return found


def input_shape(settings: dict) -> Shape | None:
    """The shape, with the batch, that a layer says its input has."""
    if "batch_shape" in settings:
        return settings["batch_shape"]
    return [None, *settings["input_shape"]] if "input_shape" in settings else None
