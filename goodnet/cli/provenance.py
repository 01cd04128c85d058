"""What results were made from and with, as `--json` tells it."""

import platform
from collections.abc import Mapping
from importlib import import_module, metadata
from pathlib import Path

import keras


def provenance(digests: Mapping[Path, str], seconds: Mapping[str, float]) -> dict:
    """What results were made from and with: each input's SHA-256, versions, each stage's time."""
    backend = keras.backend.backend()
    versions = {"python": platform.python_version(), "keras": keras.__version__, "backend": backend}
    # The backend's package may have another name: tensorflow-cpu, tf-nightly.
    versions[backend] = import_module(backend).__version__
    for package in ("numpy", "h5py"):
        versions[package] = metadata.version(package)
    return {
        "inputs": [{"file": str(path), "sha256": digest} for path, digest in digests.items()],
        "versions": versions,
        "seconds": dict(seconds),
    }
