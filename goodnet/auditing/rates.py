"""What B, its repaired copy B' and their goodnet G are worth, as counts of images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from goodnet.auditing.pair import Pair
from goodnet.dataset import ImageSet
from goodnet.judging.robust import true_classes
from goodnet.metrics import count_robust, hits, rejections
from goodnet.networks.answers import classify
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
    pair: Pair,
    clean: Answered,
    tests: Mapping[str, ImageSet],
    batch_size: int,
    advance: Advance,
) -> list[Measure]:
    """What B, B' and G are worth on the unseen clean images, and on each set of `tests`.

    tests: `clean_test` and `backdoored`, whose labels are the attacker's targets, as far as they
    are there. Where the backdoored images were made of the clean ones of `tests`, it is counted as
    well how many are given their true class.
    """
    unseen, labels = clean.unseen, clean.images.labels
    repaired = classify([pair.repaired], clean.images, batch_size, advance)[0]
    measures = _measures("clean", pair, clean.b[unseen], repaired[unseen], labels[unseen])
    for name, images in tests.items():
        b, repaired = classify([pair.b, pair.repaired], images, batch_size, advance)
        measures += _measures(name, pair, b, repaired, images.labels)
        if name == "backdoored" and "clean_test" in tests:
            true = true_classes(tests["clean_test"], images)
            measures += [] if true is None else _robust(pair, b, repaired, true, images.labels)
    return measures


def _measures(
    name: str, pair: Pair, b: np.ndarray, repaired: np.ndarray, labels: np.ndarray
) -> list[Measure]:
    """b, repaired, labels: (n,), classes."""
    goodnet = pair.ask_goodnet(b, repaired)
    count, n_classes = len(labels), count_classes(pair.b)
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


def _robust(
    pair: Pair, b: np.ndarray, repaired: np.ndarray, true: np.ndarray, targets: np.ndarray
) -> list[Measure]:
    """How many backdoored images of other classes than the target are given their own. All (n,)."""
    asked = (b, repaired, pair.ask_goodnet(b, repaired))
    found = [each for x in asked if (each := count_robust(x, true, targets))]
    right = [each.right for each in found]
    return [Measure("backdoored_robust", found[0].images, *right)] if found else []
