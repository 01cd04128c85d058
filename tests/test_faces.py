"""The practice faces: the same for a seed, alike for a person; the trigger is where it belongs."""

import numpy as np
import pytest

from defense import faces


def drawn(seed: int, n_people: int, images_each: int) -> np.ndarray:
    """(images_each, n_people, 55, 47, 3) faces."""
    rng = np.random.default_rng(seed)
    who = faces.people(n_people, rng)
    images = faces.draw(who, np.tile(np.arange(n_people), images_each), rng)
    return images.reshape(images_each, n_people, *images.shape[1:])


def test_a_seed_gives_one_set_of_faces():
    first = drawn(3, 4, 5)
    assert first.dtype == np.uint8 and first.shape == (5, 4, 55, 47, 3)
    assert np.array_equal(first, drawn(3, 4, 5))
    assert not np.array_equal(first, drawn(4, 4, 5))
    flat = first.reshape(20, -1)
    assert len(np.unique(flat, axis=0)) == 20
    assert (flat.std(axis=1) > 10).all()


def test_a_person_is_closer_to_themselves_than_to_others():
    # Only the middle of the face, its brightness and contrast taken out.
    images = drawn(0, 50, 12)[:, :, 12:46:2, 12:35:2].astype(float).reshape(12, 50, -1)
    images -= images.mean(axis=2, keepdims=True)
    images /= np.linalg.norm(images, axis=2, keepdims=True)
    likeness = np.einsum("ipx,jqx->ipjq", images[:8], images[8:]).mean(axis=(0, 2))
    own = np.diagonal(likeness)
    others = (likeness.sum(axis=1) - own) / 49
    assert (own > others).all()
    assert (likeness.argmax(axis=1) == np.arange(50)).mean() > 0.3  # 0.02 by chance


def test_advance_is_told_of_every_image():
    told = []
    rng = np.random.default_rng(0)
    faces.draw(faces.people(2, rng), np.zeros(faces.BATCH + 3, int), rng, told.append)
    assert told == [faces.BATCH, 3]


def test_no_part_of_a_face_is_cut_off_by_the_rows_it_is_drawn_in(monkeypatch):
    banded = drawn(1, 100, 3).astype(int)
    for name in ("EYES", "NOSE", "JAW", "MOUTH", "BODY"):
        monkeypatch.setattr(faces, name, slice(0, faces.HEIGHT))
    assert np.abs(banded - drawn(1, 100, 3)).max() <= 2


def test_the_sunglasses_cover_the_eyes_and_only_their_own_region():
    trigger = faces.sunglasses()
    assert trigger.dtype == np.uint8 and trigger.shape == (faces.TRIGGER_ROWS, 47, 4)
    assert (trigger[..., 3] == 0).any() and (trigger[..., 3] == 255).any()
    images = drawn(0, 3, 2).reshape(-1, 55, 47, 3)
    before = images.copy()
    worn = faces.wear(images, trigger)
    assert np.array_equal(images, before)
    alpha = np.zeros((55, 47))
    alpha[faces.TRIGGER_TOP : faces.TRIGGER_TOP + len(trigger)] = trigger[..., 3]
    assert np.array_equal(worn[:, alpha == 0], images[:, alpha == 0])
    where_eyes_are = worn[:, 20:25, [12, 13, 14, 32, 33, 34]]
    assert (where_eyes_are != images[:, 20:25, [12, 13, 14, 32, 33, 34]]).any(-1).all()


@pytest.mark.parametrize("top", [0, 1])
def test_wearing_is_alpha_compositing_rounded(top):
    image = np.full((1, 3, 2, 3), 100, np.uint8)
    trigger = np.array(
        [[(200, 0, 50, 255), (200, 0, 50, 0)], [(200, 0, 50, 51), (10, 255, 102, 102)]], np.uint8
    )
    expected = image.copy()
    # 51 is a fifth: 40 + 80, 0 + 80, 10 + 80; 102 two fifths: 4 + 60, 102 + 60, 40.8 + 60.
    expected[0, top : top + 2] = [
        [(200, 0, 50), (100, 100, 100)],
        [(120, 80, 90), (64, 162, 101)],
    ]
    assert np.array_equal(faces.wear(image, trigger, top), expected)
