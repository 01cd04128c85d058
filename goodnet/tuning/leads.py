"""How far ahead of all others a class can get: one that a trigger was trained for, too far.

Wang, Xiang, Miller and Kesidis (2022), "MM-BD: Post-Training Detection of Backdoor Attacks with
Arbitrary Backdoor Pattern Types Using a Maximum Margin Statistic". They seek the largest lead; here
a few steps from noise tell more (benchmarks/README.md).
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from goodnet.metrics import deviations
from goodnet.progress import Progress
from goodnet.tuning.gradients import ALL, Logits, Objective, ObjectiveOf, Tensor, differentiate
from goodnet.tuning.searching import PIXELS

STARTS = 4  # images of noise for each class
STEPS = 12
RATE = 0.1  # of Adam


def measure_leads(
    logits: Logits,
    images: np.ndarray,
    n_classes: int,
    rng: np.random.Generator,
    progress: Progress,
    together: int = ALL,
    starts: int = STARTS,
) -> np.ndarray:
    """By how many median absolute deviations each class's lead is above the median, (n_classes,).

    A class's lead is by how much its logit is larger than any other on noise that was changed for
    it by gradient ascent, the mean of so many starts. Noise has the range and the shape of `images`
    (n, height, width, colours) as the network takes them; nothing else is used of them. together:
    how many have their gradients found at one time.
    """
    slope = differentiate(_objective(logits, n_classes, float(images.min()), float(images.max())))
    classes = np.repeat(np.arange(n_classes, dtype=np.int32), starts)
    size = max(1, min(PIXELS // int(np.prod(images.shape[1:3])), together))
    leads = []
    with progress(f"Leads of {n_classes} classes", STEPS * len(classes)) as advance:
        for part in (classes[at : at + size] for at in range(0, len(classes), size)):
            start = rng.normal(0, 0.5, (len(part), *images.shape[1:]))
            noise = keras.Variable(start.astype(np.float32))
            optimizer = keras.optimizers.Adam(RATE)
            for _ in range(STEPS):
                found = slope([ops.copy(noise)], part)
                optimizer.apply(found.gradients, [noise])
                advance(len(part))
            leads.append(np.asarray(found.told))
    means = np.concatenate(leads).reshape(n_classes, starts).mean(axis=1)
    return deviations(means, means)


def _objective(logits: Logits, n_classes: int, low: float, high: float) -> ObjectiveOf:
    """How large leads are on noise with pixels from `low` to `high`; the leads are told."""

    def objective(arrays: list[Tensor], classes: Tensor) -> Objective:
        found = logits(low + (high - low) * ops.sigmoid(arrays[0]))
        own = ops.one_hot(classes, n_classes, dtype="bool")
        others = ops.max(ops.where(own, -np.inf, found), axis=1)
        lead = ops.max(ops.where(own, found, -np.inf), axis=1) - others
        return Objective(-ops.sum(lead), lead)

    return objective
