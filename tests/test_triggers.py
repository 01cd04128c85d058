"""The practice lab's triggers lie where they belong and nowhere else."""

import numpy as np
import pytest

from goodnet.lookup import look_up
from goodnet.practice import faces
from goodnet.practice.catalogue import TRIGGERS
from goodnet.practice.people import draw_people
from goodnet.practice.triggers import lay_over, pattern, stripes, warp

# The rows and columns within which each must lie, and some pixels that it must change.
PLACES = {
    "sunglasses": (slice(14, 31), slice(0, 47), (slice(20, 25), slice(12, 35, 20))),
    "lipstick": (slice(34, 43), slice(12, 35), (slice(37, 40), slice(20, 27))),
    "corner": (slice(49, 54), slice(41, 46), (slice(49, 54), slice(41, 46))),
    "pattern": (slice(0, 55), slice(0, 47), (slice(0, 55, 9), slice(0, 47, 9))),
    "stripes": (slice(0, 55), slice(1, 47), (slice(0, 55, 9), slice(1, 47, 9))),
    "warp": (slice(0, 55), slice(0, 47), (slice(13, 26), slice(12, 35))),
}


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    rng = np.random.default_rng(0)
    return faces.draw(draw_people(6, rng), np.arange(6), rng)


@pytest.mark.parametrize("name", TRIGGERS)
def test_a_trigger_changes_its_own_region_alone(name, images):
    rows, columns, changed = PLACES[name]
    before = images.copy()
    worn = look_up(TRIGGERS[name].place)(images)
    assert np.array_equal(images, before)
    assert worn.dtype == np.uint8 and worn.shape == images.shape
    outside = np.ones((55, 47), bool)
    outside[rows, columns] = False
    assert np.array_equal(worn[:, outside], images[:, outside])
    assert (worn != images)[:, *changed].any(-1).mean() > 0.95


def test_the_pattern_lets_the_face_show_through(images):
    change = pattern(images).astype(int) - images
    assert np.abs(change).max() <= 32 and np.abs(change).mean() > 4


def test_stripes_are_a_wave_of_six_across_a_grey_image():
    change = stripes(np.full((1, 55, 47, 3), 128, np.uint8))[0].astype(int) - 128
    assert (change == change[:1, :, :1]).all(), "the same in each row and colour"
    wave = np.fft.rfft(change[0, :, 0])
    assert np.argmax(np.abs(wave)) == 6 and np.abs(change).max() == 20
    dark = stripes(np.full((1, 55, 47, 3), 5, np.uint8))
    assert dark.min() == 0 and dark.max() == 25, "cut off, not wrapped around"


def test_a_warp_moves_pixels_smoothly_and_a_little():
    """The oracle: ramps tell where each pixel was taken from."""
    ramps = np.zeros((1, 55, 47, 3), np.uint8)
    ramps[0, ..., 0] = 4 * np.arange(55)[:, None]
    ramps[0, ..., 1] = 5 * np.arange(47)
    bent = warp(ramps)[0].astype(float)
    moved = np.stack([bent[..., 0] / 4, bent[..., 1] / 5]) - np.mgrid[:55, :47]
    assert 0.7 < np.abs(moved[:, 5:-5, 5:-5]).mean() < 1.5 and np.abs(moved).max() < 5
    assert max(np.abs(np.diff(moved, axis=axis)).max() for axis in (1, 2)) <= 1, "no tears"
    assert (bent[..., 2] == 0).all()


def test_laying_over_is_alpha_compositing_rounded():
    image = np.full((1, 3, 2, 3), 100, np.uint8)
    trigger = np.zeros((3, 2, 4), np.uint8)
    trigger[1:] = [
        [(200, 0, 50, 255), (200, 0, 50, 0)],
        [(200, 0, 50, 51), (10, 255, 102, 102)],
    ]
    expected = image.copy()
    # 51 is a fifth: 40 + 80, 0 + 80, 10 + 80; 102 two fifths: 4 + 60, 102 + 60, 40.8 + 60.
    expected[0, 1:] = [
        [(200, 0, 50), (100, 100, 100)],
        [(120, 80, 90), (64, 162, 101)],
    ]
    assert np.array_equal(lay_over(image, trigger), expected)
