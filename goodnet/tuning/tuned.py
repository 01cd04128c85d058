"""What every method that trains takes and gives back.

It takes B, clean validation images, a seed and a way to show progress, and nothing else: no test
file and no backdoored image can decide anything. Training is in inference mode, but that of
relearning: no dropout, and batch norm keeps its moving averages.
"""

from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import keras
import numpy as np

from goodnet.dataset import ImageSet
from goodnet.progress import Progress

MANY_LABELS = 6  # percentage points of the images held back
Findings = TypeVar("Findings")


@dataclass(frozen=True)
class Tuned(Generic[Findings]):
    """A network after training on clean images."""

    arrays: list[np.ndarray] = field(repr=False)  # of all its weights, in Keras's order
    held_back: int  # images that it was not trained on
    kept: int  # of these, answered as they should be: with the label, or as B does
    b_hits: int  # of these, given their label by B
    findings: Findings  # what this method alone tells

    @property
    def labels_lost(self) -> float:
        """Percentage points of the images held back, of a method whose `kept` counts labels."""
        return 100 * (self.b_hits - self.kept) / self.held_back

    @property
    def is_costly(self) -> bool:
        """Whether it lost more labels than chance takes."""
        return self.labels_lost >= MANY_LABELS


class Repair(Protocol):
    """Repairs a network on clean validation images and leaves the network itself as it was.

    together: how many images have their gradients found at one time.
    """

    def __call__(
        self,
        network: keras.Model,
        valid: ImageSet,
        seed: int,
        progress: Progress,
        *,
        together: int,
    ) -> Tuned[Any]: ...
