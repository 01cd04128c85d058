#!/usr/bin/env python3
"""python3 audit.py data/cl/valid.h5 models/bd_net.h5 --out audited

Is there a backdoor in this network, and can I still use it? From clean images alone: look through
the file, judge the network, look for classes to which a small patch leads any image, repair it,
judge the repair. It takes minutes and ends with four lines.

CLEAN is an image set (.h5, .npz or a folder), MODEL a network (.h5 or .keras). Without them it
takes the lab's. It writes into --out:
  B_repaired.h5     the repaired network, of the kind of MODEL
  G.keras           the goodnet of both, which rejects images on which they differ
  report.html       the answer, what it rests on, pictures; MODEL_CARD.md in short
  audit.json        all of it as numbers

Several networks, or a folder of them, give a table with a row for each: audits.csv, and index.html
with the reports behind it. What was done before is not done again.
"""

import goodnet.cli.interrupts  # noqa: F401  # isort: skip  # Ctrl-C, from here on
import argparse
from pathlib import Path

from goodnet.cli import defaults, options, shell
from goodnet.cli.findings import FAIL_ON, add_finding_options
from goodnet.cli.session import session
from goodnet.cli.settings import asked_for
from goodnet.fleet.options import add_fleet_options, are_many, refuse_too_few
from goodnet.lab import audit_files

NOT_FOR_VETTING = ("lab", "out", "clean_test", "backdoored_test", "jobs", "scheduler", "sarif")


def arguments() -> argparse.Namespace:
    parser = options.parser(__doc__)
    options.add_paths(parser, "CLEAN MODEL ...")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: the network's folder")
    options.add_seed_option(parser, "another seed, other searches")
    add_finding_options(parser)
    options.add_test_options(parser, "judge on it as well", "--backdoored")
    parser.add_argument(
        "--vet-only", action="store_true", help="look through the files MODEL ... and do no more"
    )
    add_fleet_options(parser)
    options.add_set_options(parser)
    args = parser.parse_args()
    if args.vet_only:
        options.refuse_given(args, NOT_FOR_VETTING, "not for --vet-only")
        args.paths = args.paths or [defaults.default_lab(None).network]
        return args
    refuse_too_few(args)
    if args.lab or not args.paths:
        lab = defaults.default_lab(args.lab)
        args.paths = args.paths or [lab.clean_valid, lab.network]
    return args


def main() -> int:
    args = arguments()
    if args.vet_only:
        from goodnet.cli import vet_only

        return vet_only.vet_and_tell(args.paths, args.json)
    if are_many(args):
        from goodnet.fleet.command import audit_many

        return audit_many(args)
    clean, model = args.paths
    image_sets = [path for path in (clean, args.clean_test, args.backdoored_test) if path]
    inputs = [clean, model, *image_sets[1:]]
    shell.check_files(*inputs, networks=[model])
    made = audit_files(model, args.out or model.parent)
    read = [*inputs, *options.listed_classes(args)]
    shell.check_outputs(made.all, made.network.parent, [], read)
    shell.check_json(args.json, read, made.all)
    shell.check_json(args.sarif, read, [*made.all, *map(Path, filter(None, [args.json]))])
    asked = asked_for(args, "seed", "fail_on")
    shell.notice("Step 1 of 5: looking through the files")
    with session(inputs, [model], image_sets, args.json, True, True, asked) as now:
        from goodnet.auditing.command import AuditOptions, audit_and_save

        sets = (clean, model, args.clean_test, args.backdoored_test)
        wanted = AuditOptions(*sets, args.scale, args.seed, args.sarif)
        answer = audit_and_save(now, wanted, options.limits(args), made)
    return int(answer in FAIL_ON[args.fail_on])


if __name__ == "__main__":
    shell.run(main)
