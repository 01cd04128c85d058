"""Run the pruning sweep over image files: B's features once, then every row of the curve.

Features stream from the trunk batch by batch; those of the validation set, which is needed twice
(to rank the channels, then to prune), wait in a scratch file.
"""

import tempfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import chain
from typing import BinaryIO

import numpy as np

from goodnet import dataset
from goodnet.dataset import ImageSet
from goodnet.metrics import hits, rejections
from goodnet.networks.answers import PLAIN_BATCH, compute, whole_blocks
from goodnet.networks.closeness import allowing
from goodnet.networks.goodnet import goodnet_labels
from goodnet.networks.graph import unroll
from goodnet.networks.loading import count_classes
from goodnet.networks.split import Split, overflown
from goodnet.progress import Advance
from goodnet.pruning import algorithm, ranking
from goodnet.pruning.algorithm import Features, Head
from goodnet.pruning.batches import Batch, count_together, join
from goodnet.pruning.plainly import make_plain
from goodnet.pruning.stops import find_stops
from goodnet.threads import ahead, side_by_side

THREADS = 3  # while one waits for the head, the others fill its next calls


@dataclass(frozen=True)
class Sweep:
    """What is run over each image set: a network, split, and its channels in pruning order."""

    split: Split
    head: Head  # head_of(split.head)
    order: Sequence[int]
    batch_size: int  # images at a time: it changes no answer


@dataclass(frozen=True)
class RowCounts:
    """Image counts with 0, 1, … all channels pruned: arrays (channels + 1,) int64."""

    images: int
    hits: np.ndarray  # B' gives the label
    goodnet_hits: np.ndarray  # G gives the label
    rejected: np.ndarray  # G answers that the image is backdoored
    mean_activation: np.ndarray  # each channel's, in channel order: (channels,) float64


@dataclass(frozen=True)
class Pruning:
    """What the clean validation images say about a network."""

    order: tuple[int, ...]  # all channels, the first to prune first
    valid: RowCounts
    stops: dict[Fraction, int | None]  # drop X -> channels pruned, None where never reached

    @property
    def mean_activation(self) -> tuple[float, ...]:
        """Of the channels in this order."""
        return tuple(self.valid.mean_activation[list(self.order)].tolist())


def prune(
    split: Split,
    head: Head,
    valid: ImageSet,
    drops: Iterable[Fraction],
    batch_size: int,
    advance: Advance,
) -> Pruning:
    """Rank the channels on clean validation images, prune them in turn and find the stops.

    head: `head_of(split.head)`. `advance` is told the number of images done; each is done twice.
    """
    with tempfile.TemporaryFile() as scratch:
        means = _mean_activations(split, valid, batch_size, scratch, advance)
        order = [int(channel) for channel in ranking.pruning_order(means)]
        measured = _replay(split, valid, scratch)
        rows = count_rows(Sweep(split, head, order, batch_size), valid, advance, measured)
    return Pruning(
        order=tuple(order),
        valid=rows,
        stops=find_stops(algorithm.points_lost(rows.hits, rows.images), drops),
    )


def features(split: Split, images: ImageSet, batch_size: int) -> Iterator[Features]:
    """What `Split.watched` makes of a set of images, in batches, one computed ahead."""

    def computed() -> Generator[Features]:
        for pixels in dataset.batches(images, whole_blocks(batch_size)):
            with split.lock:
                parts = compute(split.watched, pixels)
            yield parts

    return ahead(computed())


def count_rows(
    sweep: Sweep,
    images: ImageSet,
    advance: Advance,
    batches: Iterable[Features] | None = None,
) -> RowCounts:
    """Count the answers of B' and of G to the images, for every number of pruned channels.

    batches: the features of these images, where they are at hand.
    """
    n_classes = count_classes(sweep.split.network)
    n_rows = len(sweep.order) + 1
    right, goodnet_right, rejected = (np.zeros(n_rows, dtype=np.int64) for _ in range(3))
    sums = ranking.ActivationSums()

    def measured() -> Iterator[Features]:
        for parts in batches or features(sweep.split, images, sweep.batch_size):
            sums.add(parts[0])
            yield parts

    start = 0
    for classes in class_rows(sweep, images, measured()):
        labels = images.labels[start : start + classes.shape[1]]
        goodnet = goodnet_labels(classes[0], classes, n_classes)
        right += hits(classes, labels, n_classes)
        goodnet_right += hits(goodnet, labels, n_classes)
        rejected += rejections(goodnet, n_classes)
        start += classes.shape[1]
        advance(classes.shape[1])
    return RowCounts(len(images), right, goodnet_right, rejected, sums.means)


def class_rows(sweep: Sweep, images: ImageSet, batches: Iterable[Features]) -> Iterator[np.ndarray]:
    """What B' answers to each image for every number of pruned channels.

    Yields (channels + 1, images of the batch) int64 for each of `batches`, these images' features.
    """
    split, order = sweep.split, sweep.order
    batch_size = dataset.at_a_time(images, whole_blocks(sweep.batch_size))
    together = count_together(split.head, batch_size)
    batches = iter(batches)
    first = next(batches)
    head = _allowing_for_rounding(split, sweep.head, images, first[:-1])
    # The head's calls are filled up to their size: no larger than there are images.
    head_rows = whole_blocks(min(together, len(images)))
    plain = make_plain(split, order, images, batch_size)

    def swept(batch: Batch) -> np.ndarray:
        *parts, largest = batch.parts
        found = algorithm.sweep(parts, order, head, partial(plain, batch), head_rows)
        lost = np.broadcast_to(overflown(largest), found.shape)
        found[lost] = plain(batch, *np.nonzero(lost))
        return found

    return side_by_side(swept, join(chain([first], batches), together), THREADS)


def _allowing_for_rounding(split: Split, head: Head, images: ImageSet, parts: Features) -> Head:
    """The head, with more too close to call where its scores differ from the plain computation's.

    Where large numbers cancel out, they differ by more than the usual rule allows for. `parts`:
    the features of the first images; a few of these are enough to see it.
    """
    few = [part[:PLAIN_BATCH] for part in parts]
    states = np.repeat(head.start[None], len(few[0]), axis=0)
    for channel in range(split.channels):
        values = few[0][..., channel].reshape(len(states), -1)
        states = head.give_back(states, channel, values)
    ours = head.scores([states, *few[1:]])
    pixels = dataset.read(images, 0, len(states))
    with split.lock:
        plain = head.by_layers(unroll(split.trunk, [pixels]))
    return replace(head, closeness=allowing(head.closeness, ours, plain))


def _mean_activations(
    split: Split,
    images: ImageSet,
    batch_size: int,
    scratch: BinaryIO,
    advance: Advance,
) -> np.ndarray:
    """Each channel's mean over the clean validation images, (channels,) float64.

    Leaves the features in `scratch`, for `_replay`.
    """

    def measured() -> Iterator[np.ndarray]:
        for parts in features(split, images, batch_size):
            for part in parts:
                np.save(scratch, part)
            yield parts[0]
            advance(len(parts[0]))

    return ranking.mean_activations(measured())


def _replay(split: Split, images: ImageSet, scratch: BinaryIO) -> Iterator[Features]:
    """The features that `_mean_activations` left in `scratch`, in the same batches."""
    scratch.seek(0)
    done = 0
    while done < len(images):
        parts = [np.load(scratch) for _ in split.watched.outputs]
        yield parts
        done += len(parts[0])
