"""Which array of a network's file is which variable of the network.

Found by names alone, which the limited child has read from the file.
"""

import re
from collections.abc import Iterator

import keras

from goodnet.networks.graph import inner_layers
from goodnet.vetting.contents import Attributes, Contents
from goodnet.vetting.parts import Parts

# By the variable's path all its places, mostly one; of each, the paths that its array may have.
Names = dict[str, list[tuple[str, ...]]]


def array_names(network: keras.Model, parts: Parts) -> Names:
    """The arrays that may be each variable's: in each place the first that holds its values is it.

    A .keras file holds a kernel twice that a wrapper and the layer in it share. Raises ValueError
    or KeyError where the file's names do not fit the network.
    """
    found: Names = {}
    list_names = _legacy_names if parts.suffix == ".h5" else _names
    for variable, paths in list_names(network, parts.contents):
        if paths:
            found.setdefault(variable, []).append(paths)
    return found


def _legacy_names(
    network: keras.Model, contents: Contents
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Where an .h5 network keeps its arrays: layers pair up in order.

    As `keras.src.legacy.saving.legacy_h5_format` writes them.
    """
    root = "model_weights" if "model_weights" in contents.groups else ""
    paths = [_join(root, name) for name in _list(contents.groups[root], "layer_names")]
    paths = [path for path in paths if _list(contents.groups[path], "weight_names")]
    layers = [layer for layer in network.layers if layer.weights]
    for layer, path in zip(layers, paths, strict=True):
        variables = layer.trainable_weights + layer.non_trainable_weights
        names = _list(contents.groups[path], "weight_names")
        for variable, name in zip(variables, names, strict=True):
            place = _join(path, name)
            yield variable.path, (place,) if place in contents.arrays else ()


def _join(path: str, name: str) -> str:
    """The path of what is called so within a group, as HDF5 reads it: "." and "" mean nothing."""
    return "/".join(part for part in f"{path}/{name}".split("/") if part not in ("", "."))


def _list(attributes: Attributes, key: str) -> list[str]:
    """A list of names, which Keras spreads over several attributes where it is long."""
    parts = [part for part in attributes if re.fullmatch(rf"{key}\d*", part)]
    parts.sort(key=lambda part: int(part.removeprefix(key) or 0))
    return [name for part in parts for name in attributes[part]]


def _names(network: keras.Model, contents: Contents) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Where a file of Keras 3 may keep the arrays.

    As `keras.src.saving.saving_lib` writes them: it counts the layers of a class in order; newer
    files also hold the layer's name. Keras 2 kept them in another group.
    """
    named: dict[str, list[str]] = {}
    for path, attributes in contents.groups.items():
        if path.endswith("vars") and "name" in attributes:
            named.setdefault(str(attributes["name"]), []).append(path)
    group = "layers" if "layers" in contents.groups else "_layer_checkpoint_dependencies"
    for layer, path in _counted(network, group, group):
        groups = [f"{path}/vars", *named.get(layer.name, [])]
        for index, variable in enumerate(layer.weights):
            places = [f"{group}/{index}" for group in groups]
            yield variable.path, tuple(place for place in places if place in contents.arrays)


def _counted(network: keras.Model, path: str, group: str) -> Iterator[tuple[keras.Layer, str]]:
    """Each layer and its place: its class as `keras.src.utils.naming.to_snake_case` has it."""
    seen: dict[str, int] = {}
    for layer in network.layers:
        name = re.sub(
            r"(?<=[a-z])(?=[A-Z])|(?<=.)(?=[A-Z][a-z])", "_", type(layer).__name__
        ).lower()
        place = f"{path}/{name}_{seen[name]}" if name in seen else f"{path}/{name}"
        seen[name] = seen.get(name, 0) + 1
        yield layer, place
        yield from ((part, f"{place}/{name}") for part, name in inner_layers(layer))
        if hasattr(layer, "layers"):
            yield from _counted(layer, f"{place}/{group}", group)
