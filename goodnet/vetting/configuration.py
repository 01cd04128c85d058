"""Decide, before Keras sees it, whether a network's configuration holds anything but plain layers.

The configuration is not just looked at: it is rebuilt out of what the allow-list names, and Keras
is given the rebuilt one. No Keras inside.
"""

import json
from collections import Counter

from goodnet.errors import Unsafe, Unusable
from goodnet.vetting import checks
from goodnet.vetting.checks import shown
from goodnet.vetting.connections import node_of, tensor_of
from goodnet.vetting.demands import reckon, references
from goodnet.vetting.layers import LAYERS, MODULES, NETWORKS, OPERATIONS, OPERATIONS_MODULE

LONGEST_CONFIGURATION = 1 << 25  # bytes; NASNetLarge's has 2**21
MOST_LAYERS = 5_000  # of one network; NASNetLarge has 1,041
MOST_NESTED = 8

# Looked at, and left out of what is rebuilt: they ask for nothing special, and some are not known
# to every Keras.
_LEFT_OUT = frozenset(
    (
        *("sparse", "ragged", "optional", "batch_size", "quantization_config", "lora_rank"),
        *("synchronized", "renorm", "renorm_clipping", "renorm_momentum", "rms_scaling"),
        *("fused", "virtual_batch_size", "adjustment"),
    )
)
# Keras 2 wrote what it inherited, and what today's Keras refuses to read.
_INHERITED = {
    "Conv2DTranspose": ("groups",),
    "DepthwiseConv2D": ("groups", "filters"),
    "SeparableConv2D": ("groups",),
    "SpatialDropout1D": ("noise_shape", "trainable"),
    "SpatialDropout2D": ("noise_shape", "trainable"),
}
_INHERITED_ARRAYS = ("DepthwiseConv2D", "SeparableConv2D")


def vet_configuration(text: str | bytes, place: str) -> dict:
    """The configuration, which JSON `text` holds, rebuilt from what the allow-list names.

    `place` names it in errors. Raises Unsafe at the first thing that is not on the list, Unusable
    where it is no configuration at all.
    """
    return _network(_parse(text, place), place, 0)


def check_arrays(network: dict, arrays: list[tuple[int, ...]], place: str) -> None:
    """Raise Unsafe where a rebuilt network demands an array of a shape that its file lacks.

    `arrays`: the shapes of all arrays in the file. What Keras allocates is thereby in the file.
    """
    have = Counter(arrays)
    for where, what, shape in reckon(network, place).arrays:
        have[shape] -= 1
        if have[shape] < 0:
            raise Unsafe(f"{where}: demands a {what} of {shape}, which the file does not hold")


def _parse(text: str | bytes, place: str) -> object:
    def unique(pairs: list[tuple[str, object]]) -> dict:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise Unsafe(f"{place}: has {shown(twice)} twice in one object")
        return found

    def refuse(constant: str) -> None:
        raise Unsafe(f"{place}: holds {constant}, which is no number")

    if len(text) > LONGEST_CONFIGURATION:
        raise Unsafe(f"{place}: has {len(text)} bytes, more than {LONGEST_CONFIGURATION}")
    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except RecursionError:
        raise Unsafe(f"{place}: is nested too deeply") from None
    except ValueError as error:
        raise Unusable(f"{place}: is not JSON ({error})") from None


def _checked(place: str, check: checks.Check, value: object) -> object:
    try:
        return check(value)
    except ValueError as error:
        raise Unsafe(f"{place}: {error}") from None


def _known(place: str, found: dict, keys: tuple[str, ...]) -> None:
    for key in found:
        if key not in keys:
            raise Unsafe(f"{place}: {shown(key)} is not on the allow-list")


def _network(found: object, place: str, depth: int) -> dict:
    """A network, rebuilt; `depth` networks are around it."""
    if not isinstance(found, dict) or "class_name" not in found or "config" not in found:
        raise Unusable(f"{place}: is not the configuration of a network")
    if depth > MOST_NESTED:
        raise Unsafe(f"{place}: networks are nested more than {MOST_NESTED} deep")
    class_name = _checked(f"{place}: class_name", checks.one_of(*NETWORKS), found["class_name"])
    _known(
        place,
        found,
        # What compiling takes is left out unread; backend and keras_version only say who wrote it.
        (
            *("class_name", "config", "module", "registered_name", "name", "inbound_nodes"),
            *("build_config", "compile_config", "shared_object_id", "backend", "keras_version"),
        ),
    )
    rebuilt = {"class_name": class_name}
    if "module" in found:
        _check_registered(found, NETWORKS[class_name], place)
        rebuilt |= {"module": NETWORKS[class_name][0], "registered_name": None}
        if class_name == "Functional":
            rebuilt["registered_name"] = class_name
    config = found["config"]
    if class_name == "Sequential" and isinstance(config, list):  # until Keras 2.2.2
        config = {"name": found.get("name", "sequential"), "layers": config}
    rebuild = _sequential if class_name == "Sequential" else _functional
    rebuilt["config"] = rebuild(config, place, depth)
    built = found.get("build_config")
    if class_name == "Sequential" and isinstance(built, dict) and built.get("input_shape"):
        shape = _checked(f"{place}: build_config", checks.shape, built["input_shape"])
        rebuilt["config"].setdefault("build_input_shape", shape)
    return rebuilt


def _check_registered(found: dict, modules: tuple[str, ...], place: str) -> None:
    _checked(f"{place}: module", checks.one_of(*modules), found["module"])
    names = checks.exactly(None, found["class_name"])
    _checked(f"{place}: registered_name", names, found.get("registered_name"))


def _layers(found: object, place: str, depth: int) -> list[dict]:
    if not isinstance(found, list):
        raise Unusable(f"{place}: 'layers' is not a list")
    if len(found) > MOST_LAYERS:
        raise Unsafe(f"{place}: has {len(found)} layers, more than {MOST_LAYERS}")
    return [_layer(layer, f"{place}: layers[{i}]", depth) for i, layer in enumerate(found)]


def _sequential(config: object, place: str, depth: int) -> dict:
    if not isinstance(config, dict):
        raise Unusable(f"{place}: is not the configuration of a network")
    _known(place, config, ("name", "layers", "trainable", "dtype", "build_input_shape"))
    rebuilt = {
        "name": _checked(f"{place}: name", checks.name, config.get("name", "sequential")),
        "layers": _layers(config.get("layers"), place, depth),
    }
    if config.get("build_input_shape") is not None:
        where = f"{place}: build_input_shape"
        rebuilt["build_input_shape"] = _checked(where, checks.shape, config["build_input_shape"])
    return rebuilt


def _functional(config: object, place: str, depth: int) -> dict:
    if not isinstance(config, dict):
        raise Unusable(f"{place}: is not the configuration of a network")
    _known(place, config, ("name", "trainable", "dtype", "layers", "input_layers", "output_layers"))
    layers = _layers(config.get("layers"), place, depth)
    names = Counter(layer.get("name") for layer in layers)
    if names[None] or names.most_common(1)[0][1] > 1:
        raise Unsafe(f"{place}: {shown(names.most_common(1)[0][0])} does not name one layer")
    for index, layer in enumerate(layers):
        layer.setdefault("inbound_nodes", [])
        if (layer["class_name"] == "InputLayer") == bool(layer["inbound_nodes"]):
            raise Unusable(f"{place}: layers[{index}] {shown(layer['name'])}: is not connected")
    rebuilt = {
        "name": _checked(f"{place}: name", checks.name, config.get("name", "model")),
        "trainable": _checked(
            f"{place}: trainable", checks.optional(checks.boolean), config.get("trainable", True)
        ),
        "layers": layers,
    }
    for key in ("input_layers", "output_layers"):
        rebuilt[key] = _ends(config.get(key), f"{place}: {key}")
    _count_from_0(layers, rebuilt["output_layers"])
    return rebuilt


def _count_from_0(layers: list[dict], outputs: list[list]) -> None:
    """Count the calls of inner networks as Keras 3 does: from 0, where Keras 2 began with 1.

    Only an inner Functional that is an output itself is counted from 1 by both.
    """
    inner = {layer["name"]: layer for layer in layers if layer["class_name"] in NETWORKS}
    taken = [
        tensor for layer in layers for node in layer["inbound_nodes"] for tensor in references(node)
    ]
    for name, layer in inner.items():
        named = [tensor for tensor in taken if tensor[0] == name]
        if layer["class_name"] == "Sequential":
            named += [tensor for tensor in outputs if tensor[0] == name]
        if any(tensor[1] == len(layer["inbound_nodes"]) for tensor in named):
            for tensor in named:
                tensor[1] -= 1


def _ends(value: object, place: str) -> list:
    """The input or output tensors: a list of them, or one by itself."""
    found = _checked(place, checks.items, value)
    if found and isinstance(found[0], str):
        found = [found]
    return [_checked(place, tensor_of, tensor) for tensor in found]


def _layer(found: object, place: str, depth: int) -> dict:
    """A layer, an operation or a nested network, rebuilt."""
    if not isinstance(found, dict) or "config" not in found:
        raise Unusable(f"{place}: is not the configuration of a layer")
    settings = found["config"] if isinstance(found["config"], dict) else {}
    name = found.get("name", settings.get("name"))
    place = f"{place} {shown(name)}"
    class_name = found.get("class_name")
    if not isinstance(class_name, str) or class_name not in (*NETWORKS, *LAYERS, *OPERATIONS):
        raise Unsafe(f"{place}: the layer {shown(class_name)} is not on the allow-list")
    if class_name in NETWORKS:
        rebuilt = _network(found, place, depth + 1)
    else:
        rebuilt = _single(found, class_name, place)
    if name is not None:
        rebuilt["name"] = _checked(f"{place}: name", checks.name, name)
        if rebuilt["config"].setdefault("name", name) != name:
            raise Unsafe(f"{place}: is named {shown(rebuilt['config']['name'])} as well")
    if "inbound_nodes" in found:
        nodes = _checked(f"{place}: inbound_nodes", checks.items, found["inbound_nodes"])
        rebuilt["inbound_nodes"] = [_checked(f"{place}: inbound_nodes", node_of, n) for n in nodes]
    return rebuilt


def _single(found: dict, class_name: str, place: str) -> dict:
    """A layer or an operation by itself, without its connections."""
    _known(
        place,
        found,
        (
            *("class_name", "config", "module", "registered_name", "name", "inbound_nodes"),
            *("build_config", "shared_object_id"),
        ),
    )
    rebuilt = {"class_name": class_name}
    if class_name in OPERATIONS and found.get("module") == OPERATIONS_MODULE:
        _check_registered(found, (OPERATIONS_MODULE,), place)
        settings = _settings({"name": checks.name}, found["config"], place)
        rebuilt |= {"module": OPERATIONS_MODULE, "registered_name": class_name}
        return rebuilt | {"config": settings}
    if "module" in found:
        _check_registered(found, MODULES[class_name], place)
        of_keras = MODULES[class_name][0] == "keras.layers"
        rebuilt |= {
            "module": MODULES[class_name][0],
            "registered_name": None if of_keras else class_name,
        }
    settings = _settings(LAYERS[class_name], found["config"], place)
    if isinstance(axis := settings.get("axis"), list) and len(axis) == 1:
        settings["axis"] = axis[0]  # as some layers of Keras 2 wrote it
    inherited = _INHERITED.get(class_name, ())
    for key in inherited:
        if key == "groups" and settings.get(key, 1) != 1:
            raise Unsafe(f"{place}: 'groups' of a {class_name} is not on the allow-list")
    if class_name in _INHERITED_ARRAYS:
        inherited += tuple(
            key for key in settings if key.startswith("kernel_") and key != "kernel_size"
        )
    rebuilt["config"] = {
        key: value
        for key, value in settings.items()
        if key not in _LEFT_OUT and key not in inherited
    }
    _state_input(rebuilt)
    return rebuilt


def _state_input(layer: dict) -> None:
    """Say the input's shape as today's Keras does; it misreads the batch in older files."""
    settings = layer["config"]
    found = [settings.pop(key, None) for key in ("batch_shape", "batch_input_shape")]
    whole = found[0] or found[1]
    if layer["class_name"] != "InputLayer":
        if whole:
            settings["input_shape"] = whole[1:]
    elif whole or "input_shape" in settings:
        settings["batch_shape"] = whole or [None, *settings["input_shape"]]
        settings.pop("input_shape", None)


def _settings(known: dict, found: object, place: str) -> dict:
    settings = _checked(place, checks.plain_dict, found)
    _known(place, settings, tuple(known))
    return {key: _checked(f"{place}: {key}", known[key], value) for key, value in settings.items()}
