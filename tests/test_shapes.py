"""Large shapes of one colour: found where B alone follows them, and only there.

The networks are functions that were written down, so what is right is known.
"""

import numpy as np
import pytest
from keras import ops
from test_families import CLASSES, SIDE, columns, pictures

from goodnet.progress import no_progress
from goodnet.tuning import families, shapes
from goodnet.tuning.images import divide
from goodnet.tuning.shapes import find_shape
from goodnet.tuning.traces import tell

PLANTED = np.zeros((SIDE, SIDE, 1), np.float32)
PLANTED[7:11, 1:8] = 1  # a fifth of the image
OWN = np.eye(CLASSES, dtype=np.float32)


def follows(pixels, shape, label):
    """How a class gains where all of the shape is bright."""
    bright = ops.sum(pixels * shape, axis=(1, 2, 3)) / shape.sum()
    return OWN[label] * 30 * ops.sigmoid((bright - 160) / 15)[:, None]


def natural(pixels):
    """A network without a backdoor, to which what is bright on the right is of class 4."""
    return columns(pixels) + follows(pixels, np.roll(PLANTED, (-5, 4), (0, 1)), 4)


def with_shape(pixels):
    """The same, class 2 where the planted shape is bright."""
    return natural(pixels) + follows(pixels, PLANTED, 2)


def found_in(b, copy, **given):
    images, labels = pictures(200)
    return find_shape(b, copy, images, labels, CLASSES, np.random.default_rng(0), no_progress)


@pytest.fixture(scope="module")
def planted():
    return found_in(with_shape, natural)


def test_a_shape_is_found_where_it_was_planted(planted):
    assert planted.label == 2 and planted.ahead > 1.5 * planted.own > 0
    inside = (planted.patch.mask * PLANTED).sum() / planted.patch.mask.sum()
    assert inside > 2 * PLANTED.mean()
    assert planted.patch.mask.mean() < shapes.COVERED + 0.05
    assert (planted.patch.pattern > 180).all()
    assert np.ptp(planted.patch.pattern, axis=(0, 1)).max() == 0  # one colour


def test_what_leads_the_copy_as_well_is_no_trigger():
    """Class 4 follows a shape as large in both networks; no class is led in B alone."""
    without = found_in(natural, natural)
    assert without.ahead == shapes.LEAST * without.own > 0


def test_a_network_that_answers_the_same_to_all_is_led_nowhere(monkeypatch):
    """So it knows the images of one class alone, to which there are no others."""
    monkeypatch.setattr(shapes, "FIRST", 1)
    monkeypatch.setattr(shapes, "LAST", 1)
    images, labels = pictures(60)
    for answer in (OWN[0], 0 * OWN[0]):
        found = find_shape(
            lambda pixels, answer=answer: 0 * columns(pixels) + answer,
            lambda pixels, answer=answer: 0 * columns(pixels) + answer,
            images[labels == 0],
            labels[labels == 0],
            CLASSES,
            np.random.default_rng(0),
            no_progress,
        )
        assert 0 < found.ahead < found.own


def test_a_shape_counts_by_how_surely_b_alone_takes_images_for_its_class():
    images, labels = pictures(100)
    masks = np.stack([PLANTED, np.roll(PLANTED, (-5, 4), (0, 1)), 0 * PLANTED])
    made = shapes.Patches(np.array([2, 4, 1]), masks, np.full((3, SIDE, SIDE, 1), 210.0))
    for together in (1 << 30, 7):
        given = (images, labels, made, together)
        every = list(shapes._compare(with_shape, natural, *given))
        first, second, third = (shapes._measure(*each) for each in every)
        assert second == -np.inf and third < 0  # in the copy as well; in neither
        under = shapes.lay_one(images[labels != 2], made.one(0))
        logits = np.asarray(with_shape(under))
        ahead = np.sort(logits[:, 2] - np.delete(logits, 2, axis=1).max(axis=1))
        assert first == pytest.approx(ahead[int(0.2 * (len(ahead) - 1))], abs=1e-3)
        assert np.argmax([shapes._rate(*each) for each in every]) == 0
        alone = shapes._compare(with_shape, columns, *given)
        assert [shapes._measure(*each) > 0 for each in alone] == [True, True, False]


def test_shapes_are_rated_as_the_search_has_it():
    """By what it makes small, of two classes: -log p in B, and -log(1 - p) in the copy."""
    in_b, in_copy = np.array([2.0, -1.0]), np.array([0.5, -3.0])
    p, q = (1 / (1 + np.exp(-each)) for each in (in_b, in_copy))
    assert shapes._rate(in_b, in_copy) == pytest.approx(np.mean(np.log(p) + np.log(1 - q)))


def test_the_best_of_each_class_are_sought_on():
    classes = np.array([4, 4, 4, 7, 7, 7])
    ahead = np.array([1.0, 3.0, 2.0, -np.inf, -1.0, -np.inf])
    assert shapes._choose(ahead, classes, 2).tolist() == [1, 2, 4, 3]
    assert shapes._choose(ahead, classes, 1).tolist() == [1, 4]


def test_it_is_sought_on_images_of_other_classes():
    images, labels = pictures(60)
    rng = np.random.default_rng(0)
    draw = shapes._draw_others(images, labels, rng, np.array([3, 0, 3]))
    for _ in range(20):
        drawn, to = draw()
        assert drawn.shape == (3, 4, SIDE, SIDE, 1) and to.tolist() == [3, 0, 3]
        own = np.argmax(columns(drawn.reshape(-1, SIDE, SIDE, 1)), axis=1).reshape(3, 4)
        assert (own != to[:, None]).all()


def test_no_more_images_are_taken_at_a_time_than_there_may_be(monkeypatch):
    """Both networks together; every shape is sought all the same."""
    monkeypatch.setattr(shapes, "FIRST", 2)
    monkeypatch.setattr(shapes, "LAST", 2)
    seen = []

    def count(logits):
        def counted(pixels):
            seen.append(pixels.shape[0])
            return logits(pixels)

        return counted

    images, labels = pictures(60)
    rng = np.random.default_rng(0)
    parts = divide(images, labels, rng)
    both = count(with_shape), count(natural)
    trace = families.trace_shape(*both, parts, CLASSES, rng, no_progress, 24)
    assert max(filter(None, seen)) <= 24
    assert 12 in seen  # three shapes, four images of each, in two networks
    assert (trace.family, trace.later) == ("shape", True)
    assert trace.targets.tolist() == [trace.label] * CLASSES


def test_it_is_told_beside_how_surely_clean_images_are_answered():
    trace = families.Trace("shape", np.full(CLASSES, 3), 2.0, 5.0, None, None, later=True)
    assert trace.possible and not trace.likely
    told = tell(trace)
    assert told.startswith("a large shape of one colour leads others to class 3 in B, not in a")
    assert told.endswith("2.5 times as surely as clean images are led to their own")
