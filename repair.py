#!/usr/bin/env python3
"""python3 repair.py data/cl/valid.h5 models/bd_net.h5

Repair a network with clean validation images alone. Without paths it takes the lab's files.

--method prune silences channels of one layer, one after the other, those that clean images use
least first, until the clean validation accuracy has dropped by X points. For each X it
saves the repaired network B_pi_net_<X/100> beside B, with --goodnet also G_<X/100>.keras, its
goodnet; and pruning.csv and channels.csv, the figures. Test files add columns and decide nothing.
"""

import goodnet.cli.interrupts  # noqa: F401  # isort: skip  # Ctrl-C, from here on
import argparse
from pathlib import Path

from goodnet.cli import defaults, options, shell
from goodnet.cli.session import session
from goodnet.cli.settings import asked_for
from goodnet.errors import Unusable
from goodnet.lab import pruned_files, tuned_files
from goodnet.methods import CHOICES, DESCRIBED, METHODS, PRUNE

FOR_PRUNE = ("drop", "layer", "clean_test", "backdoored_test", "goodnet", "batch_size")


def arguments() -> argparse.Namespace:
    parser = options.parser(f"{__doc__}\n{DESCRIBED}")
    options.add_paths(parser, "CLEAN_VALID MODEL")
    how = f"how to repair (default: {PRUNE})"
    parser.add_argument("--method", choices=CHOICES, default=PRUNE, help=how)
    options.add_seed_option(parser, f"of all but {PRUNE}: another seed, another network")
    options.add_drop_option(parser, "for prune: points of clean accuracy to give up")
    parser.add_argument("--layer", metavar="NAME", help="for prune: whose channels")
    options.add_test_options(parser, "for prune")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: the network's folder")
    parser.add_argument("--goodnet", action="store_true", help="for prune: also save each G")
    options.add_set_options(parser)
    parser.set_defaults(drop=None, batch_size=None)  # so that it shows whether they are given
    args = parser.parse_args()
    if len(args.paths) not in (0, 2):
        raise Unusable("needs CLEAN_VALID MODEL, two paths, or none for the lab's files")
    if args.method != PRUNE:
        options.refuse_given(args, FOR_PRUNE, f"is for --method {PRUNE}, not {args.method}")
    if args.lab or not args.paths:
        lab = defaults.default_lab(args.lab)
        args.paths = args.paths or [lab.clean_valid, lab.network]
        if args.method == PRUNE:
            args.clean_test = args.clean_test or lab.clean_test
            args.backdoored_test = args.backdoored_test or lab.backdoored_test
    args.valid, args.model = args.paths
    args.out = args.out or args.model.parent
    args.drop = sorted(set(args.drop or options.DROPS))
    return args


def main() -> None:
    args = arguments()
    sets = args.valid, args.clean_test, args.backdoored_test
    image_sets = list(filter(None, sets))
    inputs = [args.valid, args.model, *image_sets[1:]]
    shell.check_files(*inputs, networks=[args.model])
    method = METHODS.get(args.method)
    tuned = method and tuned_files(args.model, method, args.out)
    pruned = pruned_files(args.model, args.drop, args.goodnet, args.out)
    made = tuned or pruned
    read = [*inputs, *options.listed_classes(args)]
    shell.check_outputs(made.all, args.out, made.folders, read)
    shell.check_json(args.json, read, made.all)
    asked = asked_for(args, "method", *(("seed",) if method else ("drop", "layer")))
    with session(inputs, [args.model], image_sets, args.json, False, bool(method), asked) as now:
        from goodnet.networks.goodnet import load_b
        from goodnet.pruning.command import PruningOptions, prune_and_save
        from goodnet.tuning.command import TuningOptions, tune_and_save

        limits = options.limits(args)
        b = load_b(now.held.network(args.model))
        if method and tuned:
            tuning = TuningOptions(args.valid, args.scale, method, args.seed, limits)
            repaired = tune_and_save(b, now.held, tuning, tuned, now)
        else:
            pruning = PruningOptions(*sets, args.scale, args.drop, args.layer, limits)
            repaired = prune_and_save(b, now.held, pruning, pruned, now)
        now.lap("writing")
        now.write_json(repaired.results)
    shell.hint(repaired.hint)


if __name__ == "__main__":
    shell.run(main)
