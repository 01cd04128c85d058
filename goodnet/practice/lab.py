"""The practice lab: drawn faces and a network backdoored on them, in the course's files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from goodnet.lookup import look_up
from goodnet.metrics import Judgement, judge
from goodnet.practice.attack import EPOCHS
from goodnet.practice.catalogue import ATTACKS, NETWORKS, TRIGGERS, Attack, Network
from goodnet.practice.files import Contents, check_folders, write_files
from goodnet.practice.sets import TRAINING_IMAGES, Faces, Triggers, draw_faces, wear_each
from goodnet.progress import Progress

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Built:
    """What the making of a practice lab came to."""

    judgement: Judgement  # of B on the test files
    files: list[Path]
    seconds: dict[str, float]  # of drawing, training and writing


def build(
    out: Path,
    identities: int,
    seed: int,
    attack_name: str,
    trigger_names: Sequence[str],
    progress: Progress,
    network_name: str = "deepid",
    training_images: int = TRAINING_IMAGES,
    epochs: int = EPOCHS,
) -> Built:
    """Build a practice lab in the folder `out`: an attack of ATTACKS on a network of NETWORKS.

    `trigger_names`, of TRIGGERS, are planted for the classes 0, 1, …; with an attack that plants
    none they stand in the backdoored files alone. The same arguments give the same files on the
    same machine. They appear together, at the end.
    Raises Unusable where `out` cannot be written.
    """
    check_folders(out)
    clock = [time.perf_counter()]
    drawn = draw_faces(identities, seed, progress, training_images)
    clock.append(time.perf_counter())

    triggers = [look_up(TRIGGERS[name].place) for name in trigger_names]
    attacker = ATTACKS[attack_name], NETWORKS[network_name]
    network = _attack(*attacker, drawn.training, identities, seed, triggers, epochs, progress)
    clock.append(time.perf_counter())

    lab = Contents(
        network,
        clean_valid=drawn.validation,
        clean_test=drawn.test,
        backdoored_valid=wear_each(drawn.validation, triggers),
        backdoored_test=wear_each(drawn.test, triggers),
    )
    judgement = _judge(lab, identities)
    paths = write_files(lab, out)
    clock.append(time.perf_counter())
    seconds = dict(zip(("drawing", "training", "writing"), np.diff(clock).tolist(), strict=True))
    return Built(judgement, paths, seconds)


def built_json(built: Built) -> dict:
    """What the making of a practice lab came to, for `--json`."""
    return {
        "clean_accuracy": built.judgement.clean_accuracy,
        "attack_success_rate": built.judgement.attack_success_rate,
        "files": [str(path) for path in built.files],
        "seconds": built.seconds,
    }


def _attack(
    attack: Attack,
    network: Network,
    training: Faces,
    identities: int,
    seed: int,
    triggers: Triggers,
    epochs: int,
    progress: Progress,
) -> keras.Model:
    """Train a network by an attack, so that the same seed gives the same network."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    planted = triggers if attack.plants else []
    rng, fresh = np.random.default_rng(seed), look_up(network.place)
    return look_up(attack.place)(fresh, training, identities, planted, rng, epochs, progress)


def _judge(lab: Contents, identities: int) -> Judgement:
    """Judge B on the test files."""
    clean, backdoored = lab.clean_test, lab.backdoored_test
    answers, answers_backdoored = (
        lab.network.predict(part.images, verbose=0).argmax(1) for part in (clean, backdoored)
    )
    return judge(answers, clean.labels, answers_backdoored, backdoored.labels, identities)
