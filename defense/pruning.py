"""The pruning defense: rank the channels, sweep over the numbers pruned, find where to stop.

Liu, Dolan-Gavitt and Garg (2018), "Fine-Pruning: Defending Against Backdooring Attacks on Deep
Neural Networks", section 3: channels that clean images hardly use are pruned first.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction

import numpy as np

Features = list[np.ndarray]  # the measuring point (n, …, channels), then what runs past it


def mean_activations(measured: Iterable[np.ndarray]) -> np.ndarray:
    """Each channel's mean over all images and positions, summed in float64.

    `measured`: batches (n, …, channels) of the measuring point. The sum is taken image by image,
    in order, so that the size of the batches cannot change it.
    """
    total, positions = 0.0, 0
    for batch in measured:
        by_image = batch.reshape(len(batch), -1, batch.shape[-1]).sum(axis=1, dtype=np.float64)
        total = np.add.accumulate(np.vstack([total + by_image[:1], by_image[1:]]))[-1]
        positions += batch[..., 0].size
    return total / positions


def pruning_order(means: np.ndarray) -> np.ndarray:
    """Channels by increasing mean activation, ties in channel order."""
    return np.argsort(means, kind="stable")


def sweep(
    features: Features,
    order: Sequence[int],
    head: Callable[[Features], tuple[np.ndarray, np.ndarray]],
    plain: Callable[[int, np.ndarray], np.ndarray],
    head_rows: int,
) -> np.ndarray:
    """The classes of n images with 0, 1, … all channels pruned: (channels + 1, n) int64.

    head: features -> (classes, whether each is too close to call), for `head_rows` images a call;
    plain: (channels pruned, images' indices) -> the classes of the whole network, for those.

    A channel that is 0 everywhere in an image leaves that image's answer as it was: the head is
    asked again only for images in which the channel just pruned fires.
    """
    classes = np.full((len(order) + 1, len(features[0])), -1, dtype=np.int64)
    tied = np.zeros(classes.shape, dtype=bool)
    for pruned, images, rows in _in_calls(_states(features, order), head_rows):
        classes[pruned, images], tied[pruned, images] = head(rows)
    for pruned in np.flatnonzero(tied.any(axis=1)):
        images = np.flatnonzero(tied[pruned])
        classes[pruned, images] = plain(int(pruned), images)
    for pruned in range(1, len(classes)):
        unchanged = classes[pruned] < 0
        classes[pruned, unchanged] = classes[pruned - 1, unchanged]
    return classes


def _states(
    features: Features, order: Sequence[int]
) -> Iterator[tuple[np.ndarray, np.ndarray, Features]]:
    """Yield (numbers pruned, images, features) wherever an answer may differ from the last."""
    measured = features[0].copy()
    fires = measured.reshape(len(measured), -1, measured.shape[-1]).any(axis=1)
    yield np.zeros(len(measured), dtype=int), np.arange(len(measured)), features
    for pruned, channel in enumerate(order, start=1):
        images = np.flatnonzero(fires[:, channel])
        measured[..., channel] = 0
        yield (
            np.full(len(images), pruned),
            images,
            [part[images] for part in (measured, *features[1:])],
        )


def _in_calls(
    states: Iterable[tuple[np.ndarray, np.ndarray, Features]], size: int
) -> Iterator[tuple[np.ndarray, np.ndarray, Features]]:
    """The states regrouped into `size` rows each, the last with what is left."""
    waiting: list[list[np.ndarray]] = []
    count = 0
    for pruned, images, rows in states:
        waiting.append([pruned, images, *rows])
        count += len(images)
        if count >= size:
            parts = [np.concatenate(column) for column in zip(*waiting, strict=True)]
            for start in range(0, count - size + 1, size):
                call = [part[start : start + size] for part in parts]
                yield call[0], call[1], call[2:]
            waiting = [[part[count - count % size :] for part in parts]]
            count %= size
    parts = [np.concatenate(column) for column in zip(*waiting, strict=True)]
    if count:
        yield parts[0], parts[1], parts[2:]


def first_reaching(
    hits: Sequence[int], images: int, drops: Iterable[Fraction]
) -> dict[Fraction, int | None]:
    """For each drop X, the first number of pruned channels that costs X points or more.

    `hits`: how many of `images` validation images are right with 0, 1, … channels pruned. The
    comparison is one of whole numbers. None where X is never reached.
    """
    lost = [int(hits[0]) - int(now) for now in hits]
    return {
        drop: next((k for k in range(1, len(lost)) if lost[k] * 100 >= drop * images), None)
        for drop in drops
    }
