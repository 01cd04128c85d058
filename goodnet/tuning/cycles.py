"""The cycles of unlearning: rounds of search and training, a polish, and a look at what is left.

A round seeks patches on the network as it is and trains against them. A polish is a longer training
on mostly plain images; it lets some of a backdoor come back. So the patches that the images held
back need afterwards tell which suspects a second cycle has rounds for, whether another one follows,
and which of their networks is taken. The first cycle's polish is short, for that look alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import keras
import numpy as np

from goodnet.progress import Advance, Progress
from goodnet.tuning.gradients import ALL, Copy, predict_classes
from goodnet.tuning.images import BATCH
from goodnet.tuning.naming import HALFWAY
from goodnet.tuning.patches import Patches, join
from goodnet.tuning.schedule import Schedule
from goodnet.tuning.searching import Effort, Search
from goodnet.tuning.training import Train, weigh_patches


@dataclass(frozen=True)
class Exam:
    """The images held back, by which a network is judged after a cycle."""

    images: np.ndarray  # (n, height, width, colours)
    b_answers: np.ndarray  # (n,), classes
    search: Search  # for patches on these images
    together: int = ALL  # how many of them are answered at a time


@dataclass(frozen=True)
class Work:
    """What all cycles share: the network in `copy` changes, and the two lists grow."""

    schedule: Schedule
    copy: Copy
    suspects: np.ndarray  # (suspects,), classes
    ordinary: float  # the size of an ordinary patch in B: a share of the image
    search: Search  # for patches on the images to train on
    train: Train
    exam: Exam
    rng: np.random.Generator
    patches: list[Patches] = field(default_factory=list)  # of each round: what is to be forgotten
    log_sizes: list[np.ndarray] = field(default_factory=list)  # of each first round, (suspects,)


@dataclass(frozen=True)
class Attempt:
    """A network after a cycle, and what the images held back say of it."""

    arrays: list[np.ndarray]  # of all its weights, in Keras's order
    sizes: np.ndarray  # (suspects,), of the patches that they need: shares of the image
    reached: np.ndarray  # (suspects,): the same as shares of what is enough
    kept: int  # images, answered as by B

    def beats(self, other: Attempt) -> bool:
        """Whether it came nearer to what is enough or, where both are as near, kept more."""
        near, other_near = (min(1.0, each.reached.min()) for each in (self, other))
        return (near, self.kept) > (other_near, other.kept)


@dataclass(frozen=True)
class Outcome:
    """What all cycles came to."""

    best: Attempt
    resistances: np.ndarray  # (suspects,)
    cycles: int


def run_cycles(work: Work, progress: Progress) -> Outcome:
    """Run cycles until all is half unlearned: two or more, and as many as the schedule allows.

    After the first, only suspects that still need too small a patch get new ones. Of the later
    cycles the one that came nearest is taken, of equals the one that keeps more answers, of these
    the first.
    """
    cycle = 1
    _run_cycle(work, cycle, work.suspects, progress)
    resistances = measure_resistances(work.log_sizes)
    best = now = assess(work, resistances)
    while not _is_over(work.schedule, cycle, best):
        cycle += 1
        _run_cycle(work, cycle, work.suspects[now.reached < 1], progress)
        now = assess(work, resistances)
        best = now if cycle == 2 or now.beats(best) else best
    return Outcome(best, resistances, cycle)


def _run_cycle(work: Work, cycle: int, classes: np.ndarray, progress: Progress) -> None:
    schedule, polish_steps = work.schedule, work.schedule.polish_of(cycle)
    steps = schedule.rounds * schedule.round_steps + polish_steps
    with progress(f"Unlearning, cycle {cycle}", steps) as advance:
        run_rounds(work, classes, advance)
        polish(work, polish_steps, advance)


def _is_over(schedule: Schedule, cycle: int, best: Attempt) -> bool:
    """Whether all is half unlearned after enough cycles, or no cycle is left."""
    enough = cycle >= schedule.cycles and best.reached.min() >= HALFWAY
    return bool(enough or cycle >= schedule.most_cycles)


def run_rounds(work: Work, classes: np.ndarray, advance: Advance) -> None:
    """Seek patches for these classes and train against them, as long as there are small ones."""
    schedule, done = work.schedule, 0
    while done < schedule.rounds and len(classes):
        first = len(work.log_sizes) < schedule.first_rounds
        effort = schedule.naming if first else schedule.search
        sought = seek_patches(work, classes, effort)
        if first:
            work.log_sizes.append(np.log(sought.sizes.reshape(len(classes), -1)).mean(axis=1))
        new = choose_patches(work, sought, effort, first)
        if not len(new):
            break
        work.patches.append(new)
        patches = join(work.patches)
        odds = weigh_patches(patches.sizes, len(new))
        for _ in range(schedule.round_steps):
            work.train(patches, odds, BATCH // 2, schedule.rate)
            advance(1)
        done += 1
    advance((schedule.rounds - done) * schedule.round_steps)


def seek_patches(work: Work, classes: np.ndarray, effort: Effort) -> Patches:
    """Small patches for these classes, several for each where they are few."""
    copies = int(np.clip(work.schedule.suspects // len(classes), 1, work.schedule.most_copies))
    return work.search(np.repeat(classes, copies), work.rng, effort)


def choose_patches(work: Work, sought: Patches, effort: Effort, first: bool) -> Patches:
    """What to unlearn: the small ones of those sought, in the first rounds all, and faint ones."""
    schedule = work.schedule
    small = sought[sought.sizes < (np.inf if first else schedule.small_patch * work.ordinary)]
    if not len(small):
        return small
    whole = work.search(small.classes, work.rng, effort, whole=True)
    return join([small, whole[whole.sizes < schedule.faint_patch]])


def polish(work: Work, steps: int, advance: Advance) -> None:
    """Train on mostly plain images for so many steps, with a rate that sinks to 0."""
    schedule = work.schedule
    patches = join(work.patches)
    odds = weigh_patches(patches.sizes)
    rate = keras.optimizers.schedules.CosineDecay(schedule.rate, steps)
    for step in range(steps):
        work.train(patches, odds, BATCH // 4, float(rate(step)))
        advance(1)


def measure_resistances(log_sizes: list[np.ndarray]) -> np.ndarray:
    """By how many times each suspect's patches stayed smaller than the median's, (suspects,).

    What a backdoor is trained into is slower to forget. log_sizes: the logarithms of the sizes
    (suspects,) in each of the first rounds.
    """
    logs = np.mean(log_sizes, axis=0)
    return np.exp(np.median(logs) - logs)


def assess(work: Work, resistances: np.ndarray) -> Attempt:
    """Judge the network as it is by the images held back."""
    exam = work.exam
    sizes, reached = measure_reached(
        exam.search, work.suspects, work.ordinary, resistances, work.rng, work.schedule
    )
    kept = int(
        (predict_classes(work.copy.logits, exam.images, exam.together) == exam.b_answers).sum()
    )
    return Attempt(work.copy.network.get_weights(), sizes, reached, kept)


def measure_reached(
    search: Search,
    suspects: np.ndarray,
    ordinary: float,
    resistances: np.ndarray,
    rng: np.random.Generator,
    schedule: Schedule,
) -> tuple[np.ndarray, np.ndarray]:
    """The sizes of the patches that suspects need, and the same as shares of what is enough.

    suspects, resistances: (k,); ordinary: the size of an ordinary patch in B.
    """
    copies = schedule.held_back_copies
    found = search(np.repeat(suspects, copies), rng, schedule.search)
    sizes = found.sizes.reshape(-1, copies).mean(axis=1)
    resist = resistances >= schedule.resistant
    enough = np.where(resist, schedule.enough_resistant, schedule.enough) * ordinary
    return sizes, sizes / np.maximum(enough, schedule.enough_of_median * np.median(sizes))
