"""What is usually wrong where a network hardly knows its clean images: their pixels' range."""

from dataclasses import replace

import keras

from goodnet import dataset
from goodnet.dataset import ImageSet
from goodnet.metrics import percent
from goodnet.networks.answers import classify
from goodnet.networks.loading import count_classes
from goodnet.pixels import RANGES, find_range, scaling_between
from goodnet.progress import ignore

LOW = 20.0  # percent: below, something is wrong
AGAINST_CHANCE = 1.5  # times what guessing gives: below, something may be wrong
BETTER = 10.0  # points that another range must give to be named
TRIED = 1000  # images at most
BATCH = 256


def hint_at_pixels(
    network: keras.Model, clean: ImageSet, clean_accuracy: float, batch_size: int
) -> str | None:
    """A line that says which range of pixels would fit, None where the accuracy asks for none.

    clean: the clean images as they are scaled now, and what percent of them B gives their label.
    The ranges are tried on these images alone, `batch_size` at a time at most.
    """
    if clean_accuracy >= max(LOW, AGAINST_CHANCE * 100 / count_classes(network)):
        return None
    start = f"Hint: B gives only {clean_accuracy:.1f} % of the clean images their label"
    low, high = dataset.find_extremes(clean)
    held = find_range(low, high)
    if held is None:
        return (
            f"{start}; their pixels go from {low:g} to {high:g}, which is none of the usual ranges "
            f"({', '.join(RANGES)}). B may take others; --scale S divides pixels by S."
        )
    labels = clean.labels[:TRIED]
    tried = {}
    for name, wanted in RANGES.items():
        images = replace(clean, labels=labels, scale=scaling_between(held, wanted))
        classes = classify([network], images, min(BATCH, batch_size), ignore)[0]
        tried[name] = percent(int((classes == labels).sum()), len(labels))
    best = max(tried, key=lambda name: tried[name])
    if tried[best] >= clean_accuracy + BETTER:
        return (
            f"{start}; their pixels are of {held}, and B seems to take {best}: try --pixels {best} "
            f"(it gives {tried[best]:.1f} % of {len(labels)} images)."
        )
    if clean_accuracy >= LOW:
        return None
    return (
        f"{start}. Their pixels are of {held}, and no other of the usual ranges "
        f"({', '.join(tried)}) gives more: labels, order of colours or network may be others."
    )
