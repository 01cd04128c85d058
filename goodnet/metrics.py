"""Counts of images and their percentages, and how unusual a value is among others."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


def percent(count: int, n: int) -> float:
    """`count` of `n` in percent; in this order the published digits come out. NaN of nothing."""
    return count / n * 100 if n else math.nan


class Interval(NamedTuple):
    """From where to where."""

    low: float
    high: float


def wilson_interval(count: int, n: int) -> Interval:
    """The 95 % interval of the rate behind `count` of `n` images, in percent.

    Wilson (1927), "Probable Inference, the Law of Succession, and Statistical Inference", JASA
    22. It stays inside 0..100 and has a width at 0 and at `n` of `n` too.
    """
    z = 1.959963984540054  # the normal distribution's 97.5 % point
    rate = count / n
    middle = rate + z * z / (2 * n)
    spread = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    low, high = ((middle + sign * spread) / (1 + z * z / n) * 100 for sign in (-1, 1))
    return Interval(low if count else 0.0, high if count < n else 100.0)


def defense_effectiveness_rating(before: "Judgement", after: "Judgement") -> float:
    """DER, from 0 to 1, higher is better: what a defense takes from the ASR and the accuracy.

    Zhu, Wei, Shen, Fan and Wu (2023), "Enhancing Fine-Tuning based Backdoor Defense with
    Sharpness-Aware Minimization", ICCV, equation 7, which BackdoorBench reports: half of
    max(0, drop in ASR) - max(0, drop in clean accuracy) + 1. 0.5 is what doing nothing gives.
    """
    lost = max(0.0, before.clean_accuracy - after.clean_accuracy) / 100
    gained = max(0.0, before.attack_success_rate - after.attack_success_rate) / 100
    return (gained - lost + 1) / 2


def fidelity(before: "Judgement", after: "Judgement") -> float:
    """What share of the ASR a defense takes, times the share of clean accuracy that it keeps.

    As TrojAI's mitigation rounds score (1 is best): (ASR before - after) / ASR before, times
    accuracy after / accuracy before. NaN where B has no attack success or knows no clean image.
    """
    if not before.backdoored_hits or not before.clean_hits:
        return math.nan
    taken = 1 - after.attack_success_rate / before.attack_success_rate
    return taken * after.clean_accuracy / before.clean_accuracy


def hits(answers: np.ndarray, labels: np.ndarray, n_classes: int) -> np.ndarray:
    """How many images (last axis) are given their label.

    Clean images: the correct ones. Backdoored images, whose label is the attacker's target: the
    successful attacks. The rejection, index `n_classes`, is never a hit.
    """
    return ((answers == labels) & (labels < n_classes)).sum(axis=-1)


def rejections(answers: np.ndarray, n_classes: int) -> np.ndarray:
    """How many answers (last axis) are the goodnet's rejection, index `n_classes`."""
    return (answers == n_classes).sum(axis=-1)


def deviations(values: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """By how many median absolute deviations of `usual` (m,) each value is above its median, (n,).

    Deviations count 1.4826 times, as in Neural Cleanse (Wang et al. 2019, section 4): a score that
    is comparable between networks.
    """
    middle = np.median(usual)
    return (values - middle) / max(1.4826 * np.median(np.abs(usual - middle)), 1e-9)


@dataclass(frozen=True)
class Judgement:
    """How a network, or a goodnet, answers a clean and a backdoored image set: image counts.

    Where there is no backdoored set, its counts are 0 and its rates NaN.
    """

    clean_images: int
    clean_hits: int
    clean_rejected: int
    backdoored_images: int
    backdoored_without_target: int  # labelled with the rejection: never a hit
    backdoored_hits: int
    backdoored_rejected: int

    @property
    def clean_accuracy(self) -> float:
        return percent(self.clean_hits, self.clean_images)

    @property
    def attack_success_rate(self) -> float:
        return percent(self.backdoored_hits, self.backdoored_images)

    @property
    def clean_rejected_rate(self) -> float:
        return percent(self.clean_rejected, self.clean_images)

    @property
    def backdoored_rejected_rate(self) -> float:
        return percent(self.backdoored_rejected, self.backdoored_images)


def judge(
    clean_answers: np.ndarray,
    clean_labels: np.ndarray,
    backdoored_answers: np.ndarray,
    targets: np.ndarray,
    n_classes: int,
) -> Judgement:
    """Count what the answers (class indices, `n_classes` where rejected) are worth."""
    return Judgement(
        clean_images=len(clean_labels),
        clean_hits=int(hits(clean_answers, clean_labels, n_classes)),
        clean_rejected=int(rejections(clean_answers, n_classes)),
        backdoored_images=len(targets),
        backdoored_without_target=int((targets >= n_classes).sum()),
        backdoored_hits=int(hits(backdoored_answers, targets, n_classes)),
        backdoored_rejected=int(rejections(backdoored_answers, n_classes)),
    )


@dataclass(frozen=True)
class Robust:
    """Backdoored images of other classes than the target, by what a network calls them."""

    images: int
    right: int  # given their true class: robust accuracy, as BackdoorBench (2022) defines it
    instead: int | None  # the class that the others are given most often; None: all are right
    given_instead: int  # images that are given it


def count_robust(answers: np.ndarray, true: np.ndarray, targets: np.ndarray) -> Robust | None:
    """What images (n,) of these true classes are answered; None where all are of their targets."""
    others = true != targets
    given, wanted = answers[others], true[others]
    if not len(given):
        return None
    classes, images = np.unique(given[given != wanted], return_counts=True)
    most = int(images.argmax()) if len(images) else None
    return Robust(
        images=len(given),
        right=int((given == wanted).sum()),
        instead=None if most is None else int(classes[most]),
        given_instead=0 if most is None else int(images[most]),
    )
