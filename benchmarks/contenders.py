"""What sweep.py starts, each in a process of its own: contenders.py NAME ARGUMENT ...

The last line that each prints is JSON; its `seconds` run from after importing and loading to the
end. Nothing is imported before a contender needs it: `plain_pass` is at once the script that the
project's scripts are measured against from the shell, and it carries Keras, h5py and NumPy alone.
"""

import json
import sys
import time
from pathlib import Path

BATCH = 1024  # of the plain contenders


def plain_pass(model: str, *paths: str) -> dict:
    """Predict image files once, batch by batch, and count B's accuracy on each."""
    import h5py
    import keras
    import numpy as np

    network = keras.models.load_model(model, compile=False)
    began = time.perf_counter()
    accuracies = []
    for path in paths:
        with h5py.File(path) as file:
            data, labels = file["data"], file["label"][:]
            hits = 0
            for start in range(0, len(data), BATCH):
                pixels = data[start : start + BATCH].transpose(0, 2, 3, 1)
                answers = network.predict_on_batch(np.ascontiguousarray(pixels, "float32"))
                hits += int((answers.argmax(1) == labels[start : start + BATCH]).sum())
        accuracies.append(hits / len(labels) * 100)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "accuracies": accuracies, "keras": keras.__version__}


def sweep(model: str, *paths: str) -> dict:
    """Every row of the curve on the three files, as repair.py computes them.

    Reports `order`, the channels as they are pruned, and `rows`: for each number of pruned
    channels the hits, the goodnet's hits and its rejections on the first file, then the others.
    """
    from goodnet.cli import shell
    from goodnet.memory import BATCH_SIZE

    shell.import_keras()
    import numpy as np

    from goodnet.dataset import open_backdoored, open_clean
    from goodnet.networks.loading import fit_of, load_network
    from goodnet.networks.split import split_network
    from goodnet.progress import ignore
    from goodnet.pruning.head import head_of
    from goodnet.pruning.sweeping import Sweep, count_rows, prune
    from goodnet.vetting import quarantine

    with quarantine.opened([Path(model)], map(Path, paths)) as held:
        network = load_network(held.network(Path(model))).model
        began = time.perf_counter()
        fit = fit_of(network)
        valid, clean = (open_clean(held.images(Path(path)), fit) for path in paths[:2])
        backdoored = open_backdoored(held.images(Path(paths[2])), fit)
        split = split_network(network)
        head = head_of(split.head)
        pruning = prune(split, head, valid, [], BATCH_SIZE, ignore)
        swept = Sweep(split, head, pruning.order, BATCH_SIZE)
        counts = [pruning.valid]
        for images in (clean, backdoored):
            counts.append(count_rows(swept, images, ignore))
    seconds = time.perf_counter() - began
    columns = [array for c in counts for array in (c.hits, c.goodnet_hits, c.rejected)]
    return {"seconds": seconds, "order": pruning.order, "rows": np.stack(columns, 1).tolist()}


def plain_loop(model: str, *paths: str) -> dict:
    """The same rows as everybody writes them: silence a channel, predict everything, next."""
    from goodnet.cli import shell

    shell.import_keras()
    import h5py
    import keras
    import numpy as np

    from benchmarks.networks import load_model
    from goodnet.networks.split import silence, split_network

    network = load_model(Path(model))
    began = time.perf_counter()
    sets = []
    for path in paths:
        with h5py.File(path) as file:
            pixels = file["data"][:].transpose(0, 2, 3, 1)
            sets.append((np.ascontiguousarray(pixels, "float32"), file["label"][:]))
    split = split_network(network)
    measured = split.trunk.predict(sets[0][0], batch_size=BATCH, verbose=0)
    measured = keras.tree.flatten(measured)[0]
    means = measured.mean(axis=tuple(range(measured.ndim - 1)), dtype=np.float64)
    order = np.argsort(means, kind="stable").tolist()
    rows = []
    for pruned in range(len(order) + 1):
        silence(split, order[:pruned])
        answers = [network.predict(x, batch_size=BATCH, verbose=0).argmax(1) for x, _ in sets]
        if pruned == 0:
            unpruned = answers
        row = []
        for b, repaired, (_, labels) in zip(unpruned, answers, sets, strict=True):
            right, agreed = repaired == labels, repaired == b
            row += [int(count) for count in (right.sum(), (right & agreed).sum(), (~agreed).sum())]
        rows.append(row)
    return {"seconds": time.perf_counter() - began, "order": order, "rows": rows}


CONTENDERS = (plain_pass, sweep, plain_loop)

if __name__ == "__main__":
    contender = next(function for function in CONTENDERS if function.__name__ == sys.argv[1])
    print(json.dumps(contender(*sys.argv[2:])))
