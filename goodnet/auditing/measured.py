"""How often this method finds nothing where there is a backdoor, as far as that was measured.

The figures stand in docs/repairs.md. They are of networks like the course's and of no others: what
is unlike them is said to be so.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras

from goodnet.networks.graph import every_layer
from goodnet.networks.loading import count_classes, input_shape

SHAPE = (55, 47, 3)
NORMALIZATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.LayerNormalization,
    keras.layers.GroupNormalization,
)


@dataclass(frozen=True)
class Kind:
    """A kind of network on which the method was tried."""

    described: str
    classes: range
    shape: tuple[int, int, int]
    missed: str  # how often one of the searches that count together found nothing
    normalized: bool = False  # whether networks with normalization layers were among them


BY_SEARCHES = (
    Kind(
        "practice networks of 100 people",
        range(80, 126),
        SHAPE,
        "one search alone missed 1 of 47 with one trigger, and one of two triggers on 1 of 6; most "
        "of these searches looked at twice as many images as this one",
    ),
    Kind(
        "the course's network of 1283 people",
        range(1000, 1601),
        SHAPE,
        "one search alone missed it in 2 of 6 runs, and called it likely in none; most of these "
        "searches looked at twice as many images as this one",
    ),
)
BY_FAMILIES = (
    Kind(
        "small networks of CIFAR-10",
        range(10, 11),
        (32, 32, 3),
        "one search, which mostly judged patches less well than this one, missed 6 of 76 that had "
        "one, and called none of 30 others likely or possible",
        normalized=True,
    ),
)


def tell_measured(network: keras.Model, by_families: bool) -> str:
    """What was measured on networks like this one, or why none is like it: a sentence's end.

    by_families: how triggers were sought in it.
    """
    kinds = BY_FAMILIES if by_families else BY_SEARCHES
    n_classes, shape = count_classes(network), input_shape(network)
    normalized = any(isinstance(layer, NORMALIZATIONS) for layer in every_layer(network))
    unlike = []
    if normalized and not any(kind.normalized for kind in kinds):
        unlike.append("with normalization layers")
    if all(shape != kind.shape for kind in kinds):
        unlike.append(f"for images of {' x '.join(str(size or '?') for size in shape)}")
    kind = next((kind for kind in kinds if n_classes in kind.classes), None)
    if kind is None:
        unlike.append(f"of {n_classes} classes")
    if kind and not unlike:
        return f"on {kind.described} {kind.missed}"
    return f"how often it misses one was never measured on networks {' and '.join(unlike)}"
