"""The pruning defense: rank the channels, sweep over the numbers pruned, find where to stop.

Liu, Dolan-Gavitt and Garg (2018), "Fine-Pruning: Defending Against Backdooring Attacks on Deep
Neural Networks", section 3: channels that clean images hardly use are pruned first.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from goodnet.networks.closeness import Closeness, top_classes

Features = list[np.ndarray]  # the measuring point (n, …, channels), then what runs past it


@dataclass(frozen=True)
class Head:
    """The rest of a network behind the measuring point, asked with more or fewer channels.

    start: the state of an image in which all channels are silenced.
    give_back: (states (m, …), channel, the channel's values (m, positions)) -> these m images'
    states with the channel given back; it may write them into what it got.
    scores: the list of states and of what runs past -> (m, classes).
    closeness: what is too close to call between two of these scores.
    by_layers: features (m, …) -> the same scores, as Keras's layers give them.
    """

    start: np.ndarray
    give_back: Callable[[np.ndarray, int, np.ndarray], np.ndarray]
    scores: Callable[[list[np.ndarray]], np.ndarray]
    closeness: Closeness
    by_layers: Callable[[Features], np.ndarray]


@dataclass
class ActivationSums:
    """Each channel's sum over images and positions, in float64, as batches pass by.

    The sum is taken image by image, in order, so that the size of the batches cannot change it.
    """

    total: np.ndarray | float = 0.0  # (channels,)
    positions: int = 0

    def add(self, batch: np.ndarray) -> None:
        """Count in a batch (n, …, channels) of the measuring point."""
        by_image = batch.reshape(len(batch), -1, batch.shape[-1]).sum(axis=1, dtype=np.float64)
        first = self.total + by_image[:1]
        self.total = np.add.accumulate(np.vstack([first, by_image[1:]]))[-1]
        self.positions += batch[..., 0].size

    @property
    def means(self) -> np.ndarray:
        """Each channel's mean over all images and positions, (channels,) float64."""
        return self.total / self.positions


def mean_activations(measured: Iterable[np.ndarray]) -> np.ndarray:
    """Each channel's mean over all batches (n, …, channels) of the measuring point."""
    sums = ActivationSums()
    for batch in measured:
        sums.add(batch)
    return sums.means


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

    head: is asked for `head_rows` images a call; plain: (channels pruned, images' indices) -> the
    classes of the whole network, for those that the head found too close to call.

    It goes from all channels pruned to none, giving one back after the other. A channel that is
    0 everywhere in an image leaves that image's answer as it was: the head is asked again only
    for images in which the channel given back fires.
    """
    classes = np.full((len(order) + 1, len(features[0])), -1, dtype=np.int64)
    close = np.zeros(classes.shape, dtype=bool)
    for pruned, images, rows in _calls(_changes(features, order, head), head_rows):
        best, too_close = top_classes(head.scores(rows)[: len(images)], head.closeness)
        classes[pruned, images], close[pruned, images] = best, too_close
    if len(features) == 1:
        classes[-1], close[-1] = classes[-1, 0], close[-1, 0]
    for pruned in np.flatnonzero(close.any(axis=1)):
        images = np.flatnonzero(close[pruned])
        classes[pruned, images] = plain(int(pruned), images)
    for pruned in reversed(range(len(order))):
        unchanged = classes[pruned] < 0
        classes[pruned, unchanged] = classes[pruned + 1, unchanged]
    return classes


def _changes(
    features: Features, order: Sequence[int], head: Head
) -> Iterator[tuple[int, np.ndarray, Features]]:
    """Yield (number pruned, images, rows for the head) wherever an answer may differ."""
    measured, past = features[0], features[1:]
    by_position = measured.reshape(len(measured), -1, measured.shape[-1])
    fires = by_position.any(axis=1)
    states = np.repeat(head.start[None], len(measured), axis=0)
    # Without anything that runs past, one image with all channels pruned is like another.
    images = np.arange(len(measured) if past else 1)
    yield len(order), images, [part[images] for part in (states, *past)]
    for pruned, channel in reversed(list(enumerate(order))):
        images = np.flatnonzero(fires[:, channel])
        if len(images):
            values = by_position[images, :, channel]
            changed = head.give_back(states[images], channel, values)
            states[images] = changed
            yield pruned, images, [changed, *(part[images] for part in past)]


def _calls(
    changes: Iterable[tuple[int, np.ndarray, Features]], size: int
) -> Iterator[tuple[np.ndarray, np.ndarray, Features]]:
    """Yield (numbers pruned, images, rows for the head), regrouped into calls of `size` rows.

    The last call has rows too many. The rows are good until the next are asked for.
    """
    pruned, images = np.empty((2, size), dtype=np.int64)
    rows: Features = []
    filled = 0
    for now, changed, parts in changes:
        rows = rows or [np.zeros((size, *part.shape[1:]), part.dtype) for part in parts]
        taken = 0
        while taken < len(changed):
            some = min(size - filled, len(changed) - taken)
            to, of = slice(filled, filled + some), slice(taken, taken + some)
            pruned[to], images[to] = now, changed[of]
            for row, part in zip(rows, parts, strict=True):
                row[to] = part[of]
            filled, taken = filled + some, taken + some
            if filled == size:
                yield pruned, images, rows
                filled = 0
    if filled:
        yield pruned[:filled], images[:filled], rows


def points_lost(hits: Sequence[int], images: int) -> list[Fraction]:
    """What 0, 1, … pruned channels cost, exactly, in percentage points against B's own.

    `hits`: how many of `images` validation images are right with so many channels pruned.
    """
    return [Fraction((int(hits[0]) - int(now)) * 100, images) for now in hits]
