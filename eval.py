#!/usr/bin/env python3
"""python3 eval.py data/cl/test.h5 data/bd/bd_test.h5 models/bd_net.h5

Judge a network: its clean accuracy and its attack success rate, in percent.

CLEAN and BACKDOORED are image sets (.h5), MODEL is a network (.h5 or .keras). Without them the
lab's B is judged on the lab's test files. With repaired networks B' behind MODEL, it does what
Geval.py does.
"""

from pathlib import Path

from goodnet.cli import defaults, options, shell
from goodnet.errors import Unusable
from goodnet.vetting import quarantine


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("paths", nargs="*", type=Path, metavar="CLEAN BACKDOORED MODEL [B' ...]")
    options.add_common_options(parser)
    args = parser.parse_args()
    if args.paths and args.lab:
        raise Unusable("argument --lab: names the files to judge; give it or their paths, not both")
    if len(args.paths) in (1, 2):
        raise Unusable("needs CLEAN BACKDOORED MODEL, three paths, or none for the lab's files")
    clean, backdoored, *networks = args.paths or defaults.files_to_judge(args.lab)
    shell.check_files(clean, backdoored, *networks)
    shell.check_json(args.json, [clean, backdoored, *networks])

    lap, seconds = shell.stopwatch()
    quarantine.begin(networks, [clean, backdoored])
    digests = quarantine.sha256_aside([clean, backdoored, *networks]) if args.json else None
    shell.import_keras()
    from goodnet.cli.provenance import provenance
    from goodnet.judging.judging import judge_networks
    from goodnet.judging.report import print_judged, verdicts_json

    lap("import")
    verdicts = judge_networks(
        clean, backdoored, networks, args.scale, args.batch_size, shell.progress, lap
    ).verdicts
    if args.json != "-":
        print_judged(verdicts)
    if args.json:
        results = {"networks": verdicts_json(verdicts)}
        shell.write_json(results | provenance(digests.result(), seconds), args.json)
    shell.hint_at_scale(verdicts[0].itself.clean_accuracy, args.scale)


if __name__ == "__main__":
    shell.run(main)
