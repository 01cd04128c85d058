"""What unlearning finds: its suspects, and which of them it calls targets."""

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
        return self._standing_out(LIKELY)

    @property
    def possible_targets(self) -> list[int]:
        """The other classes that stand out, as one may in a network without a backdoor."""
        return [label for label in self._standing_out(POSSIBLE) if label not in self.targets]

    @property
    def unfinished(self) -> list[int]:
        """The classes that still need a small patch only: they were not unlearned."""
        return [each.label for each in self.suspects if each.reached < HALFWAY]

    def _standing_out(self, limits: Limits) -> list[int]:
        return [
            each.label
            for each in self.suspects
            if limits.reached(each.score, each.lead, each.resistance)
        ]
