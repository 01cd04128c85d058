#!/usr/bin/env python3
"""python3 predict.py photo.png --model models/G_0.02.keras

Answer images one by one: print a line for each, its path and its class, 0 to N-1, or N where the
goodnet rejects it as backdoored.

IMAGE is a PNG or JPEG file, or a folder of them. MODEL is a goodnet (.keras); or B, which makes a
goodnet with --repaired B' and rejects nothing alone. Without --model it is the lab's B. An image
that cannot be used is told and passed over, and the exit status is 2 in the end.
"""

from __future__ import annotations

import goodnet.cli.interrupts  # noqa: F401  # isort: skip  # Ctrl-C, from here on
from pathlib import Path
from typing import TYPE_CHECKING

from goodnet.cli import defaults, options, shell
from goodnet.cli.session import session
from goodnet.cli.settings import asked_for
from goodnet.errors import Unusable
from goodnet.printable import printable

if TYPE_CHECKING:
    from goodnet.judging.predicting import Prediction


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

    listed = list_photos(args.images)  # before a practice lab is built
    networks = [args.model or defaults.default_lab(args.lab).network]
    networks += [args.repaired] if args.repaired else []
    shell.check_files(*networks, networks=networks)
    shell.check_json(args.json, [*networks, *listed.paths])
    if listed.passed_over:
        count = listed.passed_over
        shell.notice(f"Passed over in folders: {count} that are no .png, .jpg or .jpeg files.")

    from goodnet.vetting.photos import photo_reader

    asked = asked_for(args)
    # The child that decodes images gets ready while Keras is imported.
    with photo_reader() as reader, session(networks, networks, [], args.json, asked=asked) as now:
        from goodnet.judging.judging import load_alike
        from goodnet.judging.predicting import predict, predictions_json

        loaded = load_alike(now.held, networks)
        now.lap("loading")
        answers = []
        limits = options.limits(args)
        for answer in predict(loaded, reader, listed.paths, args.scale, limits):
            answers.append(answer)
            if not isinstance(answer, Unusable):
                tell(answer, now.prints)
            elif len(listed.paths) > 1:
                shell.notice(f"{parser.prog}: {answer}")
        now.lap("predicting")
        now.write_json({"images": predictions_json(listed.paths, answers)})
    if rejected := [x.answer for x in answers if not isinstance(x, Unusable) and x.reason]:
        shell.notice(f"Rejected as backdoored: {len(rejected)} with the answer {rejected[0]}.")
    raise_worst([answer for answer in answers if isinstance(answer, Unusable)], len(answers))


def tell(answer: Prediction, prints: bool) -> None:
    """Print an answer, if wanted, and what was changed on the image for it."""
    if answer.notes:
        shell.notice(f"{answer.path}: {'; '.join(answer.notes)}.")
    if prints:
        print(printable(answer.path), answer.answer)


def raise_worst(errors: list[Unusable], images: int) -> None:
    """Leave with the worst status of the images that could not be used, if there are any."""
    if errors:
        worst = max(errors, key=lambda error: error.exit_status)
        count = f"{len(errors)} of {images} images cannot be used"
        raise worst if images == 1 else type(worst)(count)


if __name__ == "__main__":
    shell.run(main)
