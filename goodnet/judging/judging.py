"""Judge a network B, and the goodnets that B makes with repaired networks, on image files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from goodnet.cli.values import remark_on_values
from goodnet.dataset import Fit, ImageSet, open_backdoored, open_clean
from goodnet.errors import Unusable
from goodnet.judging.robust import true_classes
from goodnet.memory import Limits
from goodnet.metrics import Judgement, Robust, count_robust, judge
from goodnet.networks.answers import classify
from goodnet.networks.demands import fit_batch
from goodnet.networks.goodnet import goodnet_labels, is_goodnet, refuse_goodnet
from goodnet.networks.loading import LoadedNetwork, count_classes, input_shape, load_network
from goodnet.networks.pixel_hint import hint_at_pixels
from goodnet.pixels import Range, Scaling
from goodnet.progress import Reporter
from goodnet.vetting.quarantine import Held


@dataclass(frozen=True)
class Answers:
    """The classes answered to a clean and a backdoored image set, (n,) int64 each; (0,): none."""

    clean: np.ndarray
    backdoored: np.ndarray


@dataclass(frozen=True)
class JudgedNetwork:
    """What a network is worth by itself and, for a repaired one, with B as a goodnet."""

    path: Path
    itself: Judgement
    answers: Answers
    goodnet: Judgement | None
    goodnet_answers: Answers | None
    robust: Robust | None  # None where true classes are not known, or there is no B'


@dataclass(frozen=True)
class Judged:
    """B, first, and its repaired networks, judged on a clean and, if any, a backdoored set."""

    clean: ImageSet
    backdoored: ImageSet | None
    n_classes: int
    models: tuple[keras.Model, ...]
    networks: tuple[JudgedNetwork, ...]  # the same, in the same order
    hint: str | None  # at the pixels, where B hardly knows its clean images


def load_alike(held: Held, networks: Sequence[Path]) -> list[LoadedNetwork]:
    """Load B and the repaired networks that follow it, or a network or a goodnet alone.

    Raises Unusable where a file cannot be used or a B' does not fit B.
    """
    loaded = [load_network(held.network(path)) for path in networks]
    for each in loaded:
        remark_on_values(each.path, each.model)
    check_alike(loaded)
    return loaded


def check_alike(loaded: Sequence[LoadedNetwork]) -> None:
    """Raise Unusable where a B' does not fit B, the first, or one of several is a goodnet."""
    if len(loaded) > 1:
        for each in loaded:
            refuse_goodnet(each)
    b, *others = loaded
    shape, n_classes = input_shape(b.model), count_classes(b.model)
    for repaired in others:
        own = input_shape(repaired.model), count_classes(repaired.model)
        if own != (shape, n_classes):
            raise Unusable(
                f"takes {own[0]} and has {own[1]} classes, but {b.path} takes {shape} and has "
                f"{n_classes}; B and B' must be alike",
                repaired.path,
            )


def judge_networks(
    held: Held,
    clean: Path,
    backdoored: Path | None,
    networks: Sequence[Path],
    scale: Scaling | Range,
    limits: Limits,
    reporter: Reporter,
) -> Judged:
    """Judge B, the first of `networks`, and each repaired network B' that follows.

    All files are among those held. The stages: loading, judging_clean, judging_backdoored. Raises
    Unusable where a file cannot be used or a B' does not fit B.
    """
    loaded = load_alike(held, networks)
    fit = fit_to_judge(loaded[0].model, scale)
    clean_images = open_clean(held.images(clean), fit)
    backdoored_images = open_backdoored(held.images(backdoored), fit) if backdoored else None
    shapes = [each.shape for each in (clean_images, backdoored_images) if each]
    batch_size = fit_batch(loaded, shapes, limits)
    reporter.lap("loading")
    return judge_loaded(loaded, clean_images, backdoored_images, batch_size, reporter)


def fit_to_judge(network: keras.Model, scale: Scaling | Range) -> Fit:
    """What image sets must fit to judge B, or a goodnet, which rejects by its last output."""
    return Fit(input_shape(network), count_classes(network) - is_goodnet(network), scale)


def judge_loaded(
    loaded: Sequence[LoadedNetwork],
    clean: ImageSet,
    backdoored: ImageSet | None,
    batch_size: int,
    reporter: Reporter,
) -> Judged:
    """Judge B, the first, and each repaired network B' that follows, all of them alike.

    A goodnet may stand alone in B's place: its last output is the rejection, and not a class. The
    stages: judging_clean, judging_backdoored.
    """
    models = [each.model for each in loaded]
    n_classes = count_classes(models[0]) - is_goodnet(models[0])
    targets = backdoored.labels if backdoored else np.zeros(0, np.int64)
    on_backdoored = np.zeros((len(models), 0), np.int64)
    with reporter.progress("Judging", len(clean) + len(targets)) as advance:
        on_clean = classify(models, clean, batch_size, advance)
        reporter.lap("judging_clean")
        if backdoored:
            on_backdoored = classify(models, backdoored, batch_size, advance)
            reporter.lap("judging_backdoored")

    def count(given: Answers) -> Judgement:
        return judge(given.clean, clean.labels, given.backdoored, targets, n_classes)

    b, *others = map(Answers, on_clean, on_backdoored)
    true = true_classes(clean, backdoored) if backdoored and others else None

    def robust(given: Answers) -> Robust | None:
        return None if true is None else count_robust(given.backdoored, true, targets)

    judged = [JudgedNetwork(loaded[0].path, count(b), b, None, None, robust(b))]
    for each, own in zip(loaded[1:], others, strict=True):
        together = _goodnet_answers(b, own, n_classes)
        judged.append(
            JudgedNetwork(each.path, count(own), own, count(together), together, robust(own))
        )
    return Judged(
        clean=clean,
        backdoored=backdoored,
        n_classes=n_classes,
        models=tuple(models),
        networks=tuple(judged),
        hint=hint_at_pixels(models[0], clean, judged[0].itself.clean_accuracy, batch_size),
    )


def _goodnet_answers(b: Answers, repaired: Answers, n_classes: int) -> Answers:
    return Answers(
        goodnet_labels(b.clean, repaired.clean, n_classes),
        goodnet_labels(b.backdoored, repaired.backdoored, n_classes),
    )
