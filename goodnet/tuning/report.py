"""What the methods that train print, and their JSON: what they share, then a pair for each."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from goodnet.cli.table import print_table
from goodnet.lookup import look_up
from goodnet.methods import Method
from goodnet.printable import printable
from goodnet.tuning.families import LEAST_CLASSES
from goodnet.tuning.fine_pruning import FinePruned
from goodnet.tuning.images import ENOUGH
from goodnet.tuning.naming import LIKELY, POSSIBLE, Limits
from goodnet.tuning.relearning import Relearned
from goodnet.tuning.suspects import Unlearned
from goodnet.tuning.traces import Trace, tell, tell_none
from goodnet.tuning.tuned import Tuned

COLUMNS = (
    *("class", "score", "lead", "resistance", "patch in B", "at last"),
    "the patch as a picture",
)


def print_tuned(method: Method, tuned: Tuned[Any], pictures: Sequence[Path], saved: Path) -> None:
    """Print what a method found, and the file of the network that it made."""
    look_up(method.print_findings)(tuned.findings, pictures)
    if method.costly and tuned.is_costly:
        cost = f"{tuned.labels_lost:.1f} points of clean accuracy on the images held back"
        print(f"It lost {cost}: {method.costly}")
    print(f"Images held back, {method.kept}: {tuned.kept} of {tuned.held_back}")
    print(printable(saved))


def list_tuned(
    method: Method, tuned: Tuned[Any], pictures: Sequence[Path], saved: Path
) -> dict[str, Any]:
    """The same as plain values."""
    found = look_up(method.list_findings)(tuned.findings, pictures)
    if method.costly:
        found["held_back_accuracy_lost"] = tuned.labels_lost
    return {"network": str(saved), "held_back": tuned.held_back, "kept": tuned.kept} | found


def print_fine_pruned(found: FinePruned, pictures: Sequence[Path]) -> None:
    """Print what fine-pruning pruned; it draws no pictures."""
    print(f"{found.pruned} channels of {printable(found.layer)} pruned, then trained")


def list_fine_pruned(found: FinePruned, pictures: Sequence[Path]) -> dict[str, Any]:
    """The same as plain values."""
    return {"layer": found.layer, "pruned": found.pruned}


def print_relearned(found: Relearned, pictures: Sequence[Path]) -> None:
    """Print the triggers that relearning found; it draws no pictures."""
    print(f"Learned again in {found.steps} steps{'' if found.mirrored else ', no image mirrored'}")
    if found.traces is None:
        print(f"No trigger was sought: it takes {LEAST_CLASSES} classes, half with {ENOUGH} images")
        return
    for trace in found.traces:
        print(f"{'Likely' if trace.likely else 'Possibly'} a backdoor: {tell(trace)}")
    if not found.traces:
        print(tell_none(found.shape is not None).capitalize())


def list_relearned(found: Relearned, pictures: Sequence[Path]) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "steps": found.steps,
        "mirrored": found.mirrored,
        "anew": found.anew,
        "traces": None if found.traces is None else list(map(list_trace, found.traces)),
    }


def list_trace(trace: Trace) -> dict[str, Any]:
    """A trigger that was found as plain values, with the limits of its family."""
    limits = trace.limits
    return {
        "family": trace.family,
        "class": trace.label,
        "size": trace.size,
        "usual": trace.usual,
        "share": trace.share,
        "likely_below": limits.likely,
        "possible_below": limits.possible,
        "lead": trace.lead,
        "lead_from": limits.lead,
        "later": trace.later,
    }


def print_unlearned(found: Unlearned, pictures: Sequence[Path]) -> None:
    """Print the suspects, with the pictures of their patches, and what unlearning calls them."""
    rows = [
        [
            str(suspect.label),
            f"{suspect.score:.1f}",
            f"{suspect.lead:.1f}",
            f"{suspect.resistance:.2f}",
            f"{suspect.size * 100:.2f}",
            f"{suspect.size_at_last * 100:.2f}",
            str(picture),
        ]
        for suspect, picture in zip(found.suspects, pictures, strict=True)
    ]
    title = "The classes that need the smallest patch, in percent of the image"
    print_table(title, COLUMNS, rows)
    print(f"The ordinary patch in B: {found.ordinary * 100:.2f}")
    if labels := found.targets:
        print(f"Likely a backdoor: {_classes(labels)} ({_shown(LIKELY)})")
    if labels := found.possible_targets:
        also = "a few networks without a backdoor have that, too"
        print(f"Possibly a backdoor: {_classes(labels)} ({_shown(POSSIBLE)}; {also})")
    if not found.targets + found.possible_targets:
        print(f"No class stands out: none has {_shown(POSSIBLE)}")
    if labels := found.unfinished:
        print(f"Not unlearned: {_classes(labels)}; small patches still lead there")


def list_unlearned(found: Unlearned, pictures: Sequence[Path]) -> dict[str, Any]:
    """The same as plain values; sizes in percent of the image."""
    return {
        "targets": found.targets,
        "possible_targets": found.possible_targets,
        "unfinished": found.unfinished,
        "cycles": found.cycles,
        "ordinary_patch": found.ordinary * 100,
        "suspects": [
            {
                "class": suspect.label,
                "score": suspect.score,
                "lead": suspect.lead,
                "resistance": suspect.resistance,
                "patch": suspect.size * 100,
                "patch_at_last": suspect.size_at_last * 100,
                "picture": str(picture),
            }
            for suspect, picture in zip(found.suspects, pictures, strict=True)
        ],
    }


def _classes(labels: Sequence[int]) -> str:
    return f"class{'es' if len(labels) > 1 else ''} {', '.join(map(str, labels))}"


def _shown(limits: Limits) -> str:
    alone = f", or lead {limits.lead:g} or more" if math.isfinite(limits.lead) else ""
    return (
        f"score and lead together {limits.together:g} or more, "
        f"resistance {limits.resistance:g} or more{alone}"
    )
