"""Networks in files: write a copy of B's file with some arrays changed, or a whole new network."""

import io
import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import keras
import numpy as np

from goodnet.errors import Unusable
from goodnet.files import replacing
from goodnet.networks.graph import inner_layers
from goodnet.networks.loading import LoadedNetwork, refusing

WEIGHTS_ENTRY = "model.weights.h5"  # of a .keras zip


@dataclass(frozen=True)
class Change:
    """A variable of a network, the array that its file holds for it, and the array to write."""

    variable: keras.Variable
    old: np.ndarray
    new: np.ndarray


@dataclass(frozen=True)
class Place:
    """Where in a file a variable's array may be: the first that holds its values is it."""

    variable: str  # its path
    candidates: list[h5py.Dataset]


def write_copy(loaded: LoadedNetwork, destination: Path, changes: Iterable[Change]) -> None:
    """Write a network's file again, with some arrays changed and every other byte kept.

    The bytes are those that were vetted when it was loaded, whatever the file has become since.
    Raises Unusable where the file holds another array at a variable's place, or where
    `destination` cannot be written.
    """
    original = loaded.source.original
    original.seek(0)
    with replacing(destination) as temporary:
        try:
            if loaded.source.rebuilt.suffix == ".keras":
                _copy_zip(loaded, temporary, changes)
            else:
                with open(temporary, "wb") as copy:
                    shutil.copyfileobj(original, copy)
                with refusing("cannot be copied"), h5py.File(temporary, "r+") as file:
                    _change(file, loaded.in_file, changes)
        except Unusable as error:
            raise error.about(loaded.path) from None


def write_network(network: keras.Model, path: Path) -> None:
    """Write a whole network as a .keras file: the same bytes for the same network.

    Raises Unusable where `path` cannot be written.
    """
    with replacing(path) as temporary, tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "network.keras"
        network.save(saved)
        with zipfile.ZipFile(saved) as dated, zipfile.ZipFile(temporary, "w") as undated:
            for name in dated.namelist():
                content = dated.read(name)
                if name == "metadata.json":
                    version = json.loads(content)["keras_version"]
                    content = json.dumps({"keras_version": version}).encode()
                undated.writestr(zipfile.ZipInfo(name), content)


def write_weights(loaded: LoadedNetwork, destination: Path, arrays: Sequence[np.ndarray]) -> None:
    """Write a network's file again as `destination` with other weights, as `write_copy` does.

    arrays: new values of all its weights, in Keras's order.
    """
    variables = loaded.in_file.weights
    old = loaded.in_file.get_weights()
    changes = [Change(*each) for each in zip(variables, old, arrays, strict=True)]
    changed = (each for each in changes if not np.array_equal(each.old, each.new))
    write_copy(loaded, destination, list(changed))


def _copy_zip(loaded: LoadedNetwork, temporary: Path, changes: Iterable[Change]) -> None:
    original = loaded.source.original
    with zipfile.ZipFile(original) as old, zipfile.ZipFile(temporary, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename == WEIGHTS_ENTRY:
                memory = io.BytesIO(content)
                with h5py.File(memory, "r+") as file:
                    _change(file, loaded.in_file, changes)
                content = memory.getvalue()
            new.writestr(entry, content)


def _change(file: h5py.File, network: keras.Model, changes: Iterable[Change]) -> None:
    legacy = "model_config" in file.attrs or "layer_names" in file.attrs
    places = (_legacy_places if legacy else _places)(file, network)
    candidates = {place.variable: place.candidates for place in places}
    for change in changes:
        for dataset in candidates.get(change.variable.path, ()):
            if np.array_equal(dataset[()], change.old):
                dataset[...] = change.new
                break
        else:
            raise Unusable(f"does not hold {change.variable.path} where Keras keeps it")


def _legacy_places(file: h5py.File, network: keras.Model) -> Iterator[Place]:
    """Where an .h5 network keeps its arrays: layers pair up in order.

    As `keras.src.legacy.saving.legacy_h5_format` writes them.
    """
    root = file["model_weights"] if "model_weights" in file else file
    groups = [root[name] for name in _names(root, "layer_names")]
    groups = [group for group in groups if _names(group, "weight_names")]
    layers = [layer for layer in network.layers if layer.weights]
    for layer, group in zip(layers, groups, strict=True):
        variables = layer.trainable_weights + layer.non_trainable_weights
        for variable, name in zip(variables, _names(group, "weight_names"), strict=True):
            yield Place(variable.path, [group[name]])


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """A list of names, which Keras spreads over several attributes where it is long."""
    parts = [key for key in group.attrs if re.fullmatch(rf"{attribute}\d*", key)]
    parts.sort(key=lambda key: int(key.removeprefix(attribute) or 0))
    names = [name for part in parts for name in group.attrs[part]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _places(file: h5py.File, network: keras.Model) -> Iterator[Place]:
    """Where a file of Keras 3 may keep the arrays.

    As `keras.src.saving.saving_lib` writes them: it counts the layers of a class in order; newer
    files also hold the layer's name. Keras 2 kept them in another group.
    """
    named: dict[str, list[h5py.Group]] = {}

    def note(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if name.endswith("vars") and "name" in item.attrs:
            named.setdefault(str(item.attrs["name"]), []).append(item)

    file.visititems(note)
    group = "layers" if "layers" in file else "_layer_checkpoint_dependencies"
    for layer, path in _counted(network, group, group):
        counted = [file[f"{path}/vars"]] if f"{path}/vars" in file else []
        for index, variable in enumerate(layer.weights):
            groups = counted + named.get(layer.name, [])
            found = [group[str(index)] for group in groups if str(index) in group]
            yield Place(variable.path, found)


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
