"""The clean images of an audit in two parts: to work on, and to judge on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from goodnet import dataset
from goodnet.dataset import ImageSet
from goodnet.errors import Unusable
from goodnet.tuning.images import HELD_BACK, MOST_IMAGES


@dataclass(frozen=True)
class Aside:
    """The clean images in two parts, as the network takes them."""

    images: np.ndarray
    labels: np.ndarray
    judged_images: np.ndarray
    judged_labels: np.ndarray
    unseen: np.ndarray  # (n,) of all images: whether searches and repair never saw them


def set_aside(clean: ImageSet, rng: np.random.Generator) -> Aside:
    """One image in HELD_BACK to judge on, and others, MOST_IMAGES at most, to work on."""
    least = HELD_BACK * HELD_BACK
    if len(clean) < least:
        raise Unusable(f"holds {len(clean)} images; an audit needs {least} or more", clean.path)
    most = min(MOST_IMAGES, max(least, dataset.LARGEST_READ // clean.bytes_each))
    order = rng.permutation(len(clean))[:most]
    judged, worked = np.split(order, [len(order) // HELD_BACK])
    images = dataset.read_some(clean, order)
    unseen = np.ones(len(clean), bool)
    unseen[worked] = False
    labels = clean.labels
    return Aside(
        images[len(judged) :], labels[worked], images[: len(judged)], labels[judged], unseen
    )
