"""Search for small patches that begin in one place of the image.

A search that begins with all of the image half covered follows what leads to the class from far
and wide, and may never come to a small trigger in a corner. So a patch is first tried in each of
many windows, and shrinks where it works best.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from goodnet.progress import Advance
from goodnet.tuning.gradients import ALL, Logits
from goodnet.tuning.patches import Patches, join
from goodnet.tuning.searching import (
    FULL,
    SMALL,
    Descent,
    Effort,
    begin_patches,
    cut,
    draw_from,
    read_patches,
    shrink,
    slope_of,
)

SHARE = 4  # a window has a quarter of the image's height and width
PLACES = 5  # of windows, each way: what is no wider than a sixteenth lies within one
TRIAL = Effort(steps=40, images=2)
BOLD = Descent(rate=1.0, weight=0.0)  # a window is as large as it is
VARIED = 4.0  # times the patterns that other searches begin with
OPEN, SHUT = 4.0, -4.0  # a mask before the sigmoid, in a window and beside it
BEGUN = 1.0  # the same in a window that shrinks
KEPT = 2  # windows of each class: the best, if it is what it seems, or the next
STEPS = PLACES**2 * TRIAL.steps + KEPT * FULL.steps  # for each class
Search = Callable[[np.ndarray, np.random.Generator, Advance], Patches]


@dataclass(frozen=True)
class _Tried:
    """How well a patch that fills a window leads images to a class."""

    label: int
    success: float
    place: tuple[slice, slice]
    pattern: np.ndarray  # the window's, before the sigmoid


def make_window_search(logits: Logits, images: np.ndarray, together: int = ALL) -> Search:
    """Make the search: of classes (k,), KEPT patches to each, one class after the other.

    images, together: as in `make_search`. `advance` is told of STEPS for each class.
    """
    low, high = float(images.min()), float(images.max())
    slope = slope_of(logits, low, high)
    places = windows(images.shape[1:3])

    def try_out(label: int, some: np.ndarray, rng: np.random.Generator, advance: Advance) -> list:
        classes = np.full(len(some), label)
        masks, patterns = begin_patches(len(some), images.shape[1:], rng)
        masks.assign(_masks([places[place] for place in some], masks.shape, OPEN))
        patterns.assign(VARIED * patterns)
        draw = draw_from(images, classes, TRIAL.images, rng)
        arrays = [masks, patterns]
        success = shrink(slope, arrays, draw, TRIAL.steps, BOLD, advance, still=1)
        return [
            _Tried(label, rate, places[place], pattern[places[place]].copy())
            for place, rate, pattern in zip(some, success, np.asarray(patterns), strict=True)
        ]

    def search(classes: np.ndarray, rng: np.random.Generator, advance: Advance) -> Patches:
        best = []
        for label in map(int, classes):
            parts = cut(np.arange(len(places)), images, TRIAL, together)
            tried = [one for part in parts for one in try_out(label, part, rng, advance)]
            best += sorted(tried, key=lambda one: -one.success)[:KEPT]
        rows = cut(np.arange(len(best)), images, FULL, together)
        return join([finish([best[row] for row in part], rng, advance) for part in rows])

    def finish(tried: list[_Tried], rng: np.random.Generator, advance: Advance) -> Patches:
        classes = np.array([one.label for one in tried])
        masks, patterns = begin_patches(len(tried), images.shape[1:], rng)
        masks.assign(_masks([one.place for one in tried], masks.shape, BEGUN))
        begun = np.asarray(patterns).copy()
        for row, one in zip(begun, tried, strict=True):
            row[one.place] = one.pattern
        patterns.assign(begun)
        draw = draw_from(images, classes, FULL.images, rng)
        shrink(slope, [masks, patterns], draw, FULL.steps, SMALL, advance)
        return read_patches([masks, patterns], classes, low, high)

    return search


def windows(shape: tuple[int, ...]) -> list[tuple[slice, slice]]:
    """The windows of an image (height, width): rows and columns of each."""
    sides = [max(1, side // SHARE) for side in shape]
    starts = [
        np.unique(np.linspace(0, whole - side, PLACES).astype(int))
        for whole, side in zip(shape, sides, strict=True)
    ]
    return [
        (slice(top, top + sides[0]), slice(left, left + sides[1]))
        for top in starts[0]
        for left in starts[1]
    ]


def _masks(places: list[tuple[slice, slice]], shape: tuple[int, ...], value: float) -> np.ndarray:
    """Masks (k, height, width, 1) before the sigmoid that are open in one window each."""
    masks = np.full(shape, SHUT, np.float32)
    for mask, place in zip(masks, places, strict=True):
        mask[place] = value
    return masks
