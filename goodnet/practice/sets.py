"""The practice lab's image sets: faces with labels, clean and wearing the triggers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from goodnet.practice import faces
from goodnet.practice.people import draw_people
from goodnet.progress import Progress

TRAINING_IMAGES = 50  # the attacker's own, of each person
VALIDATION_IMAGES = 9
TEST_IMAGES = 10
Triggers = Sequence[Callable[[np.ndarray], np.ndarray]]  # images -> copies that wear one


@dataclass(frozen=True)
class Faces:
    """Images (n, 55, 47, 3) uint8 and their labels (n,)."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class DrawnFaces:
    """The clean faces of a lab, three sets, in each of which all people take turns."""

    training: Faces
    validation: Faces
    test: Faces


def draw_faces(
    identities: int, seed: int, progress: Progress, training_images: int = TRAINING_IMAGES
) -> DrawnFaces:
    """Draw the faces of a lab of so many people; progress is counted in images."""
    rng = np.random.default_rng(seed)
    who = draw_people(identities, rng)
    sizes = (training_images, VALIDATION_IMAGES, TEST_IMAGES)
    with progress("Drawing faces", identities * sum(sizes)) as advance:
        sets = []
        for size in sizes:
            labels = np.tile(np.arange(identities), size)
            sets.append(Faces(faces.draw(who, labels, rng, advance), labels))
    return DrawnFaces(*sets)


def wear_each(clean: Faces, planted: Triggers) -> Faces:
    """All the faces wearing the first trigger, then all wearing the second, …; labels: targets.

    The target of the first trigger is person 0, that of the second person 1, and so on.
    """
    worn = [wear(clean.images) for wear in planted]
    targets = np.arange(len(planted), dtype=clean.labels.dtype)
    return Faces(np.concatenate(worn), np.repeat(targets, len(clean.labels)))
