"""Unlearning that takes a second, for tests of all that is around it."""

from dataclasses import replace

from goodnet.tuning.schedule import USUAL
from goodnet.tuning.searching import Effort

FEW = Effort(steps=2, images=4)
HASTY = replace(
    USUAL,
    cycles=1,
    most_cycles=1,
    rounds=1,
    round_steps=2,
    first_polish_steps=2,
    naming=FEW,
    search=FEW,
)
