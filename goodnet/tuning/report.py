"""What fine-pruning and unlearning print, and their JSON."""

from collections.abc import Sequence
from pathlib import Path

from goodnet.cli.table import print_table
from goodnet.tuning.fine_pruning import FinePruned
from goodnet.tuning.unlearning import AHEAD, LIKELY, POSSIBLE, Unlearned


def print_tuned(result: FinePruned | Unlearned, drawn: Sequence[Path], saved: Path) -> None:
    """Print what fine-pruning did or what unlearning found, and the file of the network."""
    if isinstance(result, Unlearned):
        rows = [
            [
                str(suspect["class"]),
                f"{suspect['score']:.1f}",
                f"{suspect['lead']:.1f}",
                f"{suspect['resistance']:.2f}",
                f"{suspect['patch']:.2f}",
                f"{suspect['patch_at_last']:.2f}",
                str(picture),
            ]
            for suspect, picture in zip(_suspects(result), drawn, strict=True)
        ]
        columns = [
            "class",
            "score",
            "lead",
            "resistance",
            "patch in B",
            "at last",
            "the patch as a picture",
        ]
        print_table(
            "The classes that need the smallest patch, in percent of the image", columns, rows
        )
        print(f"The ordinary patch in B: {result.ranking.ordinary * 100:.2f}")
        if classes := result.targets:
            rule = f"{_shown(LIKELY)}, or lead {AHEAD:g} or more"
            print(f"Likely a backdoor: {_classes(classes)} ({rule})")
        if classes := result.possible_targets:
            also = "a few networks without a backdoor have that, too"
            print(f"Possibly a backdoor: {_classes(classes)} ({_shown(POSSIBLE)}; {also})")
        if not result.targets + result.possible_targets:
            print(f"No class stands out: none has {_shown(POSSIBLE)}")
        if classes := result.unfinished:
            print(f"Not unlearned: {_classes(classes)}; small patches still lead there")
        kept = "answered as by B"
    else:
        print(f"{result.pruned} channels of {result.layer} pruned, then trained")
        kept = "given their label"
    tuned = result.tuned
    print(f"Images held back, {kept}: {tuned.kept} of {tuned.held_back}")
    print(saved)


def tuned_json(result: FinePruned | Unlearned, drawn: Sequence[Path], saved: Path) -> dict:
    """The same as plain values."""
    tuned = result.tuned
    told = {"network": str(saved), "held_back": tuned.held_back, "kept": tuned.kept}
    if isinstance(result, FinePruned):
        return told | {"layer": result.layer, "pruned": result.pruned}
    suspects = _suspects(result)
    for suspect, picture in zip(suspects, drawn, strict=True):
        suspect["picture"] = str(picture)
    return told | {
        "targets": result.targets,
        "possible_targets": result.possible_targets,
        "unfinished": result.unfinished,
        "cycles": result.cycles,
        "ordinary_patch": result.ranking.ordinary * 100,
        "suspects": suspects,
    }


def _classes(labels: Sequence[int]) -> str:
    return f"class{'es' if len(labels) > 1 else ''} {', '.join(map(str, labels))}"


def _shown(least: tuple[float, float]) -> str:
    return f"score and lead together {least[0]:g} or more, resistance {least[1]:g} or more"


def _suspects(result: Unlearned) -> list[dict]:
    """The unlearned classes, their scores, and their patches in percent of the image."""
    ranking = result.ranking
    return [
        {
            "class": int(ranking.patches.classes[index]),
            "score": float(ranking.scores[index]),
            "lead": float(result.leads[index]),
            "resistance": float(result.resistance[index]),
            "patch": float(ranking.sizes[index]) * 100,
            "patch_at_last": float(result.sizes[index]) * 100,
        }
        for index in range(len(ranking.scores))
    ]
