#!/usr/bin/env python3
"""python3 plot.py models/pruning.csv

Draw what pruning did to a network, from the pruning.csv that repair.py wrote:
  clean.png     clean accuracy against the number of channels pruned
  asr.png       attack success rate against the number of channels pruned
  pruning.png   both as steps against the share of channels pruned, with each X of --drop marked

Without a path it draws the lab's models/pruning.csv into the lab's plots/. What the file has no
columns for, because repair.py had no test files, is left out.
"""

import argparse
from pathlib import Path

from defense import files, shell
from defense.curve import first_reaching, read_curve
from defense.errors import Unusable


def arguments() -> argparse.Namespace:
    parser = shell.parser(__doc__)
    parser.add_argument("csv", nargs="?", type=Path, metavar="pruning.csv")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: the folder of the CSV")
    shell.add_drop_option(parser, "points of clean accuracy to mark")
    parser.add_argument("--lab", type=Path, metavar="DIR", help="draw this lab's pruning.csv")
    args = parser.parse_args()
    args.drop = sorted(set(args.drop))
    if args.lab and args.csv:
        raise Unusable("argument --lab: names the file to draw; give it or the path, not both")
    if args.csv is None:
        lab = args.lab or shell.lab_folder()
        args.csv = lab / "models" / "pruning.csv"
        if not args.csv.exists():
            raise Unusable(f"{args.csv}: no such file; run repair.py first")
        args.out = args.out or lab / "plots"
    args.out = args.out or args.csv.parent
    return args


def main() -> None:
    args = arguments()
    curve = read_curve(args.csv)
    files.check_writable(args.out)
    try:
        from defense import figures
    except ImportError as error:
        raise Unusable(f"{error}; run make lab once, then source .venv/bin/activate") from None

    reached = first_reaching(curve, args.drop)
    pictures = {args.out / name: figure for name, figure in figures.draw(curve, reached).items()}
    files.refuse_inputs(pictures, [args.csv])
    for path, figure in pictures.items():
        figures.save(figure, path)
        print(path)

    if never := [f"{float(drop):g}" for drop, pruned in reached.items() if pruned is None]:
        shell.notice(f"Never reached, so not marked: X = {', '.join(never)}.")
    if missing := [name for name in figures.DRAWN if name not in curve.percentages]:
        line = f"Left out, as {args.csv} has no such columns: {', '.join(missing)}"
        asr = args.out / "asr.png"
        if asr not in pictures:
            line += f"; {asr} is " + ("of an earlier run" if asr.exists() else "not drawn")
        shell.notice(f"{line}.")


if __name__ == "__main__":
    shell.run(main)
