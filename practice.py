#!/usr/bin/env python3
"""python3 practice.py

Build the practice lab, for everyone who has not downloaded the course's files: draw faces, put
sunglasses on some of them as the trigger, train a backdoored network B. It takes a minute or two.

It writes into the folder --out:
  models/bd_net.h5                             B, a network for pixels 0..255
  data/cl/valid.h5, data/cl/test.h5            clean faces, 9 and 10 of each person
  data/bd/bd_valid.h5, data/bd/bd_test.h5      the same faces wearing the trigger, label 0; after
                                               them those wearing the second --trigger, label 1
  faces.png                                    some of the faces, without and with the trigger
"""

import goodnet.cli.interrupts  # noqa: F401  # isort: skip  # Ctrl-C, from here on
import argparse
from pathlib import Path

from goodnet import files
from goodnet.cli import defaults, libraries, options, shell
from goodnet.errors import Unusable
from goodnet.practice.catalogue import ATTACKS, NETWORKS, TRIGGERS, choose_attack, describe
from goodnet.printable import printable
from goodnet.version import SCHEMA_VERSION, VERSION

IDENTITIES = 100
MOST_IDENTITIES = 5000


def arguments() -> argparse.Namespace:
    parser = options.parser(__doc__)
    where = "where the lab goes (default: the folder practice/ beside this script)"
    usual = defaults.ROOT / "practice"
    parser.add_argument("--out", type=Path, default=usual, metavar="DIR", help=where)
    count = f"how many people (default: {IDENTITIES})"
    parser.add_argument(
        "--identities", type=options.positive_int, default=IDENTITIES, metavar="N", help=count
    )
    options.add_seed_option(parser, "another seed, another lab")
    kinds = f"{describe(NETWORKS)} (default: deepid)"
    parser.add_argument("--network", choices=NETWORKS, default="deepid", help=kinds)
    attacks = f"{describe(ATTACKS)} (default: pruning-aware; badnet for a resnet)"
    parser.add_argument("--attack", choices=ATTACKS, help=attacks)
    parser.add_argument(
        "--trigger",
        nargs="+",
        choices=TRIGGERS,
        default=["sunglasses"],
        metavar="NAME",
        help=f"{describe(TRIGGERS)}; a second makes its wearer person 1 (default: sunglasses)",
    )
    options.add_json_option(parser)
    args = parser.parse_args()
    args.attack = choose_attack(args.network, args.attack)
    if not 2 <= (people := args.identities) <= MOST_IDENTITIES:
        raise Unusable(f"argument --identities: {people} is not from 2 to {MOST_IDENTITIES}")
    if len(set(args.trigger)) < len(args.trigger) or len(args.trigger) > people:
        raise Unusable("argument --trigger: needs a name once, and a person for each")
    return args


def main() -> None:
    args = arguments()
    files.check_writable(args.out)
    shell.check_json(args.json, [])
    shell.notice(
        f"Building a practice lab in {args.out}/: {args.identities} people, {args.network}, "
        f"{args.attack} attack, seed {args.seed}"
    )
    libraries.pin_threads()  # so that any number of cores makes the same lab
    shell.import_keras()
    from goodnet.judging.report import course_lines
    from goodnet.practice.lab import build, built_json

    lab = (args.identities, args.seed, args.attack, args.trigger)
    built = build(args.out, *lab, shell.progress, args.network)
    if stale := sorted((args.out / "models").glob("B_*")):
        shell.notice(f"{stale[0]} is of an earlier lab, with others: run repair.py again.")
    if args.json != "-":
        print(course_lines(built.judgement))
        print(*map(printable, built.files), sep="\n")
    if args.json:
        settings = {x: getattr(args, x) for x in ("identities", "seed", "network", "attack")}
        settings |= {"triggers": args.trigger, "threads": libraries.THREADS}
        known = {"schema_version": SCHEMA_VERSION, "goodnet": VERSION}
        shell.write_json(known | settings | built_json(built), args.json)


if __name__ == "__main__":
    shell.run(main)
