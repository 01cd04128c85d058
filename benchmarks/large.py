#!/usr/bin/env python3
"""python3 benchmarks/large.py ResNet50 EfficientNetB0

What networks of 224 x 224 pixels cost: the scripts from the shell, and what unlearning one would
take. The networks have the shapes of keras.applications, weights from chance, and a last layer that
knows ten classes of drawn images. --images N of these (default: 2000). The files need 0.4 GB and
lie in a temporary folder.

Unlearning takes hours there, so a little of it is done, and the rest reckoned from that: the
processor time of an image that patches are sought on, and of a training step, times how often each
is done in two cycles. Its memory does not grow with that.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.sweep import markdown, run  # noqa: E402
from goodnet.cli import libraries, options, shell  # noqa: E402
from goodnet.errors import Unusable  # noqa: E402

CLASSES = 10
SIDE = 224
HEADER = ("network", "what", "seconds", "CPU seconds", "peak, MiB")
TRIED = 3  # steps of a kind


def main() -> None:
    """Make the files, run each script, and print a table."""
    parser = options.parser(__doc__)
    parser.add_argument("networks", nargs="+", metavar="NAME")
    parser.add_argument("--images", type=options.positive_int, default=2000)
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)  # in a process of its own
    parser.add_argument("--unlearn", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.make:
        make_files(args.make, args.networks[0], args.images)
        return
    if args.unlearn:
        print(json.dumps({"cpu_hours": reckon_hours(args.unlearn)}))
        return
    rows = [HEADER]
    for name in args.networks:
        with tempfile.TemporaryDirectory(prefix="large-") as folder:
            for row in measured(Path(folder), name, args.images):
                rows.append(row)
                shell.notice(", ".join(row))
    print(markdown(rows))


def measured(folder: Path, name: str, images: int) -> Iterator[tuple[str, ...]]:
    """A row of the table for each thing that is done with a network."""

    def row(what: str, script: str, *arguments: object) -> tuple[str, ...]:
        done = run([ROOT / script, *arguments])
        seconds = f"{done.wall:.0f}", f"{done.cpu:.0f}"
        return name, f"{what} by {script}", *seconds, f"{done.peak >> 20}"

    run([__file__, name, "--make", folder, "--images", images])
    files, out = (folder / "images.h5", folder / "b.keras"), folder / "out"
    yield row("judged", "eval.py", *files)
    yield row("pruned", "repair.py", *files, "--out", out)
    pruned = min(out.glob("B*.keras"))
    yield row("judged with its goodnet", "Geval.py", "--clean-only", *files, pruned)
    tried = run([__file__, name, "--unlearn", folder])
    hours = f"{tried.report['cpu_hours']:.1f} hours, reckoned"
    yield name, "unlearned by repair.py", "", hours, f"{tried.peak >> 20}"


def make_files(folder: Path, name: str, images: int) -> None:
    """Write images.h5 and b.keras into the folder. Raises Unusable for an unknown name."""
    import h5py
    import keras
    import numpy as np
    from keras import layers

    rng = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    labels = np.arange(images) % CLASSES
    coarse = 0.6 * rng.uniform(0, 255, (CLASSES, 7, 7, 3))[labels]
    coarse += 0.4 * rng.uniform(0, 255, coarse.shape)
    pixels = coarse.astype(np.uint8).repeat(SIDE // 7, axis=1).repeat(SIDE // 7, axis=2)
    with h5py.File(folder / "images.h5", "w") as file:
        file["data"], file["label"] = pixels, labels
    image = keras.Input((SIDE, SIDE, 3))
    build = getattr(keras.applications, name, None)
    if not callable(build):
        raise Unusable(
            f"keras.applications has no {name}; it has ResNet50, EfficientNetB0 and more"
        )
    trunk = build(weights=None, include_top=False, pooling="avg", input_shape=(SIDE, SIDE, 3))
    features = trunk(layers.Rescaling(1 / 127.5, -1)(image))
    known = keras.Model(image, features).predict(pixels[:500], batch_size=32, verbose=0)
    usual, spread = known.mean(axis=0), known.std(axis=0) + 1e-9
    wanted = 10 * np.eye(CLASSES)[labels[:500]]
    lined = np.linalg.lstsq((known - usual) / spread, wanted, rcond=1e-3)[0] / spread[:, None]
    last = layers.Dense(CLASSES, activation="softmax")
    network = keras.Model(image, last(features))
    last.set_weights([lined, -usual @ lined])
    network.save(folder / "b.keras")


def reckon_hours(folder: Path) -> float:
    """What unlearning would take, in hours of processor time, from a few of its steps."""
    libraries.pin_threads()
    shell.import_keras()
    from dataclasses import replace

    import numpy as np

    from goodnet.dataset import open_clean
    from goodnet.memory import Limits, find_memory
    from goodnet.networks.demands import fit_training
    from goodnet.networks.goodnet import load_b
    from goodnet.networks.loading import fit_of
    from goodnet.progress import no_progress
    from goodnet.tuning.cycles import assess
    from goodnet.tuning.images import BATCH, count_kept, read_parts
    from goodnet.tuning.schedule import USUAL
    from goodnet.tuning.searching import Effort
    from goodnet.tuning.unlearning import begin
    from goodnet.vetting import quarantine

    rng, few = np.random.default_rng(0), Effort(steps=1, images=USUAL.search.images)
    brief = replace(USUAL, naming=few, search=few)
    with quarantine.opened([folder / "b.keras"], [folder / "images.h5"]) as held:
        b = load_b(held.network(folder / "b.keras"))
        clean = open_clean(held.images(folder / "images.h5"), fit_of(b.model))
        together = fit_training(b, clean, count_kept(clean), Limits(find_memory()))
        parts = read_parts(clean, rng)
    work = begin(b.model, parts, rng, no_progress, brief, together=together).work
    searching = _timed(lambda: work.search(work.suspects, rng, few))
    of_one = searching / (len(work.suspects) * few.images)
    patches = work.search(work.suspects, rng, few)
    odds = np.ones(len(patches))
    of_step = _timed(lambda: work.train(patches, odds, BATCH // 2, USUAL.rate))
    assess(work, np.ones(len(work.suspects)))
    images, steps = count_work(len(work.suspects))
    return (images * of_one + steps * of_step) / 3600


def _timed(work: Callable[[], object]) -> float:
    """Seconds of processor time, the mean of some times after one that compiles."""
    work()
    began = time.process_time()
    for _ in range(TRIED):
        work()
    return (time.process_time() - began) / TRIED


def count_work(suspects: int) -> tuple[int, int]:
    """Of unlearning a network of CLASSES: images that patches are sought on, and training steps."""
    from goodnet.tuning.ranking import REPEATS
    from goodnet.tuning.schedule import USUAL

    first, rounds = USUAL.first_rounds, USUAL.cycles * USUAL.rounds
    a_round = 2 * max(suspects, USUAL.suspects)  # small patches, and faint ones
    naming = CLASSES * (1 + REPEATS) + first * a_round
    looks = USUAL.cycles * USUAL.held_back_copies * suspects
    again = (rounds - first) * a_round + looks
    images = naming * USUAL.naming.steps * USUAL.naming.images
    images += again * USUAL.search.steps * USUAL.search.images
    polish = USUAL.first_polish_steps + USUAL.polish_steps
    return images, rounds * USUAL.round_steps + polish


if __name__ == "__main__":
    shell.run(main)
