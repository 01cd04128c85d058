"""Search B for triggers, family by family: a patch, a bend, a wave, a patch shared by all classes.

In each family a class with a backdoor needs much less than is usual in the same network. What is
found is the network's alone: nothing is trained. Relearning shows a copy what stands out
(relearning.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from goodnet.progress import Progress
from goodnet.tuning.bending import bend_some, find_bends, find_large_bends
from goodnet.tuning.changes import move
from goodnet.tuning.gradients import ALL, Logits, predict_classes
from goodnet.tuning.images import Parts
from goodnet.tuning.leads import measure_leads
from goodnet.tuning.patches import Patch, Patches, as_patches, join, lay_one, lay_some
from goodnet.tuning.ranking import Smallest, find_smallest
from goodnet.tuning.searching import FULL, Search, make_search
from goodnet.tuning.shapes import find_shape
from goodnet.tuning.sharing import SharedPatch, find_shared_patch
from goodnet.tuning.traces import OF_MANY_CLASSES, Lay, LaySome, Trace, standing_out
from goodnet.tuning.training import weigh_patches
from goodnet.tuning.waving import Wave, find_wave, lay_wave, wave_some
from goodnet.tuning.windows import make_window_search

LEAST_CLASSES = 10  # of fewer it cannot be told what is usual
MANY_CLASSES = 25  # of more the lead of a class tells something
STARTS = 16  # images of noise for each class's lead, which must not change much with chance
AS_SMALL = 2.0  # times the smallest patch: where that stands out, one so small does as well
MORE = 8  # patches to a class that stands out, and as many that cover the whole image faintly
FAINT = 0.2  # of the images that a copy is shown under them are under faint ones
ALONE = np.ones(1)  # the odds of a single patch


@dataclass(frozen=True)
class Found:
    """What each family shows of B, and the classes that need the smallest patches."""

    traces: list[Trace]
    smallest: Smallest


def find_traces(
    logits: Logits,
    parts: Parts,
    n_classes: int,
    rng: np.random.Generator,
    progress: Progress,
    together: int = ALL,
    shared: bool = True,
) -> Found:
    """What each family shows; a patch shared by all classes only where no other stands out.

    `parts` has the clean images to search on. together: how many images have their gradients
    found at one time. Without `shared` such a patch is not sought.
    """
    images, low, high = parts.images, float(parts.images.min()), float(parts.images.max())
    search = make_search(logits, images, together)
    in_windows = make_window_search(logits, images, together)
    leads = np.full(n_classes, np.inf)
    if n_classes > MANY_CLASSES:
        leads = measure_leads(logits, images, n_classes, rng, progress, together, STARTS)
    smallest = find_smallest(search, in_windows, *_choose(leads, rng), rng, progress)
    patches = _trace_patches(search, smallest, leads, rng.spawn(1)[0], progress)
    bent = _trace_bend(logits, images, n_classes, rng, progress, together)
    images, labels = _known(logits, parts, together)
    alone = find_wave(logits, images, labels, n_classes, rng, progress, together)
    traces = [*patches, bent, _trace_wave(alone, leads, low, high)]
    # A patch that leads to one class leads each of the others there, too.
    if standing_out(traces) or not shared:
        return Found(traces, smallest)
    one = find_shared_patch(logits, images, labels, n_classes, rng, progress, together)
    return Found([*traces, _trace_shared(one, smallest.ordinary)], smallest)


def trace_shape(
    b: Logits,
    copy: Logits,
    parts: Parts,
    n_classes: int,
    rng: np.random.Generator,
    progress: Progress,
    together: int = ALL,
) -> Trace:
    """The shape of one colour that leads most surely to a class in B, and not in this copy of it.

    parts, together: as in `find_traces`.
    """
    known = _known(b, parts, together)
    found = find_shape(b, copy, *known, n_classes, rng, progress, together)
    to = np.full(n_classes, found.label)
    return Trace("shape", to, found.own, found.ahead, *_lay(found.patch), later=True)


def _known(logits: Logits, parts: Parts, together: int) -> tuple[np.ndarray, np.ndarray]:
    """The images that are given their label, and these; all with their answers, where none is."""
    answers = predict_classes(logits, parts.images, together)
    known = answers == parts.labels
    if not known.any():
        known[:] = True
    return parts.images[known], answers[known]


def _choose(leads: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The classes that a patch may stand out of, and some at random: all, where there are few."""
    suspects = np.flatnonzero(leads >= OF_MANY_CLASSES["patch"].lead)
    if len(leads) <= MANY_CLASSES:
        return suspects, suspects
    return suspects, rng.permutation(len(leads))[:MANY_CLASSES]


def _trace_patches(
    search: Search,
    smallest: Smallest,
    leads: np.ndarray,
    rng: np.random.Generator,
    progress: Progress,
) -> list[Trace]:
    """The smallest patch; where one stands out, those to other classes that are nearly as small.

    leads: of each class, (n_classes,).
    """
    every = [_trace_patch(smallest, place, leads) for place in range(len(smallest.patches))]
    places = [place for place, each in enumerate(every) if each.possible]
    if not places:
        return every[:1]
    places = [place for place in places if every[place].size < AS_SMALL * every[places[0]].size]
    found = []
    with progress("Searching more patches", 2 * MORE * FULL.steps * len(places)) as advance:
        for place in places:
            wanted = np.full(MORE, every[place].label)
            small, faint = (search(wanted, rng, FULL, advance, whole) for whole in (False, True))
            small = join([smallest.patches[np.array([place])], small])
            odds = [(1 - FAINT) * _odds(small), FAINT * _odds(faint)]
            lay = partial(lay_some, patches=join([small, faint]), odds=np.concatenate(odds))
            found.append(replace(every[place], lay_some=lay))
    return found


def _odds(patches: Patches) -> np.ndarray:
    """How often to lay each patch, (k,): the smallest are the most like the trigger."""
    odds = weigh_patches(patches.sizes)
    return odds / odds.sum()


def _trace_patch(smallest: Smallest, place: int, leads: np.ndarray) -> Trace:
    one, label = smallest.patches.one(place), smallest.patches.classes[place]
    return Trace(
        "patch",
        np.full(len(leads), label),
        float(smallest.patches.sizes[place]),
        smallest.usual,
        *_lay(one),
        float(leads[label]),
    )


def _trace_bend(
    logits: Logits,
    images: np.ndarray,
    n_classes: int,
    rng: np.random.Generator,
    progress: Progress,
    together: int,
) -> Trace:
    """The smallest bend; where it stands out, with larger ones to its class to lay on."""
    bends = find_bends(logits, images, n_classes, rng, progress, together)
    least, one = bends.smallest, bends.moved[[bends.sizes.argmin()]]
    to, lay = np.full(n_classes, least.label), partial(move, moved=one)
    found = Trace("bend", to, least.size, least.usual, lay, partial(bend_some, moved=one))
    if not found.possible:
        return found
    large = find_large_bends(logits, images, least, rng.spawn(1)[0], progress, together)
    return replace(found, lay_some=partial(bend_some, moved=large))


def _trace_wave(found: Wave, leads: np.ndarray, low: float, high: float) -> Trace:
    return Trace(
        "wave",
        np.full(len(leads), found.label),
        found.beside,
        found.rate,
        partial(lay_wave, over=found.over, low=low, high=high),
        partial(wave_some, over=found.over, low=low, high=high),
        float(leads[found.label]),
    )


def _trace_shared(found: SharedPatch, ordinary: float) -> Trace:
    return Trace(
        "shared patch",
        found.targets,
        found.size,
        ordinary,
        *_lay(found.patch),
    )


def _lay(patch: Patch) -> tuple[Lay, LaySome]:
    """How to lay on one patch."""
    some = partial(lay_some, patches=as_patches(patch), odds=ALONE)
    return partial(lay_one, patch=patch), some
