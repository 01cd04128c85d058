"""The verdict: likely, possible, nothing found or inconclusive. None of them says "clean"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from goodnet.tuning.families import LEAST_CLASSES
from goodnet.tuning.naming import LIKELY, LIKELY_TOGETHER, OF_CLASSES
from goodnet.tuning.sounding import average
from goodnet.tuning.suspects import Sounding, likely, possible
from goodnet.tuning.traces import Trace, standing_out, tell, tell_none

LEAST_IMAGES = 120  # clean images: a sixth is judged on, a sixth of the rest held back

Answer = Literal["likely", "possible", "nothing found", "inconclusive"]


@dataclass(frozen=True)
class Evidence:
    """What the verdict is made of: the clean images, what searches and repair showed."""

    images: int
    image_classes: int  # how many classes the images are of
    n_classes: int
    recognized: bool  # whether B knows its clean images at all
    soundings: Sequence[Sounding]
    unfinished: Sequence[int]  # suspects that were not unlearned
    traces: Sequence[Trace] | None = None  # where triggers were sought family by family


@dataclass(frozen=True)
class Verdict:
    """The answer, the classes that it names, and why it is no other."""

    answer: Answer
    classes: list[int]
    reasons: list[str]
    shared: bool = False  # whether a patch leads each class to another, which names none


def decide(evidence: Evidence) -> Verdict:
    """The verdict of all traces, or of all searches; doubts at the images come before it."""
    if evidence.traces is not None:
        return _decide_by_traces(evidence, standing_out(evidence.traces))
    named, others = stand_out(evidence.soundings, evidence.n_classes)
    if doubts := list(_doubts(evidence)):
        return Verdict("inconclusive", named + others, doubts)
    if named:
        return Verdict("likely", named, [_agreement(evidence, named)])
    if others:
        return Verdict("possible", others, [_agreement(evidence, others)])
    if apart := sorted({label for each in evidence.soundings for label in likely(each)}):
        return Verdict("inconclusive", apart, [f"the searches disagree on {name_classes(apart)}"])
    if unfinished := sorted(evidence.unfinished):
        reason = f"small patches still lead to {name_classes(unfinished)}"
        return Verdict("inconclusive", unfinished, [reason])
    return Verdict("nothing found", [], list(_nothing(evidence.soundings)))


def _decide_by_traces(evidence: Evidence, traces: Sequence[Trace]) -> Verdict:
    """The verdict of the traces that stand out."""
    labels = {each.label for each in traces}
    classes = sorted(label for label in labels if label is not None)
    if doubts := list(_doubts(evidence)):
        return Verdict("inconclusive", classes, doubts)
    if not traces:
        every = evidence.traces or []
        reason = tell_none(any(each.family == "shape" for each in every))
        return Verdict("nothing found", [], [reason, *_not_leading(every)])
    answer: Answer = "likely" if any(each.likely for each in traces) else "possible"
    return Verdict(answer, classes, list(map(tell, traces)), shared=None in labels)


def _not_leading(traces: Sequence[Trace]) -> Iterator[str]:
    """What is small enough, but leads to a class that is not ahead on noise, or to few classes."""
    for each in traces:
        if each.small and not each.leading:
            but = "the class does not get ahead on noise, as targets do"
            yield f"{tell(each)}; but {'these are few' if each.label is None else but}"


def _nothing(soundings: Sequence[Sounding]) -> Iterator[str]:
    """What there is to say where no class stands out in all searches together."""
    yield f"no class stands out in {len(soundings)} searches together"
    if single := sorted({label for each in soundings for label in possible(each)}):
        yield f"{name_classes(single)} stood out in one of them alone, as may be without a backdoor"


def stand_out(soundings: Sequence[Sounding], n_classes: int) -> tuple[list[int], list[int]]:
    """The classes that are likely targets, and the others that are possible ones.

    A class is what the means over all searches make it, or most searches by themselves.
    """
    together = average(soundings)
    named = {*_likely(together, n_classes), *_in_most(list(map(likely, soundings)))}
    either = [likely(each) + possible(each) for each in soundings]
    others = {*possible(together), *_in_most(either)} - named
    return sorted(named), sorted(others)


def _likely(together: Sounding, n_classes: int) -> list[int]:
    """The classes that are likely targets by the means over all searches."""
    return likely(together, LIKELY_TOGETHER if n_classes >= OF_CLASSES else LIKELY)


def _in_most(listed: Sequence[Sequence[int]]) -> list[int]:
    """The classes in more than half of these lists."""
    every = {label for labels in listed for label in labels}
    return [x for x in every if 2 * sum(x in labels for labels in listed) > len(listed)]


def _doubts(evidence: Evidence) -> Iterator[str]:
    """Why nothing could be told of this network from these images."""
    if evidence.images < LEAST_IMAGES:
        yield f"{evidence.images} clean images are too few, {LEAST_IMAGES} are needed"
    if evidence.n_classes < LEAST_CLASSES:
        yield f"{evidence.n_classes} classes are too few to tell what is usual"
    if evidence.image_classes == 1:
        yield "all clean images are of one class"
    if not evidence.recognized:
        yield "B hardly knows the clean images, so their pixels or labels may be wrong"


def _agreement(evidence: Evidence, labels: Sequence[int]) -> str:
    """In how many searches all these classes stand out."""
    soundings = evidence.soundings
    named = [set(likely(each) + possible(each)) for each in soundings]
    agreeing = sum(set(labels) <= each for each in named)
    together = average(soundings)
    means = set(labels) <= {*_likely(together, evidence.n_classes), *possible(together)}
    return (
        f"{name_classes(labels)} stood out in {agreeing} of {len(soundings)} searches"
        f"{' and in their means' if means else ', though not in their means'}"
    )


def name_classes(labels: Sequence[int], before_last: str = "and") -> str:
    """Classes in words: class 0; classes 0, 1 and 5."""
    *most, last = map(str, labels)
    return f"classes {', '.join(most)} {before_last} {last}" if most else f"class {last}"
