"""Unlearning: make B forget the patches that lead to suspected classes, until none leads there.

Rounds of seeking patches and training against them, and a longer training on mostly plain images,
make a cycle. That last training lets some of a backdoor come back; so the patches that the images
held back need afterwards tell whether another cycle follows, and which cycle's network is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from goodnet.dataset import ImageSet
from goodnet.errors import Unusable
from goodnet.networks.loading import count_classes
from goodnet.tuning.gradients import answers, copy_with_logits, training_step
from goodnet.tuning.images import BATCH, Tuned, read_images
from goodnet.tuning.leads import leads
from goodnet.tuning.patches import (
    FINALISTS,
    Patches,
    Ranking,
    joined,
    laid_over,
    rank_classes,
    searcher,
)

CYCLES = 2
MOST_CYCLES = 4  # where a suspect is not even NEARLY unlearned
ROUNDS = 5  # of a cycle
FEWEST_ROUNDS = 3  # of the first one
ROUND_STEPS = 100
POLISH_STEPS = 1000
RATE = 2e-3  # of each array's own size, as Lamb takes it
EASY = 3.0  # ordinary patches: a suspect that needs smaller ones gets new ones in a round
FAINT = 0.15  # how strong a patch over the whole image may be to be unlearned
ENOUGH = 1.2  # ordinary patches: what a suspect must need in the end
ENOUGH_WATCHED = 2.5  # the same of a class that is WATCHED
LAGGING = 0.5  # of what the median suspect needs: less is not enough, either
NEARLY = 0.5  # of what is enough: below it a suspect is not unlearned
KEPT = 0.99  # of B's answers on the images held back: what must be left of them in the end
COPIES = 2  # patches sought after a cycle for each suspect
MOST_COPIES = 4  # patches sought in a round for a suspect, where few are left
PATCHED_WEIGHT = 0.1  # of what patched images add to the loss
SAMPLE = 256  # images from which the spread of B's logits is told
LIKELY = 6.5, 1.5  # score and lead together, and a resistance: a target
POSSIBLE = 4.5, 1.6  # the same that a few networks without a backdoor show, too
AHEAD = 8.5  # a lead from which on a class is called a target, whatever else it shows
WATCHED = 1.4  # a resistance from which on a class must need larger patches


@dataclass(frozen=True)
class Unlearned:
    """What unlearning found and made."""

    tuned: Tuned
    ranking: Ranking  # B's classes that need the smallest patches; all of them were unlearned
    leads: np.ndarray  # (suspects,): how far ahead of all others each can get in B
    resistance: np.ndarray  # (suspects,): how far they stay behind while they are unlearned
    sizes: np.ndarray  # (suspects,): patches that they need in the network that was made
    reached: np.ndarray  # (suspects,): the same as shares of what is enough
    cycles: int

    @property
    def targets(self) -> list[int]:
        """The classes that stand out as none does in a network without a backdoor."""
        return self._classes(self._stand_out(LIKELY) | (self.leads >= AHEAD))

    @property
    def possible_targets(self) -> list[int]:
        """The other classes that stand out, as one may in a network without a backdoor."""
        out = self._classes(self._stand_out(POSSIBLE))
        return [label for label in out if label not in self.targets]

    @property
    def unfinished(self) -> list[int]:
        """The classes that still need a small patch only: they were not unlearned."""
        return self._classes(self.reached < NEARLY)

    def _stand_out(self, least: tuple[float, float]) -> np.ndarray:
        together = self.ranking.scores + self.leads
        return (together >= least[0]) & (self.resistance >= least[1])

    def _classes(self, which: np.ndarray) -> list[int]:
        return self.ranking.patches.classes[which].tolist()


@dataclass(frozen=True)
class _Attempt:
    """A network after a cycle, and what the images held back say of it."""

    arrays: list[np.ndarray]
    sizes: np.ndarray  # (suspects,): patches that they need
    reached: np.ndarray  # (suspects,): the same as shares of what is enough
    kept: int  # images, answered as by B

    def merit(self) -> tuple[float, int]:
        return min(1.0, self.reached.min()), self.kept


def unlearn(network: keras.Model, valid: ImageSet, seed: int, progress: Callable) -> Unlearned:
    """Make B forget the small patches that send images to the classes that need the smallest.

    Patches as in Neural Cleanse (Wang et al. 2019, section 4), and faint ones over the whole image,
    are sought anew on the network as it becomes. Unlike its unlearning (section 6.2) no label is
    taught: on images as they are, mirrored, shifted or lit anew the logits stay B's, and under a
    patch only its own class's logit must not rise against the mean of all, compared with what B
    gives without the patch. What a backdoor is trained into is slower to forget: a suspect's
    resistance is by how many times its patches stay smaller than the median suspect's, the
    geometric mean of the first rounds. With its score and its lead in B it names the targets;
    a class with a lead of AHEAD is a suspect whatever its patch.
    After a cycle only suspects for which the images held back need less than ENOUGH ordinary
    patches (ENOUGH_WATCHED where the class resists), or less than half of what the median suspect
    needs, get new ones. It ends when there are none and KEPT of these images are answered as B
    does; or after CYCLES, but MOST_CYCLES where a suspect is not even NEARLY at enough. The cycle
    that came nearest is taken, of equals the one that keeps more answers. B itself is left as it
    was.
    `progress(description, total)` is a context that yields a function to advance.
    Raises Unusable where the network cannot be trained or has one class only.
    """
    n_classes = count_classes(network)
    if n_classes < 2:
        raise Unusable("has one class; unlearning needs two or more")
    rng = np.random.default_rng(seed)
    images, held, _, labels = read_images(valid, rng)
    copy, logits = copy_with_logits(network, held)
    _, teacher = copy_with_logits(network, held)
    right = answers(teacher, held)
    search, search_held = searcher(logits, images), searcher(logits, held)
    ahead = leads(teacher, images, n_classes, rng.spawn(1)[0], progress)
    ranking = rank_classes(search, n_classes, rng, progress, np.flatnonzero(ahead >= AHEAD))
    suspects = ranking.patches.classes
    train = _trainer(copy, logits, teacher, images, rng)

    def looked_at(enough: np.ndarray) -> _Attempt:
        found = search_held(np.repeat(suspects, COPIES), rng)
        sizes = found.sizes.reshape(-1, COPIES).mean(axis=1)
        reached = sizes / np.maximum(enough, LAGGING * np.median(sizes))
        kept = int((answers(logits, held) == right).sum())
        return _Attempt(copy.get_weights(), sizes, reached, kept)

    found: list[Patches] = []
    first_logs: list[np.ndarray] = []
    left = np.ones(len(suspects), bool)
    best = None
    for cycle in range(1, MOST_CYCLES + 1):
        steps = ROUNDS * ROUND_STEPS + POLISH_STEPS
        with progress(f"Unlearning, cycle {cycle}", steps) as advance:
            done = 0
            while done < ROUNDS and left.any():
                first = len(first_logs) < FEWEST_ROUNDS
                small, sought = _new_patches(search, suspects[left], ranking.ordinary, first, rng)
                if first:
                    first_logs.append(np.log(small.sizes.reshape(left.sum(), -1)).mean(axis=1))
                if not len(sought.classes):
                    break
                found.append(sought)
                patches = joined(found)
                odds = odds_of(patches.sizes, len(sought.classes))
                for _ in range(ROUND_STEPS):
                    train(patches, odds, BATCH // 2, RATE)
                    advance(1)
                done += 1
            advance((ROUNDS - done) * ROUND_STEPS)
            decay = keras.optimizers.schedules.CosineDecay(RATE, POLISH_STEPS)
            for rate in map(decay, range(POLISH_STEPS)):
                train(patches, patches.sizes**-2, BATCH // 4, float(rate))
                advance(1)
        if best is None:
            logs = np.mean(first_logs, axis=0)
            resistance = np.exp(np.median(logs) - logs)
            enough = np.where(resistance < WATCHED, ENOUGH, ENOUGH_WATCHED) * ranking.ordinary
        now = looked_at(enough)
        best = max([best, now] if best else [now], key=_Attempt.merit)
        left = now.reached < 1
        if not left.any() and now.kept >= KEPT * len(held):
            break
        if cycle >= CYCLES and best.reached.min() >= NEARLY:
            break
    tuned = Tuned(best.arrays, len(held), best.kept, int((right == labels).sum()))
    return Unlearned(tuned, ranking, ahead[suspects], resistance, best.sizes, best.reached, cycle)


def _new_patches(
    search: Callable, classes: np.ndarray, ordinary: float, every: bool, rng: np.random.Generator
) -> tuple[Patches, Patches]:
    """Small patches for `classes`, and what to unlearn: the EASY ones, or all, and FAINT ones."""
    copies = int(np.clip(FINALISTS // len(classes), 1, MOST_COPIES))
    small = search(np.repeat(classes, copies), rng)
    easy = small.sizes < (np.inf if every else EASY * ordinary)
    if not easy.any():
        return small, small[easy]
    faint = search(small.classes[easy], rng, whole=True)
    return small, joined([small[easy], faint[faint.sizes < FAINT]])


def odds_of(sizes: np.ndarray, newest: int) -> np.ndarray:
    """How often to train on each patch: small ones more often, half of the time the `newest` last.

    sizes (n,) are shares of the image; the answer (n,) adds up to anything.
    """
    odds = sizes**-2
    if newest < len(odds):
        odds[-newest:] *= odds[:-newest].sum() / odds[-newest:].sum()
    return odds


def _trainer(
    copy: keras.Model,
    logits: Callable,
    teacher: Callable,
    images: np.ndarray,
    rng: np.random.Generator,
) -> Callable:
    """A function (patches, the odds of each, images to patch, rate) that trains for one step."""
    spread = float(np.var(np.asarray(teacher(images[:SAMPLE])), axis=0).mean())
    low, high = float(images.min()), float(images.max())

    def loss(plain: object, pixels: object, classes: object) -> object:
        wanted, found = ops.stop_gradient(teacher(plain)), logits(pixels)
        patched = ops.shape(classes)[0]
        moved = found - wanted
        # Against their mean: else all the other logits may sink, and the patch still does.
        against = moved[:patched] - ops.mean(moved[:patched], axis=1, keepdims=True)
        risen = ops.relu(ops.take_along_axis(against, classes[:, None], axis=1))
        kept = ops.mean(ops.square(moved[patched:]))
        return (kept + PATCHED_WEIGHT * ops.mean(ops.square(risen))) / spread

    optimizer = keras.optimizers.Lamb(RATE)
    step = training_step(loss, copy.trainable_variables, optimizer)

    def train(patches: Patches, odds: np.ndarray, patched: int, rate: float) -> None:
        optimizer.learning_rate = rate
        plain = varied(images[rng.integers(0, len(images), BATCH)], low, high, rng)
        some = patches[rng.choice(len(odds), patched, p=odds / odds.sum())]
        under = np.concatenate([laid_over(plain[:patched], some), plain[patched:]])
        step(plain, under, some.classes.astype(np.int32))

    return train


def varied(images: np.ndarray, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """Copies of images (n, height, width, colours): some mirrored, all shifted and lit anew.

    Shifts are up to two pixels, the light from 0.8 to 1.2 above `low`; none goes past `high`.
    """
    result = np.empty_like(images)
    for image, copy in zip(images, result, strict=True):
        if rng.random() < 0.5:
            image = image[:, ::-1]
        rows, columns = (
            np.clip(np.arange(size) + rng.integers(-2, 3), 0, size - 1) for size in image.shape[:2]
        )
        lit = low + (image[rows][:, columns] - low) * rng.uniform(0.8, 1.2)
        copy[...] = np.clip(lit, low, high)
    return result
