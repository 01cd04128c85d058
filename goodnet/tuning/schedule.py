"""How long unlearning takes, and what is enough for it."""

from dataclasses import dataclass

from goodnet.tuning.searching import FULL, HALF, Effort


@dataclass(frozen=True)
class Schedule:
    """The numbers of unlearning.

    A size is in ordinary patches where nothing else is said: in those of `naming`, which are about
    1.2 times as large as those of `search`.
    """

    # Cycles: rounds of searching and training, then a polish.
    cycles: int = 2
    most_cycles: int = 4  # where a suspect is not unlearned after `cycles`
    rounds: int = 5  # of a cycle
    first_rounds: int = 3  # in them all patches are unlearned, whatever their size
    round_steps: int = 100  # of training, in a round
    first_polish_steps: int = 300  # of training on mostly plain images, in the first cycle
    polish_steps: int = 1000  # the same in each other one

    # Training.
    rate: float = 2e-3  # of each array's own size, as Lamb takes it
    patched_weight: float = 0.1  # of what patched images add to the loss
    spread_images: int = 256  # images from which the spread of B's logits is told

    # Searching.
    naming: Effort = HALF  # to rank the classes, and in the first rounds
    search: Effort = FULL  # in later rounds, and after a cycle
    suspects: int = 20  # classes that are unlearned; also about the patches sought in a round
    most_copies: int = 4  # patches sought in a round for a suspect, where few are left
    held_back_copies: int = 2  # patches sought for a suspect after a cycle
    small_patch: float = 2.5  # a suspect that needs smaller ones gets new ones in a round
    faint_patch: float = 0.15  # strength below which a patch over the whole image is unlearned

    # What is enough.
    enough: float = 1.0  # the size that a suspect must need in the end
    enough_resistant: float = 2.1  # the same of a suspect that resists
    resistant: float = 1.4  # the resistance from which on a suspect does
    enough_of_median: float = 0.5  # of the size that the median suspect needs: another limit

    def polish_of(self, cycle: int) -> int:
        """Steps of the polish at the end of a cycle, from 1 on."""
        return self.first_polish_steps if cycle == 1 else self.polish_steps


USUAL = Schedule()
