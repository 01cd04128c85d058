"""What repairs that train have in common: the images they hold back, and what they answer.

A repair takes B, clean validation images, a seed and a way to show progress, and nothing else: no
test file and no backdoored image can decide anything. Training is in inference mode: no dropout,
and batch norm keeps its moving averages.
"""

from dataclasses import dataclass

import numpy as np

from goodnet import dataset
from goodnet.dataset import ImageSet
from goodnet.errors import Unusable

MOST_IMAGES = 6000  # of a larger set so many are taken at random
HELD_BACK = 6  # one of so many images
BATCH = 64


@dataclass(frozen=True)
class Tuned:
    """A network after training on clean images."""

    arrays: list[np.ndarray]  # of all its weights, in Keras's order
    held_back: int  # images
    kept: int  # of these, answered as they should be: with the label, or as B does
    b_hits: int  # of these, given their label by B


def read_images(valid: ImageSet, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Images to train on, images held back, and the labels of each, in random order.

    Raises Unusable where there are too few.
    """
    if len(valid) < HELD_BACK:
        raise Unusable(f"{valid.path}: holds {len(valid)} images; tuning needs {HELD_BACK} or more")
    order = rng.permutation(len(valid))[:MOST_IMAGES]
    images = dataset.read(valid, 0, len(valid))
    back, kept = np.split(order, [len(order) // HELD_BACK])
    return images[kept], images[back], valid.labels[kept], valid.labels[back]
