#!/usr/bin/env python3
"""python3 predict.py photo.png --model models/G_0.02.keras

Answer images one by one: print a line for each, its path and its class, 0 to N-1, or N where the
goodnet rejects it as backdoored.

IMAGE is a PNG or JPEG file, or a folder of them. MODEL is a goodnet (.keras); or B, which makes a
goodnet with --repaired B' and rejects nothing alone. Without --model it is the lab's B. An image
that cannot be used is told and passed over, and the exit status is 2 in the end.
"""

from pathlib import Path

from goodnet.cli import defaults, options, shell
from goodnet.errors import Unusable
from goodnet.vetting import quarantine


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    parser.add_argument("--model", type=Path, metavar="MODEL", help="B, or a goodnet")
    parser.add_argument("--repaired", type=Path, metavar="B'", help="a repaired B")
    options.add_common_options(parser)
    args = parser.parse_args()
    if args.model and args.lab:
        raise Unusable("argument --lab: names the network; give it or --model, not both")
    from goodnet.judging.photos import list_photos

    # Before a practice lab is built.
    photos, others = list_photos(args.images)
    networks = [args.model or defaults.default_lab(args.lab).network]
    networks += [args.repaired] if args.repaired else []
    shell.check_files(*networks)
    shell.check_json(args.json, [*networks, *photos])
    if others:
        shell.notice(f"Passed over in folders: {others} that are no .png, .jpg or .jpeg files.")

    lap, seconds = shell.stopwatch()
    quarantine.begin(networks, [])
    digests = quarantine.sha256_aside(networks) if args.json else None
    shell.import_keras()
    from goodnet.cli.provenance import provenance
    from goodnet.judging.judging import load_alike
    from goodnet.judging.predicting import predict, predictions_json

    lap("import")
    loaded = load_alike(networks)
    lap("loading")
    answers = []
    for answer in predict(loaded, photos, args.scale, args.batch_size):
        answers.append(answer)
        if isinstance(answer, Unusable):
            if len(photos) > 1:
                shell.notice(f"{parser.prog}: {answer}")
            continue
        if answer.notes:
            shell.notice(f"{answer.path}: {'; '.join(answer.notes)}.")
        if args.json != "-":
            print(answer.path, answer.answer)
    lap("predicting")
    if args.json:
        results = {"images": predictions_json(photos, answers)}
        shell.write_json(results | provenance(digests.result(), seconds), args.json)
    if errors := [answer for answer in answers if isinstance(answer, Unusable)]:
        worst = max(errors, key=lambda error: error.exit_status)
        count = f"{len(errors)} of {len(photos)} images cannot be used"
        raise worst if len(photos) == 1 else type(worst)(count)


if __name__ == "__main__":
    shell.run(main)
