#!/usr/bin/env python3
"""python3 plot.py models/pruning.csv

Draw what pruning did to a network, from the pruning.csv that repair.py wrote:
{alone}
and from what lies beside it, channels.csv of repair.py and judged.json of Geval.py:
{beside}
--report writes one page with these pictures, the samples.png of Geval.py, tables and a verdict.
Without a path it draws the lab's models/pruning.csv into the lab's plots/. What the file has no
columns for, because repair.py had no test files, is left out.
"""

import goodnet.cli.interrupts  # noqa: F401  # isort: skip  # Ctrl-C, from here on
import argparse
from pathlib import Path

from goodnet import files
from goodnet.cli import defaults, libraries, options, shell
from goodnet.errors import Unusable
from goodnet.lab import find_lab
from goodnet.pictures.catalogue import SAMPLES, SOURCES, explain
from goodnet.printable import printable
from goodnet.pruning.curve import read_curve


def arguments() -> argparse.Namespace:
    doc = __doc__.format(alone=explain(beside=False), beside=explain(beside=True))
    parser = options.parser(doc)
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
    args.format = list(dict.fromkeys(args.format))
    if args.lab and args.csv:
        raise Unusable("argument --lab: names the file to draw; give it or the path, not both")
    if args.csv is None:
        lab = args.lab or defaults.lab_folder()
        args.csv = lab / "models" / "pruning.csv"
        if not args.csv.exists():
            if args.lab:
                find_lab(args.lab)
            raise Unusable("no such file; run repair.py first", args.csv)
        args.out = args.out or files.refuse_link(lab / "plots")
    args.out = args.out or args.csv.parent
    return args


def main() -> None:
    args = arguments()
    inputs = [args.csv, *(args.csv.parent / source.name for source in SOURCES)]
    shell.refuse_pipes(*inputs)
    curve = read_curve(args.csv)
    files.check_writable(args.out)
    if args.report:
        files.refuse_inputs([args.report], inputs)
        files.check_output(args.report)
    libraries.import_matplotlib()
    from goodnet.pictures import canvas
    from goodnet.pictures.findings import draw, read_findings
    from goodnet.pictures.notices import list_notices
    from goodnet.pictures.page import write_page

    findings = read_findings(args.csv, curve, args.drop)
    figures = draw(findings)
    paths = {args.out / f"{name}.{kind}": name for name in figures for kind in args.format}
    shell.check_outputs(paths, args.out, [], inputs)
    with files.alone_in(args.out, *([args.report.parent] if args.report else [])):
        for path, name in paths.items():
            canvas.save(figures[name], path)
            print(printable(path))
        if args.report:
            samples = args.csv.with_name(SAMPLES)
            write_page(args.report, findings, figures, samples if samples.exists() else None)
            print(printable(args.report))
    for line in list_notices(findings, args.csv, args.out, args.format[0], bool(args.report)):
        shell.notice(line)


if __name__ == "__main__":
    shell.run(main)
