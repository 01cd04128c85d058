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
    missed: str  # how often one of the searches that count together found nothing


KINDS = (
    Kind(
        "practice networks of 100 people",
        range(80, 126),
        "one search alone missed 0 of 25 with one trigger, and one of two triggers on 1 of 5",
    ),
    Kind(
        "the course's network of 1283 people",
        range(1000, 1601),
        "one search alone missed it in 1 of 5 runs, and called it likely in none",
    ),
)


def tell_measured(network: keras.Model) -> str:
    """What was measured on networks like this one, or why none is like it: a sentence's end."""
    n_classes, shape = count_classes(network), input_shape(network)
    unlike = []
    if any(isinstance(layer, NORMALIZATIONS) for layer in every_layer(network)):
        unlike.append("with normalization layers")
    if shape != SHAPE:
        unlike.append(f"for images of {' x '.join(str(size or '?') for size in shape)}")
    kind = next((kind for kind in KINDS if n_classes in kind.classes), None)
    if kind is None:
        unlike.append(f"of {n_classes} classes")
    if kind and not unlike:
        return f"on {kind.described} {kind.missed}"
    return f"how often it misses one was never measured on networks {' and '.join(unlike)}"
