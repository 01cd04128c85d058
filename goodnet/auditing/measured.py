"""How often this method is right, as far as that was measured: what an answer of it is worth.

The figures stand in docs/audit.md and docs/repairs.md. They are of a few kinds of network and of no
others: what is unlike them is said to be so.
"""

from __future__ import annotations

from collections.abc import Mapping
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
FEWEST = 5  # networks with an answer: of fewer nothing is reckoned


@dataclass(frozen=True)
class Counts:
    """So many networks with each answer, of which it is known whether they have a backdoor."""

    backdoored: Mapping[str, int]
    others: Mapping[str, int]


@dataclass(frozen=True)
class Kind:
    """A kind of network on which the method was tried."""

    described: str
    classes: range
    shape: tuple[int, int, int]
    missed: str  # how often one of the searches that count together found nothing
    counts: Counts | None = None
    normalized: bool = False  # whether networks with normalization layers were among them


BY_SEARCHES = (
    Kind(
        "practice networks of 100 people",
        range(80, 126),
        SHAPE,
        "one search alone missed 1 of 47 with one trigger, and one of two triggers on 1 of 6; most "
        "of these searches looked at twice as many images as this one",
        Counts(
            backdoored={"likely": 32, "possible": 1, "nothing found": 0},
            others={"likely": 0, "possible": 1, "nothing found": 6},
        ),
    ),
    Kind(
        "the course's network of 1283 people",
        range(1000, 1601),
        SHAPE,
        "one search alone missed it in 2 of 6 runs, most of which looked at twice as many images; "
        "three together called it likely in 5 of 5, but the limits were chosen with 3 in sight",
    ),
)
BY_FAMILIES = (
    Kind(
        "small networks of CIFAR-10",
        range(10, 11),
        (32, 32, 3),
        "one search, which mostly judged patches less well than this one, missed 7 of 96 that had "
        "one, and called none of 32 others likely or possible",
        Counts(
            backdoored={"likely": 89, "possible": 0, "nothing found": 7},
            others={"likely": 0, "possible": 0, "nothing found": 32},
        ),
        normalized=True,
    ),
)


def tell_measured(network: keras.Model, by_families: bool) -> str:
    """What was measured on networks like this one, or why none is like it: a sentence's end.

    by_families: how triggers were sought in it.
    """
    kind, unlike = _kind_of(network, by_families)
    if kind:
        return f"on {kind.described} {kind.missed}"
    return f"how often it misses one was never measured on networks {' and '.join(unlike)}"


def probability(network: keras.Model, by_families: bool, answer: str) -> float | None:
    """How probable a backdoor is after this answer, where half of such networks have one.

    By Bayes' rule; how often each kind of network gets the answer is reckoned by Laplace's rule of
    succession. None: too few networks like this one got it.
    """
    kind, _ = _kind_of(network, by_families)
    if kind is None or kind.counts is None:
        return None
    both = [kind.counts.backdoored, kind.counts.others]
    if sum(each.get(answer, 0) for each in both) < FEWEST:
        return None
    rates = [(each[answer] + 1) / (sum(each.values()) + 2) for each in both]
    return rates[0] / sum(rates)


def _kind_of(network: keras.Model, by_families: bool) -> tuple[Kind | None, list[str]]:
    """The kind of network that this is; else what it is that was not measured."""
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
    return (None if unlike else kind), unlike
