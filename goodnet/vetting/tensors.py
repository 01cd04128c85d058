"""The tensors between the layers of a network's configuration: its inputs, those made, its ends."""

from dataclasses import dataclass

from goodnet.errors import Unusable
from goodnet.vetting.calls import Shape
from goodnet.vetting.connections import list_ends
from goodnet.vetting.layers import NETWORKS


@dataclass(frozen=True)
class Followed:
    """A call that was followed: its outputs, their bytes, and how many layers lie behind it."""

    shapes: list[Shape]
    size: int
    depth: int


def find_inputs(part: dict) -> list[Shape] | None:
    """The shapes of the inputs that a layer or a network says it has."""
    config = part["config"]
    if "input_layers" in config:
        layers = {layer["name"]: layer["config"] for layer in config["layers"]}
        names = [name for name, *_ in list_ends(config["input_layers"])]
        shapes = [_stated_shape(layers.get(name, {})) for name in names]
        stated = [shape for shape in shapes if shape is not None]
        return stated if stated and len(stated) == len(shapes) else None
    if part["class_name"] == "Sequential":
        first = find_inputs(config["layers"][0]) if config["layers"] else None
        built = config.get("build_input_shape")
        return first or (None if built is None else [built])
    own = _stated_shape(config)
    return None if own is None else [own]


def _stated_shape(settings: dict) -> Shape | None:
    """The shape, with the batch, that a layer's settings say its input has."""
    if "batch_shape" in settings:
        return settings["batch_shape"]
    return [None, *settings["input_shape"]] if "input_shape" in settings else None


def fill_in(shape: Shape, image: Shape) -> Shape:
    """An input's shape, its open sizes those of the images; one of them may lack the colours."""
    sizes = [*image, *[1] * len(shape)]
    return [shape[0], *(own or size for own, size in zip(shape[1:], sizes, strict=False))]


def take_inputs(
    config: dict, given: list[Shape], places: dict[str, str], place: str
) -> dict[str, list[Followed]]:
    """The calls of all layers so far: one of each input, which makes the tensor that is given."""
    ends = [name for name, *_ in list_ends(config["input_layers"])]
    if len(ends) != len(given):
        raise Unusable(f"{place}: has {len(ends)} inputs and is given {len(given)}")
    taken = dict(zip(ends, given, strict=True))
    calls: dict[str, list[Followed]] = {}
    for layer in config["layers"]:
        name = layer["name"]
        calls[name] = []
        if layer["class_name"] == "InputLayer":
            own = _stated_shape(layer["config"])
            if own is None:
                raise Unusable(f"{places[name]}: has no shape")
            calls[name] = [Followed([_fit_rank(taken.get(name, own), own)], 0, 0)]
    return calls


def _fit_rank(shape: Shape, own: Shape) -> Shape:
    """The shape with an axis of 1 more or less at its end, as Keras gives it to an input."""
    if len(shape) == len(own) + 1:
        return shape[:-1]
    return [*shape, 1] if len(shape) == len(own) - 1 else shape


def find_ends(config: dict, layers: dict[str, dict]) -> list[list]:
    """The output tensors. An inner Functional's calls are counted from 1 there, and there alone."""
    ends = []
    for name, call, *index in list_ends(config["output_layers"]):
        kind = layers.get(name, {}).get("class_name")
        ends.append([name, call - (kind in NETWORKS and kind != "Sequential"), *index])
    return ends


def find_shapes(tensors: list[list], calls: dict[str, list[Followed]], place: str) -> list[Shape]:
    """The shapes of these tensors; none at all while one of them is not made yet."""
    shapes = []
    for name, call, index, *_ in tensors:
        if name not in calls:
            raise Unusable(f"{place}: names a layer {ascii(name)} that it does not have")
        if call < len(calls[name]):
            outputs = calls[name][call].shapes
            if index >= len(outputs):
                raise Unusable(f"{place}: {ascii(name)} has no output {index}")
            shapes.append(outputs[index])
    return shapes if len(shapes) == len(tensors) else []
