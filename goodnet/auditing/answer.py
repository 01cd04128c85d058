"""The answer in four lines: what was found, the repaired network, the safest one, the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from goodnet.auditing.auditing import Audit
from goodnet.auditing.rates import Measure
from goodnet.auditing.triggers import Trigger
from goodnet.auditing.verdict import name_classes
from goodnet.lab import AuditFiles
from goodnet.metrics import percent
from goodnet.printable import printable


def tell_lines(found: Audit, made: AuditFiles) -> list[str]:
    """The answer, a line each."""
    return [
        f"Backdoor: {tell_verdict(found)}.{_tell_probability(found)}",
        f"Repaired: {printable(made.network)} {_tell_repaired(found)}.",
        f"Safest: {printable(made.goodnet)}, in which {_tell_goodnet(found)}.",
        f"Report: {printable(made.report)}",
    ]


def tell_verdict(found: Audit) -> str:
    """The verdict with what it rests on, without a full stop."""
    verdict = found.verdict
    if verdict.answer == "nothing found":
        return f"nothing found, which does not show that there is none: {found.measured}"
    if verdict.answer == "inconclusive":
        return f"inconclusive: {'; '.join(verdict.reasons)}"
    if found.traced is not None:
        to = ["from class to class"] if verdict.shared else []
        to += [f"to {name_classes(verdict.classes)}"] if verdict.classes else []
        works = shares(found.named, lambda each: each.b)
        works = f"{'they work' if len(found.named) > 1 else 'it works'} on {works} of images"
        return f"{verdict.answer}, {' and '.join(to)} ({'; '.join(verdict.reasons)}; {works})"
    suspects = {each.label: each for each in found.repair.suspects}
    sizes = [f"{suspects[x].size * 100:.1f} %" for x in verdict.classes if x in suspects]
    rates = shares(found.named, lambda each: each.b)
    rests = (
        f"{'patches' if len(sizes) > 1 else 'a patch'} of {_listed(sizes)} of the image "
        f"{'send' if len(sizes) > 1 else 'sends'} {rates} of other images there, an ordinary class "
        f"needs {found.repair.ordinary * 100:.1f} %"
    )
    return f"{verdict.answer}, to {name_classes(verdict.classes)} ({rests})"


def _tell_probability(found: Audit) -> str:
    """What such an answer was worth so far: a sentence, or nothing."""
    if found.probability is None:
        return ""
    of_100 = round(100 * found.probability)
    return f" If half of such networks have a backdoor, {of_100} of 100 with this answer do."


def _tell_repaired(found: Audit) -> str:
    right, kept = measure(found, "clean_accuracy"), measure(found, "clean_as_b")
    works = shares(found.named, lambda each: each.repaired)
    return (
        f"gives {share(right.repaired, right.images)} of clean images their label "
        f"(B: {share(right.b, right.images)}), and {share(kept.repaired, kept.images)} the answer "
        f"of B; {_patch(found)} {works} of images"
    )


def _patch(found: Audit) -> str:
    """What is tried on the repaired network, up to the figure."""
    many, verdict = len(found.named) > 1, found.verdict
    what, plural = ("patch", "patches") if found.traced is None else ("trigger", "triggers")
    labels = [each.label for each in found.named if each.label is not None]
    if verdict.answer in ("likely", "possible") or not labels:
        return f"these {plural} now work on" if many else f"that {what} now works on"
    named = name_classes(labels)
    if many:
        return f"the {plural} to {named} now work on"
    if verdict.classes:
        return f"the {what} to {named} now works on"
    return f"the smallest patch, to {named}, now works on"


def _tell_goodnet(found: Audit) -> str:
    rejected = measure(found, "clean_rejected")
    works = shares(found.named, lambda each: each.goodnet)
    under = shares(found.named, lambda each: each.rejected)
    what = "they work" if len(found.named) > 1 else "it works"
    return (
        f"{what} on {works} ({under} are rejected), and which rejects "
        f"{share(rejected.goodnet, rejected.images)} of clean images"
    )


def measure(found: Audit, name: str) -> Measure:
    """One of the measures, by its name."""
    return next(each for each in found.measures if each.name == name)


def shares(triggers: Sequence[Trigger], count: Callable[[Trigger], int]) -> str:
    """Of each trigger a share of its images, in words."""
    return _listed([share(count(each), each.images) for each in triggers])


def share(count: int | None, images: int) -> str:
    """A count of images in percent; a dash where there are none."""
    return "–" if count is None or not images else f"{percent(count, images):.1f} %"


def _listed(texts: Sequence[str]) -> str:
    *most, last = texts
    return f"{', '.join(most)} and {last}" if most else last
