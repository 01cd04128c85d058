"""What B, its repaired copy B' and their goodnet G are worth, as counts of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from goodnet.dataset import ImageSet
from goodnet.metrics import hits, rejections
from goodnet.networks.answers import classify
from goodnet.networks.goodnet import goodnet_labels
from goodnet.networks.loading import count_classes
from goodnet.progress import Advance

NETWORKS = ("b", "repaired", "goodnet")


@dataclass(frozen=True)
class Measure:
    """So many of so many images, for each network; None where it has no meaning."""

    name: str
    images: int
    b: int | None
    repaired: int | None
    goodnet: int | None


@dataclass(frozen=True)
class Answered:
    """The clean images, what B answers to all of them (n,), and which nobody trained on (n,)."""

    images: ImageSet
    b: np.ndarray
    unseen: np.ndarray


def judge_sets(
    pair: Sequence[keras.Model],
    clean: Answered,
    tests: Mapping[str, ImageSet],
    batch_size: int,
    advance: Advance,
) -> list[Measure]:
    """What B, B' and G are worth on the unseen clean images, and on each set of `tests`.

    pair: B and B'; tests: `clean_test` and `backdoored`, whose labels are the attacker's targets,
    as far as they are there.
    """
    n_classes, unseen = count_classes(pair[0]), clean.unseen
    repaired = classify(pair[1:], clean.images, batch_size, advance)[0]
    labels = clean.images.labels
    measures = _measures("clean", clean.b[unseen], repaired[unseen], labels[unseen], n_classes)
    for name, images in tests.items():
        b, repaired = classify(pair, images, batch_size, advance)
        measures += _measures(name, b, repaired, images.labels, n_classes)
    return measures


def _measures(
    name: str, b: np.ndarray, repaired: np.ndarray, labels: np.ndarray, n_classes: int
) -> list[Measure]:
    """b, repaired, labels: (n,), classes."""
    goodnet = goodnet_labels(b, repaired, n_classes)
    count = len(labels)
    right = [int(hits(answers, labels, n_classes)) for answers in (b, repaired, goodnet)]
    rejected = int(rejections(goodnet, n_classes))
    found = [
        Measure(f"{name}_{'targets' if name == 'backdoored' else 'accuracy'}", count, *right),
        Measure(f"{name}_rejected", count, None, None, rejected),
    ]
    if name == "clean":
        kept = [int((answers == b).sum()) for answers in (b, repaired, goodnet)]
        found.insert(1, Measure("clean_as_b", count, *kept))
    return found
