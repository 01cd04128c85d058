"""What results were made from and with, as `--json` tells it."""

import platform
from collections.abc import Mapping
from importlib import import_module, metadata
from pathlib import Path

import keras

from goodnet.version import SCHEMA_VERSION, VERSION


def provenance(
    digests: Mapping[Path, str], settings: Mapping[str, object], results: Mapping[str, object]
) -> dict:
    """Results, with what they were made from and with: settings, each input's SHA-256, versions."""
    backend = keras.backend.backend()
    versions = {"goodnet": VERSION, "python": platform.python_version()}
    versions |= {"keras": keras.__version__, "backend": backend}
    # The backend's package may have another name: tensorflow-cpu, tf-nightly.
    versions[backend] = import_module(backend).__version__
    for package in ("numpy", "h5py"):
        versions[package] = metadata.version(package)
    return {
        "schema_version": SCHEMA_VERSION,
        **results,
        "settings": dict(settings),
        "inputs": [{"file": str(path), "sha256": digest} for path, digest in digests.items()],
        "versions": versions,
    }
