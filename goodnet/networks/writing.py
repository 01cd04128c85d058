"""Networks in files: write a copy of B's file with some arrays changed, or a whole new network."""

import json
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from goodnet.errors import Unusable
from goodnet.files import replacing
from goodnet.networks.array_names import array_names
from goodnet.networks.loading import LoadedNetwork, refusing
from goodnet.vetting.contents import BFLOAT16
from goodnet.vetting.parts import Parts
from goodnet.vetting.patching import write_changed
from goodnet.vetting.values import arrays_of


@dataclass(frozen=True)
class Change:
    """A variable of a network, the array that its file holds for it, and the array to write."""

    variable: keras.Variable
    old: np.ndarray
    new: np.ndarray


def write_copy(loaded: LoadedNetwork, destination: Path, changes: Iterable[Change]) -> None:
    """Write a network's file again, with some arrays changed and every other byte kept.

    The bytes are those that were vetted when it was loaded, whatever the file has become since.
    Raises Unusable where the network comes from no file, or the file holds another array at a
    variable's place, or where `destination` cannot be written.
    """
    source = loaded.source
    if source is None:
        raise Unusable("comes from no file that could be copied", loaded.path)
    with replacing(destination) as temporary:
        try:
            write_changed(source, _changed_arrays(loaded, source.parts, changes), temporary)
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


def _changed_arrays(
    loaded: LoadedNetwork, parts: Parts, changes: Iterable[Change]
) -> dict[str, np.ndarray]:
    """The arrays of the file that are to be others, by their path in it, in its own types."""
    arrays = arrays_of(parts)
    with refusing("cannot be copied"):
        names = array_names(loaded.in_file, parts)
    changed = {}
    for change in changes:
        for candidates in names.get(change.variable.path, [()]):
            held = [name for name in candidates if _same(_numbers(arrays[name]), change.old)]
            if not held:
                raise Unusable(f"does not hold {change.variable.path} where Keras keeps it")
            stored = _as_stored(change, _numbers(arrays[held[0]]).dtype)
            changed[held[0]] = stored.view(arrays[held[0]].dtype)
    return changed


def _numbers(array: np.ndarray) -> np.ndarray:
    """An array of a file as numbers; bfloat16, which files do not know, is what Keras adds."""
    return array.view(np.dtype("bfloat16")) if array.dtype.str == BFLOAT16 else array


def _as_stored(change: Change, dtype: np.dtype) -> np.ndarray:
    """The new array in a file's type. Raises Unusable where that cannot hold its values."""
    with np.errstate(invalid="ignore", over="ignore"):
        stored = change.new.astype(dtype)
    if not _same(stored, change.new):
        raise Unusable(
            f"keeps {change.variable.path} as {dtype}, which cannot hold the repaired values"
        )
    return stored


def _same(left: np.ndarray, right: np.ndarray) -> bool:
    """Whether two arrays hold the same numbers; NaN is the same as NaN."""
    return np.array_equal(left, right, equal_nan=True)
