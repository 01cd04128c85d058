#!/usr/bin/env python3
"""python3 Geval.py data/cl/test.h5 data/bd/bd_test.h5 models/bd_net.h5 models/B_pi_net_0.02.h5

Judge repaired networks B', and the goodnet G that each makes with B: G answers the class that B
and B' agree on, and class N+1, backdoored, where they differ. In percent.

CLEAN and BACKDOORED are image sets (.h5), B and B' are networks (.h5 or .keras). Without them the
lab's B is judged with every repaired network of repair.py beside it, on the lab's test files.
--save writes the G of one B' as a network of its own, which eval.py and plain Keras take.

For plot.py it keeps judged.json, the counts with their intervals and the SHA-256 of the files, and
samples.png, some images with the answers to them: beside the lab's B, or in --out. Where paths
are given and --out is not, it writes nothing.
"""

from pathlib import Path

from goodnet import files
from goodnet.cli import defaults, options, shell
from goodnet.errors import Unusable
from goodnet.lab import repaired_networks
from goodnet.vetting import quarantine


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("paths", nargs="*", type=Path, metavar="CLEAN BACKDOORED B B' [B' ...]")
    parser.add_argument(
        "--save", type=options.keras_file, metavar="FILE", help="save G there, as a .keras network"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="keep judged.json and samples.png there"
    )
    options.add_common_options(parser)
    args = parser.parse_args()
    if args.paths and args.lab:
        raise Unusable("argument --lab: names the files to judge; give it or their paths, not both")
    if 0 < len(args.paths) < 4:
        raise Unusable("needs CLEAN BACKDOORED B B', four paths or more, or none for the lab's")
    clean, backdoored, network, *repaired = args.paths or defaults.files_to_judge(args.lab)
    if not args.paths:
        repaired = repaired_networks(network)
        if not repaired:
            raise Unusable(f"{network.parent}: holds no B_pi_net_*; run repair.py first")
    networks = [network, *repaired]
    shell.check_files(clean, backdoored, *networks)
    inputs = [clean, backdoored, *networks]
    if args.save and len(repaired) > 1:
        raise Unusable(f"argument --save: G is made of one B', and these are {len(repaired)}")
    if args.save:
        files.refuse_inputs([args.save], inputs)
        files.check_output(args.save)
    out = folder_to_keep_in(args.out, None if args.paths else network.parent, inputs)
    kept = kept_in(out) if out else []
    shell.check_json(args.json, inputs, [*filter(None, [args.save]), *kept])

    lap, seconds = shell.stopwatch()
    quarantine.begin(networks, [clean, backdoored])
    digests = quarantine.sha256_aside(inputs) if out or args.json else None
    shell.import_keras()
    from goodnet.cli.provenance import provenance
    from goodnet.judging.judging import judge_networks
    from goodnet.judging.report import print_judged, verdicts_json
    from goodnet.networks.goodnet import goodnet_network
    from goodnet.networks.loading import write_network

    lap("import")
    judged = judge_networks(
        clean, backdoored, networks, args.scale, args.batch_size, shell.progress, lap
    )
    if args.json != "-":
        print_judged(judged.verdicts)
    if args.save:
        write_network(goodnet_network(*judged.networks), args.save)
        shell.notice(f"G is saved as {args.save}.")
    if out:
        from goodnet.judging.judged_json import write_record
        from goodnet.judging.record import record_of
        from goodnet.pictures import canvas
        from goodnet.pictures.samples import draw_samples

        judged_json, samples = kept
        write_record(judged_json, record_of(judged, digests.result()))
        canvas.save(draw_samples(judged), samples)
    if args.save or out:
        lap("writing")
    if args.json:
        results = {"networks": verdicts_json(judged.verdicts)}
        shell.write_json(results | provenance(digests.result(), seconds), args.json)
    shell.hint_at_scale(judged.verdicts[0].itself.clean_accuracy, args.scale)


def kept_in(folder: Path) -> list[Path]:
    return [folder / "judged.json", folder / "samples.png"]


def folder_to_keep_in(named: Path | None, usual: Path | None, inputs: list[Path]) -> Path | None:
    """Where judged.json goes, None for nowhere: a usual folder need not be one to write into."""
    out = named or usual
    if out is None:
        return None
    files.refuse_inputs(kept_in(out), inputs)
    try:
        for path in kept_in(out):
            files.check_output(path)
    except Unusable as error:
        if named:
            raise
        shell.notice(f"judged.json and samples.png are not kept: {error}; --out says where.")
        return None
    return out


if __name__ == "__main__":
    shell.run(main)
