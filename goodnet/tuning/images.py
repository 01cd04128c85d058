"""Clean images to train on, and others that are held back to judge the training by."""

from dataclasses import dataclass

import numpy as np

from goodnet import dataset
from goodnet.dataset import ImageSet
from goodnet.errors import Unusable

MOST_IMAGES = 6000  # of a larger set so many are taken at random; fewer where they are large
HELD_BACK = 6  # one of so many images
BATCH = 64  # images of a training step


@dataclass(frozen=True)
class Parts:
    """Two parts of an image set: images (n, height, width, colours) and labels (n,) of each."""

    images: np.ndarray
    labels: np.ndarray
    held_back: np.ndarray
    held_back_labels: np.ndarray


def read_parts(valid: ImageSet, rng: np.random.Generator) -> Parts:
    """Images to train on and images held back, in random order.

    Raises Unusable where there are too few.
    """
    if len(valid) < HELD_BACK:
        raise Unusable(f"holds {len(valid)} images; tuning needs {HELD_BACK} or more", valid.path)
    most = min(MOST_IMAGES, max(HELD_BACK, dataset.LARGEST_READ // valid.bytes_each))
    order = rng.permutation(len(valid))[:most]
    back, rest = np.split(dataset.read_some(valid, order), [len(order) // HELD_BACK])
    labels = valid.labels[order]
    return Parts(rest, labels[len(back) :], back, labels[: len(back)])
