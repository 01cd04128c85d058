"""B and its repaired copy B', and the goodnet G that an audit makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from goodnet.networks.goodnet import goodnet_labels, goodnet_network
from goodnet.networks.loading import count_classes


@dataclass(frozen=True)
class Pair:
    """B, B', and the classes at which G is aimed; None: at no class in particular."""

    b: keras.Model
    repaired: keras.Model
    targets: list[int] | None

    def ask_goodnet(self, b: np.ndarray, repaired: np.ndarray) -> np.ndarray:
        """G's answers (n,), from those of B and B'."""
        return goodnet_labels(b, repaired, count_classes(self.b), self.targets)

    def build_goodnet(self) -> keras.Model:
        """G as a network of its own."""
        return goodnet_network(self.b, self.repaired, self.targets)
