"""Rank classes by the patch that leads any image to them: a backdoored class needs a small one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from goodnet.metrics import deviations
from goodnet.progress import Progress
from goodnet.tuning import windows
from goodnet.tuning.patches import Patches, join
from goodnet.tuning.searching import FULL, SHORT, Effort, Search

REFERENCES = 60  # classes taken at random: what size is ordinary
SHORTLIST = 40  # classes that the short searches leave, besides them
REPEATS = 4  # further searches for each class on the shortlist
TRIES = 4  # searches for each class where its smallest patch counts, besides those in windows


@dataclass(frozen=True)
class Smallest:
    """The smallest patch that was found to each class, the smallest first."""

    patches: Patches
    usual: float  # the median size to a class taken at random: a share of the image
    of_usual: Patches  # one, of such a class that needs about that
    ordinary: float  # the size that the median search all over the image ended at


@dataclass(frozen=True)
class Ranking:
    """The classes that need the smallest patches, the smallest first."""

    patches: Patches  # one for each of these classes
    sizes: np.ndarray  # (k,), shares of the image
    scores: np.ndarray  # (k,)
    ordinary: float  # the median size of classes taken at random
    usual: Patches  # one, of such a class that needs about that size


def rank_classes(
    search: Search,
    n_classes: int,
    rng: np.random.Generator,
    progress: Progress,
    certain: Sequence[int],
    effort: Effort,
    suspects: int,
) -> Ranking:
    """Find out for which of all classes the smallest patches are enough.

    Short searches narrow many classes down to few; these and REFERENCES taken at random get the
    search of this `effort`. For the best SHORTLIST of it there are REPEATS more, so that a size
    which was small by chance is not; the best `suspects` of these are ranked. The classes `certain`
    are among the best whatever their size. A score is how many median absolute deviations the
    logarithm of a size lies below the median of the references.
    """
    references = rng.permutation(n_classes)[:REFERENCES]
    narrowed = _narrow(search, n_classes, rng, progress, certain)
    classes = np.union1d(narrowed, references)
    listed = min(SHORTLIST, len(classes))
    total = effort.steps * (len(classes) + REPEATS * listed)
    with progress(f"Searching {len(classes)} classes", total) as advance:
        found = search(classes, rng, effort, advance)
        best = classes[_smallest(classes, found.sizes, listed, certain)]
        again = search(np.repeat(best, REPEATS), rng, effort, advance)
    at_random = found[np.isin(classes, references)]
    usual = np.log(at_random.sizes)
    by_class = np.log(again.sizes).reshape(listed, REPEATS)
    smallest = by_class.argmin(axis=1) + REPEATS * np.arange(listed)
    logs = by_class.mean(axis=1)
    order = _smallest(best, logs, suspects, certain)
    scores = -deviations(logs[order], usual)
    ordinary = float(np.exp(np.median(usual)))
    nearest = at_random[np.abs(usual - np.median(usual)).argsort(kind="stable")[:1]]
    return Ranking(again[smallest[order]], np.exp(logs[order]), scores, ordinary, nearest)


def find_smallest(
    search: Search,
    in_windows: windows.Search,
    suspects: np.ndarray,
    usual: np.ndarray,
    rng: np.random.Generator,
    progress: Progress,
) -> Smallest:
    """The smallest of several patches to each of these classes; `usual` ones tell what is usual.

    TRIES of them begin all over the image, others in windows. A search begins with chance, and may
    miss a small patch that is there: benchmarks/README.md.
    """
    classes = np.union1d(suspects, usual)
    total = (FULL.steps * TRIES + windows.STEPS) * len(classes)
    with progress(f"Searching {len(classes)} classes", total) as advance:
        anywhere = search(np.repeat(classes, TRIES), rng, FULL, advance)
        found = join([anywhere, in_windows(classes, rng, advance)])
    by_class = [np.flatnonzero(found.classes == label) for label in classes]
    best = np.array([rows[found.sizes[rows].argmin()] for rows in by_class])
    patches = found[best[np.argsort(found.sizes[best], kind="stable")]]
    of_usual = patches[np.isin(patches.classes, usual)]
    middle = float(np.median(of_usual.sizes))
    nearest = np.abs(of_usual.sizes - middle).argsort(kind="stable")[:1]
    ordinary = float(np.median(anywhere.sizes[np.isin(anywhere.classes, usual)]))
    return Smallest(patches, middle, of_usual[nearest], ordinary)


def _narrow(
    search: Search,
    n_classes: int,
    rng: np.random.Generator,
    progress: Progress,
    certain: Sequence[int],
) -> np.ndarray:
    """The classes that short searches leave; each is twice as long as the one before."""
    classes, effort = np.arange(n_classes), SHORT
    while len(classes) > REFERENCES + SHORTLIST:
        total = effort.steps * len(classes)
        with progress(f"Searching {len(classes)} classes", total) as advance:
            found = search(classes, rng, effort, advance)
        count = max(SHORTLIST, len(classes) // 4)
        classes = classes[_smallest(classes, found.sizes, count, certain)]
        effort = replace(effort, steps=2 * effort.steps)
    return classes


def _smallest(
    classes: np.ndarray, sizes: np.ndarray, count: int, certain: Sequence[int]
) -> np.ndarray:
    """Where the `count` smallest stand, the `certain` ones among them; the smallest first."""
    kept = np.lexsort((sizes, ~np.isin(classes, certain)))[:count]
    return kept[np.argsort(sizes[kept], kind="stable")]
