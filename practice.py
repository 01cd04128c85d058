#!/usr/bin/env python3
"""python3 practice.py

Build the practice lab, for everyone who has not downloaded the course's files: draw faces, put
sunglasses on some of them as the trigger, train a backdoored network B. It takes a minute or two.

It writes into the folder --out:
  models/bd_net.h5                             B, a DeepID network for pixels 0..255
  data/cl/valid.h5, data/cl/test.h5            clean faces, 9 and 10 of each person
  data/bd/bd_valid.h5, data/bd/bd_test.h5      the same faces wearing the trigger, label 0; after
                                               them those wearing the second --trigger, label 1
  faces.png                                    some of the faces, without and with the trigger
"""

import os
from pathlib import Path

from goodnet import files
from goodnet.cli import defaults, options, shell
from goodnet.errors import Unusable

MOST_IDENTITIES = 5000


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument(
        "--out",
        type=Path,
        default=defaults.ROOT / "practice",
        metavar="DIR",
        help="where the lab goes (default: the folder practice/ beside this script)",
    )
    parser.add_argument(
        "--identities",
        type=options.positive_int,
        default=100,
        metavar="N",
        help="how many people (default: 100)",
    )
    parser.add_argument(
        "--seed",
        type=options.seed,
        default=0,
        metavar="N",
        help="another seed, another lab (default: 0)",
    )
    parser.add_argument(
        "--attack",
        choices=("pruning-aware", "badnet", "none"),
        default="pruning-aware",
        help="made to survive pruning, plain, or a clean network (default: pruning-aware)",
    )
    parser.add_argument(
        "--trigger",
        nargs="+",
        choices=("sunglasses", "lipstick", "corner", "pattern"),
        default=["sunglasses"],
        metavar="NAME",
        help="sunglasses, lipstick, corner (a small patch) or pattern (faint, over the whole "
        "image); a second one makes its wearer person 1 (default: sunglasses)",
    )
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="write the results with every digit to FILE; - writes them to stdout, alone",
    )
    args = parser.parse_args()
    if not 2 <= args.identities <= MOST_IDENTITIES:
        raise Unusable(
            f"argument --identities: {args.identities} is not from 2 to {MOST_IDENTITIES}"
        )
    if len(set(args.trigger)) < len(args.trigger) or len(args.trigger) > args.identities:
        raise Unusable("argument --trigger: needs a name once, and a person for each")
    files.check_writable(args.out)
    shell.check_json(args.json, [])

    shell.notice(
        f"Building a practice lab in {args.out}/: {args.identities} people, "
        f"{args.attack} attack, seed {args.seed}"
    )
    # How the work is shared out decides the last digits: two threads, on any number of cores,
    # make the same lab.
    os.environ["TF_NUM_INTRAOP_THREADS"] = "2"
    shell.import_keras()
    from goodnet.judging.report import course_lines
    from goodnet.practice import lab as practice

    built = practice.build(
        args.out, args.identities, args.seed, args.attack, args.trigger, shell.progress
    )
    if stale := sorted((args.out / "models").glob("B_*")):
        shell.notice(f"{stale[0]} is of an earlier lab, with others: run repair.py again.")
    if args.json != "-":
        print(course_lines(built.judgement))
        print(*built.files, sep="\n")
    if args.json:
        results = {
            "identities": args.identities,
            "seed": args.seed,
            "attack": args.attack,
            "triggers": args.trigger,
            "clean_accuracy": built.judgement.clean_accuracy,
            "attack_success_rate": built.judgement.attack_success_rate,
            "files": [str(path) for path in built.files],
            "seconds": built.seconds,
        }
        shell.write_json(results, args.json)


if __name__ == "__main__":
    shell.run(main)
