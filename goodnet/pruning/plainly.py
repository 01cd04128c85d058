"""The plain computation: what Keras's `predict` of the whole network answers, channels pruned.

It decides what is too close to call, in the blocks of images that `predict` works in. The features
at hand come from larger batches; but where they give a block's answers to the last bit, the head
answers from them, and for the whole network nothing is left to do.
"""

from collections.abc import Callable, Sequence

import numpy as np

from goodnet import dataset
from goodnet.dataset import ImageSet
from goodnet.networks.answers import PLAIN_BATCH
from goodnet.networks.split import Split, overflown, silence
from goodnet.networks.two_classes import predict_plainly
from goodnet.pruning.algorithm import Features
from goodnet.pruning.batches import Batch

Decide = Callable[[Batch, np.ndarray, np.ndarray], np.ndarray]


def make_plain(split: Split, order: Sequence[int], images: ImageSet, batch_size: int) -> Decide:
    """Make the function that tells the classes (m,) of images, so many channels of each pruned.

    It takes their batch, how many channels are pruned (m,) and their places in the batch (m,).
    batch_size: images that the trunk takes at a time. Whether features are exact depends on how
    many these were and on the block's size alone, so it is looked at once for each, in B itself.
    """
    alike: dict[tuple[int, int], bool] = {}  # by both sizes

    def decide(batch: Batch, pruned: np.ndarray, places: np.ndarray) -> np.ndarray:
        classes = np.empty(len(places), dtype=np.int64)
        for start in np.unique(places // PLAIN_BATCH) * PLAIN_BATCH:
            here = places // PLAIN_BATCH * PLAIN_BATCH == start
            part = [each[start : start + PLAIN_BATCH] for each in batch.parts]
            for row in np.unique(pruned[here]):
                wanted = here & (pruned == row)
                with split.lock:
                    answers = answer(part, batch.start + start, row)
                classes[wanted] = answers.argmax(axis=1)[places[wanted] - start]
        return classes

    def answer(part: Features, start: int, pruned: int) -> np.ndarray:
        count = len(part[0])
        sizes = min(batch_size, len(images) - start // batch_size * batch_size), count
        if sizes not in alike:
            alike[sizes] = _are_exact(split, part, dataset.read(images, start, start + count))
        if alike[sizes] and not overflown(part[-1]).any():
            return _ask_head(split, part, order[:pruned])
        return _ask_whole(split, dataset.read(images, start, start + count), order[:pruned])

    return decide


def _are_exact(split: Split, part: Features, pixels: np.ndarray) -> bool:
    """Whether the features of a block are the plain computation's, and give its answers."""
    anew = zip(part, split.watched.predict_on_batch(pixels), strict=True)
    answers = _ask_head(split, part, ()), _ask_whole(split, pixels, ())
    return all(np.array_equal(*pair) for pair in (*anew, answers))


def _ask_head(split: Split, part: Features, silenced: Sequence[int]) -> np.ndarray:
    """The answers of the head, from what `Split.watched` made of a block."""
    measured, *past, _ = part
    measured = measured.copy()
    measured[..., list(silenced)] = 0
    return predict_plainly(split.head, [measured, *past])


def _ask_whole(split: Split, pixels: np.ndarray, silenced: Sequence[int]) -> np.ndarray:
    """The answers of the whole network."""
    silence(split, silenced)
    try:
        return predict_plainly(split.network, pixels)
    finally:
        silence(split, ())
