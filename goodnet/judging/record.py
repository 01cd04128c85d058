"""What is kept of a judgement for later, without Keras: counts, answers by class, SHA-256."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from goodnet.metrics import Judgement, Robust

if TYPE_CHECKING:  # it imports Keras, which plot.py does without
    from goodnet.judging.judging import Answers, Judged

Counts = dict[int, int]  # class -> images


@dataclass(frozen=True)
class FileRecord:
    """A file that was judged, or judged on."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class AnswerRecord:
    """What a network, or a goodnet, answered: counts of images, in all and by class."""

    judgement: Judgement
    clean_answers: Counts
    backdoored_answers: Counts


@dataclass(frozen=True)
class NetworkRecord:
    """B or a repaired network, and the goodnet that the latter makes with B."""

    file: FileRecord
    itself: AnswerRecord
    goodnet: AnswerRecord | None
    robust: Robust | None = None  # None: the true classes of backdoored images are not known


@dataclass(frozen=True)
class Record:
    """What was judged and found: the content of `judged.json`."""

    n_classes: int
    clean: FileRecord
    backdoored: FileRecord | None  # None: no backdoored images were judged
    targets: Counts  # the labels of the backdoored images
    networks: tuple[NetworkRecord, ...]  # B first


@dataclass(frozen=True)
class Rate:
    """A share of the images of a set: so many of so many."""

    count: int
    images: int


def rates_of(judgement: Judgement) -> dict[str, Rate]:
    """The four rates of a judgement, by the names that they have in `judged.json`.

    Those of backdoored images are absent where none were judged.
    """
    clean, backdoored = judgement.clean_images, judgement.backdoored_images
    rates = {
        "clean_accuracy": Rate(judgement.clean_hits, clean),
        "attack_success_rate": Rate(judgement.backdoored_hits, backdoored),
        "clean_rejected_rate": Rate(judgement.clean_rejected, clean),
        "backdoored_rejected_rate": Rate(judgement.backdoored_rejected, backdoored),
    }
    return {name: rate for name, rate in rates.items() if rate.images}


def record_of(judged: "Judged", digests: Mapping[Path, str]) -> Record:
    """The record of what was judged. `digests`: the SHA-256 of each file."""

    def file(path: Path) -> FileRecord:
        return FileRecord(str(path), path.stat().st_size, digests[path])

    return Record(
        judged.n_classes,
        file(judged.clean.path),
        file(judged.backdoored.path) if judged.backdoored else None,
        count_by_class(judged.backdoored.labels) if judged.backdoored else {},
        tuple(
            NetworkRecord(
                file(network.path),
                _answer_record(network.itself, network.answers),
                _answer_record(network.goodnet, network.goodnet_answers)
                if network.goodnet and network.goodnet_answers
                else None,
                network.robust,
            )
            for network in judged.networks
        ),
    )


def _answer_record(judgement: Judgement, answers: "Answers") -> AnswerRecord:
    return AnswerRecord(
        judgement, count_by_class(answers.clean), count_by_class(answers.backdoored)
    )


def count_by_class(answers: np.ndarray) -> Counts:
    """How many images were given each class, by class; classes that none was given are absent."""
    classes, images = np.unique(answers, return_counts=True)
    return dict(zip(classes.tolist(), images.tolist(), strict=True))


def name_networks(record: Record) -> list[str]:
    """A name for each network: that of its file, or the whole path where that is not enough."""
    paths = [network.file.name for network in record.networks]
    names = [path.rpartition("/")[2] for path in paths]
    return names if len(set(names)) == len(names) else paths
