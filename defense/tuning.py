"""Repairs that train: fine-pruning, and unlearning the patches that lead to suspected classes.

Each takes B, clean validation images, a seed and a way to show progress, and nothing else: no
test file and no backdoored image can decide anything here. Some of the images are held back: they
choose fine-pruning's epoch, and tell how far unlearning kept B's answers. Training is in inference
mode: no dropout, and batch norm keeps its moving averages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import keras
import numpy as np
from keras import ops

from defense import dataset
from defense.dataset import ImageSet
from defense.errors import Unusable
from defense.gradients import answers, copy_with_logits, training_step
from defense.head import head_of
from defense.network import count_classes
from defense.patches import Patches, Ranking, joined, laid_over, rank_classes, searcher
from defense.split import silence, silenced_arrays, split_network
from defense.sweeping import prune

MOST_IMAGES = 6000  # of a larger set so many are taken at random
HELD_BACK = 6  # one of so many images
BATCH = 64
SAMPLE = 256  # images from which the spread of B's logits is told

PRUNING_BATCH = 1024
PRUNED_DROP = Fraction(10)  # points: where fine-pruning stops pruning
FINE_PRUNING_EPOCHS = 20
FINE_PRUNING_RATE = 1e-2  # of each array's own size, as Lamb takes it

COPIES = 2  # patches sought in a round for each suspect
ROUNDS = 6
FEWEST_ROUNDS = 3
ENOUGH = 2.0  # ordinary patches: a class that needs such a large one is no longer easy to reach
ROUND_STEPS = 100
POLISH_STEPS = 800
UNLEARNING_RATE = 2e-3
NAMED = 4.0  # a score from which a class is called a target
PATCHED_WEIGHT = 0.1  # of what patched images add to the loss


@dataclass(frozen=True)
class Tuned:
    """A network after training on clean images."""

    arrays: list[np.ndarray]  # of all its weights, in Keras's order
    held_back: int  # images
    kept: int  # of these, answered as they should be: with the label, or as B does
    b_hits: int  # of these, given their label by B


@dataclass(frozen=True)
class FinePruned:
    """What fine-pruning did and made."""

    tuned: Tuned
    pruned: int  # channels
    layer: str  # whose channels


@dataclass(frozen=True)
class Unlearned:
    """What unlearning found and made."""

    tuned: Tuned
    ranking: Ranking  # B's classes that need the smallest patches; all of them were unlearned
    sizes: np.ndarray  # (rounds, suspects): patches needed when a round began

    @property
    def targets(self) -> list[int]:
        """The classes that stand out: what a network without a backdoor does not show."""
        return self.ranking.patches.classes[self.ranking.scores >= NAMED].tolist()


def fine_prune(network: keras.Model, valid: ImageSet, seed: int, progress: Callable) -> FinePruned:
    """Prune until 10 points of clean accuracy are gone, then train what is left on the labels.

    Liu, Dolan-Gavitt and Garg (2018), "Fine-Pruning", section 3.3. The network after the epoch
    that does best on the images held back is taken. B itself is left as it was.
    `progress(description, total)` is a context that yields a function to advance. Raises Unusable
    where the network cannot be pruned or trained.
    """
    rng = np.random.default_rng(seed)
    images, held, labels, right = _read_images(valid, rng)
    b_hits = int((answers(copy_with_logits(network, held)[1], held) == right).sum())
    split = split_network(network)
    with progress("Pruning", 2 * len(valid)) as advance:
        pruning = prune(split, head_of(split.head), valid, [PRUNED_DROP], PRUNING_BATCH, advance)
    pruned = pruning.stops[PRUNED_DROP] or 0
    silenced = silenced_arrays(split, pruning.order[:pruned])
    silence(split, pruning.order[:pruned])
    try:
        copy, logits = copy_with_logits(network, held)
    finally:
        silence(split, ())
    # Where each silenced array lies among the copy's weights, and what of it must stay 0.
    places = [_place(network, variable) for variable in split.variables]
    zero = [old != new for old, new in zip(split.arrays, silenced, strict=True)]

    def loss(pixels: object, wanted: object) -> object:
        found = ops.log_softmax(logits(pixels))
        return -ops.mean(ops.take_along_axis(found, wanted[:, None], axis=1))

    per_epoch = -(-len(images) // BATCH)
    steps = per_epoch * FINE_PRUNING_EPOCHS
    rate = keras.optimizers.schedules.CosineDecay(FINE_PRUNING_RATE, steps)
    step = training_step(loss, copy.trainable_variables, keras.optimizers.Lamb(rate))
    best = -1, []
    with progress("Fine-tuning", steps) as advance:
        for _ in range(FINE_PRUNING_EPOCHS):
            order = rng.permutation(len(images))
            for start in range(0, len(images), BATCH):
                some = order[start : start + BATCH]
                step(images[some], labels[some].astype(np.int32))
                advance(1)
            arrays = copy.get_weights()
            for place, gone in zip(places, zero, strict=True):
                arrays[place][gone] = 0
            copy.set_weights(arrays)
            kept = int((answers(logits, held) == right).sum())
            best = max((kept, arrays), best, key=_first)  # of equals the last
    return FinePruned(Tuned(best[1], len(held), best[0], b_hits), pruned, split.layer.name)


def unlearn(network: keras.Model, valid: ImageSet, seed: int, progress: Callable) -> Unlearned:
    """Make B forget the small patches that send images to the classes that need the smallest.

    Patches as in Neural Cleanse (Wang et al. 2019, section 4), sought anew on the network as it
    becomes, round by round. Unlike its unlearning (section 6.2) no label is taught: on images as
    they are, mirrored, shifted or lit anew the logits stay B's, and under a patch only its own
    class's logit must not rise above what B gives without the patch. Rounds end when every
    suspect needs a patch as large as ENOUGH ordinary ones; a longer training on mostly plain
    images, at a falling rate, follows. B itself is left as it was. `progress` as for `fine_prune`.
    Raises Unusable where the network cannot be trained.
    """
    rng = np.random.default_rng(seed)
    images, held, _, labels = _read_images(valid, rng)
    copy, logits = copy_with_logits(network, held)
    _, teacher = copy_with_logits(network, held)
    right = answers(teacher, held)
    search = searcher(logits, images)
    ranking = rank_classes(search, count_classes(network), rng, progress)
    suspects = ranking.patches.classes
    spread = float(np.var(np.asarray(teacher(images[:SAMPLE])), axis=0).mean())
    low, high = float(images.min()), float(images.max())

    def loss(plain: object, pixels: object, classes: object) -> object:
        wanted, found = ops.stop_gradient(teacher(plain)), logits(pixels)
        patched = ops.shape(classes)[0]
        moved = found - wanted
        risen = ops.relu(ops.take_along_axis(moved[:patched], classes[:, None], axis=1))
        kept = ops.mean(ops.square(moved[patched:]))
        return (kept + PATCHED_WEIGHT * ops.mean(ops.square(risen))) / spread

    optimizer = keras.optimizers.Lamb(UNLEARNING_RATE)
    step = training_step(loss, copy.trainable_variables, optimizer)

    def train(patches: Patches, odds: np.ndarray, patched: int, rate: float) -> None:
        optimizer.learning_rate = rate
        plain = varied(images[rng.integers(0, len(images), BATCH)], low, high, rng)
        some = patches[rng.choice(len(odds), patched, p=odds / odds.sum())]
        under = np.concatenate([laid_over(plain[:patched], some), plain[patched:]])
        step(plain, under, some.classes.astype(np.int32))

    found, sizes = [], []
    with progress("Unlearning", ROUNDS * ROUND_STEPS + POLISH_STEPS) as advance:
        for done in range(1, ROUNDS + 1):
            found.append(search(np.repeat(suspects, COPIES), rng))
            sizes.append(found[-1].sizes.reshape(-1, COPIES).mean(axis=1))
            patches = joined(found)
            # Small patches more often, and half of the time those of this round.
            odds = patches.sizes**-2
            now = len(odds) - len(suspects) * COPIES
            odds[now:] *= odds[:now].sum() / odds[now:].sum() if now else 1
            for _ in range(ROUND_STEPS):
                train(patches, odds, BATCH // 2, UNLEARNING_RATE)
                advance(1)
            if done >= FEWEST_ROUNDS and sizes[-1].min() > ENOUGH * ranking.ordinary:
                break
        advance((ROUNDS - done) * ROUND_STEPS)
        rate = keras.optimizers.schedules.CosineDecay(UNLEARNING_RATE, POLISH_STEPS)
        for index in range(POLISH_STEPS):
            train(patches, patches.sizes**-2, BATCH // 4, float(rate(index)))
            advance(1)
    kept = int((answers(logits, held) == right).sum())
    b_hits = int((right == labels).sum())
    tuned = Tuned(copy.get_weights(), len(held), kept, b_hits)
    return Unlearned(tuned, ranking, np.array(sizes))


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


def _read_images(valid: ImageSet, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Images to train on, images held back, and the labels of each, in random order."""
    if len(valid) < HELD_BACK:
        raise Unusable(f"{valid.path}: holds {len(valid)} images; tuning needs {HELD_BACK} or more")
    order = rng.permutation(len(valid))[:MOST_IMAGES]
    images = dataset.read(valid, 0, len(valid))
    back, kept = np.split(order, [len(order) // HELD_BACK])
    return images[kept], images[back], valid.labels[kept], valid.labels[back]


def _place(network: keras.Model, variable: keras.Variable) -> int:
    return next(index for index, each in enumerate(network.weights) if each is variable)


def _first(pair: tuple) -> int:
    return pair[0]
