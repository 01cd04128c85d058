"""The figures that others published for the course's network, to the last digit.

With LAB_DIR: the network, photographs, and part of the course's images. The last test needs the
course's full data, in LAB_DIR or in this repository's data/ and models/.
"""

import csv
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import ROOT, load_model, read_images, run_in_process

from goodnet.errors import Unusable
from goodnet.lab import find_lab

# X, channels, B' clean and attack, G clean and attack: the original's method on the photographs.
PHOTOGRAPHS = [
    (2, 39, 97.0, 100.0, 97.0, 100.0),
    (4, 40, 94.75, 100.0, 94.75, 100.0),
    (10, 43, 88.875, 100.0, 88.875, 100.0),
    (30, 47, 66.25, 100.0, 66.25, 100.0),
]
# The same on the course's full data.
FULL = [
    (2, 45, 95.90023382696803, 100.0, 95.74434918160561, 100.0),
    (4, 48, 92.29150428682775, 99.98441153546376, 92.1278254091972, 99.98441153546376),
    (10, 52, 84.54403741231489, 77.20966484801247, 84.3335931410756, 77.20966484801247),
    (30, 54, 54.762275915822286, 6.96024941543258, 54.67653936087296, 6.96024941543258),
]
NEVER_FIRING = 31
ORDER_BEHIND_THEM = [
    *(23, 6, 51, 32, 22, 21, 20, 19, 43, 58, 3, 42, 1, 29, 16, 56, 46, 5, 8, 11, 54, 10, 28, 35),
    *(18, 4, 7, 52, 57),
]


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def check_figures(rows: list[dict[str, str]], figures: list[tuple]) -> None:
    own = float(rows[0]["valid_accuracy"])
    for drop, channels, *percentages in figures:
        reached = [k for k, row in enumerate(rows) if own - float(row["valid_accuracy"]) >= drop]
        assert reached[0] == channels
        names = ("test_accuracy", "test_asr", "goodnet_accuracy", "goodnet_asr")
        assert [float(rows[channels][name]) for name in names] == percentages


def silenced_channels(path: Path) -> set[int]:
    with h5py.File(path) as file:
        group = file["model_weights/conv_3/conv_3"]
        kernel, bias = group["kernel:0"][()], group["bias:0"][()]
    silent = (kernel == 0).all(axis=(0, 1, 2)) & (bias == 0)
    return set(np.flatnonzero(silent).tolist())


@pytest.fixture(scope="module")
def repaired(tmp_path_factory) -> Path:
    """The folder in which repair.py has repaired the lab's network with the lab's photographs."""
    if not os.environ.get("LAB_DIR"):
        pytest.skip("LAB_DIR is not set")
    out = tmp_path_factory.mktemp("repaired")
    lab = Path(os.environ["LAB_DIR"]).resolve()
    done = run_in_process("repair.py", "--lab", lab, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "conv_3" in done.stderr and "pool_3" in done.stderr and "100 %" in done.stderr
    return out


def test_the_photographs_give_the_original_methods_figures(repaired):
    rows = rows_of(repaired / "pruning.csv")
    assert len(rows) == 61
    check_figures(rows, PHOTOGRAPHS)


def test_the_saved_networks_silence_what_the_curve_says(repaired):
    rows = rows_of(repaired / "pruning.csv")
    order = [int(row["channel"]) for row in rows[1:]]
    for drop, channels, *_ in PHOTOGRAPHS:
        saved = repaired / f"B_pi_net_{drop / 100}.h5"
        assert silenced_channels(saved) == set(order[:channels])


def test_geval_gives_the_curves_figures_for_the_saved_networks(repaired, lab_dir):
    networks = [repaired / f"B_pi_net_{drop / 100}.h5" for drop, *_ in PHOTOGRAPHS]
    tests = (lab_dir / "data/cl/test.h5", lab_dir / "data/bd/bd_test.h5")
    done = run_in_process("Geval.py", *tests, lab_dir / "models/bd_net.h5", *networks)
    assert done.returncode == 0, done.stderr
    blocks = done.stdout.split("\n\n")
    for block, path, (_, _, clean, attack, goodnet_clean, goodnet_attack) in zip(
        blocks, networks, PHOTOGRAPHS, strict=False
    ):
        assert block.splitlines()[:6] == [
            f"B' {path}",
            f"Clean Classification accuracy: {clean}",
            f"Attack Success Rate: {attack}",
            "G",
            f"Clean Classification accuracy: {goodnet_clean}",
            f"Attack Success Rate: {goodnet_attack}",
        ]


def test_the_weights_alone_give_the_same_curve(repaired, lab_dir, tmp_path):
    arguments = (lab_dir / "data/cl/valid.h5", lab_dir / "models/bd_weights.h5", "--out", tmp_path)
    done = run_in_process("repair.py", *arguments)
    assert done.returncode == 0, done.stderr
    columns = ("pruned", "channel", "mean_activation", "valid_accuracy")
    assert [[row[name] for name in columns] for row in rows_of(tmp_path / "pruning.csv")] == [
        [row[name] for name in columns] for row in rows_of(repaired / "pruning.csv")
    ]
    with h5py.File(tmp_path / "B_pi_net_0.02.h5") as file:
        assert "layer_names" in file.attrs and "model_config" not in file.attrs


def test_the_published_networks_are_judged_as_published(lab_dir):
    """On the course's own images, of which the lab has some: 45, 48, 52 and 54 channels."""
    networks = [lab_dir / f"models/B_pi_net_{x}.h5" for x in ("0.02", "0.04", "0.1", "0.3")]
    assert [len(silenced_channels(path)) for path in networks] == [45, 48, 52, 54]
    images = (lab_dir / "data/faces_clean.h5", lab_dir / "data/faces_sunglasses.h5")
    done = run_in_process("Geval.py", *images, lab_dir / "models/bd_net.h5", *networks)
    figures = [line.split(": ")[1] for line in done.stdout.splitlines() if ": " in line]
    blocks = [[f"{float(figure):.2f}" for figure in figures[i : i + 2]] for i in range(0, 24, 6)]
    assert blocks == [
        ["98.61", "100.00"],
        ["95.14", "100.00"],
        ["89.58", "72.73"],
        ["62.50", "5.59"],
    ]


def test_the_published_order_on_the_courses_own_images(lab_dir):
    """B' with 45 to 54 channels pruned in the published order."""
    from goodnet.networks.split import silence, split_network

    split = split_network(load_model(lab_dir / "models/bd_net.h5"))
    first = sorted(set(range(60)) - set(ORDER_BEHIND_THEM))
    assert len(first) == NEVER_FIRING
    order = first + ORDER_BEHIND_THEM
    found = {}
    images = {}
    for name in ("faces_clean", "faces_sunglasses"):
        images[name] = read_images(lab_dir / f"data/{name}.h5")
    for channels in (45, 48, 50, 51, 52, 53, 54):
        silence(split, order[:channels])
        found[channels] = tuple(
            f"{np.mean(split.network.predict(x, verbose=0).argmax(1) == y) * 100:.2f}"
            for x, y in images.values()
        )
    assert found == {
        45: ("98.61", "100.00"),
        48: ("95.14", "100.00"),
        50: ("92.36", "100.00"),
        51: ("91.67", "77.62"),
        52: ("89.58", "72.73"),
        53: ("79.86", "34.97"),
        54: ("62.50", "5.59"),
    }


def full_lab() -> Path | None:
    """A folder with the course's full data: 11,547 validation images."""
    for folder in filter(None, (os.environ.get("LAB_DIR"), ROOT)):
        try:
            lab = find_lab(Path(folder).resolve())
            with h5py.File(lab.clean_valid) as file:
                if len(file["label"]) == 11547 and lab.clean_test and lab.backdoored_test:
                    return lab.root
        except (Unusable, OSError, KeyError):
            continue
    return None


def test_the_full_course_data_give_the_published_figures(tmp_path):
    lab = full_lab()
    if lab is None:
        pytest.skip("the course's full data are not here")
    done = run_in_process("repair.py", "--lab", lab, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path / "pruning.csv")
    assert rows[0]["valid_accuracy"] == "98.64899974019225"
    assert rows[0]["test_accuracy"] == "98.62042088854248"
    assert rows[0]["test_asr"] == "100.0"
    order = [int(row["channel"]) for row in rows[1:]]
    assert order[NEVER_FIRING:] == ORDER_BEHIND_THEM
    assert {float(row["mean_activation"]) for row in rows[1 : NEVER_FIRING + 1]} == {0.0}
    check_figures(rows, FULL)
