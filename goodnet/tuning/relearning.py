"""Relearning: a copy of B is taught again what B makes of clean images, and not its backdoor.

Where a trigger is likely in B (families.py), a short lesson is enough: the copy learns to see
past what stands out. Then triggers are sought in the copy in the same way. What stands out there,
as the second of two, is seen past in another lesson. The trigger may be much larger than a patch
that was found, so in a last, harder lesson patches are sought in the copy itself on the way.
Where none is likely, more has to go: what stands out may be no trigger, and B have another. A
backdoor is learned from images with the trigger, of which clean images hold none. So the copy's
weights are mixed with noise, until most of everything is forgotten, and it learns again from clean
images alone. What it is not shown, it does not learn again. No class and no trigger is needed, so
it does not matter what the trigger is; it takes hundreds of clean images of a class, and costs
more accuracy. Then B and the copy are compared: a large shape may lead to a class in B alone
(shapes.py). The copy is taught to see past that, too.

To shake and train anew: Ash and Adams (2020), "On Warm-Starting Neural Network Training".
A share of what a lesson changes: Wortsman et al. (2022), "Robust fine-tuning of zero-shot models".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import keras
import numpy as np

from goodnet.dataset import ImageSet
from goodnet.networks.graph import every_layer
from goodnet.networks.loading import count_classes
from goodnet.progress import Progress
from goodnet.tuning.families import LEAST_CLASSES, MANY_CLASSES, MORE, find_traces, trace_shape
from goodnet.tuning.gradients import ALL, Copy, Logits, copy_with_logits, predict_classes
from goodnet.tuning.images import Parts, has_enough, read_parts
from goodnet.tuning.lessons import Lesson, Pace, teach
from goodnet.tuning.patches import lay_some
from goodnet.tuning.searching import FULL, Search, make_search
from goodnet.tuning.traces import Trace, standing_out
from goodnet.tuning.tuned import Tuned

ROUNDS = 3  # lessons to see past what was found, at most
HARDER = 600  # steps of a lesson past patches that are sought in the copy
PAST_SHAPE = 400  # of one past a large shape
# How much of what it changes is kept, and what share of the right answers that may cost. With 0.7
# half of what it costs comes back. Of 400 images held back chance alone may cost a few of 100.
SHARES = ((1.0, 0.002), (0.7, 0.05))
ALIKE = 0.9  # of B's right answers, which mirrored images must keep to be used


@dataclass(frozen=True)
class Paces:
    """How a kind of network is taught."""

    past_found: Pace  # to see past triggers that were found
    noise: float  # the share of it that B is shaken with, where none was found
    anew: Pace  # after that


ANEW = Pace(steps=3300, rate=6e-3, mixed=0.7)
# Batch norm forgets sooner: its statistics no longer fit weights that were shaken.
NORMED = Paces(past_found=Pace(steps=800, rate=1.5e-3, mixed=0.0), noise=0.6, anew=ANEW)
PLAIN = Paces(past_found=Pace(steps=1200, rate=1e-2, mixed=0.0), noise=0.8, anew=ANEW)


@dataclass(frozen=True)
class Relearned:
    """What relearning did."""

    steps: int
    mirrored: bool  # whether mirrored images were used, too
    anew: bool  # whether most of what B knows was forgotten first
    traces: list[Trace] | None  # triggers that stand out, in B or later; None: none was sought
    shape: Trace | None = None  # a large shape, whether it stands out or not; None: none was sought


def relearn(
    network: keras.Model, valid: ImageSet, seed: int, progress: Progress, together: int = ALL
) -> Tuned[Relearned]:
    """Teach a copy of B again what B makes of clean images.

    B itself is left as it was. together: how many images have their gradients found at one time.
    Raises Unusable where the network cannot be trained.
    """
    rng = np.random.default_rng(seed)
    parts, traces, n_classes = read_parts(valid, rng), None, count_classes(network)
    if n_classes >= LEAST_CLASSES and has_enough(parts.labels, n_classes):
        logits = copy_with_logits(network, parts.held_back, together).logits
        found = find_traces(logits, parts, n_classes, rng.spawn(1)[0], progress, together)
        traces = found.traces
    return relearn_parts(network, parts, traces, rng, progress, together)


def relearn_parts(
    network: keras.Model,
    parts: Parts,
    traces: Sequence[Trace] | None,
    rng: np.random.Generator,
    progress: Progress,
    together: int = ALL,
) -> Tuned[Relearned]:
    """The same with images that are read already, and what was found in B; None: nothing sought."""
    found, n_classes = standing_out(traces or []), count_classes(network)
    b, copy = (copy_with_logits(network, parts.held_back, together) for _ in range(2))
    start_chance(copy.network, rng)
    lesson, b_hits = _begin(b.logits, parts, n_classes, rng, together)
    paces = NORMED if has_batch_norm(network) else PLAIN
    # Who leads all images to one class hardly planted a second backdoor from class to class.
    rounds, new, shared = 0, found, all(each.label is None for each in found)
    sure = any(each.likely for each in found)
    while sure and new and rounds < ROUNDS:
        lesson = replace(lesson, traces=[*lesson.traces, *new])
        teach(copy, b, lesson, paces.past_found, progress, together)
        own = rng.spawn(1)[0]
        again = find_traces(copy.logits, parts, n_classes, own, progress, together, shared)
        rounds, new = rounds + 1, standing_out(again.traces)
    steps = rounds * paces.past_found.steps
    if anew := bool(new or not found):
        lesson = replace(lesson, traces=[*lesson.traces, *new])
        copy.network.set_weights(network.get_weights())
        shake(copy.network, rng, paces.noise)
        teach(copy, b, lesson, paces.anew, progress, together)
        steps += paces.anew.steps
    elif _teach_harder(copy, b, lesson, paces.past_found, parts, progress, together):
        steps += HARDER
    seen = None if traces is None else _name_once(found, lesson.traces[len(found) :])
    shape = None
    if seen is not None and not sure and n_classes <= MANY_CLASSES:
        own = rng.spawn(1)[0]
        shape = trace_shape(b.logits, copy.logits, parts, n_classes, own, progress, together)
        if shape.possible:
            seen.append(shape)
            lesson = replace(lesson, traces=[*lesson.traces, shape])
            pace = replace(paces.past_found, steps=PAST_SHAPE)
            teach(copy, b, lesson, pace, progress, together)
            steps += PAST_SHAPE
    return Tuned(
        arrays=copy.network.get_weights(),
        held_back=len(parts.held_back),
        kept=_count_hits(copy.logits, parts.held_back, parts.held_back_labels, together),
        b_hits=b_hits,
        findings=Relearned(steps, lesson.mirrored, anew, seen, shape),
    )


def _begin(
    b: Logits, parts: Parts, n_classes: int, rng: np.random.Generator, together: int
) -> tuple[Lesson, int]:
    """A lesson past no trigger; and to how many images held back B gives their label."""
    images, labels = parts.held_back, parts.held_back_labels
    hits = _count_hits(b, images, labels, together)
    # Where B does not know mirrored images, as of digits, their labels would teach it wrong.
    mirrored = _count_hits(b, images[:, :, ::-1], labels, together) >= ALIKE * hits
    one_hot = np.eye(n_classes, dtype=np.float32)[parts.labels]
    return Lesson(parts.images, one_hot, mirrored, [], rng, rng.spawn(1)[0]), hits


def _teach_harder(
    copy: Copy,
    b: Copy,
    lesson: Lesson,
    pace: Pace,
    parts: Parts,
    progress: Progress,
    together: int,
) -> bool:
    """See past patches to the same classes that are found in the copy; whether that cost little.

    Where it cost more, a part of it is kept, or nothing.
    """
    if not any(each.family == "patch" for each in lesson.traces):
        return False
    arrays, held_back = copy.network.get_weights(), (parts.held_back, parts.held_back_labels)
    before = _count_hits(copy.logits, *held_back, together)
    search = make_search(copy.logits, parts.images, together)
    seek = partial(_seek_more, lesson.traces, search, lesson.source)
    teach(copy, b, lesson, replace(pace, steps=HARDER), progress, together, seek)
    changed = copy.network.get_weights()
    for share, cost in SHARES:
        both = zip(arrays, changed, strict=True)
        copy.network.set_weights([old + share * (new - old) for old, new in both])
        if _count_hits(copy.logits, *held_back, together) >= (1 - cost) * before:
            return True
    copy.network.set_weights(arrays)
    return False


def _seek_more(traces: Sequence[Trace], search: Search, rng: np.random.Generator) -> list[Trace]:
    """For each patch among these, others that lead to its class, in the network of `search`."""
    found = []
    for each in traces:
        if each.family == "patch":
            patches = search(np.full(MORE, each.label), rng, FULL)
            lay = partial(lay_some, patches=patches, odds=np.full(MORE, 1 / MORE))
            found.append(replace(each, lay_some=lay))
    return found


def _name_once(found: Sequence[Trace], later: Sequence[Trace]) -> list[Trace]:
    """What was found in B, and what stood out later, if it is of a family or class of its own."""
    named = {(each.family, each.label): each for each in found}
    for each in later:
        named.setdefault((each.family, each.label), replace(each, later=True))
    return list(named.values())


def has_batch_norm(network: keras.Model) -> bool:
    """Whether any of its layers is one."""
    return any(isinstance(x, keras.layers.BatchNormalization) for x in every_layer(network))


def shake(network: keras.Model, rng: np.random.Generator, noisy: float) -> None:
    """Mix all weights but biases and the like with a share of noise of their size, which stays."""
    for variable in network.trainable_variables:
        if len(variable.shape) > 1:
            old = np.asarray(variable, np.float32)
            noise = rng.normal(0, np.sqrt(np.mean(old**2)), old.shape)
            mixed = (1 - noisy) * old + noisy * noise
            variable.assign(mixed / np.hypot(1 - noisy, noisy))


def start_chance(network: keras.Model, rng: np.random.Generator) -> None:
    """Let what decides on dropout start anew, by `rng` alone."""
    kept = {id(each) for each in network.weights}
    for variable in network.variables:
        if id(variable) not in kept:  # the states of Keras's SeedGenerator
            variable.assign(rng.integers(0, 1 << 31, variable.shape))


def _count_hits(logits: Logits, images: np.ndarray, labels: np.ndarray, together: int) -> int:
    """How many images are given their label."""
    return int((predict_classes(logits, images, together) == labels).sum())
