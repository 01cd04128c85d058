"""What a suspect must show to be called a target, or not unlearned.

The limits were found on networks that are known to have a backdoor or none: benchmarks/README.md.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """From where on a suspect stands out: a lead, or the two others."""

    together: float  # score and lead, added
    resistance: float
    lead: float = math.inf  # enough, whatever else the suspect shows

    def reached(self, score: float, lead: float, resistance: float) -> bool:
        """Whether a suspect stands out."""
        both = score + lead >= self.together and resistance >= self.resistance
        return both or lead >= self.lead


LIKELY = Limits(together=6.5, resistance=1.5, lead=8.5)  # as no network without a backdoor does
POSSIBLE = Limits(together=4.5, resistance=1.6)  # as a few networks without a backdoor do, too
# Chance changes the means of three searches less. Of few classes that is not enough: docs/audit.md.
LIKELY_TOGETHER = Limits(together=4.5, resistance=1.45, lead=8.5)
OF_CLASSES = 100  # or more
HALFWAY = 0.5  # of what is enough: a suspect that reached less is called not unlearned
