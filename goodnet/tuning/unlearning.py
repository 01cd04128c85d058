"""Unlearning: make B forget the patches that lead to suspected classes, until none leads there.

Patches as in Neural Cleanse (Wang et al. 2019, section 4), and faint ones over the whole image, are
sought anew on the network as it becomes; training.py says how it is trained against them, cycles.py
in which order. What the suspects show in B, and how slowly they are forgotten, names the targets.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import keras
import numpy as np

from goodnet.dataset import ImageSet
from goodnet.errors import Unusable
from goodnet.networks.loading import count_classes
from goodnet.progress import Progress
from goodnet.tuning.cycles import Exam, Outcome, Work, run_cycles
from goodnet.tuning.gradients import ALL, copy_with_logits, predict_classes
from goodnet.tuning.images import Parts, read_parts
from goodnet.tuning.leads import measure_leads
from goodnet.tuning.naming import LIKELY
from goodnet.tuning.ranking import Ranking, rank_classes
from goodnet.tuning.schedule import USUAL, Schedule
from goodnet.tuning.searching import make_search
from goodnet.tuning.suspects import Suspect, Unlearned
from goodnet.tuning.training import make_trainer
from goodnet.tuning.tuned import Tuned


@dataclass(frozen=True)
class Begun:
    """What a search found in B, and what unlearning goes on from there with."""

    leads: np.ndarray  # (n_classes,)
    ranking: Ranking
    work: Work


def unlearn(
    network: keras.Model,
    valid: ImageSet,
    seed: int,
    progress: Progress,
    schedule: Schedule = USUAL,
    together: int = ALL,
) -> Tuned[Unlearned]:
    """Make B forget the small patches that send images to the classes that need the smallest.

    A class whose lead alone makes it a target is a suspect whatever its patch. B itself is left as
    it was. together: how many images have their gradients found at one time. Raises Unusable
    where the network cannot be trained or has one class only.
    """
    refuse_one_class(network)
    rng = np.random.default_rng(seed)
    parts = read_parts(valid, rng)
    return unlearn_parts(network, parts, rng, progress, schedule, together=together)


def unlearn_parts(
    network: keras.Model,
    parts: Parts,
    rng: np.random.Generator,
    progress: Progress,
    schedule: Schedule = USUAL,
    named: Collection[int] = (),
    together: int = ALL,
) -> Tuned[Unlearned]:
    """The same with images that are read already; classes that are `named` are suspects, too."""
    begun = begin(network, parts, rng, progress, schedule, named, together)
    outcome = run_cycles(begun.work, progress)
    exam = begun.work.exam
    return Tuned(
        arrays=outcome.best.arrays,
        held_back=len(parts.held_back),
        kept=outcome.best.kept,
        b_hits=int((exam.b_answers == parts.held_back_labels).sum()),
        findings=Unlearned(
            suspects=_suspects(begun, outcome),
            ordinary=begun.ranking.ordinary,
            cycles=outcome.cycles,
            usual=begun.ranking.usual,
        ),
    )


def refuse_one_class(network: keras.Model) -> None:
    """Raise Unusable where there is no other class to lead images to."""
    if count_classes(network) < 2:
        raise Unusable("has one class; unlearning needs two or more")


def begin(
    network: keras.Model,
    parts: Parts,
    rng: np.random.Generator,
    progress: Progress,
    schedule: Schedule,
    named: Collection[int] = (),
    together: int = ALL,
) -> Begun:
    """Look for suspects in B; it is copied, and the copy is what the work will change."""
    n_classes = count_classes(network)
    copy = copy_with_logits(network, parts.held_back, together)
    teacher = copy_with_logits(network, parts.held_back, together).logits
    b_answers = predict_classes(teacher, parts.held_back, together)
    search = make_search(copy.logits, parts.images, together)
    seed_of_leads = rng.spawn(1)[0]
    leads = measure_leads(teacher, parts.images, n_classes, seed_of_leads, progress, together)
    certain = sorted({*np.flatnonzero(leads >= LIKELY.lead).tolist(), *named})
    ranking = rank_classes(
        search, n_classes, rng, progress, certain, schedule.naming, schedule.suspects
    )
    work = Work(
        schedule=schedule,
        copy=copy,
        suspects=ranking.patches.classes,
        ordinary=ranking.ordinary,
        search=search,
        train=make_trainer(copy, teacher, parts.images, rng, schedule, together),
        exam=Exam(
            parts.held_back,
            b_answers,
            make_search(copy.logits, parts.held_back, together),
            together,
        ),
        rng=rng,
    )
    return Begun(leads, ranking, work)


def _suspects(begun: Begun, outcome: Outcome) -> list[Suspect]:
    """What was found of each class that was unlearned."""
    ranking, leads, patches = begun.ranking, begun.leads, begun.ranking.patches
    return [
        Suspect(
            label=int(label),
            score=float(ranking.scores[index]),
            lead=float(leads[label]),
            resistance=float(outcome.resistances[index]),
            size=float(ranking.sizes[index]),
            size_at_last=float(outcome.best.sizes[index]),
            reached=float(outcome.best.reached[index]),
            patch=patches.one(index),
        )
        for index, label in enumerate(patches.classes)
    ]
