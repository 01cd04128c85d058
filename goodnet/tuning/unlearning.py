"""Unlearning: make B forget the patches that lead to suspected classes, until none leads there.

Patches as in Neural Cleanse (Wang et al. 2019, section 4), and faint ones over the whole image, are
sought anew on the network as it becomes; training.py says how it is trained against them, cycles.py
in which order. What the suspects show in B, and how slowly they are forgotten, names the targets.
"""

from __future__ import annotations

import keras
import numpy as np

from goodnet.dataset import ImageSet
from goodnet.errors import Unusable
from goodnet.networks.loading import count_classes
from goodnet.progress import Progress
from goodnet.tuning.cycles import Exam, Outcome, Work, run_cycles
from goodnet.tuning.gradients import ALL, copy_with_logits, predict_classes
from goodnet.tuning.images import read_parts
from goodnet.tuning.leads import measure_leads
from goodnet.tuning.naming import LIKELY
from goodnet.tuning.patches import Patch
from goodnet.tuning.ranking import Ranking, rank_classes
from goodnet.tuning.schedule import USUAL, Schedule
from goodnet.tuning.searching import make_search
from goodnet.tuning.suspects import Suspect, Unlearned
from goodnet.tuning.training import make_trainer
from goodnet.tuning.tuned import Tuned


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
    n_classes = count_classes(network)
    if n_classes < 2:
        raise Unusable("has one class; unlearning needs two or more")
    rng = np.random.default_rng(seed)
    parts = read_parts(valid, rng)
    copy = copy_with_logits(network, parts.held_back, together)
    teacher = copy_with_logits(network, parts.held_back, together).logits
    b_answers = predict_classes(teacher, parts.held_back, together)
    search = make_search(copy.logits, parts.images, together)
    seed_of_leads = rng.spawn(1)[0]
    leads = measure_leads(teacher, parts.images, n_classes, seed_of_leads, progress, together)
    certain = np.flatnonzero(leads >= LIKELY.lead)
    ranking = rank_classes(search, n_classes, rng, progress, certain, schedule)
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
    outcome = run_cycles(work, progress)
    return Tuned(
        arrays=outcome.best.arrays,
        held_back=len(parts.held_back),
        kept=outcome.best.kept,
        b_hits=int((b_answers == parts.held_back_labels).sum()),
        findings=Unlearned(_suspects(ranking, leads, outcome), ranking.ordinary, outcome.cycles),
    )


def _suspects(ranking: Ranking, leads: np.ndarray, outcome: Outcome) -> list[Suspect]:
    """What was found of each class that was unlearned; leads (n_classes,) are of all."""
    patches = ranking.patches
    return [
        Suspect(
            label=int(label),
            score=float(ranking.scores[index]),
            lead=float(leads[label]),
            resistance=float(outcome.resistances[index]),
            size=float(ranking.sizes[index]),
            size_at_last=float(outcome.best.sizes[index]),
            reached=float(outcome.best.reached[index]),
            patch=Patch(patches.masks[index], patches.patterns[index]),
        )
        for index, label in enumerate(patches.classes)
    ]
