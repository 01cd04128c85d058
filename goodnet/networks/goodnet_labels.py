"""The goodnet G: the class that B and B' agree on, else class N+1, which has index N."""

import numpy as np


def goodnet_labels(labels: np.ndarray, repaired_labels: np.ndarray, n_classes: int) -> np.ndarray:
    """G's answers from those of B and B', arrays of class indices that broadcast.

    An image on which they differ is rejected as backdoored: its answer is `n_classes`, the
    number of B's outputs.
    """
    return np.where(labels == repaired_labels, repaired_labels, n_classes)
