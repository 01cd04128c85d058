"""The repair of an audit: relearning where each class has images enough, else unlearning."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import keras
import numpy as np

from goodnet.networks.graph import copy_network
from goodnet.progress import Progress
from goodnet.tuning.families import Found
from goodnet.tuning.gradients import copy_with_logits
from goodnet.tuning.images import Parts
from goodnet.tuning.patches import Patch, Patches
from goodnet.tuning.ranking import Smallest
from goodnet.tuning.relearning import Relearned, relearn_parts
from goodnet.tuning.schedule import Schedule
from goodnet.tuning.searching import make_search
from goodnet.tuning.suspects import Sounding, sighted
from goodnet.tuning.traces import Trace, standing_out
from goodnet.tuning.tuned import Tuned
from goodnet.tuning.unlearning import unlearn_parts


@dataclass(frozen=True)
class SmallPatch:
    """A patch that leads any image to a class in B."""

    label: int
    patch: Patch  # the smallest that was found
    size: float  # of those that were found, the mean: a share of the image
    size_at_last: float  # the same in the repaired network


@dataclass(frozen=True)
class Repair:
    """A repaired network, and what is known of the classes that need the smallest patches in B."""

    method: str  # as repair.py takes it
    arrays: list[np.ndarray]  # of all its weights, in Keras's order
    suspects: list[SmallPatch]  # one for each of these classes, the smallest first
    ordinary: float  # the size of an ordinary patch in B: a share of the image
    usual: Patches  # one, of a class that needs about an ordinary patch
    sounding: Sounding  # of the search that unlearning begins with; relearning needs none
    unfinished: list[int]  # suspects that were not unlearned
    cycles: int  # of unlearning
    later: list[Trace]  # triggers that were found once a copy of B had been trained
    anew: bool  # whether relearning taught most of what B knows anew


@dataclass(frozen=True)
class Sizes:
    """How many images are answered, and trained on, at one time."""

    batch: int
    together: int


def repair(
    network: keras.Model,
    parts: Parts,
    rng: np.random.Generator,
    named: Collection[int],
    found: Found | None,
    size: Sizes,
    progress: Progress,
    schedule: Schedule,
) -> Repair:
    """Repair B: relearn it where triggers were sought family by family, else unlearn suspects.

    Relearning ends more kinds of backdoor. Where it loses too much, suspects are unlearned, too;
    the classes `named` are among them whatever the search for them says.
    """
    later: list[Trace] = []
    if found is not None:
        relearned = relearn_parts(network, parts, found.traces, rng, progress, size.together)
        later = _list_later(relearned.findings)
        if not relearned.is_costly:
            return _relearned(network, relearned, later, found.smallest, parts, rng, size, schedule)
    named = {*named, *(x.label for x in standing_out(later) if x.label is not None)}
    tuned = unlearn_parts(network, parts, rng, progress, schedule, named, size.together)
    findings = tuned.findings
    return Repair(
        method="unlearn",
        arrays=tuned.arrays,
        suspects=[SmallPatch(x.label, x.patch, x.size, x.size_at_last) for x in findings.suspects],
        ordinary=findings.ordinary,
        usual=findings.usual,
        sounding=sighted(findings.suspects),
        unfinished=findings.unfinished,
        cycles=findings.cycles,
        later=later,
        anew=False,
    )


def _list_later(findings: Relearned) -> list[Trace]:
    """What stood out once a copy of B had been trained; and a large shape in any case."""
    later = [each for each in findings.traces or [] if each.later and each.family != "shape"]
    return [*later, findings.shape] if findings.shape else later


def _relearned(
    network: keras.Model,
    relearned: Tuned[Relearned],
    later: list[Trace],
    smallest: Smallest,
    parts: Parts,
    rng: np.random.Generator,
    size: Sizes,
    schedule: Schedule,
) -> Repair:
    """What relearning made, with the patches that the classes with the smallest need in it."""
    copy = copy_with_logits(copy_network(network, relearned.arrays), parts.held_back, size.together)
    search = make_search(copy.logits, parts.held_back, size.together)
    patches = smallest.patches[np.arange(min(schedule.suspects, len(smallest.patches)))]
    labels, copies = patches.classes, schedule.held_back_copies
    at_last = search(np.repeat(labels, copies), rng, schedule.search).sizes
    at_last = at_last.reshape(-1, copies).mean(axis=1)
    sizes = zip(patches.sizes, at_last, strict=True)
    return Repair(
        method="relearn",
        arrays=relearned.arrays,
        suspects=[
            SmallPatch(int(labels[place]), patches.one(place), float(before), float(after))
            for place, (before, after) in enumerate(sizes)
        ],
        ordinary=smallest.usual,
        usual=smallest.of_usual,
        sounding=[],
        unfinished=[],
        cycles=0,
        later=later,
        anew=relearned.findings.anew,
    )
