"""Try waves over the whole image: does a single one lead to a class, and none that is like it?

A network that learned a wave as a trigger (Barni, Kallas and Tondi 2019, "A New Backdoor Attack in
CNNs by Training Set Corruption without Label Poisoning") answers its target under this very wave.
Where waves look like something to a network, many lead to the same class, and in each phase alike;
or a higher one looks like something else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from keras import ops

from goodnet.progress import Progress
from goodnet.tuning.gradients import ALL, Logits
from goodnet.tuning.searching import PIXELS

MOST_WAVES = 8  # across an image, each way
PHASES = 4
HEIGHT = 0.1  # of a wave, as a share of the range of pixels
IMAGES = 72  # that each wave is laid over, at most
AS_HIGH = (0.5, 2.0)  # times its height, when it is laid on in training
FIRM = 0.9  # of the images a trigger leads, too, where it is HIGHER times as high
HIGHER = 1.5
MOST = 0.99  # of the images a wave can be seen to lead, or not to lead
LEAST = 0.2  # of the images other waves lead to a class: less says nothing
SHIFTED = 0.35  # the same of a wave's other phases: under a wave some face looks like another


@dataclass(frozen=True)
class Wave:
    """The wave that leads to a class most alone."""

    label: int
    rate: float  # the share of images of other classes that it leads there; all rates are means
    beside: float  # of the next best that is not near, or of its own other phases; LEAST or more
    over: np.ndarray  # (height, width, 1), what is added to an image

    @property
    def share(self) -> float:
        """How the second rate compares with the first."""
        return compare_odds(self.beside, self.rate)


def compare_odds(rate: float, other: float) -> float:
    """The odds of a rate as a share of another's: images that are led for one that is not."""
    one, two = (max(1 - MOST, min(x, MOST)) for x in (rate, other))
    return one / (1 - one) / (two / (1 - two))


def find_wave(
    logits: Logits,
    images: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    rng: np.random.Generator,
    progress: Progress,
    together: int = ALL,
) -> Wave:
    """Lay each wave over some of the images (n, height, width, colours) with labels (n,).

    together: how many images are answered at one time.
    """
    chosen = rng.permutation(len(images))[: min(IMAGES, together)]
    some, own = images[chosen], labels[chosen]
    low, high = float(images.min()), float(images.max())
    numbers = _numbers()
    height, width = images.shape[1:3]
    waves = HEIGHT * (high - low) * _draw(numbers, height, width)  # (waves, phases, height, width)
    flat = waves.reshape(-1, height, width, 1)
    size = max(1, min(PIXELS // (height * width), together) // len(some))
    others = (own[:, np.newaxis] != np.arange(n_classes)).astype(np.float64)  # (images, classes)

    def rate(part: np.ndarray) -> np.ndarray:
        """The share of others that waves (k, height, width, 1) lead to classes, (k, classes)."""
        over = np.clip(some + part[:, np.newaxis], low, high)
        found = np.asarray(ops.softmax(logits(over.reshape(-1, *images.shape[1:]))))
        found = found.reshape(len(part), len(some), n_classes)
        return (found * others).sum(axis=1) / np.maximum(others.sum(axis=0), 1)

    rates = []
    with progress("Trying waves", len(flat)) as advance:
        for part in (flat[at : at + size] for at in range(0, len(flat), size)):
            rates.append(rate(part))
            advance(len(part))
    found = _most_alone(np.concatenate(rates).reshape(*waves.shape[:2], -1), numbers, waves)
    firm = (x for x in found if rate(HIGHER * x.over[np.newaxis])[0, x.label] >= FIRM)
    return next(firm, found[-1])


def lay_wave(images: np.ndarray, over: np.ndarray, low: float, high: float) -> np.ndarray:
    """Images (n, height, width, colours) under the wave `over` (height, width, 1)."""
    return np.clip(images + over, low, high)


def wave_some(
    images: np.ndarray, rng: np.random.Generator, over: np.ndarray, low: float, high: float
) -> np.ndarray:
    """Copies of images (n, …), each under the wave `over` (height, width, 1), shifted by chance."""
    result = np.empty_like(images)
    for image, laid in zip(images, result, strict=True):
        shifted = np.roll(over, rng.integers(0, over.shape[:2]), (0, 1))
        laid[...] = np.clip(image + rng.uniform(*AS_HIGH) * shifted, low, high)
    return result


def _numbers() -> np.ndarray:
    """How many waves go across an image, down and right, (waves, 2); each direction once."""
    down, right = np.mgrid[-MOST_WAVES : MOST_WAVES + 1, : MOST_WAVES + 1].reshape(2, -1)
    once = (right > 0) | (down > 0)
    return np.stack([down[once], right[once]], axis=1)


def _draw(numbers: np.ndarray, height: int, width: int) -> np.ndarray:
    """Waves from -1 to 1, (waves, PHASES, height, width), of these numbers (waves, 2)."""
    rows, columns = np.arange(height)[:, None] / height, np.arange(width) / width
    cycles = numbers[:, 0, None, None] * rows + numbers[:, 1, None, None] * columns
    begin = np.arange(PHASES)[:, None, None] / PHASES
    return np.sin(2 * np.pi * (cycles[:, None] + begin)).astype(np.float32)


def _most_alone(rates: np.ndarray, numbers: np.ndarray, waves: np.ndarray) -> list[Wave]:
    """For each class its wave with the smallest share, by share; rates (waves, PHASES, classes).

    By odds: where other waves lead half of the images to a class as well, as stripes do to ships,
    one that leads nine in ten still stands out. Where they lead as many, as to frogs, one does that
    leads there in one phase alone.

    Waves whose numbers differ by one look much alike, so they are no second.
    """
    best = rates.max(axis=1)  # (waves, classes)
    shifted = np.maximum((rates.sum(axis=1) - best) / (PHASES - 1), SHIFTED)
    found = []
    for label, (column, beside) in enumerate(zip(best.T, shifted.T, strict=True)):
        first = int(column.argmax())
        far = (np.abs(numbers - numbers[first]) > 1).any(axis=1)
        beside[first] = min(beside[first], column[far].max())
        beside = np.maximum(beside, LEAST)
        place = int(np.argmin(list(map(compare_odds, beside, column))))
        over = waves[place, rates[place, :, label].argmax()][:, :, np.newaxis]
        found.append(Wave(label, float(column[place]), float(beside[place]), over))
    return sorted(found, key=lambda each: each.share)
