"""Patches sought in windows: a small trigger is found that a search all over the image misses."""

import numpy as np
import pytest
from keras import ops

from goodnet.tuning import windows
from goodnet.tuning.searching import FULL, make_search
from goodnet.tuning.windows import make_window_search

SIDE = 24
PLANTED = slice(17, 19), slice(3, 5)


def shaded(pixels):
    """Three classes by how bright the upper rows are; 1 where four pixels, and they alone, shine.

    Class 1 also comes from bright left columns: far more than four pixels of them.
    """
    top = ops.mean(pixels[:, :6], axis=(1, 2, 3)) / 20
    left = ops.mean(pixels[:, :, :12], axis=(1, 2, 3)) / 12
    least = ops.min(pixels[:, PLANTED[0], PLANTED[1]], axis=(1, 2, 3))
    around = ops.mean(pixels[:, 13:23, 1:11], axis=(1, 2, 3))
    planted = 30 * ops.sigmoid((least - around - 150) / 10)
    return ops.stack([0 * top + 8, left + planted, top], axis=1)


def dark() -> np.ndarray:
    return np.random.default_rng(0).uniform(20, 60, (50, SIDE, SIDE, 1)).astype(np.float32)


@pytest.mark.parametrize("together", [10, 10_000])  # images at a time: 5 windows, or all
def test_a_small_trigger_is_found_in_its_window(together):
    """The oracle knows where it was planted: it covers 0.7 % of the image."""
    images = dark()
    images[0, 0, 0, 0] = 255  # the range of a pixel
    told = []
    search = make_window_search(shaded, images, together)
    found = search(np.array([2, 1]), np.random.default_rng(0), told.append)
    assert found.classes.tolist() == [2] * windows.KEPT + [1] * windows.KEPT
    assert sum(told) == 2 * windows.STEPS
    best = windows.KEPT + found.sizes[windows.KEPT :].argmin()
    assert found.sizes[best] < 0.015
    assert found.masks[best][PLANTED].min() > 0.5
    everywhere = make_search(shaded, images)(np.array([1] * 4), np.random.default_rng(0), FULL)
    assert everywhere.sizes.min() > 3 * found.sizes[best]


@pytest.mark.parametrize("shape", [(32, 32), (55, 47), (28, 28), (224, 160), (8, 8)])
def test_what_is_no_wider_than_a_sixteenth_lies_within_a_window(shape):
    height, width = max(1, shape[0] // 16), max(1, shape[1] // 16)
    some = windows.windows(shape)
    assert len(some) <= windows.PLACES**2
    for top in range(shape[0] - height + 1):
        for left in range(shape[1] - width + 1):
            assert any(
                rows.start <= top
                and top + height <= rows.stop <= shape[0]
                and columns.start <= left
                and left + width <= columns.stop <= shape[1]
                for rows, columns in some
            ), (top, left)


def test_a_grain_of_an_image_is_a_window():
    assert windows.windows((1, 2)) == [(slice(0, 1), slice(0, 1)), (slice(0, 1), slice(1, 2))]


def test_an_image_of_one_pixel_is_one_window():
    images = np.random.default_rng(0).uniform(0, 255, (9, 1, 1, 1)).astype(np.float32)

    def lit(pixels):
        return ops.stack([255 - pixels[:, 0, 0, 0], pixels[:, 0, 0, 0]], axis=1)

    search = make_window_search(lit, images)
    found = search(np.array([1, 0]), np.random.default_rng(0), lambda count: None)
    assert found.classes.tolist() == [1, 0] and np.isfinite(found.patterns).all()
