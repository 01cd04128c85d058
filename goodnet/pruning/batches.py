"""The features of a set of images, in batches for the head.

Of a large network few images go through the trunk at a time. Its head is small: many of its calls
with few rows each would take longer than the trunk. So batches of features are joined.
"""

import math
from collections.abc import Generator, Iterable
from dataclasses import dataclass

import keras
import numpy as np

from goodnet.memory import BATCH_SIZE
from goodnet.networks.answers import PLAIN_BATCH
from goodnet.networks.graph import nodes
from goodnet.pruning.algorithm import Features

HEAD_BYTES = 32 << 20  # for what the head's layers make of the rows of a call


@dataclass(frozen=True)
class Batch:
    """What `Split.watched` makes of some images, behind so many other images: whole blocks."""

    start: int
    parts: Features


def count_together(head: keras.Model, batch_size: int) -> int:
    """Of how many images the features are swept together: `batch_size`, or more that fit."""
    shapes = [tensor.shape[1:] for node in nodes(head) for tensor in node.outputs]
    if any(None in shape for shape in shapes):
        return batch_size
    fitting = HEAD_BYTES // (4 * sum(map(math.prod, shapes)))
    return max(batch_size, min(fitting // PLAIN_BATCH * PLAIN_BATCH, BATCH_SIZE))


def join(batches: Iterable[Features], count: int) -> Generator[Batch]:
    """The same in batches of `count` images or more, the last one aside."""
    start, waiting, waits = 0, [], 0
    for parts in batches:
        waiting.append(parts)
        waits += len(parts[0])
        if waits >= count:
            yield Batch(start, _concatenate(waiting))
            start, waiting, waits = start + waits, [], 0
    if waiting:
        yield Batch(start, _concatenate(waiting))


def _concatenate(batches: list[Features]) -> Features:
    if len(batches) == 1:
        return batches[0]
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]
