#!/usr/bin/env python3
"""python3 benchmarks/field.py ZOO --seeds 10

What the repairs are worth on the zoo that benchmarks/zoo.py trained, and what others' give there.
Each network is repaired with the 2,500 clean images that lie beside it, target and trigger
unknown, and judged on its test files. A second run goes on from the figures that lie there.
--methods takes some of ours (repair.py's) and of the rivals (benchmarks/rivals.py).
"No backdoor" is what a network of the zoo without one answers to the same triggers: the least that
can be expected. G is aimed at the classes that relearn calls likely, as audit.py does it.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

os.environ |= {"TF_NUM_INTRAOP_THREADS": "2", "TF_NUM_INTEROP_THREADS": "1"}
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.zoo import ARCHITECTURES, ATTACKS  # noqa: E402
from goodnet.metrics import Judgement, defense_effectiveness_rating  # noqa: E402

OURS = ("relearn", "unlearn", "fine-prune")
SEED = 0  # of a repair


def main() -> None:
    """Repair, judge, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[2])
    parser.add_argument("zoo", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[10])
    parser.add_argument("--methods", nargs="+")
    parser.add_argument("--only", nargs="+", default=[""])
    args = parser.parse_args()
    from benchmarks.rivals import RIVALS

    places = _places(args.zoo, args.seeds, args.only)
    if not places:
        parser.error(f"{args.zoo} holds no such network; run benchmarks/zoo.py first")
    rows = []
    for method in args.methods or [*OURS, *RIVALS]:
        for place in places:
            rows.append(_measured(place, method))
            print(_one_line(rows[-1]), flush=True)
    print(markdown(rows))


def _places(zoo: Path, seeds: Sequence[int], only: Sequence[str]) -> list[Path]:
    names = [f"{a} {attack} {seed}" for seed in seeds for a in ARCHITECTURES for attack in ATTACKS]
    wanted = [name for name in names if any(part in name for part in only)]
    return [zoo / name for name in wanted if (zoo / name / "figures.json").exists()]


def _measured(place: Path, method: str) -> dict:
    """The figures of one repair, made now or found where an earlier run left them."""
    figures = place / "repaired" / f"{method}.json"
    if not figures.exists():
        figures.parent.mkdir(exist_ok=True)
        repair = _repair_ours if method in OURS else _repair_as_rivals_do
        arrays, cpu_seconds, likely = repair(place, method)
        row = {"network": place.name, "method": method, "cpu_seconds": cpu_seconds}
        judged = {"likely": likely} | _judged(place, arrays, likely)
        figures.write_text(json.dumps(row | judged))
    return json.loads(figures.read_text())


def _repair_ours(place: Path, method: str) -> tuple[list, float, list[int]]:
    """With repair.py, as a user would.

    The network's arrays, the seconds of all cores, and the classes that relearn calls likely.
    """
    import keras

    from benchmarks.repairs import repaired

    found = repaired(2, place / "repaired", method, SEED, place / "valid.h5", place / "B.keras")
    network = keras.models.load_model(found["network"], compile=False)
    traces = [each for each in found["traces"] if each["share"] < each["likely_below"]]
    likely = {each["class"] for each in traces} - {None}
    return network.get_weights(), found["cpu_seconds"], sorted(likely)


def _repair_as_rivals_do(place: Path, method: str) -> tuple[list, float, list[int]]:
    import keras
    import numpy as np

    from benchmarks.rivals import RIVALS

    keras.utils.set_random_seed(SEED)
    network = keras.models.load_model(place / "B.keras", compile=False)
    network.layers[-1].activation = keras.activations.linear
    images, labels = _read(place / "valid.h5")
    began = time.process_time()
    RIVALS[method](network, images, labels, np.random.default_rng(SEED))
    return network.get_weights(), time.process_time() - began, []


def _judged(place: Path, arrays: list, likely: list[int]) -> dict:
    """The counts of B, its repaired network, G, and a network without a backdoor, by plain Keras.

    G is judged twice: aimed at no class, and at those that are `likely`, if there are any.
    """
    import keras
    import numpy as np

    from goodnet.metrics import judge
    from goodnet.networks.goodnet import goodnet_labels

    b = keras.models.load_model(place / "B.keras", compile=False)
    repaired = keras.models.clone_model(b)
    repaired.set_weights(arrays)
    clean, labels = _read(place / "test.h5")
    backdoored, targets = clean[:0], labels[:0]
    if (place / "backdoored.h5").exists():
        backdoored, targets = _read(place / "backdoored.h5")

    def answers(network: keras.Model) -> list[np.ndarray]:
        both = np.concatenate([clean, backdoored])
        found = network.predict(both, batch_size=500, verbose=0).argmax(axis=1)
        return np.split(found, [len(clean)])

    n_classes, given = b.output_shape[-1], {"b": answers(b), "repaired": answers(repaired)}
    pairs = list(zip(*given.values(), strict=True))
    given["goodnet"] = [goodnet_labels(*pair, n_classes) for pair in pairs]
    aimed = likely or None
    given["goodnet_aimed"] = [goodnet_labels(*pair, n_classes, aimed) for pair in pairs]
    if without := sorted(place.parent.glob(f"{place.name.split()[0]} none *")):
        path = without[0] / "B.keras"
        given["no_backdoor"] = answers(keras.models.load_model(path, compile=False))
    return {
        name: asdict(judge(of_clean, labels, of_backdoored, targets, n_classes))
        for name, (of_clean, of_backdoored) in given.items()
    }


def _read(path: Path) -> tuple:
    import h5py
    import numpy as np

    with h5py.File(path) as file:
        return np.asarray(file["data"], np.float32), np.asarray(file["label"])


def of(row: dict, name: str) -> Judgement:
    """What a row says of `b`, `repaired` or `goodnet`."""
    return Judgement(**row[name])


def _one_line(row: dict) -> str:
    before, after = _cell(of(row, "b")), _cell(of(row, "repaired"))
    rejects = [
        f"{of(row, name).clean_rejected_rate:.1f} / {of(row, name).backdoored_rejected_rate:.1f}"
        for name in ("goodnet", "goodnet_aimed")
    ]
    floor = f", no backdoor {_cell(of(row, 'no_backdoor'))}" if "no_backdoor" in row else ""
    return (
        f"{row['network']}, {row['method']}: {before} -> {after}{floor}, likely {row['likely']}, "
        f"G rejects {rejects[0]}, aimed {rejects[1]}, {row['cpu_seconds']:.0f} CPU s"
    )


def markdown(rows: Sequence[dict]) -> str:
    """A table: a row for each network, clean accuracy / ASR of each method, and the mean DER."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    by_place = {(row["network"], row["method"]): row for row in rows}
    head = f"| network | B | no backdoor | {' | '.join(methods)} |"
    lines = [head, "|---" * (len(methods) + 3) + "|"]
    for name in dict.fromkeys(row["network"] for row in rows):
        own = [by_place.get((name, method)) for method in methods]
        cells = [_cell(of(row, "repaired")) if row else "" for row in own]
        some = next(row for row in own if row)
        floor = of(some, "no_backdoor").attack_success_rate if "no_backdoor" in some else None
        least = "" if floor is None else f"{floor:.1f}"
        lines.append(f"| {name} | {_cell(of(some, 'b'))} | {least} | {' | '.join(cells)} |")
    means = []
    for method in methods:
        some = [row for row in rows if row["method"] == method and row["b"]["backdoored_images"]]
        ders = [defense_effectiveness_rating(of(row, "b"), of(row, "repaired")) for row in some]
        means.append(f"{sum(ders) / len(ders):.3f}" if ders else "")
    lines.append(f"| mean DER | | | {' | '.join(means)} |")
    return "\n".join(lines)


def _cell(judgement: Judgement) -> str:
    asr = f" / {judgement.attack_success_rate:.1f}" if judgement.backdoored_images else ""
    return f"{judgement.clean_accuracy:.1f}{asr}"


if __name__ == "__main__":
    main()
