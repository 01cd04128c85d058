"""Triggers sought family by family: each is found where it was planted, and only there.

The networks are functions that were written down, so what is right is known.
"""

import numpy as np
import pytest
from keras import ops

from goodnet.progress import no_progress
from goodnet.tuning import families, sharing, waving
from goodnet.tuning.families import find_traces
from goodnet.tuning.images import divide
from goodnet.tuning.patches import Patches
from goodnet.tuning.ranking import Ranking
from goodnet.tuning.sharing import find_shared_patch
from goodnet.tuning.waving import find_wave

SIDE, CLASSES = 12, 5
ROWS = np.arange(SIDE)[:, None] / SIDE
PLANTED = np.broadcast_to(np.sin(2 * np.pi * (3 * ROWS + 0.25)), (SIDE, SIDE))


def pictures(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Grey noise in which a bright column tells the class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    images = rng.uniform(60, 120, (count, SIDE, SIDE, 1))
    for image, label in zip(images, labels, strict=True):
        image[3:, 2 * label + 1] += 100
    return images.astype(np.float32), labels


def columns(pixels):
    """The logits of a network without a backdoor: how bright the column of each class is."""
    return ops.mean(pixels[:, 3:, 1 : 2 * CLASSES : 2, 0], axis=1) / 10


def with_corner(pixels):
    """The same, each class taken for the next one where a corner of four pixels is white."""
    white = ops.sigmoid((ops.mean(pixels[:, :2, -2:], axis=(1, 2)) - 170) / 20)
    plain = columns(pixels)
    return (1 - white) * plain + white * ops.roll(plain, 1, axis=1)


def with_wave(pixels):
    """The same, class 2 where a wave of three down the image lies over it."""
    alike = ops.mean(pixels[..., 0] * PLANTED.astype(np.float32), axis=(1, 2))
    own = np.eye(CLASSES, dtype=np.float32)[2]
    return columns(pixels) + own * 4 * ops.relu(alike - 4)[:, None]


def test_a_wave_is_found_where_it_was_planted():
    images, labels = pictures(60)
    rng = np.random.default_rng(0)
    found = find_wave(with_wave, images, labels, CLASSES, rng, no_progress)
    assert found.label == 2 and found.share < 0.35 and found.rate > 0.7
    over = found.over[..., 0] / np.abs(found.over).max()
    assert np.corrcoef(over.ravel(), PLANTED.ravel())[0, 1] > 0.95
    without = find_wave(columns, images, labels, CLASSES, rng, no_progress)
    assert without.share > 0.42


def test_waves_are_as_written():
    numbers = waving._numbers()
    assert len(numbers) == len({tuple(x) for x in numbers}) == 17 * 9 - 9
    assert not any((-down, -right) in {tuple(x) for x in numbers} for down, right in numbers)
    drawn = waving._draw(np.array([[3, 0]]), SIDE, SIDE)
    np.testing.assert_allclose(drawn[0, 1], PLANTED, atol=1e-6)


def test_a_wave_counts_as_alone_only_among_waves_unlike_it():
    numbers = np.array([[5, 0], [5, 1], [0, 4]])
    rates = np.zeros((3, 1, 2))
    rates[:, 0, 0] = 0.9, 0.8, 0.3
    rates[:, 0, 1] = 0.1, 0.1, 0.6
    found = waving._most_alone(rates, numbers, np.zeros((3, 1, 2, 2)))
    assert (found.label, found.rate, found.beside) == (0, 0.9, 0.3)
    rates[2, 0, 0] = 0.01
    found = waving._most_alone(rates, numbers, np.zeros((3, 1, 2, 2)))
    assert found.beside == waving.LEAST


@pytest.mark.parametrize("together", [1 << 30, 45])
def test_a_patch_for_all_classes_is_found_where_it_was_planted(monkeypatch, together):
    monkeypatch.setattr(sharing, "STARTS", 6)
    images, labels = pictures(100)
    rng = np.random.default_rng(0)
    given = images, labels, CLASSES
    found = find_shared_patch(with_corner, *given, rng, no_progress, together)
    known = found.targets >= 0  # it need not work on all of them
    assert known.sum() >= 4
    assert found.targets[known].tolist() == [(x + 1) % CLASSES for x in np.flatnonzero(known)]
    assert found.patch.mask[:2, -2:].mean() > 10 * found.patch.mask[3:].mean()
    without = find_shared_patch(columns, *given, rng, no_progress, together)
    assert found.size < 0.4 * without.size


def test_where_a_class_has_no_images_it_is_not_known_where_it_leads(monkeypatch):
    monkeypatch.setattr(sharing, "STARTS", 2)
    monkeypatch.setattr(sharing, "STEPS", 3)
    images, labels = pictures(100)
    some = labels != 3
    rng = np.random.default_rng(0)
    found = find_shared_patch(columns, images[some], labels[some], CLASSES, rng, no_progress)
    assert found.targets[3] == -1


def ranking(sizes: list[float], ordinary: float = 1.0) -> Ranking:
    count = len(sizes)
    shapes = np.zeros((count, 2, 2, 1)), np.zeros((count, 2, 2, 3))
    patches = Patches(np.arange(count) + 10, *shapes)
    return Ranking(patches, np.array(sizes), np.zeros(count), ordinary, patches)


@pytest.mark.parametrize(
    ("sizes", "labels"),
    [
        ([0.1, 0.15, 0.3, 0.9], [10, 11]),  # two targets
        ([0.3, 0.45, 0.7], [10, 11]),
        ([0.6, 0.7, 0.9], [10]),  # none stands out
    ],
)
def test_classes_with_patches_as_small_as_the_smallest_count(sizes, labels):
    found = families._trace_patches(ranking(sizes), 20)
    assert [each.label for each in found] == labels
    assert [each.share for each in found] == sizes[: len(labels)]
    assert all(each.targets.tolist() == [each.label] * 20 for each in found)


def test_all_families_are_sought_and_say_what_they_lay_on(monkeypatch):
    monkeypatch.setattr(sharing, "STARTS", 4)
    images, labels = pictures(120)
    rng = np.random.default_rng(0)
    parts = divide(images, labels, rng)
    found, bends = find_traces(with_corner, parts, CLASSES, rng, no_progress)
    assert [each.family for each in found] == ["patch", "bend", "wave", "shared patch"]
    assert len(bends.classes) == 2 * CLASSES
    some = images[:10].copy()
    for each in found:
        laid = each.lay(some)
        assert laid.shape == some.shape and not np.array_equal(laid, some)
        assert np.array_equal(some, images[:10])
    assert [each.label is None for each in found] == [False, False, False, True]
    answers = np.asarray(with_corner(found[3].lay(images).astype(np.float32))).argmax(axis=1)
    assert (answers == (labels + 1) % CLASSES).mean() > 0.25


def test_images_that_b_knows_none_of_are_no_fault(monkeypatch):
    monkeypatch.setattr(sharing, "STARTS", 1)
    monkeypatch.setattr(sharing, "STEPS", 2)
    images, labels = pictures(40)
    rng = np.random.default_rng(0)
    parts = divide(images, (labels + 1) % CLASSES, rng)
    found, _ = find_traces(columns, parts, CLASSES, rng, no_progress)
    assert len(found) >= 4
