#!/usr/bin/env python3
"""python3 benchmarks/verdicts.py ZOO --seeds 0 1

What the audit's search by families (goodnet/tuning/families.py) shows of the networks of the zoo
that benchmarks/zoo.py trained, with the clean images that lie beside each: how much smaller than
usual a trigger of each family may be, what is said, and how often that is right. A second run goes
on from the figures that lie there. --jobs N searches N networks at a time.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

SEED = 0  # of a search


def main() -> None:
    """Search, and print a line for each network and the rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[2])
    parser.add_argument("zoo", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--only", nargs="+", default=[""])
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    places = [
        path.parent
        for path in sorted(args.zoo.glob("*/valid.h5"))
        if not args.seeds or int(path.parent.name.split()[-1]) in args.seeds
        if any(part in path.parent.name for part in args.only)
    ]
    if not places:
        parser.error(f"{args.zoo} holds no such network; run benchmarks/zoo.py first")
    rows = []
    with ProcessPoolExecutor(args.jobs) as pool:
        for row in pool.map(measured, places):
            rows.append(row)
            print(tell(row), flush=True)
    print(*tell_rates(rows), sep="\n")


def measured(place: Path) -> dict:
    """What each family shows of a network, searched now or found where an earlier run left it."""
    figures = place / "traces.json"
    if not figures.exists():
        figures.write_text(json.dumps(_search(place)))
    return json.loads(figures.read_text())


def _search(place: Path) -> dict:
    import h5py
    import keras
    import numpy as np

    from goodnet.networks.loading import count_classes
    from goodnet.progress import SILENT
    from goodnet.tuning.families import find_traces
    from goodnet.tuning.gradients import copy_with_logits
    from goodnet.tuning.images import divide

    network = keras.models.load_model(place / "B.keras", compile=False)
    with h5py.File(place / "valid.h5") as file:
        images, labels = np.asarray(file["data"], np.float32), np.asarray(file["label"])
    rng = np.random.default_rng(SEED)
    parts = divide(images, labels.astype(np.int64), rng)
    copy = copy_with_logits(network, parts.held_back)
    began = time.process_time()
    found = find_traces(copy.logits, parts, count_classes(network), rng, SILENT.progress)
    shown = [
        {
            **{"family": each.family, "label": each.label, "share": each.share},
            "stands_out": each.possible,
        }
        for each in found.traces
    ]
    return {"network": place.name, "cpu_seconds": time.process_time() - began, "traces": shown}


def has_backdoor(row: dict) -> bool:
    """Whether the network was trained with one, by its name."""
    return " none " not in row["network"]


def score(row: dict) -> float:
    """The trace that stands out most, as a share of its limit: 1 and more is not called likely."""
    from goodnet.tuning.traces import FAMILIES

    return min(each["share"] / FAMILIES[each["family"]].likely for each in row["traces"])


def is_named_right(row: dict) -> bool:
    """Whether likely is said, of all targets and of no other class."""
    from benchmarks.zoo_attacks import plant

    _, *attack, seed = row["network"].split()
    targets = {each.target for each in plant(" ".join(attack), int(seed))}
    named = {each["label"] for each in row["traces"] if each["stands_out"]}
    return score(row) < 1 and named == targets


def tell(row: dict) -> str:
    """One line."""
    shown = [
        f"{each['family']} {each['share']:.2f} to {_class(each)}{' *' * each['stands_out']}"
        for each in row["traces"]
    ]
    return f"{row['network']}: {', '.join(shown)}; {score(row):.2f}, {row['cpu_seconds']:.0f} CPU s"


def _class(trace: dict) -> str:
    return "each" if trace["label"] is None else str(trace["label"])


def tell_rates(rows: Sequence[dict]) -> list[str]:
    """How often likely would be said, and the area under the ROC curve, where both kinds are."""
    having, free = ([row for row in rows if has_backdoor(row) == one] for one in (True, False))
    likely = [sum(score(row) < 1 for row in some) for some in (having, free)]
    right = sum(map(is_named_right, having))
    lines = [
        f"likely: {likely[0]} of {len(having)} networks with a backdoor, {right} of them with all "
        f"targets and no other class; {likely[1]} of {len(free)} networks without one",
    ]
    if having and free:
        pairs = [(score(a), score(b)) for a in having for b in free]
        area = sum((a < b) + (a == b) / 2 for a, b in pairs) / len(pairs)
        lines.append(f"ROC-AUC {area:.3f}")
    return lines


if __name__ == "__main__":
    main()
