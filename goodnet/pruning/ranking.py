"""Rank the channels: those that clean images hardly use are pruned first.

Liu, Dolan-Gavitt and Garg (2018), "Fine-Pruning: Defending Against Backdooring Attacks on Deep
Neural Networks", section 3. The statistic is a channel's mean activation.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np


@dataclass
class ActivationSums:
    """Each channel's sum over images and positions, in float64, as batches pass by.

    The sum is taken image by image, in order, so that the size of the batches cannot change it.
    """

    total: np.ndarray = field(default_factory=lambda: np.zeros(()))  # (channels,)
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
