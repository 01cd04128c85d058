"""An audit, from a loaded network and clean images to a verdict and a repaired network.

Two searches and a repair, which begins with a third, each on images of its own choice. One in six
of the clean images is set aside before all of it: no search and no training sees these, and on
them the repair and the patches are judged. Backdoored images and a test file decide nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from goodnet.auditing.aside import Aside, set_aside
from goodnet.auditing.measured import tell_measured
from goodnet.auditing.rates import Answered, Measure, judge_sets
from goodnet.auditing.repairing import Repair, Sizes, repair
from goodnet.auditing.triggers import Trigger, try_patches
from goodnet.auditing.verdict import Evidence, Verdict, decide
from goodnet.cli import shell
from goodnet.dataset import ImageSet
from goodnet.errors import Unusable
from goodnet.metrics import percent
from goodnet.networks.answers import classify
from goodnet.networks.goodnet import goodnet_network
from goodnet.networks.graph import copy_network
from goodnet.networks.loading import LoadedNetwork, count_classes
from goodnet.networks.pixel_hint import hint_at_pixels
from goodnet.progress import Reporter
from goodnet.tuning.bending import Bend
from goodnet.tuning.gradients import check_backend
from goodnet.tuning.images import divide
from goodnet.tuning.schedule import USUAL, Schedule
from goodnet.tuning.sounding import average, sound
from goodnet.tuning.suspects import Sounding, Unlearned, sighted
from goodnet.tuning.tuned import Tuned
from goodnet.tuning.unlearning import refuse_one_class

SEARCHES = 3  # that the repair begins with among them
STEPS = 5


@dataclass(frozen=True)
class ImageSets:
    """The clean images that decide, and sets that are judged on and decide nothing."""

    clean: ImageSet
    clean_test: ImageSet | None
    backdoored: ImageSet | None


@dataclass(frozen=True)
class Audit:
    """What an audit found, and the network that it made."""

    verdict: Verdict
    measured: str  # what is known of this method on networks like this one
    soundings: list[Sounding]
    together: Sounding
    method: str  # of the repair, as repair.py takes it
    tuned: Tuned[Unlearned]  # the network, and what was found of the suspects of its search
    bend: Bend | None  # the smallest in B, where relearning sought bends
    triggers: list[Trigger]  # of each suspect of the repair
    measures: list[Measure]  # what B, B' and G are worth
    worked_on: int  # clean images that searches and repair saw
    judged_on: int  # clean images that were set aside
    example: np.ndarray  # (height, width, colours), a clean image to show patches on
    goodnet: keras.Model

    @property
    def named(self) -> list[Trigger]:
        """The patches of the classes that the verdict names; else the smallest patch."""
        found = [each for each in self.triggers if each.label in self.verdict.classes]
        return found or self.triggers[:1]


def audit(
    b: LoadedNetwork,
    sets: ImageSets,
    seed: int,
    size: Sizes,
    reporter: Reporter,
    schedule: Schedule = USUAL,
) -> Audit:
    """Judge B, look for targets, repair it, judge the repair and the goodnet.

    B itself is left as it was. Raises Unusable where the network cannot be trained or a file
    cannot be read.
    """
    check_backend()
    with _about(b.path):
        refuse_one_class(b.model)
    b_answers, hint = _judge_b(b.model, sets.clean, size.batch, reporter)
    sources = np.random.default_rng(seed).spawn(1 + SEARCHES)
    aside = set_aside(sets.clean, sources[0])
    _step(3, "looking for classes to which a small patch leads any image")
    with _about(b.path):
        soundings = _sound(b.model, aside, sources[1:-1], size, reporter, schedule)
        _step(4, "repairing B, with another search")
        made = repair(b.model, aside, sources[-1], soundings, size, reporter, schedule)
    tuned = made.tuned
    soundings = [*soundings, sighted(tuned.findings.suspects)]
    _step(5, f"judging the repair on {int(aside.unseen.sum())} images set aside")
    judged = _judge(b.model, b_answers, tuned, sets, aside, size.batch, reporter)
    labels, n_classes = sets.clean.labels, count_classes(b.model)
    return Audit(
        verdict=decide(_evidence(labels, n_classes, hint, soundings, made)),
        measured=tell_measured(b.model),
        soundings=soundings,
        together=average(soundings),
        method=made.method,
        tuned=tuned,
        bend=made.bend,
        triggers=judged.triggers,
        measures=judged.measures,
        worked_on=len(aside.labels),
        judged_on=int(aside.unseen.sum()),
        example=aside.judged_images[0],
        goodnet=judged.goodnet,
    )


def _evidence(
    labels: np.ndarray, n_classes: int, hint: str | None, soundings: list[Sounding], made: Repair
) -> Evidence:
    """What speaks for a backdoor. labels: (n,), of the clean images."""
    return Evidence(
        images=len(labels),
        image_classes=len(np.unique(labels)),
        n_classes=n_classes,
        recognized=hint is None,
        soundings=soundings,
        unfinished=made.tuned.findings.unfinished,
        bend=made.bend,
    )


def _judge_b(
    network: keras.Model, clean: ImageSet, batch_size: int, reporter: Reporter
) -> tuple[np.ndarray, str | None]:
    """B's answers (n,); and the hint at their pixels where it hardly knows them, which is told."""
    _step(2, f"judging B on {len(clean)} clean images")
    with reporter.progress("Judging B", len(clean)) as advance:
        answers = classify([network], clean, batch_size, advance)[0]
    hits = int((answers == clean.labels).sum())
    hint = hint_at_pixels(network, clean, percent(hits, len(clean)), batch_size)
    shell.hint(hint)
    reporter.lap("judging_b")
    return answers, hint


@contextmanager
def _about(path: Path) -> Iterator[None]:
    """Let what cannot be done with a network name its file."""
    try:
        yield
    except Unusable as error:
        raise error.about_own(path) from None


def _step(number: int, what: str) -> None:
    shell.notice(f"Step {number} of {STEPS}: {what}")


def _sound(
    network: keras.Model,
    aside: Aside,
    sources: list[np.random.Generator],
    size: Sizes,
    reporter: Reporter,
    schedule: Schedule,
) -> list[Sounding]:
    soundings = []
    for number, rng in enumerate(sources, 1):
        shell.notice(f"Search {number} of {len(sources)}")
        parts = divide(aside.images, aside.labels, rng)
        soundings.append(sound(network, parts, rng, reporter.progress, schedule, size.together))
    reporter.lap("searching")
    return soundings


@dataclass(frozen=True)
class _Judged:
    goodnet: keras.Model
    measures: list[Measure]
    triggers: list[Trigger]


def _judge(
    network: keras.Model,
    b_answers: np.ndarray,
    tuned: Tuned[Unlearned],
    sets: ImageSets,
    aside: Aside,
    batch_size: int,
    reporter: Reporter,
) -> _Judged:
    repaired = copy_network(network, tuned.arrays)
    pair = network, repaired
    tests = {"clean_test": sets.clean_test, "backdoored": sets.backdoored}
    given = {name: images for name, images in tests.items() if images}
    total = len(sets.clean) + sum(map(len, given.values()))
    with reporter.progress("Judging the repair", total) as advance:
        clean = Answered(sets.clean, b_answers, aside.unseen)
        measures = judge_sets(pair, clean, given, batch_size, advance)
    suspects = tuned.findings.suspects
    with reporter.progress("Trying the patches", len(suspects)) as advance:
        triggers = try_patches(
            pair, suspects, aside.judged_images, aside.judged_labels, batch_size, advance
        )
    reporter.lap("judging_repair")
    return _Judged(goodnet_network(network, repaired), measures, triggers)
