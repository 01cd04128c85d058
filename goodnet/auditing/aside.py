"""The clean images of an audit in two parts: to work on, and to judge on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from goodnet import dataset
from goodnet.dataset import ImageSet
from goodnet.errors import Unusable
from goodnet.tuning.images import HELD_BACK, take_some

LEAST = HELD_BACK * HELD_BACK  # images: one in HELD_BACK is judged on, and of the rest held back


@dataclass(frozen=True)
class Aside:
    """The clean images in two parts, as the network takes them."""

    images: np.ndarray
    labels: np.ndarray
    judged_images: np.ndarray
    judged_labels: np.ndarray
    unseen: np.ndarray  # (n,) of all images: whether searches and repair never saw them


def set_aside(clean: ImageSet, rng: np.random.Generator) -> Aside:
    """One image in HELD_BACK to judge on, and the others to work on; of many or large ones some.

    Raises Unusable where there are fewer than LEAST.
    """
    if len(clean) < LEAST:
        raise Unusable(f"holds {len(clean)} images; an audit needs {LEAST} or more", clean.path)
    order = take_some(clean, rng, LEAST)
    judged, worked = np.split(order, [len(order) // HELD_BACK])
    images = dataset.read_some(clean, order)
    unseen = np.ones(len(clean), bool)
    unseen[worked] = False
    labels = clean.labels
    return Aside(
        images[len(judged) :], labels[worked], images[: len(judged)], labels[judged], unseen
    )
