#!/usr/bin/env python3
"""python3 eval.py data/cl/test.h5 data/bd/bd_test.h5 models/bd_net.h5

Judge a network: its clean accuracy and its attack success rate, in percent.

CLEAN and BACKDOORED are image sets (.h5, .npz or folders), MODEL is a network (.h5 or .keras).
Without them the lab's B is judged on the lab's test files. With repaired networks B' behind MODEL,
it does what Geval.py does.
"""

import goodnet.cli.interrupts  # noqa: F401  # isort: skip  # Ctrl-C, from here on

from goodnet.cli import defaults, options, shell
from goodnet.cli.session import session
from goodnet.errors import Unusable


def main() -> None:
    parser = options.parser(__doc__)
    options.add_paths(parser, "CLEAN BACKDOORED MODEL [B' ...]")
    options.add_set_options(parser)
    args = parser.parse_args()
    options.refuse_lab_and_paths(args)
    if len(args.paths) in (1, 2):
        raise Unusable("needs CLEAN BACKDOORED MODEL, three paths, or none for the lab's files")
    inputs = args.paths or defaults.files_to_judge(args.lab)
    clean, backdoored, *networks = inputs
    shell.check_files(*inputs, networks=networks)
    shell.check_json(args.json, inputs)

    reading = options.reading(args)
    with session(inputs, networks, [clean, backdoored], args.json, reading=reading) as now:
        from goodnet.judging.judging import judge_networks
        from goodnet.judging.report import judged_json, print_judged

        judged = judge_networks(
            now.held, clean, backdoored, networks, args.scale, options.limits(args), now
        )
        if now.prints:
            print_judged(judged.networks)
        now.write_json({"networks": judged_json(judged.networks)})
    shell.hint(judged.hint)


if __name__ == "__main__":
    shell.run(main)
