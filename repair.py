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

import argparse
import os
from pathlib import Path

from defense import files, quarantine, shell
from defense.errors import Unusable
from defense.lab import goodnet_path, repaired_path, tuned_path


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
    args = parser.parse_args()
    if len(args.paths) not in (0, 2):
        raise Unusable("needs CLEAN_VALID MODEL, two paths, or none for the lab's files")
    if args.method != "prune":
        for option in ("layer", "clean_test", "backdoored_test", "goodnet"):
            if getattr(args, option):
                name = option.replace("_", "-")
                raise Unusable(f"argument --{name}: is for --method prune, not {args.method}")
    if args.lab or not args.paths:
        lab = shell.default_lab(args.lab)
        args.paths = args.paths or [lab.clean_valid, lab.network]
        args.clean_test = args.clean_test or lab.clean_test
        args.backdoored_test = args.backdoored_test or lab.backdoored_test
    args.out = args.out or args.paths[1].parent
    args.drop = sorted(set(args.drop))
    return args


def prune(args: argparse.Namespace) -> None:
    valid_path, network_path = args.paths
    inputs = [*args.paths, *filter(None, (args.clean_test, args.backdoored_test))]
    shell.check_files(*inputs)
    saved = {drop: repaired_path(network_path, drop, args.out) for drop in args.drop}
    goodnets = {drop: goodnet_path(drop, args.out) for drop in args.drop if args.goodnet}
    curve_path, channels_path = args.out / "pruning.csv", args.out / "channels.csv"
    outputs = [curve_path, channels_path, *saved.values(), *goodnets.values()]
    files.refuse_inputs(outputs, inputs)
    files.check_writable(args.out)
    shell.check_json(args.json, inputs, outputs)

    lap = shell.stopwatch()
    quarantine.begin([network_path], [valid_path, *inputs[2:]])
    digests = quarantine.sha256_aside(inputs) if args.json else None
    shell.import_keras()
    from defense.channels import write_channels
    from defense.curve import PruningCurve, write_curve
    from defense.dataset import open_backdoored, open_clean
    from defense.goodnet_network import goodnet_network, refuse_goodnet
    from defense.head import head_of
    from defense.network import (
        count_classes,
        input_shape,
        load_network,
        write_copy,
        write_network,
    )
    from defense.provenance import provenance
    from defense.pruning_report import (
        channel_means,
        curve_percentages,
        print_repairs,
        repairs_json,
    )
    from defense.split import silenced_arrays, split_network
    from defense.sweeping import count_rows, features, prune

    lap("import")
    network = load_network(network_path)
    refuse_goodnet(network_path, network)
    fit = input_shape(network), count_classes(network), args.scale
    valid = open_clean(valid_path, *fit)
    clean = args.clean_test and open_clean(args.clean_test, *fit)
    backdoored = args.backdoored_test and open_backdoored(args.backdoored_test, *fit)
    try:
        split = split_network(network, args.layer)
    except Unusable as error:
        raise Unusable(f"{network_path}: cannot be pruned: {error}") from None
    shell.notice(
        f"Pruning the {split.channels} channels of {split.layer.name} ({split.reason}), "
        f"measured at {split.measured_at}."
    )

    lap("loading")
    total = 2 * len(valid) + len(clean or ()) + len(backdoored or ())
    with shell.progress("Pruning", total) as advance:
        head = head_of(split.head)
        pruning = prune(split, head, valid, args.drop, args.batch_size, advance)
        tests = [
            images
            and count_rows(
                split,
                head,
                images,
                features(split, images, args.batch_size),
                pruning.order,
                args.batch_size,
                advance,
            )
            for images in (clean, backdoored)
        ]
    lap("pruning")
    for drop, pruned in pruning.stops.items():
        if pruned is not None:
            arrays = silenced_arrays(split, pruning.order[:pruned])
            changes = zip(split.variables, split.arrays, arrays, strict=True)
            write_copy(network_path, saved[drop], network, changes)
            if drop in goodnets:
                goodnet = goodnet_network(network, load_network(saved[drop]))
                write_network(goodnet, goodnets[drop])
    percentages = curve_percentages(pruning.valid, *tests)
    write_curve(curve_path, PruningCurve(pruning.order, pruning.mean_activation, percentages))
    write_channels(channels_path, pruning.order, channel_means(pruning.valid, *tests))

    if args.json != "-":
        print_repairs(pruning.stops, percentages, saved)
    if args.json:
        results = repairs_json(split, pruning, percentages, saved)
        shell.write_json(results | provenance(digests.result(), lap("writing")), args.json)
    for drop, pruned in pruning.stops.items():
        if pruned is None:
            stale = f"; {saved[drop]} is of an earlier run" if saved[drop].exists() else ""
            shell.notice(
                f"X = {float(drop):g} is never reached: no network is saved for it{stale}."
            )
    shell.hint_at_scale(percentages["valid_accuracy"][0], args.scale)


def tune(args: argparse.Namespace) -> None:
    valid_path, network_path = args.paths
    saved = tuned_path(network_path, args.method, args.out)
    pictures = saved.parent / "B_unlearned_patches"
    shell.check_files(*args.paths)
    files.refuse_inputs([saved], args.paths)
    files.check_writable(args.out)
    shell.check_json(args.json, args.paths, [saved])

    lap = shell.stopwatch()
    quarantine.begin([network_path], [valid_path])
    digests = quarantine.sha256_aside(args.paths) if args.json else None
    # How the work is shared out decides the last digits.
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
    shell.import_keras()
    from defense import gradients, tuning
    from defense.dataset import open_clean
    from defense.network import count_classes, input_shape, load_network, write_weights
    from defense.patch_pictures import write_patches
    from defense.provenance import provenance
    from defense.tuning_report import print_tuned, tuned_json

    lap("import")
    network = load_network(network_path)
    valid = open_clean(valid_path, input_shape(network), count_classes(network), args.scale)
    try:
        gradients.check_backend()
        method = {"fine-prune": tuning.fine_prune, "unlearn": tuning.unlearn}[args.method]
        result = method(network, valid, args.seed, shell.progress)
    except Unusable as error:
        raise Unusable(f"{network_path}: {error}") from None
    lap(args.method)
    drawn = []
    if args.method == "unlearn":
        drawn = write_patches(result, pictures)
    write_weights(network_path, saved, network, result.tuned.arrays)

    if args.json != "-":
        print_tuned(result, drawn, saved)
    if args.json:
        results = tuned_json(result, drawn, saved)
        shell.write_json(results | provenance(digests.result(), lap("writing")), args.json)
    b_accuracy = result.tuned.b_hits / result.tuned.held_back * 100
    shell.hint_at_scale(b_accuracy, args.scale)


def main() -> None:
    args = arguments()
    if args.method == "prune":
        prune(args)
    else:
        tune(args)


if __name__ == "__main__":
    shell.run(main)
