#!/usr/bin/env python3
"""python3 plot.py models/pruning.csv

Draw what pruning did to a network, from the pruning.csv that repair.py wrote:
  clean.png     clean accuracy against the number of channels pruned
  asr.png       attack success rate against the number of channels pruned
  pruning.png   both as steps against the share of channels pruned, with each X of --drop marked
  tradeoff.png  clean accuracy against attack success rate: what one gives up for what
and from what lies beside it, channels.csv of repair.py and judged.json of Geval.py:
  channels.png  each channel's mean activation on clean and on backdoored images
  answers.png   the classes that B and each B' answer to backdoored images
--report writes one page with these pictures, the samples.png of Geval.py, tables and a verdict.

Without a path it draws the lab's models/pruning.csv into the lab's plots/. What the file has no
columns for, because repair.py had no test files, is left out.
"""

import argparse
from pathlib import Path

from goodnet import files
from goodnet.cli import defaults, options, shell
from goodnet.errors import Unusable
from goodnet.pruning.curve import points_lost, read_curve
from goodnet.pruning.stops import find_stops


def arguments() -> argparse.Namespace:
    parser = options.parser(__doc__)
    parser.add_argument("csv", nargs="?", type=Path, metavar="pruning.csv")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: the folder of the CSV")
    options.add_drop_option(parser, "points of clean accuracy to mark")
    parser.add_argument(
        "--format",
        nargs="+",
        choices=("png", "svg", "pdf"),
        default=["png"],
        help="of the pictures, one or several (default: png); name it after the path",
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a page, report.html")
    parser.add_argument("--lab", type=Path, metavar="DIR", help="draw this lab's pruning.csv")
    args = parser.parse_args()
    args.drop = sorted(set(args.drop))
    if args.lab and args.csv:
        raise Unusable("argument --lab: names the file to draw; give it or the path, not both")
    if args.csv is None:
        lab = args.lab or defaults.lab_folder()
        args.csv = lab / "models" / "pruning.csv"
        if not args.csv.exists():
            raise Unusable(f"{args.csv}: no such file; run repair.py first")
        args.out = args.out or lab / "plots"
    args.out = args.out or args.csv.parent
    return args


def main() -> None:
    args = arguments()
    curve = read_curve(args.csv)
    channels_path, judged_path, samples_path = (
        args.csv.with_name(name) for name in ("channels.csv", "judged.json", "samples.png")
    )
    inputs = [args.csv, channels_path, judged_path, samples_path]
    files.check_writable(args.out)
    if args.report:
        files.refuse_inputs([args.report], inputs)
        files.check_output(args.report)
        if not judged_path.exists():
            raise Unusable(f"{judged_path}: there is no such file; run Geval.py first")
    try:
        from goodnet.judging.judged_json import read_judged
        from goodnet.pictures import canvas, page
        from goodnet.pictures import curve as figures
        from goodnet.pictures import networks as pictures
        from goodnet.pruning.curve import read_channels
    except ImportError as error:
        raise Unusable(f"{error}; run make lab once, then source .venv/bin/activate") from None

    reached = find_stops(points_lost(curve), args.drop)
    channels = read_channels(channels_path) if channels_path.exists() else None
    judged = read_judged(judged_path) if judged_path.exists() else None
    drawn = figures.draw(curve, reached) | pictures.draw(curve, reached, channels, judged)
    kinds = list(dict.fromkeys(args.format))
    paths = {args.out / f"{name}.{kind}": name for name in drawn for kind in kinds}
    files.refuse_inputs(paths, inputs)
    for path, name in paths.items():
        canvas.save(drawn[name], path)
        print(path)
    if args.report:
        samples = samples_path if samples_path.exists() else None
        page.write_page(args.report, judged, curve, channels, drawn, samples)
        print(args.report)

    if never := [f"{float(drop):g}" for drop, pruned in reached.items() if pruned is None]:
        shell.notice(f"Never reached, so not marked: X = {', '.join(never)}.")
    if missing := [name for name in figures.DRAWN if name not in curve.percentages]:
        line = f"Left out, as {args.csv} has no such columns: {', '.join(missing)}"
        asr = args.out / f"asr.{kinds[0]}"
        if asr not in paths:
            line += f"; {asr} is " + ("of an earlier run" if asr.exists() else "not drawn")
        shell.notice(f"{line}.")
    absent = [
        f"{path} ({script} writes it): no {what}"
        for path, script, what, used in (
            (channels_path, "repair.py", f"channels.{kinds[0]}", True),
            (judged_path, "Geval.py", f"answers.{kinds[0]} and no saved networks", True),
            (samples_path, "Geval.py", "example images in the report", args.report),
        )
        if used and not path.exists()
    ]
    if absent:
        shell.notice(f"Not there: {'; '.join(absent)}.")
    for path, fits in (
        (channels_path, channels is None or channels.channels == curve.channels),
        (judged_path, judged is None or pictures.of_one_run(curve, judged)),
    ):
        if not fits:
            shell.notice(f"{path} does not fit {args.csv}: they are of different runs or files.")


if __name__ == "__main__":
    shell.run(main)
