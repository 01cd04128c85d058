"""How unusual a value is: a score that is comparable between networks."""

import numpy as np


def deviations(values: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """By how many median absolute deviations of `usual` (m,) each value is above its median, (n,).

    Deviations count 1.4826 times, as in Neural Cleanse (Wang et al. 2019, section 4).
    """
    middle = np.median(usual)
    return (values - middle) / max(1.4826 * np.median(np.abs(usual - middle)), 1e-9)
