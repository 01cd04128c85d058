"""Judge a network B, and the goodnets that B makes with repaired networks, on image files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from goodnet.dataset import ImageSet, open_backdoored, open_clean
from goodnet.errors import Unusable
from goodnet.metrics import Judgement, judge
from goodnet.networks.answers import classify
from goodnet.networks.goodnet import is_goodnet, refuse_goodnet
from goodnet.networks.goodnet_labels import goodnet_labels
from goodnet.networks.loading import count_classes, input_shape, load_network


@dataclass(frozen=True)
class Verdict:
    """What a network is worth by itself and, for a repaired one, with B as a goodnet."""

    path: Path
    itself: Judgement
    goodnet: Judgement | None
    answers: tuple[np.ndarray, np.ndarray]  # to the clean and the backdoored images, by itself
    goodnet_answers: tuple[np.ndarray, np.ndarray] | None


@dataclass(frozen=True)
class Judged:
    """B, first, and its repaired networks, judged on a clean and a backdoored image set."""

    clean: ImageSet
    backdoored: ImageSet
    n_classes: int
    networks: tuple[keras.Model, ...]
    verdicts: tuple[Verdict, ...]  # of these, in the same order


def load_alike(networks: Sequence[Path]) -> list[keras.Model]:
    """Load B and the repaired networks that follow it, or a network or a goodnet alone.

    Raises Unusable where a file cannot be used or a B' does not fit B.
    """
    loaded = [load_network(path) for path in networks]
    if len(networks) > 1:
        for path, network in zip(networks, loaded, strict=True):
            refuse_goodnet(path, network)
    shape, n_classes = input_shape(loaded[0]), count_classes(loaded[0])
    for path, repaired in zip(networks[1:], loaded[1:], strict=True):
        if (input_shape(repaired), count_classes(repaired)) != (shape, n_classes):
            raise Unusable(
                f"{path}: takes {input_shape(repaired)} and has {count_classes(repaired)} classes, "
                f"but {networks[0]} takes {shape} and has {n_classes}; B and B' must be alike"
            )
    return loaded


def judge_networks(
    clean: Path,
    backdoored: Path,
    networks: Sequence[Path],
    scale: float,
    batch_size: int,
    progress: Callable,
    lap: Callable[[str], None],
) -> Judged:
    """Judge B, the first of `networks`, and each repaired network B' that follows.

    A goodnet may stand alone in B's place: its last output is the rejection, and not a class.

    `progress(description, total)` is a context that yields a function to advance by images; `lap`
    is told when a stage ends: loading, judging_clean, judging_backdoored. Raises Unusable where a
    file cannot be used or a B' does not fit B.
    """
    loaded = load_alike(networks)
    shape, n_classes = input_shape(loaded[0]), count_classes(loaded[0]) - is_goodnet(loaded[0])
    clean_images = open_clean(clean, shape, n_classes, scale)
    backdoored_images = open_backdoored(backdoored, shape, n_classes, scale)
    lap("loading")
    total = len(clean_images) + len(backdoored_images)
    with progress("Judging", total) as advance:
        clean_answers = classify(loaded, clean_images, batch_size, advance)
        lap("judging_clean")
        backdoored_answers = classify(loaded, backdoored_images, batch_size, advance)
        lap("judging_backdoored")

    def count(answers: tuple[np.ndarray, np.ndarray]) -> Judgement:
        on_clean, on_backdoored = answers
        return judge(
            on_clean, clean_images.labels, on_backdoored, backdoored_images.labels, n_classes
        )

    def goodnet(answers: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        pairs = zip((clean_answers[0], backdoored_answers[0]), answers, strict=True)
        return tuple(goodnet_labels(by_b, repaired, n_classes) for by_b, repaired in pairs)

    verdicts = []
    for path, *answers in zip(networks, clean_answers, backdoored_answers, strict=True):
        together = goodnet(answers) if verdicts else None
        judgement = together and count(together)
        verdicts.append(Verdict(path, count(answers), judgement, tuple(answers), together))
    return Judged(clean_images, backdoored_images, n_classes, tuple(loaded), tuple(verdicts))
