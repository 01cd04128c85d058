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

from defense.dataset import ImageSet
from defense.gradients import answers, copy_with_logits, training_step
from defense.network import count_classes
from defense.patches import (
    FINALISTS,
    Patches,
    Ranking,
    joined,
    laid_over,
    rank_classes,
    searcher,
)
from defense.tuning import BATCH, Tuned, read_images

CYCLES = 3
ROUNDS = 5  # of a cycle
FEWEST_ROUNDS = 3  # of the first one
ROUND_STEPS = 100
POLISH_STEPS = 500
RATE = 2e-3  # of each array's own size, as Lamb takes it
EASY = 3.0  # ordinary patches: a suspect that needs smaller ones gets new ones in a round
FAINT = 0.15  # how strong a patch over the whole image may be to be unlearned
ENOUGH = 1.5  # ordinary patches: what a suspect must need in the end
ENOUGH_NAMED = 3.0  # the same of a class that is named
KEPT = 0.99  # of B's answers on the images held back: what must be left of them in the end
COPIES = 2  # patches sought after a cycle for each suspect
MOST_COPIES = 4  # patches sought in a round for a suspect, where few are left
PATCHED_WEIGHT = 0.1  # of what patched images add to the loss
SAMPLE = 256  # images from which the spread of B's logits is told
NAMED = 2.5  # a score from which a class is called a target, where it also has
STUBBORN = 1.7  # a resistance from this on


@dataclass(frozen=True)
class Unlearned:
    """What unlearning found and made."""

    tuned: Tuned
    ranking: Ranking  # B's classes that need the smallest patches; all of them were unlearned
    resistance: np.ndarray  # (suspects,): how far they stay behind while they are unlearned
    sizes: np.ndarray  # (suspects,): patches that they need in the network that was made
    cycles: int

    @property
    def targets(self) -> list[int]:
        """The classes that stand out: what a network without a backdoor does not show."""
        named = stand_out(self.ranking.scores, self.resistance)
        return self.ranking.patches.classes[named].tolist()


def unlearn(network: keras.Model, valid: ImageSet, seed: int, progress: Callable) -> Unlearned:
    """Make B forget the small patches that send images to the classes that need the smallest.

    Patches as in Neural Cleanse (Wang et al. 2019, section 4), and faint ones over the whole
    image, are sought anew on the network as it becomes. Unlike its unlearning (section 6.2) no
    label is taught: on images as they are, mirrored, shifted or lit anew the logits stay B's, and
    under a patch only its own class's logit must not rise above what B gives without the patch.
    What a backdoor is trained into is slower to forget: a suspect's resistance is by how many times
    its patches stay smaller than the median suspect's, the geometric mean of the first rounds.
    After a cycle only suspects for which the images held back need less than ENOUGH ordinary
    patches (ENOUGH_NAMED where the class is named) get new ones. It ends when there are none and
    KEPT of these images are answered as B does, or after CYCLES; the cycle that came nearest is
    taken, of equals the one that keeps more answers. B itself is left as it was.
    `progress(description, total)` is a context that yields a function to advance.
    Raises Unusable where the network cannot be trained.
    """
    rng = np.random.default_rng(seed)
    images, held, _, labels = read_images(valid, rng)
    copy, logits = copy_with_logits(network, held)
    _, teacher = copy_with_logits(network, held)
    right = answers(teacher, held)
    search, search_held = searcher(logits, images), searcher(logits, held)
    ranking = rank_classes(search, count_classes(network), rng, progress)
    suspects = ranking.patches.classes
    train = _trainer(copy, logits, teacher, images, rng)

    def needed() -> np.ndarray:
        """How large a patch each suspect needs on the images held back."""
        found = search_held(np.repeat(suspects, COPIES), rng)
        return found.sizes.reshape(-1, COPIES).mean(axis=1)

    found: list[Patches] = []
    first_logs = []
    left = np.ones(len(suspects), bool)
    best, result = (-1.0, 0), None
    with progress("Unlearning", CYCLES * (ROUNDS * ROUND_STEPS + POLISH_STEPS)) as advance:
        for cycle in range(CYCLES):
            done = 0
            while done < ROUNDS and left.any():
                chosen = suspects[left]
                copies = int(np.clip(FINALISTS // len(chosen), 1, MOST_COPIES))
                small = search(np.repeat(chosen, copies), rng)
                easy = small.sizes < EASY * ranking.ordinary
                if len(first_logs) < FEWEST_ROUNDS:
                    first_logs.append(np.log(small.sizes.reshape(-1, copies)).mean(axis=1))
                    easy[:] = True
                if not easy.any():
                    break
                faint = search(small.classes[easy], rng, whole=True)
                found.append(joined([small[easy], faint[faint.sizes < FAINT]]))
                patches = joined(found)
                odds = odds_of(patches.sizes, len(found[-1].classes))
                for _ in range(ROUND_STEPS):
                    train(patches, odds, BATCH // 2, RATE)
                    advance(1)
                done += 1
            advance((ROUNDS - done) * ROUND_STEPS)
            rate = keras.optimizers.schedules.CosineDecay(RATE, POLISH_STEPS)
            for index in range(POLISH_STEPS):
                train(patches, patches.sizes**-2, BATCH // 4, float(rate(index)))
                advance(1)
            if cycle == 0:
                logs = np.mean(first_logs, axis=0)
                resistance = np.exp(np.median(logs) - logs)
                named = stand_out(ranking.scores, resistance)
                enough = np.where(named, ENOUGH_NAMED, ENOUGH) * ranking.ordinary
            sizes = needed()
            left = sizes < enough
            kept = int((answers(logits, held) == right).sum())
            came = min(1.0, (sizes / enough).min()), kept
            if came > best:
                best, result = came, (copy.get_weights(), sizes)
            if not left.any() and kept >= KEPT * len(held):
                break
        advance((CYCLES - cycle - 1) * (ROUNDS * ROUND_STEPS + POLISH_STEPS))
    arrays, sizes = result
    kept = best[1]
    tuned = Tuned(arrays, len(held), kept, int((right == labels).sum()))
    return Unlearned(tuned, ranking, resistance, sizes, cycle + 1)


def odds_of(sizes: np.ndarray, newest: int) -> np.ndarray:
    """How often to train on each patch: small ones more often, half of the time the `newest` last.

    sizes (n,) are shares of the image; the answer (n,) adds up to anything.
    """
    odds = sizes**-2
    if newest < len(odds):
        odds[-newest:] *= odds[:-newest].sum() / odds[-newest:].sum()
    return odds


def stand_out(scores: np.ndarray, resistance: np.ndarray) -> np.ndarray:
    """Which suspects show what a network without a backdoor does not; (k,) bool."""
    return (scores >= NAMED) & (resistance >= STUBBORN)


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
        risen = ops.relu(ops.take_along_axis(moved[:patched], classes[:, None], axis=1))
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
