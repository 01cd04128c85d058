#!/usr/bin/env python3
"""python3 Geval.py data/cl/test.h5 data/bd/bd_test.h5 models/bd_net.h5 models/B_pi_net_0.02.h5

Judge repaired networks B', and the goodnet G that each makes with B: G answers the class that B
and B' agree on, and class N+1, backdoored, where they differ. In percent.

CLEAN and BACKDOORED are image sets, B and B' are networks (.h5 or .keras). Without them the lab's B
is judged with every repaired network of repair.py beside it, on the lab's test files. With
--clean-only no BACKDOORED is named. --save writes the G of one B' as a network of its own.

For plot.py it keeps judged.json, the counts with their intervals and the SHA-256 of the files, and
samples.png, some images with the answers: beside the lab's B, or in --out, else nowhere.
"""

import goodnet.cli.interrupts  # noqa: F401  # isort: skip  # Ctrl-C, from here on
import argparse
from pathlib import Path

from goodnet import files
from goodnet.cli import defaults, libraries, options, shell
from goodnet.cli.session import session
from goodnet.cli.settings import asked_for
from goodnet.errors import Unusable
from goodnet.lab import repaired_networks


def arguments() -> argparse.Namespace:
    parser = options.parser(__doc__)
    options.add_paths(parser, "CLEAN BACKDOORED B B' [B' ...]")
    parser.add_argument(
        "--save", type=options.keras_file, metavar="FILE", help="save G there, as a .keras network"
    )
    alone, kept = "no BACKDOORED is given", "keep judged.json and samples.png there"
    parser.add_argument("--clean-only", action="store_true", help=alone)
    parser.add_argument("--out", type=Path, metavar="DIR", help=kept)
    options.add_set_options(parser)
    args = parser.parse_args()
    options.refuse_lab_and_paths(args)
    if 0 < len(args.paths) < 4 - args.clean_only:
        names = f"CLEAN {'' if args.clean_only else 'BACKDOORED '}B B'"
        raise Unusable(f"needs {names}, so many paths or more, or none for the lab's")
    args.usual_out = None
    if not args.paths:
        clean, backdoored, b = defaults.files_to_judge(args.lab)
        args.usual_out, repaired = b.parent, repaired_networks(b)
        if not repaired:
            raise Unusable("holds no B_pi_net_*; run repair.py first", args.usual_out)
        args.paths = [clean, *([] if args.clean_only else [backdoored]), b, *repaired]
    return args


def main() -> None:
    args = arguments()
    clean, *others = args.paths
    backdoored, networks = (None, others) if args.clean_only else (others[0], others[1:])
    image_sets = [path for path in (clean, backdoored) if path]
    shell.check_files(*args.paths, networks=networks)
    read = [*args.paths, *options.listed_classes(args)]
    if args.save and len(networks) > 2:
        raise Unusable(f"argument --save: G is made of one B', and these are {len(networks) - 1}")
    if args.save:
        files.refuse_inputs([args.save], read)
        files.check_output(args.save)
    kept = shell.check_kept(args.out, args.usual_out, read, len(networks))
    written = [*filter(None, [args.save]), *(kept.all if kept else [])]
    shell.check_json(args.json, read, written)
    asked = asked_for(args)
    with session(args.paths, networks, image_sets, args.json, bool(kept), asked=asked) as now:
        from goodnet.judging.command import judge_and_print
        from goodnet.judging.report import judged_json
        from goodnet.networks.goodnet import goodnet_network
        from goodnet.networks.writing import write_network

        limits = options.limits(args)
        judged = judge_and_print(now, clean, backdoored, networks, args.scale, limits)
        if args.save:
            write_network(goodnet_network(*judged.models), args.save)
            shell.notice(f"G is saved as {args.save}.")
        if kept:
            libraries.import_matplotlib()
            from goodnet.pictures.keeping import keep

            keep(judged, kept, now.digests)
        now.lap("writing")
        now.write_json({"networks": judged_json(judged.networks)})
    shell.hint(judged.hint)


if __name__ == "__main__":
    shell.run(main)
