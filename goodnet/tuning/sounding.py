"""A search for targets that repairs nothing: what unlearning finds in B before its first polish.

The search that a repair begins with depends on chance: on the images that it takes, and where each
patch begins. Several that are independent tell how far what they show can be relied on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import keras
import numpy as np

from goodnet.progress import Progress
from goodnet.tuning.cycles import measure_resistances, run_rounds
from goodnet.tuning.gradients import ALL
from goodnet.tuning.images import Parts
from goodnet.tuning.schedule import USUAL, Schedule
from goodnet.tuning.suspects import Sighting, Sounding
from goodnet.tuning.unlearning import begin


def sound(
    network: keras.Model,
    parts: Parts,
    rng: np.random.Generator,
    progress: Progress,
    schedule: Schedule = USUAL,
    together: int = ALL,
) -> Sounding:
    """Search B for targets, and train a copy for the first rounds to see which suspects resist."""
    begun = begin(network, parts, rng, progress, schedule, together=together)
    work = replace(begun.work, schedule=replace(schedule, rounds=schedule.first_rounds))
    with progress("Trying what resists", work.schedule.rounds * schedule.round_steps) as advance:
        run_rounds(work, work.suspects, advance)
    resistances = measure_resistances(work.log_sizes)
    return [
        Sighting(int(label), float(score), float(begun.leads[label]), float(resistance))
        for label, score, resistance in zip(
            work.suspects, begun.ranking.scores, resistances, strict=True
        )
    ]


def average(soundings: Sequence[Sounding]) -> Sounding:
    """What several searches show together: the mean of each number, of resistances the geometric.

    Only classes count that most searches suspect; a search that does not suspect a class has no
    numbers of it.
    """
    seen: dict[int, Sounding] = {}
    for sighting in (each for sounding in soundings for each in sounding):
        seen.setdefault(sighting.label, []).append(sighting)
    return [
        Sighting(
            label,
            float(np.mean([x.score for x in some])),
            float(np.mean([x.lead for x in some])),
            float(np.exp(np.mean(np.log([x.resistance for x in some])))),
        )
        for label, some in sorted(seen.items())
        if 2 * len(some) > len(soundings)
    ]
