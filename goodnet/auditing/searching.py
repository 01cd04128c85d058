"""What an audit looks for in B before it is repaired.

Where each class has images enough, triggers of several families; else the classes that independent
searches suspect.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from goodnet.auditing.aside import Aside
from goodnet.auditing.repairing import Sizes
from goodnet.cli import shell
from goodnet.memory import trim
from goodnet.networks.loading import count_classes
from goodnet.progress import Reporter
from goodnet.tuning.families import Found, find_traces
from goodnet.tuning.gradients import copy_with_logits
from goodnet.tuning.images import Parts, divide, has_enough
from goodnet.tuning.naming import LIKELY_TOGETHER
from goodnet.tuning.schedule import Schedule
from goodnet.tuning.sounding import average, sound
from goodnet.tuning.suspects import Sounding, likely, possible
from goodnet.tuning.traces import Trace, standing_out


@dataclass(frozen=True)
class Searched:
    """What is known before the repair: of independent searches, or family by family."""

    soundings: list[Sounding]
    found: Found | None
    parts: Parts  # to repair with

    @property
    def traces(self) -> list[Trace] | None:
        """What each family shows, where they were sought."""
        return self.found.traces if self.found else None

    @property
    def named(self) -> set[int]:
        """The classes that stand out, alone or together."""
        if self.traces is not None:
            return {x.label for x in standing_out(self.traces) if x.label is not None}
        alone = {label for each in self.soundings for label in likely(each) + possible(each)}
        return {*alone, *likely(average(self.soundings), LIKELY_TOGETHER)}


def search(
    network: keras.Model,
    aside: Aside,
    sources: list[np.random.Generator],
    size: Sizes,
    reporter: Reporter,
    schedule: Schedule,
) -> Searched:
    """Look for triggers: family by family where each class has images enough.

    sources: one for each search, the last for the images of the repair.
    """
    progress, n_classes = reporter.progress, count_classes(network)
    parts = divide(aside.images, aside.labels, sources[-1])
    if has_enough(parts.labels, n_classes):
        logits = copy_with_logits(network, parts.held_back, size.together).logits
        found = find_traces(logits, parts, n_classes, sources[0], progress, size.together)
        reporter.lap("searching")
        return Searched([], found, parts)
    soundings = []
    for number, rng in enumerate(sources[:-1], 1):
        trim()
        shell.notice(f"Search {number} of {len(sources) - 1}")
        own = divide(aside.images, aside.labels, rng)
        soundings.append(sound(network, own, rng, progress, schedule, size.together))
    reporter.lap("searching")
    # Each search has brought the images into an order of its own.
    return Searched(soundings, None, divide(aside.images, aside.labels, sources[-1]))
