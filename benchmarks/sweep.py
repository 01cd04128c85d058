#!/usr/bin/env python3
"""python3 benchmarks/sweep.py

Measure what the sweep costs against one plain pass of B over the same files, against the loop
that predicts everything for each row, and what the scripts cost from the shell.

It makes image files of the course's size in a temporary folder, runs the contenders in turn, each
in a process of its own, and prints medians, ratios and targets as a Markdown table. It takes some
minutes, most of them for the loop. LAB_DIR names the folder of the course's lab, whose
photographs and network are taken; else faces are drawn and the practice lab's network is taken.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.results import HEADER, Run, Runs, differing_rows, markdown, table  # noqa: E402
from goodnet.cli import options, shell  # noqa: E402
from goodnet.errors import Unusable  # noqa: E402
from goodnet.lab import find_lab  # noqa: E402

VALIDATION_IMAGES, TEST_IMAGES = 11_547, 12_830  # the course's
FILES = ("valid.h5", "test.h5", "bd_test.h5")
SCRIPTS = ("repair.py", "eval.py", "Geval.py", "plot.py", "practice.py")


def arguments() -> argparse.Namespace:
    parser = options.parser(__doc__)
    parser.add_argument(
        "--times", type=options.positive_int, default=1, metavar="N", help="N times as many images"
    )
    parser.add_argument("--model", type=Path, metavar="FILE", help="another network, saved whole")
    parser.add_argument(
        "--repeats", type=options.positive_int, default=3, metavar="N", help="rounds (default: 3)"
    )
    parser.add_argument(
        "--images", type=options.positive_int, metavar="N", help="N images in a file, for a trial"
    )
    parser.add_argument("--no-loop", action="store_true", help="leave out the plain loop")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="a new folder; its files are kept")
    parser.add_argument("--json", metavar="FILE", help="write every single timing to FILE")
    args = parser.parse_args()
    args.lab = Path(os.environ["LAB_DIR"]).resolve() if os.environ.get("LAB_DIR") else None
    if args.lab:
        find_lab(args.lab)
    args.model = args.model or (args.lab or ROOT / "practice") / "models" / "bd_net.h5"
    shell.check_files(args.model)
    return args


def run(command: Sequence[object], status: int = 0) -> Run:
    """Run a Python script to its end. Raises Unusable where it ends with another status.

    What a contender reports is the last line it prints, as JSON. This process imports no Keras,
    because a child's peak memory starts at its parent's.
    """
    command = [sys.executable, *map(str, command)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, env=environment)
        try:
            _, ended, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(ended)
        stdout.seek(0)
        stderr.seek(0)
        if process.returncode != status:
            said = stderr.read().strip().splitlines() or ["it says nothing"]
            name = " ".join(command[1:3])
            raise Unusable(f"{name} ended with {process.returncode}, not {status}: {said[-1]}")
        last = stdout.read().rstrip().rpartition("\n")[2]
    unit = 1 if sys.platform == "darwin" else 1024
    report = json.loads(last) if last.startswith("{") else {}
    return Run(wall, usage.ru_maxrss * unit, report, usage.ru_utime + usage.ru_stime)


def make_files(args: argparse.Namespace, folder: Path, times: int) -> list[Path]:
    """The three image files, `times` as many images as the course's, and the repaired networks."""
    folder.mkdir()
    counts = [times * (args.images or count) for count in (VALIDATION_IMAGES, TEST_IMAGES)]
    shell.notice(f"Making the files: {counts[0]} validation images, twice {counts[1]} test images")
    run([ROOT / "benchmarks/lab_files.py", folder, args.model, args.lab or "", *counts])
    return [*(folder / name for name in FILES), *sorted(folder.glob("repaired_*"))]


def commands(args: argparse.Namespace, folder: Path) -> dict[str, tuple[list[object], int]]:
    """The contenders in their order: name -> (command, exit status)."""
    out = folder / "out"
    contenders = ROOT / "benchmarks/contenders.py"

    def repair(valid: Path, clean: Path, backdoored: Path) -> tuple[list[object], int]:
        tests = ("--clean-test", clean, "--backdoored-test", backdoored)
        return [ROOT / "repair.py", valid, args.model, *tests, "--out", out], 0

    made = make_files(args, folder / "files", args.times)
    files, repaired = made[: len(FILES)], made[len(FILES) :]
    found = {
        "plain pass": ([contenders, "plain_pass", args.model, *files], 0),
        "sweep": ([contenders, "sweep", args.model, *files], 0),
        "repair.py": repair(*files),
        "plain pass, test files": ([contenders, "plain_pass", args.model, *files[1:]], 0),
        "eval.py": ([ROOT / "eval.py", *files[1:], args.model], 0),
        "Geval.py": ([ROOT / "Geval.py", *files[1:], args.model, repaired[0]], 0),
        "Geval.py, four B'": ([ROOT / "Geval.py", *files[1:], args.model, *repaired], 0),
    }
    if args.times > 1:
        lab_scale = make_files(args, folder / "lab-scale", 1)
        found["repair.py, lab scale"] = repair(*lab_scale[: len(FILES)])
    found["plot.py"] = [ROOT / "plot.py", out / "pruning.csv", "--out", out], 0
    for script in SCRIPTS:
        found[f"{script}, --help"] = [ROOT / script, "--help"], 0
        found[f"{script}, bad argument"] = [ROOT / script, "--unheard-of"], 2
    missing = folder / "missing"
    for script, count in (("repair.py", 2), ("eval.py", 3), ("Geval.py", 4), ("plot.py", 1)):
        found[f"{script}, missing file"] = [ROOT / script, *[missing] * count], 2
    if not args.no_loop:
        found["plain loop"] = [contenders, "plain_loop", args.model, *files], 0
    return found


def measure(contenders: dict[str, tuple[list[object], int]], rounds: int) -> Runs:
    """Run all contenders in turn, `rounds` times; the plain loop, which takes minutes, once."""
    runs: Runs = {name: [] for name in contenders}
    for number in range(1, rounds + 1):
        for name, (command, status) in contenders.items():
            if name == "plain loop" and number < rounds:
                continue
            shell.notice(f"round {number} of {rounds}: {name} …")
            done = run(command, status)
            runs[name].append(done)
            shell.notice(f"    {done.wall:.2f} s, {done.peak / 2**20:.0f} MiB")
    return runs


@contextmanager
def folder_for_files(keep: Path | None) -> Iterator[Path]:
    """A temporary folder, or the new one in which the files are to be kept."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            yield Path(folder)
        return
    keep.mkdir(parents=True, exist_ok=True)
    if any(keep.iterdir()):
        raise Unusable(f"{keep}: is not empty; name a new folder with --keep")
    yield keep


def main() -> None:
    args = arguments()
    with folder_for_files(args.keep) as folder:
        runs = measure(commands(args, folder), args.repeats)
    facts = {
        "network": args.model.name,
        "images": "photographs" if args.lab else "drawn faces",
        "validation": args.times * (args.images or VALIDATION_IMAGES),
        "test": args.times * (args.images or TEST_IMAGES),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "keras": runs["plain pass"][0].report["keras"],
        "rounds": args.repeats,
    }
    print("; ".join(f"{name}: {value}" for name, value in facts.items()), end="\n\n")
    print(markdown([HEADER, *table(runs)]))
    if not args.no_loop:
        differ = ", ".join(map(str, differing_rows(runs)))
        count = len(runs["sweep"][0].report["rows"])
        print(f"{count} rows, sweep against loop: {f'rows {differ} differ' if differ else 'equal'}")
    if args.json:
        singles = {name: [asdict(done) for done in found] for name, found in runs.items()}
        shell.write_json(facts | {"runs": singles}, args.json)


if __name__ == "__main__":
    shell.run(main)
