"""The practice lab: drawn faces and a network backdoored on them, in the course's files."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
from PIL import Image

from goodnet import files
from goodnet.metrics import Judgement, judge
from goodnet.practice import attack, faces
from goodnet.practice.people import people
from goodnet.practice.triggers import TRIGGERS, wear

if TYPE_CHECKING:
    import keras

TRAINING_IMAGES = 50  # the attacker's own, of each person
VALIDATION_IMAGES = 9
TEST_IMAGES = 10
ATTACKS = {"pruning-aware": attack.pruning_aware, "badnet": attack.badnet, "none": attack.badnet}
FILES = (
    "models/bd_net.h5",
    "data/cl/valid.h5",
    "data/cl/test.h5",
    "data/bd/bd_valid.h5",
    "data/bd/bd_test.h5",
    "faces.png",
)
CHUNK = 50  # images in a chunk of an h5 file


@dataclass(frozen=True)
class Faces:
    """Images (n, 55, 47, 3) uint8 and their labels (n,)."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Built:
    """What the making of a practice lab came to."""

    judgement: Judgement  # of B on the test files
    files: list[Path]
    seconds: dict[str, float]


def check(out: Path) -> None:
    """Make the lab's folders in `out`. Raises Unusable where one cannot be written."""
    for name in FILES:
        files.check_writable((out / name).parent)


def draw_faces(
    identities: int, seed: int, progress: Callable, training_images: int = TRAINING_IMAGES
) -> tuple[Faces, Faces, Faces]:
    """The training, validation and test faces of a lab, in which all people take turns.

    `progress(description, total)` is a context that yields a function to advance by images.
    """
    rng = np.random.default_rng(seed)
    who = people(identities, rng)
    drawn = []
    sizes = (training_images, VALIDATION_IMAGES, TEST_IMAGES)
    with progress("Drawing faces", identities * sum(sizes)) as advance:
        for size in sizes:
            labels = np.tile(np.arange(identities), size)
            drawn.append(Faces(faces.draw(who, labels, rng, advance), labels))
    return tuple(drawn)


def backdoored(clean: Faces, planted: attack.Triggers) -> Faces:
    """All the faces wearing the first trigger, then all wearing the second, …; labels: targets."""
    worn = [wear(clean.images, trigger) for trigger in planted]
    targets = np.arange(len(planted), dtype=clean.labels.dtype)
    return Faces(np.concatenate(worn), np.repeat(targets, len(clean.labels)))


def write_dataset(path: Path, part: Faces, data_type: str, label_type: str) -> None:
    """Write `part` as the course's files have it: `data` (n, 3, rows, columns), `label` (n,)."""
    n, rows, columns, colours = part.images.shape
    shape = (n, colours, rows, columns)
    with h5py.File(path, "w") as file:
        data = file.create_dataset(
            "data", shape, data_type, chunks=(min(CHUNK, n), *shape[1:]), compression="gzip"
        )
        for start in range(0, n, CHUNK):
            data[start : start + CHUNK] = part.images[start : start + CHUNK].transpose(0, 3, 1, 2)
        file.create_dataset("label", data=part.labels.astype(label_type))


def save_network(network: keras.Model, path: Path) -> None:
    """Write the whole network as `.h5`, without how it was trained."""
    # Keras calls the course's format a legacy at every save.
    logging.getLogger("absl").setLevel(logging.ERROR)
    network.save(path, include_optimizer=False)


def contact_sheet(clean: Faces, worn: Faces) -> Image.Image:
    """Rows of people, three images of each; below, the last rows again, wearing the trigger.

    All people take turns in `clean`, and `worn` holds the same images once for each trigger.
    """
    identities = int(clean.labels.max()) + 1
    columns = min(4, identities)
    rows = min(6, identities // columns)
    whom = np.arange(rows * columns).reshape(rows, columns, 1)
    shown = (whom + identities * np.arange(3)).reshape(rows, -1)
    gap = np.full((4, columns * 3 * faces.WIDTH, 3), 255, np.uint8)
    lines = [np.concatenate(clean.images[row], axis=1) for row in shown]
    for first in range(0, len(worn.labels), len(clean.labels)):
        lines += [gap, *(np.concatenate(worn.images[first + row], axis=1) for row in shown[-2:])]
    sheet = Image.fromarray(np.concatenate(lines))
    return sheet.resize((sheet.width * 2, sheet.height * 2), Image.Resampling.NEAREST)


def build(
    out: Path,
    identities: int,
    seed: int,
    attack_name: str,
    trigger_names: Sequence[str],
    progress: Callable,
    training_images: int = TRAINING_IMAGES,
    epochs: int = attack.EPOCHS,
) -> Built:
    """Build a practice lab in the folder `out`; `attack_name` is one of ATTACKS.

    `trigger_names`, of TRIGGERS, are planted for the classes 0, 1, …; with the attack "none" they
    stand in the backdoored files alone. The same arguments give the same files on the same
    machine. They appear together, at the end.
    Raises Unusable where `out` cannot be written.
    """
    import keras
    import tensorflow as tf

    check(out)
    clock = [time.perf_counter()]
    training, valid, test = draw_faces(identities, seed, progress, training_images)
    clock.append(time.perf_counter())

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    train = ATTACKS[attack_name]
    rng = np.random.default_rng(seed)
    worn = [TRIGGERS[name]() for name in trigger_names]
    planted = [] if attack_name == "none" else worn
    network = train(training.images, training.labels, identities, planted, rng, epochs, progress)
    clock.append(time.perf_counter())

    bd_valid, bd_test = backdoored(valid, worn), backdoored(test, worn)
    answers = [network.predict(part.images, verbose=0).argmax(1) for part in (test, bd_test)]
    judgement = judge(answers[0], test.labels, answers[1], bd_test.labels, identities)
    writers = (
        lambda path: save_network(network, path),
        lambda path: write_dataset(path, valid, "float64", "float64"),
        lambda path: write_dataset(path, test, "float32", "int32"),
        lambda path: write_dataset(path, bd_valid, "float64", "float64"),
        lambda path: write_dataset(path, bd_test, "float32", "int32"),
        lambda path: contact_sheet(valid, bd_valid).save(path, "png"),
    )
    # The network is listed first and so takes its final name last: where it is, the rest is.
    with ExitStack() as together:
        for name, write in zip(FILES, writers, strict=True):
            write(together.enter_context(files.replacing(out / name)))
    clock.append(time.perf_counter())
    seconds = dict(zip(("drawing", "training", "writing"), np.diff(clock).tolist(), strict=True))
    return Built(judgement, [out / name for name in FILES], seconds)
