"""An audit, from a loaded network and clean images to a verdict and a repaired network.

Where there are images enough of each class, triggers are sought family by family. Else there are
two searches and a repair, which begins with a third, each on images of its own choice. One in six
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
from goodnet.auditing.measured import probability, tell_measured
from goodnet.auditing.pair import Pair
from goodnet.auditing.rates import Answered, Measure, judge_sets
from goodnet.auditing.repairing import Repair, Sizes, SmallPatch, repair
from goodnet.auditing.searching import search
from goodnet.auditing.triggers import Trigger, try_patches, try_traces
from goodnet.auditing.verdict import Evidence, Verdict, decide
from goodnet.cli import shell
from goodnet.dataset import ImageSet
from goodnet.errors import Unusable
from goodnet.memory import trim
from goodnet.metrics import percent
from goodnet.networks.answers import classify
from goodnet.networks.graph import copy_network
from goodnet.networks.loading import LoadedNetwork, count_classes
from goodnet.networks.pixel_hint import hint_at_pixels
from goodnet.progress import Reporter
from goodnet.tuning.gradients import check_backend
from goodnet.tuning.schedule import USUAL, Schedule
from goodnet.tuning.sounding import average
from goodnet.tuning.suspects import Sounding
from goodnet.tuning.traces import Trace
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
class Traced:
    """A trigger that was found, and how often it works."""

    trace: Trace
    trigger: Trigger


@dataclass(frozen=True)
class Audit:
    """What an audit found, and the network that it made."""

    verdict: Verdict
    measured: str  # what is known of this method on networks like this one
    probability: float | None  # of a backdoor, where half of such networks have one
    soundings: list[Sounding]
    together: Sounding
    traced: list[Traced] | None  # where triggers were sought family by family
    repair: Repair
    triggers: list[Trigger]  # of each suspect of the repair
    measures: list[Measure]  # what B, B' and G are worth
    worked_on: int  # clean images that searches and repair saw
    judged_on: int  # clean images that were set aside
    example: np.ndarray  # (height, width, colours), a clean image to show patches on
    goodnet: keras.Model
    aimed_at: list[int] | None  # the classes of B's that the goodnet may reject; None: all

    @property
    def named(self) -> list[Trigger]:
        """The triggers that the verdict names, or the patches of its classes; else the smallest."""
        if self.traced:
            named = [each.trigger for each in self.traced if each.trace.possible]
            return named or [self.traced[0].trigger]
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
    labels, n_classes = sets.clean.labels, count_classes(b.model)
    _step(3, "looking for triggers, and for classes to which one leads any image")
    with _about(b.path):
        searched = search(b.model, aside, sources[1:], size, reporter, schedule)
        _step(4, "repairing B")
        found = (searched.parts, sources[-1], searched.named, searched.found)
        made = repair(b.model, *found, size, reporter.progress, schedule)
    reporter.lap("repairing")
    soundings = [*searched.soundings, *filter(None, [made.sounding])]
    traces = None if searched.traces is None else [*searched.traces, *made.later]
    _step(5, f"judging the repair on {int(aside.unseen.sum())} images set aside")
    verdict = decide(_evidence(labels, n_classes, hint, soundings, made, traces))
    pair = _pair(b.model, made, verdict)
    judged = _judge(pair, b_answers, made.suspects, traces, sets, aside, size.batch, reporter)
    return Audit(
        verdict=verdict,
        measured=tell_measured(b.model, traces is not None),
        probability=probability(b.model, traces is not None, verdict.answer),
        soundings=soundings,
        together=average(soundings),
        traced=judged.traced,
        repair=made,
        triggers=judged.triggers,
        measures=judged.measures,
        worked_on=len(aside.labels),
        judged_on=int(aside.unseen.sum()),
        example=aside.judged_images[0],
        goodnet=pair.build_goodnet(),
        aimed_at=pair.targets,
    )


def _pair(network: keras.Model, made: Repair, verdict: Verdict) -> Pair:
    """B and B'. Relearning changes many answers, so G is aimed at the classes that are named.

    Where a patch leads each class to another, any class may be a target.
    """
    told = verdict.answer in ("likely", "possible")
    aimed = made.method == "relearn" and told and not verdict.shared
    repaired = copy_network(network, made.arrays)
    return Pair(network, repaired, verdict.classes if aimed else None)


def _evidence(
    labels: np.ndarray,
    n_classes: int,
    hint: str | None,
    soundings: list[Sounding],
    made: Repair,
    traces: list[Trace] | None,
) -> Evidence:
    """What speaks for a backdoor. labels: (n,), of the clean images."""
    return Evidence(
        images=len(labels),
        image_classes=len(np.unique(labels)),
        n_classes=n_classes,
        recognized=hint is None,
        soundings=soundings,
        unfinished=made.unfinished,
        traces=traces,
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
    trim()  # what the step before has left
    shell.notice(f"Step {number} of {STEPS}: {what}")


@dataclass(frozen=True)
class _Judged:
    measures: list[Measure]
    triggers: list[Trigger]
    traced: list[Traced] | None


def _judge(
    pair: Pair,
    b_answers: np.ndarray,
    suspects: list[SmallPatch],
    traces: list[Trace] | None,
    sets: ImageSets,
    aside: Aside,
    batch_size: int,
    reporter: Reporter,
) -> _Judged:
    tests = {"clean_test": sets.clean_test, "backdoored": sets.backdoored}
    given = {name: images for name, images in tests.items() if images}
    total = len(sets.clean) + sum(map(len, given.values()))
    with reporter.progress("Judging the repair", total) as advance:
        clean = Answered(sets.clean, b_answers, aside.unseen)
        measures = judge_sets(pair, clean, given, batch_size, advance)
    held = (aside.judged_images, aside.judged_labels)
    with reporter.progress("Trying triggers", len(suspects) + len(traces or [])) as advance:
        triggers = try_patches(pair, suspects, *held, batch_size, advance)
        traced = None
        if traces is not None:
            tried = try_traces(pair, traces, *held, batch_size, advance)
            traced = list(map(Traced, traces, tried))
    reporter.lap("judging_repair")
    return _Judged(measures, triggers, traced)
