"""CIFAR-10 for the zoo: from keras.datasets, or from CIFAR_DIR, a folder that holds it as JPEGs."""

import io
import os
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from PIL import Image

CLASSES = 10
VALIDATION_IMAGES = 2500  # kept out of training: what a defender has


@dataclass(frozen=True)
class Images:
    """Images (n, 32, 32, 3) uint8 and their labels (n,)."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Cifar:
    """Three sets that share no image."""

    training: Images
    validation: Images
    test: Images


def read_cifar(seed: int, training_images: int) -> Cifar:
    """CIFAR-10, cut by this seed: two networks of one seed are judged on the same sets."""
    if folder := os.environ.get("CIFAR_DIR"):
        train, test = (_read_jpegs(Path(folder) / f"{name}.npz") for name in ("train", "test"))
    else:
        both = keras.datasets.cifar10.load_data()
        train, test = (Images(images, labels.ravel()) for images, labels in both)
    order = np.random.default_rng(seed).permutation(len(train.labels))
    valid = order[:VALIDATION_IMAGES]
    own = order[VALIDATION_IMAGES : VALIDATION_IMAGES + training_images]
    return Cifar(*(Images(train.images[some], train.labels[some]) for some in (own, valid)), test)


def _read_jpegs(path: Path) -> Images:
    """Images whose bytes stand one after the other, from one of `offsets` to the next."""
    with np.load(path) as held:
        jpeg, offsets, labels = held["jpeg"].tobytes(), held["offsets"], held["labels"]
    parts = (jpeg[start:end] for start, end in zip(offsets, offsets[1:], strict=False))
    images = [np.asarray(Image.open(io.BytesIO(part)).convert("RGB")) for part in parts]
    return Images(np.stack(images), labels.astype(np.int64))
