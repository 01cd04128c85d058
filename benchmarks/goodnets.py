#!/usr/bin/env python3
"""python3 benchmarks/goodnets.py models/bd_net.h5 models/B_pi_net_0.1.h5

Measure what G as a network costs against B: Keras's own `predict`, in turn, on random pixels.
"""

import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from goodnet.cli import options, shell  # noqa: E402

IMAGES, BATCH, ROUNDS = 2400, 480, 15


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("network", type=Path, metavar="B")
    parser.add_argument("repaired", type=Path, metavar="B'")
    args = parser.parse_args()
    shell.check_files(args.network, args.repaired)
    shell.import_keras()
    import numpy as np

    from benchmarks.networks import load_model
    from goodnet.networks.goodnet import goodnet_network
    from goodnet.networks.loading import input_shape

    network, repaired = load_model(args.network), load_model(args.repaired)
    goodnet = goodnet_network(network, repaired)
    shape = [size or 64 for size in input_shape(network)]
    pixels = np.random.default_rng(0).uniform(0, 255, (IMAGES, *shape)).astype(np.float32)
    seconds = {network: [], goodnet: []}
    for _ in range(ROUNDS + 1):  # the first compiles
        for asked, times in seconds.items():
            start = time.perf_counter()
            asked.predict(pixels, batch_size=BATCH, verbose=0)
            times.append(time.perf_counter() - start)
    b, g = (min(times[1:]) for times in seconds.values())
    shared = "the trunk once" if "trunk" in {x.name for x in goodnet.layers} else "two networks"
    print(f"B {b:.3f} s, G {g:.3f} s ({shared}), G / B = {g / b:.2f}: the best of {ROUNDS} rounds")


if __name__ == "__main__":
    shell.run(main)
