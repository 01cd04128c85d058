"""A file for Keras, written anew out of what vetting has passed: settings, names and numbers.

Nothing of the stranger's file goes into it as it was, and nothing is read by HDF5 that was not
written here before.
"""

import json
import zipfile
from pathlib import Path

import h5py

from goodnet.vetting.contents import BFLOAT16
from goodnet.vetting.parts import CONFIGURATION, METADATA, WEIGHTS, Parts, vet_parts
from goodnet.vetting.values import arrays_of


def write_rebuilt(parts: Parts, folder: Path) -> tuple[Path, dict | None]:
    """Write a network into a folder as Keras reads it: the file, and the configuration in it.

    There is no configuration where the file holds weights alone.
    Raises Unsafe or Unusable where what was taken apart does not pass as a network.
    """
    configuration = vet_parts(parts)
    file = folder / f"network{parts.suffix}"
    if parts.suffix != ".keras":
        _write_hdf5(parts, file, configuration)
        return file, configuration
    weights = folder / WEIGHTS
    _write_hdf5(parts, weights, None)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(METADATA, "{}")
        archive.writestr(CONFIGURATION, json.dumps(configuration))
        archive.write(weights, WEIGHTS)
    return file, configuration


def _write_hdf5(parts: Parts, path: Path, configuration: dict | None) -> None:
    # Without a lock: a child that is being started holds all that is open for a moment, and Keras
    # would find the file locked.
    with h5py.File(path, "w", locking=False) as file:
        for name, attributes in parts.contents.groups.items():
            group = file.require_group(name or "/")
            for key, said in attributes.items():
                text = isinstance(said, str)
                group.attrs[key] = said if text else [name.encode() for name in said]
        for name, array in arrays_of(parts).items():
            made = file.create_dataset(name, data=array)
            if array.dtype.str == BFLOAT16:
                made.attrs["dtype"] = "bfloat16"
        if configuration is not None:
            file.attrs["model_config"] = json.dumps(configuration)
