"""Clean images to train on, and others that are held back to judge the training by."""

from dataclasses import dataclass

import numpy as np

from goodnet import dataset
from goodnet.dataset import ImageSet
from goodnet.errors import Unusable

MOST_IMAGES = 6000  # of a larger set so many are taken at random; fewer where they are large
EACH = 240  # of each class, where there are so many classes that these are more
HELD_BACK = 6  # one of so many images
ENOUGH = 150  # of a class to train on: with 208 relearning loses 2 or 3 points, with 100 it loses 5
BATCH = 64  # images of a training step


@dataclass(frozen=True)
class Parts:
    """Two parts of an image set: images (n, height, width, colours) and labels (n,) of each."""

    images: np.ndarray
    labels: np.ndarray
    held_back: np.ndarray
    held_back_labels: np.ndarray


def take_some(valid: ImageSet, rng: np.random.Generator, least: int) -> np.ndarray:
    """Which images are kept to work on, in random order: `least`, even where they are large."""
    return rng.permutation(len(valid))[: count_kept(valid, least)]


def count_kept(valid: ImageSet, least: int = HELD_BACK) -> int:
    """How many images of a set are kept in memory to work on."""
    fitting = max(least, dataset.LARGEST_READ // valid.bytes_each)
    return min(len(valid), _most(valid.labels), fitting)


def _most(labels: np.ndarray) -> int:
    """How many of a set with these labels (n,) are kept, be they as small as they like.

    Of many classes with images enough so many that each still has enough when a part of them is
    set aside and a part of the others held back.
    """
    counts = np.unique(labels, return_counts=True)[1]
    trained_on = np.median(counts) * (1 - 1 / HELD_BACK) ** 2
    return max(MOST_IMAGES, EACH * len(counts)) if trained_on >= ENOUGH else MOST_IMAGES


def has_enough(labels: np.ndarray, n_classes: int) -> bool:
    """Whether there are images enough, by their labels (n,), in half of all classes or more."""
    return bool(np.median(np.bincount(labels, minlength=n_classes)) >= ENOUGH)


def read_parts(valid: ImageSet, rng: np.random.Generator) -> Parts:
    """Images to train on and images held back, in random order.

    Raises Unusable where there are too few.
    """
    if len(valid) < HELD_BACK:
        raise Unusable(f"holds {len(valid)} images; tuning needs {HELD_BACK} or more", valid.path)
    order = take_some(valid, rng, HELD_BACK)
    return _cut(dataset.read_some(valid, order), valid.labels[order])


def divide(images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> Parts:
    """The same of images (n, height, width, colours) with labels (n,) that are read already.

    Both get another order in place, and so do earlier parts of them: large images fit once.
    """
    order = rng.permutation(len(images))
    for values in (images, labels):
        _bring_into(order, values)
    return _cut(images, labels)


def _bring_into(order: np.ndarray, values: np.ndarray) -> None:
    """Make `values` (n, …) what values[order] is, one at a time: each goes where the last was."""
    done = np.zeros(len(order), bool)
    for start in range(len(order)):
        if done[start]:
            continue
        place, first = start, values[start].copy()
        while not done[place]:
            done[place] = True
            source = int(order[place])
            values[place] = first if source == start else values[source]
            place = source


def _cut(images: np.ndarray, labels: np.ndarray) -> Parts:
    back = len(images) // HELD_BACK
    return Parts(images[back:], labels[back:], images[:back], labels[:back])
