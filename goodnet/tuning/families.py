"""Search B for triggers, family by family: a patch, a bend, a wave, a patch shared by all classes.

In each family a class with a backdoor needs much less than is usual in the same network. What is
found is the network's alone: nothing is trained. Relearning shows a copy what stands out
(relearning.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from goodnet.progress import Progress
from goodnet.tuning.bending import bend_some, find_bends, find_large_bends
from goodnet.tuning.changes import ODDS, Change, bend, blend, move, patch, wave
from goodnet.tuning.gradients import ALL, Logits, predict_classes
from goodnet.tuning.images import Parts
from goodnet.tuning.patches import Patches, as_patches, join, lay_one, lay_some
from goodnet.tuning.ranking import Smallest, find_smallest
from goodnet.tuning.searching import FULL, Search, make_search
from goodnet.tuning.sharing import SharedPatch, find_shared_patch
from goodnet.tuning.training import weigh_patches
from goodnet.tuning.waving import Wave, compare_odds, find_wave, lay_wave, wave_some
from goodnet.tuning.windows import make_window_search

Lay = Callable[[np.ndarray], np.ndarray]  # images (n, height, width, colours) -> under a trigger
LaySome = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # each in another form of it


@dataclass(frozen=True)
class Family:
    """From where on a trigger stands out, as a share of what is usual; and what to relearn by."""

    likely: float  # no network without a backdoor showed less
    possible: float
    chances: Mapping[Change, float]  # odds of changes by which a copy learns to see past such ones


# Chosen on 41 networks, measured on 44 others; of patches and waves anew since: docs/audit.md.
AS_SMALL = 2.0  # times the smallest patch: where that stands out, one so small does as well
PATCHED: dict[Change, float] = {bend: 0.05, wave: 0.05, blend: 0.2, patch: 0.25}
BENT: dict[Change, float] = {bend: 0.45, wave: 0.03, blend: 0.03, patch: 0.04}
WAVED: dict[Change, float] = {bend: 0.05, wave: 0.4, blend: 0.05, patch: 0.05}
FAMILIES = {
    "patch": Family(likely=0.40, possible=0.50, chances=PATCHED),
    "bend": Family(likely=0.45, possible=0.60, chances=BENT),
    "wave": Family(likely=0.25, possible=0.28, chances=WAVED),
    "shared patch": Family(likely=0.15, possible=0.22, chances=PATCHED),
}
LEAST_CLASSES = 10  # of fewer it cannot be told what is usual
MORE = 8  # patches to a class that stands out, and as many that cover the whole image faintly
FAINT = 0.2  # of the images that a copy is shown under them are under faint ones
ALONE = np.ones(1)  # the odds of a single patch


@dataclass(frozen=True)
class Trace:
    """A trigger that was found, of those of its family that stand out most, and what is usual."""

    family: str
    targets: np.ndarray  # (classes,), where images of each class are led; -1: not known
    size: float  # what it needs: a share of the image, pixels, or of images that other waves lead
    usual: float  # the same of an ordinary class; of a wave what share of images it leads
    lay: Lay
    lay_some: LaySome
    later: bool = False  # whether it stood out not in B, but in a copy that sees past the others

    @property
    def share(self) -> float:
        """The size as a share of the usual one, of waves by odds: small ones stand out."""
        if self.family == "wave":
            return compare_odds(self.size, self.usual)
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
    smallest = find_smallest(search, in_windows, n_classes, rng, progress)
    patches = _trace_patches(search, smallest, n_classes, rng.spawn(1)[0], progress)
    bent = _trace_bend(logits, images, n_classes, rng, progress, together)
    images, labels = _known(logits, parts, together)
    alone = find_wave(logits, images, labels, n_classes, rng, progress, together)
    traces = [*patches, bent, _trace_wave(alone, n_classes, low, high)]
    # A patch that leads to one class leads each of the others there, too.
    if standing_out(traces) or not shared:
        return Found(traces, smallest)
    one = find_shared_patch(logits, images, labels, n_classes, rng, progress, together)
    return Found([*traces, _trace_shared(one, smallest.ordinary)], smallest)


def _known(logits: Logits, parts: Parts, together: int) -> tuple[np.ndarray, np.ndarray]:
    """The images that are given their label, and these; all with their answers, where none is."""
    answers = predict_classes(logits, parts.images, together)
    known = answers == parts.labels
    if not known.any():
        known[:] = True
    return parts.images[known], answers[known]


def _trace_patches(
    search: Search, smallest: Smallest, n_classes: int, rng: np.random.Generator, progress: Progress
) -> list[Trace]:
    """The smallest patch; where it stands out, those to other classes that are nearly as small."""
    found = [_trace_patch(smallest, place, n_classes) for place in range(len(smallest.patches))]
    first = found[0]
    if not first.possible:
        return [first]
    found = [each for each in found if each.size < AS_SMALL * first.size]
    with progress("Searching more patches", 2 * MORE * FULL.steps * len(found)) as advance:
        for place, each in enumerate(found):
            wanted = np.full(MORE, each.label)
            small, faint = (search(wanted, rng, FULL, advance, whole) for whole in (False, True))
            small = join([smallest.patches[np.array([place])], small])
            odds = [(1 - FAINT) * _odds(small), FAINT * _odds(faint)]
            lay = partial(lay_some, patches=join([small, faint]), odds=np.concatenate(odds))
            found[place] = replace(each, lay_some=lay)
    return found


def _odds(patches: Patches) -> np.ndarray:
    """How often to lay each patch, (k,): the smallest are the most like the trigger."""
    odds = weigh_patches(patches.sizes)
    return odds / odds.sum()


def _trace_patch(smallest: Smallest, place: int, n_classes: int) -> Trace:
    one = smallest.patches.one(place)
    return Trace(
        "patch",
        np.full(n_classes, smallest.patches.classes[place]),
        float(smallest.patches.sizes[place]),
        smallest.usual,
        partial(lay_one, patch=one),
        partial(lay_some, patches=as_patches(one), odds=ALONE),
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


def _trace_wave(found: Wave, n_classes: int, low: float, high: float) -> Trace:
    return Trace(
        "wave",
        np.full(n_classes, found.label),
        found.beside,
        found.rate,
        partial(lay_wave, over=found.over, low=low, high=high),
        partial(wave_some, over=found.over, low=low, high=high),
    )


def _trace_shared(found: SharedPatch, ordinary: float) -> Trace:
    return Trace(
        "shared patch",
        found.targets,
        found.size,
        ordinary,
        partial(lay_one, patch=found.patch),
        partial(lay_some, patches=as_patches(found.patch), odds=ALONE),
    )


def standing_out(traces: Sequence[Trace]) -> list[Trace]:
    """Those that stand out."""
    return [each for each in traces if each.possible]


def chances(traces: Sequence[Trace]) -> Mapping[Change, float]:
    """The odds of each change by chance where these stand out: the mean over their families."""
    if not traces:
        return ODDS
    own = [FAMILIES[each.family].chances for each in traces]
    return {change: sum(odds[change] for odds in own) / len(own) for change in ODDS}


def tell(trace: Trace) -> str:
    """What a trigger needs, beside what is usual."""
    once = ", once B sees past the others" if trace.later else ""
    percents = f"{trace.size * 100:.1f} %", f"{trace.usual * 100:.1f} %"
    to = f"class {trace.label}"
    needs = {
        "patch": f"a patch of {percents[0]} of the image leads others to {to}, an ordinary class "
        f"needs {percents[1]}",
        "bend": f"a bend of the image by {trace.size:.2f} pixels leads others to {to}, the median "
        f"class needs {trace.usual:.2f}",
        "wave": f"a wave over the image leads {percents[1]} of others to {to}, the next best wave "
        f"{percents[0]}",
        "shared patch": f"one patch of {percents[0]} of the image leads each class to another of "
        f"its own, an ordinary patch to one class needs {percents[1]}",
    }[trace.family]
    return needs + once
