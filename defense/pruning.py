"""The pruning defense: rank the channels, sweep over the numbers pruned, find where to stop.

Liu, Dolan-Gavitt and Garg (2018), "Fine-Pruning: Defending Against Backdooring Attacks on Deep
Neural Networks", section 3: channels that clean images hardly use are pruned first.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

Features = list[np.ndarray]  # the measuring point (n, …, channels), then what runs past it


@dataclass(frozen=True)
class Head:
    """The rest of a network behind the measuring point, with all channels silenced at first.

    state_shape: of one image's state, which is 0 where all channels are silenced.
    give_back: (state (n, *state_shape), images (m,), channel, the channel's values in these
    images (m, positions)) adds the channel to these images' states, in place.
    answer: the list of states and of what runs past, -> (classes, whether each is too close).
    """

    state_shape: tuple[int, ...]
    give_back: Callable[[np.ndarray, np.ndarray, int, np.ndarray], None]
    answer: Callable[[list[np.ndarray]], tuple[np.ndarray, np.ndarray]]


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
    head: Head,
    plain: Callable[[int, np.ndarray], np.ndarray],
    head_rows: int,
) -> np.ndarray:
    """The classes of n images with 0, 1, … all channels pruned: (channels + 1, n) int64.

    head: answers for `head_rows` images a call; plain: (channels pruned, images' indices) -> the
    classes of the whole network, for those that the head found too close to call.

    It goes from all channels pruned to none, giving one back after the other. A channel that is
    0 everywhere in an image leaves that image's answer as it was: the head is asked again only
    for images in which the channel given back fires.
    """
    classes = np.full((len(order) + 1, len(features[0])), -1, dtype=np.int64)
    tied = np.zeros(classes.shape, dtype=bool)
    for pruned, images, rows in _calls(features, order, head, head_rows):
        classes[pruned, images], tied[pruned, images] = (
            part[: len(images)] for part in head.answer(rows)
        )
    if len(features) == 1:
        classes[-1], tied[-1] = classes[-1, 0], tied[-1, 0]
    for pruned in np.flatnonzero(tied.any(axis=1)):
        images = np.flatnonzero(tied[pruned])
        classes[pruned, images] = plain(int(pruned), images)
    for pruned in reversed(range(len(order))):
        unchanged = classes[pruned] < 0
        classes[pruned, unchanged] = classes[pruned + 1, unchanged]
    return classes


def _changes(
    features: Features, order: Sequence[int], head: Head, state: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """Give the channels back to `state`, the last pruned first.

    Yields (number pruned, images) wherever an answer may differ from the last.
    """
    by_position = features[0].reshape(len(state), -1, features[0].shape[-1])
    fires = by_position.any(axis=1)
    # Without anything that runs past, one image with all channels pruned is like another.
    yield len(order), np.arange(len(state) if len(features) > 1 else 1)
    for pruned, channel in reversed(list(enumerate(order))):
        images = np.flatnonzero(fires[:, channel])
        if len(images):
            head.give_back(state, images, channel, by_position[images, :, channel])
            yield pruned, images


def _calls(
    features: Features, order: Sequence[int], head: Head, size: int
) -> Iterator[tuple[np.ndarray, np.ndarray, Features]]:
    """Yield (numbers pruned, images, rows for the head), all but the last for `size` images.

    The rows are always `size` many, and good until the next are asked for.
    """
    state = np.zeros((len(features[0]), *head.state_shape), dtype=np.float32)
    parts = [state, *features[1:]]
    rows = [np.zeros((size, *part.shape[1:]), dtype=part.dtype) for part in parts]
    pruned, images = np.empty((2, size), dtype=np.int64)
    filled = 0
    for now, changed in _changes(features, order, head, state):
        while len(changed):
            some, changed = np.split(changed, [size - filled])
            place = slice(filled, filled + len(some))
            pruned[place], images[place] = now, some
            for row, part in zip(rows, parts, strict=True):
                row[place] = part[some]
            filled += len(some)
            if filled == size:
                yield pruned, images, rows
                filled = 0
    if filled:
        yield pruned[:filled], images[:filled], rows


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
