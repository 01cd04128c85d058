#!/usr/bin/env python3
"""python3 benchmarks/zoo.py FOLDER --seeds 0 1

Train the zoo: small networks on CIFAR-10 with and without a backdoor, each in a folder of its own
with the images that a defender has and those that judge the defense. CIFAR-10 comes through
keras.datasets, or from CIFAR_DIR. A second run goes on where the first was stopped. --only PARTS
takes the networks whose name holds one of the parts; --jobs N trains N at a time. Deep ones, which
take a GPU, are trained with --architectures deep alone.

Seeds below 10 are for choosing, the others for measuring: docs/repairs.md.
"""

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

QUICK = ("residual", "plain")
ARCHITECTURES = (*QUICK, "deep")
ATTACKS = (
    *("none", "badnet", "large shape", "watermark", "blended", "stripes", "warp", "few colours"),
    *("two triggers", "all-to-all"),
)


def main() -> None:
    """Train what is missing, each network in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[2])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 10])
    parser.add_argument("--architectures", nargs="+", default=QUICK, choices=ARCHITECTURES)
    parser.add_argument("--only", nargs="+", default=[""])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)  # architecture and attack
    args = parser.parse_args()
    if args.one:
        from benchmarks.zoo_training import make_network

        make_network(args.folder, *args.one, args.seeds[0])
        return
    wanted = [
        (architecture, attack, seed)
        for seed in args.seeds
        for attack in ATTACKS
        for architecture in args.architectures
        if any(part in f"{architecture} {attack} {seed}" for part in args.only)
    ]
    with ThreadPoolExecutor(args.jobs) as pool:
        for line in pool.map(lambda each: train(args.folder, *each), wanted):
            print(line, flush=True)


def train(folder: Path, architecture: str, attack: str, seed: int) -> str:
    """Train one network, if it is not there yet; a line on what it came to."""
    place = folder / f"{architecture} {attack} {seed}"
    figures = place / "figures.json"
    if not figures.exists():
        command = [sys.executable, __file__, str(place), "--seeds", str(seed)]
        subprocess.run([*command, "--one", architecture, attack], check=True)
    found = json.loads(figures.read_text())
    asr = "" if found["asr"] is None else f", ASR {found['asr']:.1f}"
    return f"{place.name}: clean {found['clean_accuracy']:.1f}{asr}"


if __name__ == "__main__":
    main()
