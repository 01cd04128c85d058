"""Whether the patches that were found work: laid over images that nobody sought them on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import keras
import numpy as np

from goodnet.auditing.pair import Pair
from goodnet.auditing.repairing import SmallPatch
from goodnet.networks.answers import compute
from goodnet.networks.loading import count_classes
from goodnet.progress import Advance
from goodnet.tuning.patches import lay_one
from goodnet.tuning.traces import Lay, Trace

BATCH = 256  # images answered at a time, at most


@dataclass(frozen=True)
class Trigger:
    """How often a trigger works on images of other classes: counts of them."""

    label: int | None  # the class that it leads to; None: each class to another
    images: int
    b: int  # answered with the class that they are led to
    repaired: int
    goodnet: int
    rejected: int  # by the goodnet


def try_patches(
    pair: Pair,
    suspects: Sequence[SmallPatch],
    images: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
    advance: Advance,
) -> list[Trigger]:
    """Lay each suspect's patch in B over the images (n, height, width, colours) of other classes.

    labels: (n,). `advance` is told of each suspect.
    """
    found = []
    for suspect in suspects:
        targets, lay = np.full(len(labels), suspect.label), partial(lay_one, patch=suspect.patch)
        counts = _count(pair, lay, targets, images, labels, batch_size)
        found.append(Trigger(suspect.label, **counts))
        advance(1)
    return found


def try_traces(
    pair: Pair,
    traces: Sequence[Trace],
    images: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
    advance: Advance,
) -> list[Trigger]:
    """The same with the trigger of each trace, of whatever family."""
    found = []
    for trace in traces:
        counts = _count(pair, trace.lay, trace.targets[labels], images, labels, batch_size)
        found.append(Trigger(trace.label, **counts))
        advance(1)
    return found


def _count(
    pair: Pair,
    lay: Lay,
    targets: np.ndarray,
    images: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
) -> dict[str, int]:
    """The counts of a trigger that leads the images to these targets (n,); -1: it is not known."""
    n_classes, size = count_classes(pair.b), min(BATCH, batch_size)
    others = (targets != labels) & (targets >= 0)
    under, wanted = lay(images[others]).astype(np.float32), targets[others]
    b, repaired = (_answers(network, under, size) for network in (pair.b, pair.repaired))
    together = pair.ask_goodnet(b, repaired)
    return {
        "images": len(under),
        "b": int((b == wanted).sum()),
        "repaired": int((repaired == wanted).sum()),
        "goodnet": int((together == wanted).sum()),
        "rejected": int((together == n_classes).sum()),
    }


def _answers(network: keras.Model, images: np.ndarray, size: int) -> np.ndarray:
    """The class of each image, (n,) int64, so many at a time."""
    parts = [images[start : start + size] for start in range(0, len(images), size)]
    classes = [compute(network, part)[0].argmax(axis=1) for part in parts]
    return np.concatenate([np.zeros(0, np.int64), *classes])
