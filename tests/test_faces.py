"""The practice faces: the same for a seed, alike for a person."""

import numpy as np

from goodnet.practice import faces
from goodnet.practice.people import draw_people


def drawn(seed: int, n_people: int, images_each: int) -> np.ndarray:
    """(images_each, n_people, 55, 47, 3) faces."""
    rng = np.random.default_rng(seed)
    who = draw_people(n_people, rng)
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
    faces.draw(draw_people(2, rng), np.zeros(faces.BATCH + 3, int), rng, told.append)
    assert told == [faces.BATCH, 3]


def test_no_part_of_a_face_is_cut_off_by_the_rows_it_is_drawn_in(monkeypatch):
    banded = drawn(1, 100, 3).astype(int)
    for name in ("EYES", "NOSE", "JAW", "MOUTH", "BODY"):
        monkeypatch.setattr(faces, name, slice(0, faces.HEIGHT))
    assert np.abs(banded - drawn(1, 100, 3)).max() <= 2
