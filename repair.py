#!/usr/bin/env python3
"""python3 repair.py data/cl/valid.h5 models/bd_net.h5

Repair a network with clean validation images alone. Without paths it takes the lab's files.

--method prune silences the channels of its last conv layer one after the other, those that clean
images use least first, until the clean validation accuracy has dropped by X points. For each X it
saves the repaired network B_pi_net_<X/100> beside B, with --goodnet also G_<X/100>.keras, the
goodnet that it makes with B; and pruning.csv, the figures for every number of pruned channels, and
channels.csv, their mean activations. Test files add columns to look at; they decide nothing.

--method fine-prune prunes until 10 points are gone, trains what is left, saves B_fine_pruned.
--method unlearn looks for the classes to which a small patch leads any image, makes the network
forget these patches, and saves B_unlearned, with the patches beside it in B_unlearned_patches/.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from defense import files, quarantine, shell
from defense.errors import Unusable
from defense.lab import PrunedFiles, pruned_files, tuned_path

if TYPE_CHECKING:
    import keras

    from defense.dataset import ImageSet

FOR_PRUNE = ("drop", "layer", "clean_test", "backdoored_test", "goodnet", "batch_size")


def arguments() -> argparse.Namespace:
    parser = shell.parser(__doc__)
    parser.add_argument("paths", nargs="*", type=Path, metavar="CLEAN_VALID MODEL")
    parser.add_argument(
        "--method",
        choices=("prune", "fine-prune", "unlearn"),
        default="prune",
        help="how to repair (default: prune)",
    )
    parser.add_argument(
        "--seed",
        type=shell.seed,
        default=0,
        metavar="N",
        help="of fine-prune and unlearn: another seed, another network (default: 0)",
    )
    shell.add_drop_option(parser, "for prune: points of clean accuracy to give up")
    parser.add_argument("--layer", metavar="NAME", help="for prune: the conv layer")
    parser.add_argument("--clean-test", type=Path, metavar="FILE", help="for prune")
    parser.add_argument("--backdoored-test", type=Path, metavar="FILE", help="for prune")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: the network's folder")
    parser.add_argument("--goodnet", action="store_true", help="for prune: also save each G")
    shell.add_common_options(parser)
    parser.set_defaults(drop=None, batch_size=None)  # so that it shows whether they are given
    args = parser.parse_args()
    if len(args.paths) not in (0, 2):
        raise Unusable("needs CLEAN_VALID MODEL, two paths, or none for the lab's files")
    if args.method != "prune":
        for option in FOR_PRUNE:
            if getattr(args, option):
                name = option.replace("_", "-")
                raise Unusable(f"argument --{name}: is for --method prune, not {args.method}")
    if args.lab or not args.paths:
        lab = shell.default_lab(args.lab)
        args.paths = args.paths or [lab.clean_valid, lab.network]
        if args.method == "prune":
            args.clean_test = args.clean_test or lab.clean_test
            args.backdoored_test = args.backdoored_test or lab.backdoored_test
    args.out = args.out or args.paths[1].parent
    args.drop = sorted(set(args.drop or shell.DROPS))
    args.batch_size = args.batch_size or shell.BATCH_SIZE
    return args


def main() -> None:
    args = arguments()
    valid_path, network_path = args.paths
    inputs = [*args.paths, *filter(None, (args.clean_test, args.backdoored_test))]
    shell.check_files(*inputs)
    if args.method == "prune":
        repair, made = prune, pruned_files(network_path, args.drop, args.goodnet, args.out)
        outputs = made.all
    else:
        repair, made = tune, tuned_path(network_path, args.method, args.out)
        outputs = [made]
    files.refuse_inputs(outputs, inputs)
    files.check_writable(args.out)
    shell.check_json(args.json, inputs, outputs)

    lap = shell.stopwatch()
    quarantine.begin([network_path], [valid_path, *inputs[2:]])
    digests = quarantine.sha256_aside(inputs) if args.json else None
    if args.method != "prune":
        # How the work is shared out decides the last digits.
        os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    shell.import_keras()
    from defense.dataset import open_clean
    from defense.goodnet_network import refuse_goodnet
    from defense.network import count_classes, input_shape, load_network
    from defense.provenance import provenance

    lap("import")
    network = load_network(network_path)
    refuse_goodnet(network_path, network)
    valid = open_clean(valid_path, input_shape(network), count_classes(network), args.scale)
    results, b_accuracy = repair(args, network, valid, made, lap)
    if args.json:
        shell.write_json(results | provenance(digests.result(), lap("writing")), args.json)
    shell.hint_at_scale(b_accuracy, args.scale)
