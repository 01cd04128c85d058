"""Whether the patches that were found work: laid over images that nobody sought them on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from goodnet.networks.answers import compute
from goodnet.networks.goodnet import goodnet_labels
from goodnet.networks.loading import count_classes
from goodnet.progress import Advance
from goodnet.tuning.patches import Patch, Patches, lay_over
from goodnet.tuning.suspects import Suspect

BATCH = 256  # images answered at a time, at most


@dataclass(frozen=True)
class Trigger:
    """How often a suspect's patch works on images of other classes: counts of them."""

    label: int
    images: int
    b: int  # answered with the suspect's class
    repaired: int
    goodnet: int
    rejected: int  # by the goodnet


def try_patches(
    networks: Sequence[keras.Model],
    suspects: Sequence[Suspect],
    images: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
    advance: Advance,
) -> list[Trigger]:
    """Lay each suspect's patch in B over the images (n, height, width, colours) of other classes.

    networks: B and its repaired copy; labels: (n,). `advance` is told of each suspect.
    """
    n_classes, size = count_classes(networks[0]), min(BATCH, batch_size)
    found = []
    for suspect in suspects:
        others = under_patch(images[labels != suspect.label], suspect.patch)
        b, repaired = (_answers(network, others, size) for network in networks)
        together = goodnet_labels(b, repaired, n_classes)
        found.append(
            Trigger(
                label=suspect.label,
                images=len(others),
                b=int((b == suspect.label).sum()),
                repaired=int((repaired == suspect.label).sum()),
                goodnet=int((together == suspect.label).sum()),
                rejected=int((together == n_classes).sum()),
            )
        )
        advance(1)
    return found


def under_patch(images: np.ndarray, patch: Patch) -> np.ndarray:
    """Images (n, height, width, colours) under the same patch."""
    one = Patches(np.zeros(1), patch.mask[np.newaxis], patch.pattern[np.newaxis])
    return lay_over(images, one).astype(np.float32)


def _answers(network: keras.Model, images: np.ndarray, size: int) -> np.ndarray:
    """The class of each image, (n,) int64, so many at a time."""
    parts = [images[start : start + size] for start in range(0, len(images), size)]
    classes = [compute(network, part)[0].argmax(axis=1) for part in parts]
    return np.concatenate([np.zeros(0, np.int64), *classes])
