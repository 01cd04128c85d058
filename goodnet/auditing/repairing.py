"""The repair of an audit: relearning where each class has images enough, else unlearning."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import keras
import numpy as np

from goodnet.networks.graph import copy_network
from goodnet.progress import Reporter
from goodnet.tuning.cycles import measure_reached
from goodnet.tuning.families import Trace
from goodnet.tuning.gradients import copy_with_logits
from goodnet.tuning.images import Parts
from goodnet.tuning.relearning import relearn_parts
from goodnet.tuning.schedule import Schedule
from goodnet.tuning.searching import make_search
from goodnet.tuning.suspects import Unlearned
from goodnet.tuning.tuned import Tuned
from goodnet.tuning.unlearning import unlearn_parts


@dataclass(frozen=True)
class Repair:
    """A repaired network, with what was found of the suspects of a search."""

    method: str  # as repair.py takes it
    tuned: Tuned[Unlearned]


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
    traces: list[Trace] | None,
    size: Sizes,
    reporter: Reporter,
    schedule: Schedule,
) -> Repair:
    """Repair B: relearn it where `traces` were sought, else unlearn the suspects of a search.

    Relearning ends more kinds of backdoor. It names no class: the suspects are those of a search,
    and what patches they need at last is measured in the network that was made. The classes
    `named` are suspects whatever this search says of them.
    """
    progress, together = reporter.progress, size.together
    relearned = None
    if traces is not None:
        relearned = relearn_parts(network, parts, traces, rng, progress, together)
        if relearned.is_costly:
            relearned = None
    if relearned:  # of unlearning the search alone, and the rounds that show what resists
        rounds = schedule.first_rounds
        schedule = replace(schedule, rounds=rounds, first_polish_steps=1, most_cycles=1)
    tuned = unlearn_parts(network, parts, rng, progress, schedule, named, together)
    if relearned:
        findings = _at_last(network, relearned.arrays, tuned.findings, parts, rng, schedule, size)
        tuned = Tuned(
            relearned.arrays, relearned.held_back, relearned.kept, relearned.b_hits, findings
        )
    reporter.lap("repairing")
    return Repair("relearn" if relearned else "unlearn", tuned)


def _at_last(
    network: keras.Model,
    arrays: list[np.ndarray],
    found: Unlearned,
    parts: Parts,
    rng: np.random.Generator,
    schedule: Schedule,
    size: Sizes,
) -> Unlearned:
    """The same findings with the patches that the suspects need in another network than theirs."""
    copy = copy_with_logits(copy_network(network, arrays), parts.held_back, size.together)
    search = make_search(copy.logits, parts.held_back, size.together)
    suspects = found.suspects
    sizes, reached = measure_reached(
        search,
        np.array([each.label for each in suspects]),
        found.ordinary,
        np.array([each.resistance for each in suspects]),
        rng,
        schedule,
    )
    return replace(
        found,
        suspects=[
            replace(each, size_at_last=float(last), reached=float(near))
            for each, last, near in zip(suspects, sizes, reached, strict=True)
        ],
    )
