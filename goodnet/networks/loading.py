"""Networks in files: load one, and write a copy with some arrays changed.

The only place that loads or saves networks.
"""

import io
import json
import re
import shutil
import tempfile
import textwrap
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import h5py
import keras
import numpy as np

from goodnet.errors import Unusable
from goodnet.files import replacing
from goodnet.networks.deepid import deepid
from goodnet.vetting import quarantine

WEIGHTS_ENTRY = "model.weights.h5"  # of a .keras zip


def load_network(path: Path) -> keras.Model:
    """Load an image classifier: a whole network (.h5 or .keras), or the weights of a DeepID.

    Keras is given what vetting has written anew, never the file itself; the compile configuration
    is left out. Raises Unsafe where the file holds anything but plain layers and arrays, Unusable
    where it is no network, where this Keras cannot build it, or where it is not a classifier with
    one image input (height, width, colours) and one output (classes).
    """
    vetted = quarantine.network(path)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"network{vetted.suffix}"
        file.write_bytes(vetted.rebuilt)
        if vetted.suffix == ".keras":
            network = _load_whole(path, file)
        else:
            with h5py.File(file, "r") as rebuilt:
                whole, shapes = "model_config" in rebuilt.attrs, _shapes(rebuilt)
            if whole:
                network = _load_whole(path, file)
            else:
                network = _load_weights(path, _deepid_classes(path, shapes), file)
    _check_classifier(path, network)
    _try_out(path, network)
    network.vetted = vetted
    return network


def input_shape(network: keras.Model) -> tuple[int | None, int | None, int]:
    """(height, width, colours) of the images that the network takes."""
    return tuple(network.inputs[0].shape[1:])


def count_classes(network: keras.Model) -> int:
    """N, the number of the network's outputs."""
    return network.outputs[0].shape[-1]


def write_copy(
    source: Path,
    destination: Path,
    network: keras.Model,
    changes: Iterable[tuple[keras.Variable, np.ndarray, np.ndarray]],
) -> None:
    """Write `source` again as `destination` with some arrays changed and every other byte kept.

    `network` is what `load_network(source)` gave, and the bytes are those that were vetted then,
    whatever the file has become since; a change is a variable of it, the array that the file
    holds for it, and the array to write. Raises Unusable where the file holds another array at
    the variable's place, or where `destination` cannot be written.
    """
    original = network.vetted.original
    original.seek(0)
    with replacing(destination) as temporary:
        if network.vetted.suffix == ".keras":
            _copy_zip(source, original, temporary, network, changes)
        else:
            with open(temporary, "wb") as copy:
                shutil.copyfileobj(original, copy)
            with _refusing(source, "cannot be copied"), h5py.File(temporary, "r+") as file:
                _change(source, file, network, changes)


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
                    content = json.dumps({"keras_version": version})
                undated.writestr(zipfile.ZipInfo(name), content)


def write_weights(
    source: Path, destination: Path, network: keras.Model, arrays: Sequence[np.ndarray]
) -> None:
    """Write `source` again as `destination` with other weights, as `write_copy` does.

    `network` is what `load_network(source)` gave, unchanged; arrays: new values of its weights, in
    Keras's order.
    """
    old = network.get_weights()
    changes = [
        change
        for change in zip(network.weights, old, arrays, strict=True)
        if not np.array_equal(change[1], change[2])
    ]
    write_copy(source, destination, network, changes)


def _load_whole(path: Path, file: Path) -> keras.Model:
    with _refusing(path, f"is not built by Keras {keras.__version__}"):
        return keras.models.load_model(file, compile=False, safe_mode=True)


def _load_weights(path: Path, n_classes: int, file: Path) -> keras.Model:
    network = deepid(n_classes)
    with _refusing(path, "does not fit as the weights of a DeepID"):
        network.load_weights(file)
    return network


@contextmanager
def _refusing(path: Path, problem: str) -> Iterator[None]:
    """Turn whatever Keras and h5py raise into the one line that the user reads."""
    try:
        yield
    except Unusable:
        raise
    except Exception as error:
        reason = re.sub(r"\s+", " ", str(error)).strip() or type(error).__name__
        raise Unusable(f"{path}: {problem}: {textwrap.shorten(reason, 300)}") from None


def _shapes(file: h5py.File) -> set[tuple[int, ...]]:
    shapes = set()
    file.visititems(
        lambda _, item: shapes.add(item.shape) if isinstance(item, h5py.Dataset) else None
    )
    return shapes


def _deepid_classes(path: Path, shapes: set[tuple[int, ...]]) -> int:
    """The width of the output layer: the only matrix in a DeepID's weights with 160 rows."""
    classes = [shape[1] for shape in shapes if len(shape) == 2 and shape[0] == 160]
    if len(classes) != 1:
        raise Unusable(
            f"{path}: holds neither a whole network nor the weights of a DeepID; "
            "save the whole network with model.save()"
        )
    return classes[0]


def _check_classifier(path: Path, network: keras.Model) -> None:
    inputs = getattr(network, "inputs", None) or []
    outputs = getattr(network, "outputs", None) or []
    shapes = [tuple(tensor.shape) for tensor in inputs], [tuple(tensor.shape) for tensor in outputs]
    fits = len(inputs) == len(outputs) == 1 and len(inputs[0].shape) == 4
    if not (fits and len(outputs[0].shape) == 2 and outputs[0].shape[1]):
        raise Unusable(
            f"{path}: is not an image classifier: it takes {shapes[0]} and answers {shapes[1]}; "
            "needed are one input (None, height, width, colours) and one output (None, classes)"
        )


def _try_out(path: Path, network: keras.Model) -> None:
    """Run the network once, on a black image: not all that Keras builds can be computed."""
    shape = input_shape(network)
    if None not in shape:
        with _refusing(path, f"cannot be run by Keras {keras.__version__}"):
            network(np.zeros((1, *shape), np.float32), training=False)


def _copy_zip(
    source: Path, original: BinaryIO, temporary: Path, network: keras.Model, changes: Iterable
) -> None:
    with zipfile.ZipFile(original) as old, zipfile.ZipFile(temporary, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename == WEIGHTS_ENTRY:
                memory = io.BytesIO(content)
                with h5py.File(memory, "r+") as file:
                    _change(source, file, network, changes)
                content = memory.getvalue()
            new.writestr(entry, content)


def _change(source: Path, file: h5py.File, network: keras.Model, changes: Iterable) -> None:
    legacy = "model_config" in file.attrs or "layer_names" in file.attrs
    places = dict((_legacy_places if legacy else _places)(file, network))
    for variable, old, new in changes:
        for dataset in places.get(variable.path, ()):
            if np.array_equal(dataset[()], old):
                dataset[...] = new
                break
        else:
            raise Unusable(f"{source}: does not hold {variable.path} where Keras keeps it")


def _legacy_places(
    file: h5py.File, network: keras.Model
) -> Iterator[tuple[str, list[h5py.Dataset]]]:
    """Each variable's path and its dataset in an .h5 network: layers pair up in order."""
    root = file["model_weights"] if "model_weights" in file else file
    groups = [root[name] for name in _names(root, "layer_names")]
    groups = [group for group in groups if _names(group, "weight_names")]
    layers = [layer for layer in network.layers if layer.weights]
    for layer, group in zip(layers, groups, strict=True):
        variables = layer.trainable_weights + layer.non_trainable_weights
        for variable, name in zip(variables, _names(group, "weight_names"), strict=True):
            yield variable.path, [group[name]]


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """A list of names, which Keras spreads over several attributes where it is long."""
    parts = [key for key in group.attrs if re.fullmatch(rf"{attribute}\d*", key)]
    parts.sort(key=lambda key: int(key.removeprefix(attribute) or 0))
    names = [name for part in parts for name in group.attrs[part]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _places(file: h5py.File, network: keras.Model) -> Iterator[tuple[str, list[h5py.Dataset]]]:
    """Each variable's path and the datasets that may be its in a file of Keras 3.

    Keras counts the layers of a class in order; newer files also hold the layer's name. Keras 2
    kept them in another group.
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
            yield variable.path, [group[str(index)] for group in groups if str(index) in group]


def _counted(network: keras.Model, path: str, group: str) -> Iterator[tuple[keras.Layer, str]]:
    seen: dict[str, int] = {}
    for layer in network.layers:
        name = re.sub(
            r"(?<=[a-z])(?=[A-Z])|(?<=.)(?=[A-Z][a-z])", "_", type(layer).__name__
        ).lower()
        place = f"{path}/{name}_{seen[name]}" if name in seen else f"{path}/{name}"
        seen[name] = seen.get(name, 0) + 1
        yield layer, place
        if hasattr(layer, "layers"):
            yield from _counted(layer, f"{place}/{group}", group)
