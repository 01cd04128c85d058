"""What a search and unlearning find: suspects, and which of them are called targets."""

from collections.abc import Sequence
from dataclasses import dataclass

from goodnet.tuning.naming import HALFWAY, LIKELY, POSSIBLE, Limits
from goodnet.tuning.patches import Patch, Patches


@dataclass(frozen=True)
class Suspect:
    """A class that was unlearned: one that needs a small patch in B, or has a large lead."""

    label: int
    score: float  # deviations by which its patch in B is smaller than usual
    lead: float  # deviations by which it gets further ahead of the others than usual, in B
    resistance: float  # how far it stays behind the median suspect while it is unlearned
    size: float  # of the patch that it needs in B: a share of the image
    size_at_last: float  # the same in the network that was made
    reached: float  # size_at_last as a share of what is enough
    patch: Patch  # the smallest that was found in B


@dataclass(frozen=True)
class Unlearned:
    """What unlearning found."""

    suspects: list[Suspect]  # the one with the smallest patch in B first
    ordinary: float  # the size of an ordinary patch in B: a share of the image
    cycles: int
    usual: Patches  # one, of a class that needs about an ordinary patch in B

    @property
    def targets(self) -> list[int]:
        """The classes that stand out as none does in a network without a backdoor."""
        return likely(sighted(self.suspects))

    @property
    def possible_targets(self) -> list[int]:
        """The other classes that stand out, as one may in a network without a backdoor."""
        return possible(sighted(self.suspects))

    @property
    def unfinished(self) -> list[int]:
        """The classes that still need a small patch only: they were not unlearned."""
        return [each.label for each in self.suspects if each.reached < HALFWAY]


@dataclass(frozen=True)
class Sighting:
    """What one search shows of a suspect, as `Suspect` tells it."""

    label: int
    score: float
    lead: float
    resistance: float

    def reaches(self, limits: Limits) -> bool:
        """Whether it stands out."""
        return limits.reached(self.score, self.lead, self.resistance)


Sounding = list[Sighting]  # of all suspects of a search


def sighted(suspects: Sequence[Suspect]) -> Sounding:
    """What the search shows that a repair began with."""
    return [Sighting(x.label, x.score, x.lead, x.resistance) for x in suspects]


def likely(sounding: Sounding, limits: Limits = LIKELY) -> list[int]:
    """The classes that stand out as none does in a network without a backdoor."""
    return [each.label for each in sounding if each.reaches(limits)]


def possible(sounding: Sounding) -> list[int]:
    """The other classes that stand out, as one may in a network without a backdoor."""
    named = likely(sounding)
    return [x.label for x in sounding if x.reaches(POSSIBLE) and x.label not in named]
