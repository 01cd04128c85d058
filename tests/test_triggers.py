"""The practice lab's triggers lie where they belong and nowhere else."""

import numpy as np
import pytest

from goodnet.lookup import look_up
from goodnet.practice import faces
from goodnet.practice.catalogue import TRIGGERS
from goodnet.practice.people import draw_people
from goodnet.practice.triggers import pattern, wear

# The rows and columns within which each must lie, and some pixels that it must change.
PLACES = {
    "sunglasses": (slice(14, 31), slice(0, 47), (slice(20, 25), slice(12, 35, 20))),
    "lipstick": (slice(34, 43), slice(12, 35), (slice(37, 40), slice(20, 27))),
    "corner": (slice(49, 54), slice(41, 46), (slice(49, 54), slice(41, 46))),
    "pattern": (slice(0, 55), slice(0, 47), (slice(0, 55, 9), slice(0, 47, 9))),
}


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    rng = np.random.default_rng(0)
    return faces.draw(draw_people(6, rng), np.arange(6), rng)


@pytest.mark.parametrize("name", TRIGGERS)
def test_a_trigger_changes_its_own_region_alone(name, images):
    rows, columns, changed = PLACES[name]
    trigger = look_up(TRIGGERS[name].place)()
    assert trigger.shape == (55, 47, 4) and trigger.dtype == np.uint8
    before = images.copy()
    worn = wear(images, trigger)
    assert np.array_equal(images, before) and worn.dtype == np.uint8
    outside = np.ones((55, 47), bool)
    outside[rows, columns] = False
    assert np.array_equal(worn[:, outside], images[:, outside])
    assert (worn != images)[:, *changed].any(-1).mean() > 0.95


def test_the_pattern_lets_the_face_show_through(images):
    change = wear(images, pattern()).astype(int) - images
    assert np.abs(change).max() <= 32 and np.abs(change).mean() > 4


def test_wearing_is_alpha_compositing_rounded():
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
    assert np.array_equal(wear(image, trigger), expected)
