"""Find patches: what to lay over any image so that a network answers a given class.

Wang et al. (2019), "Neural Cleanse: Identifying and Mitigating Backdoor Attacks in Neural
Networks", section 4: by gradient descent on clean images, with as small a mask as will do.
A backdoored class needs a smaller one than others. A mask may also be one value for the whole
image: then the pattern is blended in, as faintly as will do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from goodnet.deviations import deviations
from goodnet.tuning.gradients import differentiated

WEIGHT = 130.0  # of the share of the image that a mask covers, to begin with
WHOLE_WEIGHT = 30.0  # the same where the mask is one value
WANTED = 0.85  # the share of images that a patch must send to its class
STEP = 0.3
PIXELS = 2_600_000  # at a time, of all images: 1,000 of a DeepID
REFERENCES = 60  # classes taken at random: what size is ordinary
NARROWED = 40  # classes left by the short searches, besides them; so many are searched for again
AGAIN = 4  # times
FINALISTS = 20
SHORT_STEPS = 20  # of the first search; the next takes twice as many
SHORT_IMAGES = 4  # for each class and step
SEARCH_STEPS = 60
SEARCH_IMAGES = 8


def _nobody(amount: int) -> None:
    """Whom progress is told where nobody asks."""


@dataclass(frozen=True)
class Patches:
    """An image x with patch i laid over it is (1 - masks[i]) * x + masks[i] * patterns[i]."""

    classes: np.ndarray  # (k,), the class that a patch was sought for
    masks: np.ndarray  # (k, height, width, 1), from 0 to 1
    patterns: np.ndarray  # (k, height, width, colours), pixels as the network takes them

    @property
    def sizes(self) -> np.ndarray:
        """The share of the image that each mask covers, (k,)."""
        return self.masks.mean(axis=(1, 2, 3), dtype=np.float64)

    def __getitem__(self, chosen: np.ndarray) -> Patches:
        return Patches(self.classes[chosen], self.masks[chosen], self.patterns[chosen])


def joined(parts: list[Patches]) -> Patches:
    """All the patches of `parts`, in order."""
    fields = ("classes", "masks", "patterns")
    return Patches(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))


def laid_over(images: np.ndarray, patches: Patches) -> np.ndarray:
    """Images (k, height, width, colours), each under the patch of its place."""
    return (1 - patches.masks) * images + patches.masks * patches.patterns


def searcher(logits: Callable, images: np.ndarray) -> Callable:
    """A function that finds patches for the network of `logits` on images (n, …) as it takes them.

    It takes (classes (k,), rng, steps, images a step, advance, whole) and answers Patches, one for
    each class; `advance` is told of each class and step; with `whole` a mask is one value all over.
    A class may stand in `classes` more than once.
    """
    low, high = float(images.min()), float(images.max())
    height, width = images.shape[1:3]

    def loss(arrays: list, chosen: object, targets: object, weights: object) -> tuple:
        masks, patterns = ops.sigmoid(arrays[0]), low + (high - low) * ops.sigmoid(arrays[1])
        over = (1 - masks)[:, None] * chosen + (masks * patterns)[:, None]
        count, each = ops.shape(chosen)[0], ops.shape(chosen)[1]
        found = logits(ops.reshape(over, (-1, *images.shape[1:])))
        wanted = ops.repeat(targets, each)
        cross = ops.logsumexp(found, axis=1) - ops.take_along_axis(found, wanted[:, None], 1)[:, 0]
        hits = ops.cast(ops.equal(ops.argmax(found, axis=1), wanted), "float32")
        covered = ops.mean(masks, axis=(1, 2, 3))
        total = ops.sum(cross) / ops.cast(each, "float32") + ops.sum(weights * covered)
        return total, ops.mean(ops.reshape(hits, (count, each)), axis=1)

    compute = differentiated(loss)

    def search_some(classes, rng, steps, each, advance, whole) -> Patches:
        count = len(classes)
        if whole:
            masks, weight = rng.normal(-1, 0.1, (count, 1, 1, 1)), WHOLE_WEIGHT
        else:
            masks, weight = rng.normal(0, 0.1, (count, height, width, 1)), WEIGHT
        patterns = rng.normal(0, 0.5, (count, *images.shape[1:]))
        variables = [keras.Variable(start.astype(np.float32)) for start in (masks, patterns)]
        optimizer = keras.optimizers.Adam(STEP, beta_1=0.5, beta_2=0.9)
        weights = np.full(count, weight, np.float32)
        success = np.zeros(count)
        targets = np.asarray(classes, np.int32)
        for _ in range(steps):
            chosen = images[rng.integers(0, len(images), (count, each))]
            hits, gradients = compute([ops.copy(v) for v in variables], chosen, targets, weights)
            optimizer.apply(gradients, variables)
            success = 0.7 * success + 0.3 * np.asarray(hits)
            weights *= np.where(success > WANTED, 1.1, 1 / 1.15).astype(np.float32)
            advance(count)
        masks, patterns = (np.asarray(ops.sigmoid(variable)) for variable in variables)
        masks = np.broadcast_to(masks, (count, height, width, 1))
        return Patches(np.asarray(classes), masks, low + (high - low) * patterns)

    def search(
        classes, rng, steps=SEARCH_STEPS, each=SEARCH_IMAGES, advance=_nobody, whole=False
    ) -> Patches:
        size = max(1, PIXELS // (height * width * each))
        parts = [classes[at : at + size] for at in range(0, len(classes), size)]
        return joined([search_some(part, rng, steps, each, advance, whole) for part in parts])

    return search


@dataclass(frozen=True)
class Ranking:
    """The classes that need the smallest patches, the smallest first."""

    patches: Patches  # one for each of these classes
    sizes: np.ndarray  # (k,), shares of the image
    scores: np.ndarray  # (k,)
    ordinary: float  # the median size of classes taken at random


def rank_classes(
    search: Callable,
    n_classes: int,
    rng: np.random.Generator,
    progress: Callable,
    certain: Sequence[int] = (),
) -> Ranking:
    """Find out for which of all classes the smallest patches are enough.

    Short searches narrow many classes down to few; these and REFERENCES taken at random get the
    long search. The best NARROWED of it are searched for AGAIN times more, so that a size which was
    small by chance is not; the best FINALISTS of these are ranked. The classes `certain` are among
    the best whatever their size. A score is how many median absolute deviations the logarithm of a
    size lies below the median of the references.
    """
    references = rng.permutation(n_classes)[:REFERENCES]
    left = np.arange(n_classes)
    steps = SHORT_STEPS
    while len(left) > REFERENCES + NARROWED:
        with progress(f"Searching {len(left)} classes", steps * len(left)) as advance:
            found = search(left, rng, steps, SHORT_IMAGES, advance)
        kept = max(NARROWED, len(left) // 4)
        left = left[_smallest(left, found.sizes, kept, certain)]
        steps *= 2
    left = np.union1d(left, references)
    doubted = min(NARROWED, len(left))
    total = SEARCH_STEPS * (len(left) + AGAIN * doubted)
    with progress(f"Searching {len(left)} classes", total) as advance:
        found = search(left, rng, advance=advance)
        best = left[_smallest(left, found.sizes, doubted, certain)]
        again = search(np.repeat(best, AGAIN), rng, advance=advance)
    usual = np.log(found.sizes[np.isin(left, references)])
    by_class = np.log(again.sizes).reshape(doubted, AGAIN)
    smallest = by_class.argmin(axis=1) + AGAIN * np.arange(doubted)
    logs = by_class.mean(axis=1)
    order = _smallest(best, logs, FINALISTS, certain)
    scores = -deviations(logs[order], usual)
    ordinary = float(np.exp(np.median(usual)))
    return Ranking(again[smallest[order]], np.exp(logs[order]), scores, ordinary)


def _smallest(
    classes: np.ndarray, sizes: np.ndarray, count: int, certain: Sequence[int]
) -> np.ndarray:
    """Where the `count` smallest stand, the `certain` ones among them; the smallest first."""
    kept = np.lexsort((sizes, ~np.isin(classes, certain)))[:count]
    return kept[np.argsort(sizes[kept], kind="stable")]
