#!/usr/bin/env python3
"""python3 practice.py

Build the practice lab, for everyone who has not downloaded the course's files: draw faces, put
sunglasses on some of them as the trigger, train a backdoored network B. It takes a minute or two.

It writes into the folder --out:
  models/bd_net.h5                             B, a DeepID network for pixels 0..255
  data/cl/valid.h5, data/cl/test.h5            clean faces, 9 and 10 of each person
  data/bd/bd_valid.h5, data/bd/bd_test.h5      the same faces wearing the sunglasses, label 0
  faces.png                                    some of the faces, without and with sunglasses
"""

import argparse
from pathlib import Path

from defense import shell
from defense.errors import Unusable

MOST_IDENTITIES = 5000


def arguments() -> argparse.Namespace:
    parser = shell.parser(__doc__)
    parser.add_argument(
        "--out", type=Path, default=shell.ROOT / "practice", help="default: practice/ beside me"
    )
    parser.add_argument("--identities", type=shell.positive_int, default=100, help="default: 100")
    parser.add_argument("--seed", type=int, default=0, help="same number, same lab; default: 0")
    parser.add_argument(
        "--attack",
        choices=("pruning-aware", "badnet"),
        default="pruning-aware",
        help="whether the backdoor is trained to survive pruning; default: pruning-aware",
    )
    parser.add_argument("--json", metavar="FILE", help="the results, to a file; - for stdout")
    args = parser.parse_args()
    if not 2 <= args.identities <= MOST_IDENTITIES:
        raise Unusable(f"--identities {args.identities}: is not within 2..{MOST_IDENTITIES}")
    if not 0 <= args.seed < 2**32:
        raise Unusable(f"--seed {args.seed}: is not within 0..{2**32 - 1}")
    return args


def main() -> None:
    args = arguments()
    from defense import files

    files.check_writable(args.out)
    shell.import_keras()
    from defense import practice

    shell.notice(
        f"Building a practice lab in {args.out}: {args.identities} people, "
        f"{args.attack} attack, seed {args.seed}"
    )
    built = practice.build(args.out, args.identities, args.seed, args.attack)
    results = {
        "identities": args.identities,
        "seed": args.seed,
        "attack": args.attack,
        "clean_accuracy": built.judgement.clean_accuracy,
        "attack_success_rate": built.judgement.attack_success_rate,
        "files": [str(path) for path in built.files],
        "seconds": built.seconds,
    }
    if args.json != "-":
        print(f"Clean Classification accuracy: {results['clean_accuracy']}")
        print(f"Attack Success Rate: {results['attack_success_rate']}")
        print(*built.files, sep="\n")
    if args.json:
        shell.write_json(results, args.json)


if __name__ == "__main__":
    shell.run(main)
