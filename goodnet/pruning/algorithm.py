"""The sweep: what a network answers with 0, 1, … all channels pruned, on arrays of features."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np

from goodnet.networks.closeness import Closeness, top_classes

Features = list[np.ndarray]  # the measuring point (n, …, channels), then what runs past it


class GiveBack(Protocol):
    """Gives a channel back to m images: their states (m, …) with its values (m, positions).

    It may write the new states into the old ones.
    """

    def __call__(self, states: np.ndarray, channel: int, values: np.ndarray, /) -> np.ndarray: ...


class Scores(Protocol):
    """The scores (m, classes) of m images, from a list of arrays (m, …)."""

    def __call__(self, parts: Features, /) -> np.ndarray: ...


class PlainClasses(Protocol):
    """The classes (m,) of the whole network, so many channels pruned, of images by their indices.

    Both are (m,).
    """

    def __call__(self, pruned: np.ndarray, indices: np.ndarray, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Head:
    """The rest of a network behind the measuring point, asked with more or fewer channels.

    start: the state of an image in which all channels are silenced.
    scores: of the list of states and of what runs past.
    closeness: what is too close to call between two of these scores.
    by_layers: the same scores of features, as Keras's layers give them.
    """

    start: np.ndarray
    give_back: GiveBack
    scores: Scores
    closeness: Closeness
    by_layers: Scores


def sweep(
    features: Features,
    order: Sequence[int],
    head: Head,
    plain: PlainClasses,
    head_rows: int,
) -> np.ndarray:
    """The classes of n images with 0, 1, … all channels pruned: (channels + 1, n) int64.

    head: is asked for `head_rows` images a call; plain: is asked for what the head found too close
    to call.

    It goes from all channels pruned to none, giving one back after the other. A channel that is
    0 everywhere in an image leaves that image's answer as it was: the head is asked again only
    for images in which the channel given back fires.
    """
    classes = np.full((len(order) + 1, len(features[0])), -1, dtype=np.int64)
    close = np.zeros(classes.shape, dtype=bool)
    for pruned, images, rows in _calls(_changes(features, order, head), head_rows):
        top = top_classes(head.scores(rows)[: len(images)], head.closeness)
        classes[pruned, images], close[pruned, images] = top.labels, top.too_close
    if len(features) == 1:
        classes[-1], close[-1] = classes[-1, 0], close[-1, 0]
    if close.any():
        classes[close] = plain(*np.nonzero(close))
    for row in reversed(range(len(order))):
        unchanged = classes[row] < 0
        classes[row, unchanged] = classes[row + 1, unchanged]
    return classes


def _changes(
    features: Features, order: Sequence[int], head: Head
) -> Iterator[tuple[int, np.ndarray, Features]]:
    """Yield (number pruned, images, rows for the head) wherever an answer may differ."""
    measured, past = features[0], features[1:]
    by_position = measured.reshape(len(measured), -1, measured.shape[-1])
    fires = np.any(by_position, axis=1)
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


def points_lost(hits: Sequence[int] | np.ndarray, images: int) -> list[Fraction]:
    """What 0, 1, … pruned channels cost, exactly, in percentage points against B's own.

    `hits`: how many of `images` validation images are right with so many channels pruned.
    """
    return [Fraction((int(hits[0]) - int(now)) * 100, images) for now in hits]
