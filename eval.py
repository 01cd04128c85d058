#!/usr/bin/env python3
"""python3 eval.py data/cl/test.h5 data/bd/bd_test.h5 models/bd_net.h5

Judge a network: its clean accuracy and its attack success rate, in percent.

CLEAN and BACKDOORED are image sets (.h5, .npz or folders), MODEL is a network (.h5 or .keras).
Without them the lab's B is judged on the lab's test files. Without BACKDOORED it tells the clean
accuracy alone. With repaired networks B' behind MODEL, it does what Geval.py does.
"""

import goodnet.cli.interrupts  # noqa: F401  # isort: skip  # Ctrl-C, from here on

from goodnet.cli import defaults, options, shell
from goodnet.cli.session import session
from goodnet.cli.settings import asked_for
from goodnet.errors import Unusable


def main() -> None:
    parser = options.parser(__doc__)
    options.add_paths(parser, "CLEAN [BACKDOORED] MODEL [B' ...]")
    options.add_set_options(parser)
    args = parser.parse_args()
    options.refuse_lab_and_paths(args)
    if len(args.paths) == 1:
        raise Unusable("needs CLEAN [BACKDOORED] MODEL, two paths or more, or none for the lab's")
    inputs = args.paths or defaults.files_to_judge(args.lab)
    clean, *others = inputs
    backdoored, networks = (None, others) if len(others) == 1 else (others[0], others[1:])
    image_sets = [path for path in (clean, backdoored) if path]
    shell.check_files(*inputs, networks=networks)
    shell.check_json(args.json, [*inputs, *options.listed_classes(args)])
    asked = asked_for(args)

    with session(inputs, networks, image_sets, args.json, asked=asked) as now:
        from goodnet.judging.command import judge_and_print
        from goodnet.judging.report import judged_json

        limits = options.limits(args)
        judged = judge_and_print(now, clean, backdoored, networks, args.scale, limits)
        now.write_json({"networks": judged_json(judged.networks)})
    shell.hint(judged.hint)


if __name__ == "__main__":
    shell.run(main)
