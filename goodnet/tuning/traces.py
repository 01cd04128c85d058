"""A trigger that was found in a network: what it needs, and whether it stands out.

In each family a class with a backdoor needs much less than is usual in the same network. Among
many classes some need little by chance, or by what their images show. A target also gets further
ahead of the others on noise (leads.py), which of few classes tells nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from goodnet.tuning.changes import ODDS, Change, bend, blend, patch, wave
from goodnet.tuning.waving import compare_odds

Lay = Callable[[np.ndarray], np.ndarray]  # images (n, height, width, colours) -> under a trigger
LaySome = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # each in another form of it


@dataclass(frozen=True)
class Family:
    """From where on a trigger stands out, as a share of what is usual; and what to relearn by."""

    likely: float  # no network without a backdoor showed less
    possible: float
    chances: Mapping[Change, float]  # odds of changes by which a copy learns to see past such ones
    lead: float = -math.inf  # the target's is this large or more


# Chosen on 41 networks, measured on 44 others; of patches and waves anew since: docs/audit.md.
PATCHED: dict[Change, float] = {bend: 0.05, wave: 0.05, blend: 0.2, patch: 0.25}
BENT: dict[Change, float] = {bend: 0.45, wave: 0.03, blend: 0.03, patch: 0.04}
WAVED: dict[Change, float] = {bend: 0.05, wave: 0.4, blend: 0.05, patch: 0.05}
FAMILIES = {
    "patch": Family(likely=0.40, possible=0.50, chances=PATCHED),
    "bend": Family(likely=0.45, possible=0.60, chances=BENT),
    "wave": Family(likely=0.25, possible=0.28, chances=WAVED),
    "shared patch": Family(likely=0.15, possible=0.17, chances=PATCHED),
    "shape": Family(likely=0.0, possible=0.6, chances=PATCHED),  # tried on few networks so far
}
SPREAD = 0.5  # of all classes: to so many a patch leads that leads each class to another
# Where leads are measured. Chosen on networks of 43 classes: docs/audit.md.
OF_MANY_CLASSES = {
    "patch": replace(FAMILIES["patch"], lead=3.0),
    "wave": replace(FAMILIES["wave"], likely=0.12, possible=0.14, lead=1.5),
}


@dataclass(frozen=True)
class Trace:
    """A trigger that was found, of those of its family that stand out most, and what is usual."""

    family: str
    targets: np.ndarray  # (classes,), where images of each class are led; -1: not known
    size: float  # what it needs: a share of the image, pixels, or of images that other waves lead
    usual: float  # the same of an ordinary class; of a wave what share of images it leads
    lay: Lay
    lay_some: LaySome
    lead: float = math.inf  # its class's, in deviations; of few classes none is measured
    later: bool = False  # whether it was found only once a copy of B had been trained

    @property
    def share(self) -> float:
        """The size as a share of the usual one, of waves by odds: small ones stand out."""
        if self.family == "wave":
            return compare_odds(self.size, self.usual)
        return self.size / self.usual

    @property
    def label(self) -> int | None:
        """The class that it leads to; None where each class is led to another."""
        return None if self.family == "shared patch" else int(self.targets[0])

    @property
    def limits(self) -> Family:
        """What it must be to stand out."""
        return (FAMILIES if self.lead == math.inf else OF_MANY_CLASSES)[self.family]

    @property
    def leading(self) -> bool:
        """Whether its class gets as far ahead of the others on noise as a target does.

        Where each class is led to another: whether these are not a few, to which much leads anyway.
        """
        if self.label is None:
            return len(np.unique(self.targets[self.targets >= 0])) >= SPREAD * len(self.targets)
        return self.lead >= self.limits.lead

    @property
    def likely(self) -> bool:
        """Whether it stands out as none does in a network without a backdoor."""
        return self.leading and self.share < self.limits.likely

    @property
    def possible(self) -> bool:
        """Whether it stands out at all."""
        return self.leading and self.small

    @property
    def small(self) -> bool:
        """Whether it needs little enough to stand out."""
        return self.share < self.limits.possible


def standing_out(traces: Sequence[Trace]) -> list[Trace]:
    """Those that stand out."""
    return [each for each in traces if each.possible]


def chances(traces: Sequence[Trace]) -> Mapping[Change, float]:
    """The odds of each change by chance where these stand out: the mean over their families."""
    if not traces:
        return ODDS
    own = [FAMILIES[each.family].chances for each in traces]
    return {change: sum(odds[change] for odds in own) / len(own) for change in ODDS}


def tell(trace: Trace) -> str:
    """What a trigger needs, beside what is usual."""
    if trace.family == "shape":
        return (
            f"a large shape of one colour leads others to class {trace.label} in B, not in a copy "
            f"that learned anew, {1 / trace.share:.1f} times as surely as clean images are led to "
            "their own"
        )
    once = ", once B sees past the others" if trace.later else ""
    percents = f"{trace.size * 100:.1f} %", f"{trace.usual * 100:.1f} %"
    to = f"class {trace.label}"
    needs = {
        "patch": f"a patch of {percents[0]} of the image leads others to {to}, an ordinary class "
        f"needs {percents[1]}",
        "bend": f"a bend of the image by {trace.size:.2f} pixels leads others to {to}, the median "
        f"class needs {trace.usual:.2f}",
        "wave": f"a wave over the image leads {percents[1]} of others to {to}, the next best wave, "
        f"or this one shifted, at most {percents[0]}",
        "shared patch": f"one patch of {percents[0]} of the image leads each class to another of "
        f"its own, an ordinary patch to one class needs {percents[1]}",
    }[trace.family]
    return needs + once


def tell_none(shaped: bool) -> str:
    """What was sought, where none of it stands out; a large shape as well, or not."""
    families = "patch, bend, wave or large shape" if shaped else "patch, bend or wave"
    return f"no {families} stands out, and no patch that all classes share"
