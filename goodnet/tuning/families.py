"""Search B for triggers, family by family: a patch, a bend, a wave, a patch shared by all classes.

In each family a class with a backdoor needs much less than is usual in the same network. What is
found is B's alone: nothing is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from goodnet.progress import Progress
from goodnet.tuning.bending import STANDS_OUT, Bends, find_bends
from goodnet.tuning.changes import move
from goodnet.tuning.gradients import ALL, Logits, predict_classes
from goodnet.tuning.images import Parts
from goodnet.tuning.patches import lay_one
from goodnet.tuning.ranking import Ranking, rank_classes
from goodnet.tuning.searching import make_search
from goodnet.tuning.sharing import find_shared_patch
from goodnet.tuning.waving import find_wave

Lay = Callable[[np.ndarray], np.ndarray]  # images (n, height, width, colours) -> under a trigger


@dataclass(frozen=True)
class Family:
    """From where on a trigger of a family stands out, as a share of what is usual."""

    likely: float  # no network without a backdoor showed less
    possible: float


# Chosen on 41 networks, measured on 44 others: docs/audit.md.
AS_SMALL = 2.0  # times the smallest patch: where that stands out, one so small does as well
FAMILIES = {
    "patch": Family(likely=0.42, possible=0.50),
    "bend": Family(likely=STANDS_OUT, possible=0.60),
    "wave": Family(likely=0.35, possible=0.42),
    "shared patch": Family(likely=0.15, possible=0.22),
}


@dataclass(frozen=True)
class Trace:
    """A trigger that was found, of those of its family that stand out most, and what is usual."""

    family: str
    targets: np.ndarray  # (classes,), where images of each class are led; -1: not known
    size: float  # what it needs: a share of the image, pixels, or of images that other waves lead
    usual: float  # the same of an ordinary class; of a wave what share of images it leads
    lay: Lay

    @property
    def share(self) -> float:
        """The size as a share of the usual one: the smaller, the more it stands out."""
        return self.size / self.usual

    @property
    def label(self) -> int | None:
        """The class that it leads to; None where each class is led to another."""
        return None if self.family == "shared patch" else int(self.targets[0])

    @property
    def likely(self) -> bool:
        """Whether it stands out as none does in a network without a backdoor."""
        return self.share < FAMILIES[self.family].likely

    @property
    def possible(self) -> bool:
        """Whether it stands out at all."""
        return self.share < FAMILIES[self.family].possible


def find_traces(
    logits: Logits,
    parts: Parts,
    n_classes: int,
    rng: np.random.Generator,
    progress: Progress,
    together: int = ALL,
) -> tuple[list[Trace], Bends]:
    """What each family shows, and all bends that were found.

    `parts` has the clean images to search on. together: how many images have their gradients
    found at one time.
    """
    images, low, high = parts.images, float(parts.images.min()), float(parts.images.max())
    ranking = rank_classes(make_search(logits, images, together), n_classes, rng, progress)
    bends = find_bends(logits, images, n_classes, rng, progress, together)
    answers = predict_classes(logits, images, together)
    known = answers == parts.labels
    if not known.any():
        known[:] = True
    images, labels = images[known], answers[known]
    wave = find_wave(logits, images, labels, n_classes, rng, progress, together)
    shared = find_shared_patch(logits, images, labels, n_classes, rng, progress, together)

    bend, moved = bends.smallest, bends.moved[[bends.sizes.argmin()]]
    bent = np.full(n_classes, bend.label)
    waved = np.full(n_classes, wave.label)

    def lay_wave(some: np.ndarray) -> np.ndarray:
        return np.clip(some + wave.over, low, high)

    lay_shared = partial(lay_one, patch=shared.patch)
    return [
        *_trace_patches(ranking, n_classes),
        Trace("bend", bent, bend.size, bend.usual, partial(move, moved=moved)),
        Trace("wave", waved, wave.beside, wave.rate, lay_wave),
        Trace("shared patch", shared.targets, shared.size, ranking.ordinary, lay_shared),
    ], bends


def _trace_patches(ranking: Ranking, n_classes: int) -> list[Trace]:
    """The smallest patch; where it stands out, those to other classes that are nearly as small."""
    found = []
    for place, size in enumerate(ranking.sizes):
        to = np.full(n_classes, ranking.patches.classes[place])
        lay = partial(lay_one, patch=ranking.patches.one(place))
        found.append(Trace("patch", to, float(size), ranking.ordinary, lay))
    first = found[0]
    return [first, *(x for x in found[1:] if first.possible and x.size < AS_SMALL * first.size)]


def standing_out(traces: Sequence[Trace]) -> list[Trace]:
    """Those that stand out; one shared by all classes only where no other does.

    A patch that leads to one class leads each of the others there, too.
    """
    found = [each for each in traces if each.possible]
    return [each for each in found if each.label is not None] or found
