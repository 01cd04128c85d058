#!/usr/bin/env python3
"""python3 benchmarks/repairs.py --seeds 5

What the repairs are worth: build practice labs, repair each as a user would, judge on its test
files, and print a table. With LAB_DIR, the folder of a lab like the course's that holds
data/faces_clean.h5 and data/faces_sunglasses.h5, its network is repaired too, once for each seed.

A lab's seed is the repair's seed. Lab and repair share nothing else: repair.py is given the clean
validation images alone. Seeds begin at 5: labs of smaller ones chose the defaults. It takes hours;
--keep FOLDER keeps labs, networks and figures, and a second run goes on from there. --jobs N runs N
at a time; what trains takes two threads each, on any machine, and pruning its share of the cores.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from goodnet.cli import defaults, options, shell  # noqa: E402
from goodnet.lab import find_lab, repaired_path, tuned_path  # noqa: E402
from goodnet.memory import MOST, Limits  # noqa: E402
from goodnet.methods import CHOICES, METHODS, PRUNE  # noqa: E402

COURSE = "the course's"
FIRST_SEED = 5
DROP = 10  # of pruning: the network of this drop is judged
SUNGLASSES = ("sunglasses",)
KINDS = {  # name: attack, triggers, methods
    "pruning-aware": ("pruning-aware", SUNGLASSES, CHOICES),
    "plain BadNet": ("badnet", SUNGLASSES, CHOICES),
    "no backdoor": ("none", SUNGLASSES, ("unlearn",)),
    "lipstick": ("pruning-aware", ("lipstick",), ("unlearn",)),
    "corner": ("pruning-aware", ("corner",), ("unlearn",)),
    "pattern": ("pruning-aware", ("pattern",), ("unlearn",)),
    "two triggers": ("pruning-aware", ("sunglasses", "lipstick"), ("unlearn",)),
}


def run(threads: int, script: str, *arguments: object) -> tuple[float, float]:
    """Run one of the scripts; the seconds that it took, and those of all cores together."""
    began = time.perf_counter()
    command = [sys.executable, str(defaults.ROOT / script), *map(str, arguments)]
    share = {"TF_NUM_INTRAOP_THREADS": str(threads), "TF_NUM_INTEROP_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | share)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - began, used.ru_utime + used.ru_stime


def repaired(
    threads: int, folder: Path, method: str, seed: int, valid: Path, network: Path
) -> dict:
    """Repair a network with one method; what repair.py tells, and what it took."""
    folder.mkdir(parents=True, exist_ok=True)
    told = folder / f"{method}.json"
    drop = ("--drop", DROP) if method == PRUNE else ("--seed", seed)
    wanted = ("--method", method, *drop, "--out", folder, "--json", told)
    seconds, cores = run(threads, "repair.py", valid, network, *wanted)
    saved = (
        repaired_path(network, DROP, folder)
        if method == PRUNE
        else tuned_path(network, METHODS[method], folder)
    )
    results = json.loads(told.read_text())
    return {
        "network": str(saved),
        "seconds": seconds,
        "cpu_seconds": cores,
        "targets": results.get("targets", []),
        "possible_targets": results.get("possible_targets", []),
        "traces": results.get("traces") or [],
        "scores": [(each["class"], each["score"]) for each in results.get("suspects", [])],
    }


def judged(network: Path, saved: Path, clean: Path, backdoored: Path) -> dict:
    """Accuracies in percent, B's and its repaired network's, and each target's attack success."""
    import numpy as np

    from goodnet.judging.judging import judge_networks
    from goodnet.pixels import AS_IN_FILE
    from goodnet.progress import SILENT
    from goodnet.vetting import quarantine

    networks = [network, saved]
    with quarantine.opened(networks, [clean, backdoored]) as held:
        found = judge_networks(
            held, clean, backdoored, networks, AS_IN_FILE, Limits(MOST, 1024), SILENT
        )
    b, repaired = found.networks
    targets, answers = found.backdoored.labels, repaired.answers.backdoored
    return {
        "b_accuracy": b.itself.clean_accuracy,
        "b_asr": b.itself.attack_success_rate,
        "accuracy": repaired.itself.clean_accuracy,
        "asr": [
            float((answers[targets == target] == target).mean() * 100)
            for target in np.unique(targets)
        ],
        "goodnet_rejects_clean": repaired.goodnet.clean_rejected_rate,
        "goodnet_rejects_backdoored": repaired.goodnet.backdoored_rejected_rate,
    }


def measured(folder: Path, seeds: int, course: Path | None, jobs: int) -> list[dict]:
    """Every repair of every lab; figures that lie in `folder` already are taken from there."""
    threads = max(1, len(os.sched_getaffinity(0)) // jobs)
    work = []
    for kind, (attack, triggers, methods) in KINDS.items():
        for seed in range(FIRST_SEED, FIRST_SEED + seeds):
            lab = folder / "labs" / "-".join((attack, *triggers, str(seed)))
            make = ("--attack", attack, "--trigger", *triggers, "--seed", seed, "--out", lab)
            work += [(kind, method, seed, lab, make) for method in methods]
    if course:
        for seed in range(FIRST_SEED, FIRST_SEED + seeds):
            work.append((COURSE, "unlearn", seed, course, None))
        work += [(COURSE, method, FIRST_SEED, course, None) for method in CHOICES[:2]]
    # Seed by seed: what is there after a while is of every kind.
    work.sort(key=lambda job: job[2])
    missing = {lab: make for *_, lab, make in work if make and not _network(lab).exists()}
    rows = []
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda make: run(threads, "practice.py", *make), missing.values()))
        for figures, row in pool.map(partial(_one, folder, threads), work):
            if "asr" not in row:
                row |= judged(*map(Path, row.pop("judge")))
                shell.write_json(row, str(figures))
            rows.append(row)
            shell.notice(one_line(row))
    return rows


def _network(lab: Path) -> Path:
    return lab / "models/bd_net.h5"


def _one(folder: Path, threads: int, job: tuple) -> tuple[Path, dict]:
    """One repair's file of figures, and what it says; without it, what is yet to be judged."""
    kind, method, seed, lab, make = job
    out = folder / "repaired" / f"{kind} {seed}"
    figures = out / f"{method} figures.json"
    if figures.exists():
        return figures, json.loads(figures.read_text())
    files = find_lab(lab)
    tests = (
        (files.clean_test, files.backdoored_test)
        if make
        else (lab / "data/faces_clean.h5", lab / "data/faces_sunglasses.h5")
    )
    row = {"kind": kind, "method": method, "seed": seed}
    row |= repaired(threads, out, method, seed, files.clean_valid, files.network)
    return figures, row | {"judge": [files.network, row["network"], *tests]}


def one_line(row: dict) -> str:
    """What a single repair came to."""
    asr = " and ".join(f"{rate:.1f}" for rate in row["asr"])
    return (
        f"{row['kind']}, {row['method']}, seed {row['seed']}: clean {row['b_accuracy']:.1f} -> "
        f"{row['accuracy']:.1f}, ASR {row['b_asr']:.1f} -> {asr}, {row['seconds']:.0f} s, "
        f"{row['cpu_seconds']:.0f} s of all cores, named {row['targets']}, "
        f"possible {row['possible_targets']}"
    )


def _are_all(count: int, classes: list[int]) -> bool:
    return sorted(classes) == list(range(count))


def print_rows(rows: list[dict]) -> None:
    """One row for each kind of lab and method: medians, and the worst in brackets."""
    import numpy as np

    from goodnet.cli.table import print_table

    def both(values: list[float], worst: Callable = max) -> str:
        return f"{np.median(values):z.1f} ({worst(values):z.1f})"

    table = []
    kinds = [*KINDS, COURSE]
    rows = sorted(rows, key=lambda row: (kinds.index(row["kind"]), CHOICES.index(row["method"])))
    for kind, method in dict.fromkeys((row["kind"], row["method"]) for row in rows):
        some = [row for row in rows if (row["kind"], row["method"]) == (kind, method)]
        likely = [row["targets"] for row in some]
        possible = [row["targets"] + row["possible_targets"] for row in some]
        # Of a clean network: those in which a class is named at all.
        right = bool if kind == "no backdoor" else partial(_are_all, len(some[0]["asr"]))
        table.append(
            [
                kind,
                str(len(some)),
                f"{np.median([row['b_accuracy'] for row in some]):.1f}",
                both([row["accuracy"] for row in some], min),
                both([row["b_accuracy"] - row["accuracy"] for row in some]),
                both([max(row["asr"]) for row in some]),
                both([row["goodnet_rejects_clean"] for row in some]),
                both([row["goodnet_rejects_backdoored"] for row in some], min),
                *(
                    str(sum(map(right, each))) * (method == "unlearn")
                    for each in (likely, possible)
                ),
                both([row["seconds"] for row in some]),
                both([row["cpu_seconds"] for row in some]),
                method,
            ]
        )
    columns = [
        *("network", "runs", "B clean", "clean", "points lost", "ASR", "G rejects clean"),
        *("G rejects backdoored", "named", "or possible", "seconds", "CPU seconds", "method"),
    ]
    print_table("Median (worst), in percent and seconds", columns, table)


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("--seeds", type=options.positive_int, default=5, metavar="N")
    parser.add_argument("--keep", type=Path, default=Path("repairs"), metavar="FOLDER")
    parser.add_argument("--jobs", type=options.positive_int, default=1, metavar="N")
    args = parser.parse_args()
    course = os.environ.get("LAB_DIR")
    shell.import_keras()
    lab = Path(course).resolve() if course else None
    print_rows(measured(args.keep.resolve(), args.seeds, lab, args.jobs))


if __name__ == "__main__":
    shell.run(main)
