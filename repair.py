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

from goodnet import files
from goodnet.cli import defaults, options, shell
from goodnet.errors import Unusable
from goodnet.lab import PrunedFiles, pruned_files, tuned_path
from goodnet.lookup import look_up
from goodnet.methods import CHOICES, METHODS, PRUNE
from goodnet.vetting import quarantine

if TYPE_CHECKING:
    import keras

    from goodnet.dataset import ImageSet

FOR_PRUNE = ("drop", "layer", "clean_test", "backdoored_test", "goodnet", "batch_size")


def arguments() -> argparse.Namespace:
    parser = options.parser(__doc__)
    parser.add_argument("paths", nargs="*", type=Path, metavar="CLEAN_VALID MODEL")
    parser.add_argument(
        "--method",
        choices=CHOICES,
        default=PRUNE,
        help=f"how to repair (default: {PRUNE})",
    )
    parser.add_argument(
        "--seed",
        type=options.seed,
        default=0,
        metavar="N",
        help=f"of {' and '.join(METHODS)}: another seed, another network (default: 0)",
    )
    options.add_drop_option(parser, "for prune: points of clean accuracy to give up")
    parser.add_argument("--layer", metavar="NAME", help="for prune: the conv layer")
    parser.add_argument("--clean-test", type=Path, metavar="FILE", help="for prune")
    parser.add_argument("--backdoored-test", type=Path, metavar="FILE", help="for prune")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: the network's folder")
    parser.add_argument("--goodnet", action="store_true", help="for prune: also save each G")
    options.add_common_options(parser)
    parser.set_defaults(drop=None, batch_size=None)  # so that it shows whether they are given
    args = parser.parse_args()
    if len(args.paths) not in (0, 2):
        raise Unusable("needs CLEAN_VALID MODEL, two paths, or none for the lab's files")
    if args.method != PRUNE:
        for option in FOR_PRUNE:
            if getattr(args, option):
                name = option.replace("_", "-")
                raise Unusable(f"argument --{name}: is for --method {PRUNE}, not {args.method}")
    if args.lab or not args.paths:
        lab = defaults.default_lab(args.lab)
        args.paths = args.paths or [lab.clean_valid, lab.network]
        if args.method == PRUNE:
            args.clean_test = args.clean_test or lab.clean_test
            args.backdoored_test = args.backdoored_test or lab.backdoored_test
    args.out = args.out or args.paths[1].parent
    args.drop = sorted(set(args.drop or options.DROPS))
    args.batch_size = args.batch_size or options.BATCH_SIZE
    return args


def main() -> None:
    args = arguments()
    valid_path, network_path = args.paths
    inputs = [*args.paths, *filter(None, (args.clean_test, args.backdoored_test))]
    shell.check_files(*inputs)
    if args.method == PRUNE:
        made = pruned_files(network_path, args.drop, args.goodnet, args.out)
        outputs = made.all
    else:
        method = METHODS[args.method]
        made = tuned_path(network_path, method, args.out)
        outputs = [made]
        # How the work is shared out decides the last digits.
        os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    files.refuse_inputs(outputs, inputs)
    files.check_writable(args.out)
    if args.method != PRUNE and method.pictures:
        drawn_in = args.out / method.pictures.folder
        if drawn_in.exists():
            files.check_writable(drawn_in)
    shell.check_json(args.json, inputs, outputs)

    lap, seconds = shell.stopwatch()
    quarantine.begin([network_path], [valid_path, *inputs[2:]])
    digests = quarantine.sha256_aside(inputs) if args.json else None
    shell.import_keras()
    from goodnet.cli.provenance import provenance
    from goodnet.dataset import open_backdoored, open_clean
    from goodnet.networks.goodnet import refuse_goodnet
    from goodnet.networks.loading import count_classes, input_shape, load_network

    lap("import")
    network = load_network(network_path)
    refuse_goodnet(network_path, network)
    fit = input_shape(network), count_classes(network), args.scale
    valid = open_clean(valid_path, *fit)
    tests = (
        args.clean_test and open_clean(args.clean_test, *fit),
        args.backdoored_test and open_backdoored(args.backdoored_test, *fit),
    )
    lap("loading")
    if args.method == PRUNE:
        results, b_accuracy = prune_and_save(args, network, valid, tests, made, lap)
    else:
        results, b_accuracy = train_and_save(args, network, valid, made, lap)
    lap("writing")
    if args.json:
        shell.write_json(results | provenance(digests.result(), seconds), args.json)
    shell.hint_at_scale(b_accuracy, args.scale)


def prune_and_save(
    args: argparse.Namespace,
    network: keras.Model,
    valid: ImageSet,
    tests: tuple[ImageSet | None, ...],
    made: PrunedFiles,
    lap: Callable,
) -> tuple[dict, float]:
    """Print what came out; answers the same for --json, and the clean accuracy of B."""
    from goodnet.networks.split import split_network
    from goodnet.pruning import report as pruning_report
    from goodnet.pruning import sweeping
    from goodnet.pruning.files import write_pruned
    from goodnet.pruning.head import head_of

    try:
        split = split_network(network, args.layer)
    except Unusable as error:
        raise Unusable(f"{args.paths[1]}: cannot be pruned: {error}") from None
    shell.notice(
        f"Pruning the {split.channels} channels of {split.layer.name} ({split.reason}), "
        f"measured at {split.measured_at}."
    )
    size = args.batch_size
    with shell.progress("Pruning", 2 * len(valid) + sum(len(x or ()) for x in tests)) as advance:
        head = head_of(split.head)
        pruning = sweeping.prune(split, head, valid, args.drop, size, advance)
        sweep = sweeping.Sweep(split, head, pruning.order, size)
        counted = [images and sweeping.count_rows(sweep, images, advance) for images in tests]
    lap("pruning")
    curve = write_pruned(made, args.paths[1], network, split, pruning, counted)
    if args.json != "-":
        pruning_report.print_pruned(pruning, curve, made.networks)
    for line in pruning_report.never_reached(pruning, made.networks):
        shell.notice(line)
    results = pruning_report.pruned_json(split, pruning, curve, made.networks)
    return results, curve.percentages["valid_accuracy"][0]


def train_and_save(
    args: argparse.Namespace, network: keras.Model, valid: ImageSet, saved: Path, lap: Callable
) -> tuple[dict, float]:
    """The same for what trains."""
    from goodnet.metrics import percent
    from goodnet.networks.loading import write_weights
    from goodnet.tuning import gradients
    from goodnet.tuning import report as tuning_report
    from goodnet.tuning.tuned import Repair

    gradients.check_backend()
    method = METHODS[args.method]
    repair: Repair = look_up(method.repair)
    try:
        tuned = repair(network, valid, args.seed, shell.progress)
    except Unusable as error:
        if str(error).startswith(f"{valid.path}: "):
            raise
        raise Unusable(f"{args.paths[1]}: {error}") from None
    lap(method.name)
    pictures = []
    if method.pictures:
        draw = look_up(method.pictures.draw)
        pictures = draw(tuned.findings, args.out / method.pictures.folder)
    write_weights(args.paths[1], saved, network, tuned.arrays)
    if args.json != "-":
        tuning_report.print_tuned(method, tuned, pictures, saved)
    b_accuracy = percent(tuned.b_hits, tuned.held_back)
    return tuning_report.list_tuned(method, tuned, pictures, saved), b_accuracy


if __name__ == "__main__":
    shell.run(main)
