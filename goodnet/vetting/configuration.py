"""Decide, before Keras sees it, whether a network's configuration holds anything but plain layers.

The configuration is not just looked at: it is rebuilt out of what the allow-list names, and Keras
is given the rebuilt one. No Keras inside.
"""

import json
import re
from collections import Counter

from goodnet.errors import Unsafe, Unusable
from goodnet.vetting import checks
from goodnet.vetting.checks import check_at, check_keys, quote
from goodnet.vetting.connections import (
    check_ends,
    check_node,
    check_slicing,
    count_calls_from_0,
    order_layers,
    state_ends,
)
from goodnet.vetting.demands import find_demands
from goodnet.vetting.keras2_operations import CLASSES, rewrite_operation
from goodnet.vetting.layers import NETWORKS
from goodnet.vetting.one_layer import check_registered, rebuild_layer
from goodnet.vetting.slices import GET_ITEM

LONGEST_CONFIGURATION = 1 << 25  # bytes; NASNetLarge's has 2**21
MOST_LAYERS = 5_000  # of one network; NASNetLarge has 1,041
MOST_NESTED = 8

_NETWORK_KEYS = (
    *("class_name", "config", "module", "registered_name", "name", "inbound_nodes"),
    # What compiling takes is left out unread; backend and keras_version only say who wrote it.
    *("build_config", "compile_config", "shared_object_id", "backend", "keras_version"),
)
_SEQUENTIAL_KEYS = ("name", "layers", "trainable", "dtype", "build_input_shape")
_FUNCTIONAL_KEYS = ("name", "trainable", "dtype", "layers", "input_layers", "output_layers")


def vet_configuration(text: str | bytes, place: str) -> dict:
    """The configuration, which JSON `text` holds, rebuilt from what the allow-list names.

    `place` names it in errors. Raises Unsafe at the first thing that is not on the list, Unusable
    where it is no configuration at all.
    """
    return _rebuild_network(_parse(text, place), place, 0)


def check_arrays(network: dict, arrays: list[tuple[int, ...]], place: str) -> None:
    """Raise Unsafe where a rebuilt network demands an array of a shape that its file lacks.

    `arrays`: the shapes of all arrays in the file. What Keras allocates is thereby in the file.
    """
    left = Counter(arrays)
    for demand in find_demands(network, place).arrays:
        left[demand.shape] -= 1
        if left[demand.shape] < 0:
            raise Unsafe(
                f"{demand.place}: demands a {demand.array} of {demand.shape}, "
                "which the file does not hold"
            )


def _parse(text: str | bytes, place: str) -> object:
    def unique(pairs: list[tuple[str, object]]) -> dict:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise Unsafe(f"{place}: has {quote(twice)} twice in one object")
        if isinstance(module := found.get("module"), str):  # tf_keras is Keras 2 by another name
            found["module"] = re.sub(r"^tf_keras(?=\.|$)", "keras", module)
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


def _rebuild_network(found: object, place: str, depth: int) -> dict:
    """A network, rebuilt; `depth` networks are around it."""
    if not isinstance(found, dict) or "class_name" not in found or "config" not in found:
        raise Unusable(f"{place}: is not the configuration of a network")
    if depth > MOST_NESTED:
        raise Unsafe(f"{place}: networks are nested more than {MOST_NESTED} deep")
    class_name = check_at(f"{place}: class_name", checks.one_of(*NETWORKS), found["class_name"])
    check_keys(place, found, _NETWORK_KEYS)
    rebuilt = {"class_name": class_name}
    if "module" in found:
        check_registered(found, NETWORKS[class_name], place)
        rebuilt |= {"module": NETWORKS[class_name][0], "registered_name": None}
        if class_name == "Functional":
            rebuilt["registered_name"] = class_name
    config = found["config"]
    if class_name != "Sequential":
        return rebuilt | {"config": _rebuild_functional(config, place, depth)}
    if isinstance(config, list):  # until Keras 2.2.2
        config = {"name": found.get("name", "sequential"), "layers": config}
    config = _rebuild_sequential(config, place, depth)
    built = found.get("build_config")
    if isinstance(built, dict) and built.get("input_shape"):
        shape = check_at(f"{place}: build_config", checks.shape, built["input_shape"])
        config.setdefault("build_input_shape", shape)
    return rebuilt | {"config": config}


def _rebuild_sequential(config: object, place: str, depth: int) -> dict:
    if not isinstance(config, dict):
        raise Unusable(f"{place}: is not the configuration of a network")
    check_keys(place, config, _SEQUENTIAL_KEYS)
    rebuilt = {
        "name": check_at(f"{place}: name", checks.name, config.get("name", "sequential")),
        "layers": _rebuild_layers(config.get("layers"), place, depth),
    }
    if config.get("build_input_shape") is not None:
        where = f"{place}: build_input_shape"
        rebuilt["build_input_shape"] = check_at(where, checks.shape, config["build_input_shape"])
    return rebuilt


def _rebuild_functional(config: object, place: str, depth: int) -> dict:
    if not isinstance(config, dict):
        raise Unusable(f"{place}: is not the configuration of a network")
    check_keys(place, config, _FUNCTIONAL_KEYS)
    layers = _rebuild_layers(config.get("layers"), place, depth)
    names = Counter(layer.get("name") for layer in layers)
    if names[None] or names.most_common(1)[0][1] > 1:
        raise Unsafe(f"{place}: {quote(names.most_common(1)[0][0])} does not name one layer")
    for index, layer in enumerate(layers):
        layer.setdefault("inbound_nodes", [])
        if (layer["class_name"] == "InputLayer") == bool(layer["inbound_nodes"]):
            raise Unusable(f"{place}: layers[{index}] {quote(layer['name'])}: is not connected")
    trainable = checks.optional(checks.boolean)
    rebuilt = {
        "name": check_at(f"{place}: name", checks.name, config.get("name", "model")),
        "trainable": check_at(f"{place}: trainable", trainable, config.get("trainable", True)),
        "layers": layers,
    }
    inputs, outputs = (
        check_at(f"{place}: {key}", check_ends, config.get(key))
        for key in ("input_layers", "output_layers")
    )
    count_calls_from_0(layers, outputs)
    rebuilt["layers"] = order_layers(layers)
    return rebuilt | {"input_layers": state_ends(inputs), "output_layers": state_ends(outputs)}


def _rebuild_layers(found: object, place: str, depth: int) -> list[dict]:
    if not isinstance(found, list):
        raise Unusable(f"{place}: 'layers' is not a list")
    if len(found) > MOST_LAYERS:
        raise Unsafe(f"{place}: has {len(found)} layers, more than {MOST_LAYERS}")
    return [
        _rebuild_part(layer, f"{place}: layers[{index}]", depth)
        for index, layer in enumerate(found)
    ]


def _rebuild_part(found: object, place: str, depth: int) -> dict:
    """A layer, an operation or a nested network, rebuilt, with its connections."""
    if not isinstance(found, dict) or "config" not in found:
        raise Unusable(f"{place}: is not the configuration of a layer")
    settings = found["config"] if isinstance(found["config"], dict) else {}
    name = found.get("name", settings.get("name"))
    place = f"{place} {quote(name)}"
    class_name = found.get("class_name")
    if class_name in CLASSES:
        found = rewrite_operation(found, place)
    if isinstance(class_name, str) and class_name in NETWORKS:
        rebuilt = _rebuild_network(found, place, depth + 1)
    else:
        rebuilt = rebuild_layer(found, place)
    if name is not None:
        rebuilt["name"] = name = check_at(f"{place}: name", checks.name, name)
        if rebuilt["config"].setdefault("name", name) != name:
            raise Unsafe(f"{place}: is named {quote(rebuilt['config']['name'])} as well")
    if "inbound_nodes" in found:
        where = f"{place}: inbound_nodes"
        nodes = check_at(where, checks.items, found["inbound_nodes"])
        check = check_slicing if rebuilt["class_name"] == GET_ITEM else check_node
        rebuilt["inbound_nodes"] = [check_at(where, check, node) for node in nodes]
    return rebuilt
