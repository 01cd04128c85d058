"""The benchmark: its files, its contenders' counts, its arithmetic, and a tiny run of it all."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from conftest import CLASSES, ROOT, SHAPE, read_images, tiny_network

from benchmarks import contenders, lab_files, large
from benchmarks.results import HEADER, Run, Target, differing_rows, table
from goodnet.progress import ignore, no_progress
from goodnet.tuning.cycles import Exam, Work, run_cycles
from goodnet.tuning.patches import Patches
from goodnet.tuning.ranking import rank_classes
from goodnet.tuning.schedule import USUAL

VALID, TEST = 40, 30
IMAGES = np.zeros((12, 2, 2, 3), np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A tiny network and the files that the benchmark makes for it."""
    folder = tmp_path_factory.mktemp("benchmark")
    network = tiny_network()
    network.save(folder / "network.h5")
    lab_files.make_files(folder, folder / "network.h5", None, VALID, TEST)
    return folder, network, [folder / name for name in lab_files.FILES]


def test_files_are_in_the_format_of_the_course(made):
    _, network, paths = made
    sizes = (VALID, TEST, TEST)
    for path, size, types in zip(paths, sizes, lab_files.TYPES, strict=True):
        with h5py.File(path) as file:
            data, label = file["data"], file["label"]
            assert data.shape == (size, SHAPE[2], *SHAPE[:2]) and label.shape == (size,)
            assert (data.dtype, label.dtype) == types
            assert data.compression is None and data.chunks is None
            pixels, labels = data[:].transpose(0, 2, 3, 1), label[:]
        assert pixels.min() >= 0 and 128 < pixels.max() <= 255
        assert np.array_equal(pixels, np.rint(pixels))
        if path.name == "bd_test.h5":
            assert not labels.any()
        else:
            assert np.array_equal(labels, network.predict(pixels, verbose=0).argmax(1))


def test_images_go_round_and_come_back_varied():
    images = np.random.default_rng(0).integers(0, 256, (3, *SHAPE)).astype(np.uint8)
    rng = np.random.default_rng(1)
    assert np.array_equal(lab_files.nth_image(images, 2, rng), images[2])
    copies = [lab_files.nth_image(images, 2 + 3 * n, rng) for n in range(1, 5)]
    for copy in copies:
        assert copy.shape == SHAPE and copy.dtype == np.uint8
        assert not np.array_equal(copy, images[2])
    assert len({copy.tobytes() for copy in copies}) == 4


def test_sweep_and_plain_loop_count_the_same_and_the_rows_are_true(made):
    folder, network, paths = made
    sweep = contenders.sweep(folder / "network.h5", *paths)
    loop = contenders.plain_loop(folder / "network.h5", *paths)
    assert sweep["rows"] == loop["rows"] and list(sweep["order"]) == loop["order"]
    assert len(sweep["rows"]) == 7
    assert differing_rows({"sweep": [Run(0, 0, sweep)], "plain loop": [Run(0, 0, loop)]}) == []

    answers = []
    for pruned in (0, 4):  # silenced in the layer itself
        kernel, bias = network.get_layer("conv_2").get_weights()
        kernel[..., loop["order"][:pruned]] = 0
        bias[loop["order"][:pruned]] = 0
        network.get_layer("conv_2").set_weights([kernel, bias])
        pixels, labels = read_images(paths[0])
        answers.append(network.predict(pixels, verbose=0).argmax(1))
    hits, agreed = answers[1] == labels, answers[1] == answers[0]
    assert loop["rows"][4][:3] == [hits.sum(), (hits & agreed).sum(), (~agreed).sum()]
    assert 0 < hits.sum() < VALID and CLASSES > 1


def test_ratios_medians_and_verdicts():
    def runs(*seconds: float) -> list[Run]:
        return [Run(s + 3, 100 * 2**20, {"seconds": s, "rows": [[1], [2]]}) for s in seconds]

    found = {"plain pass": runs(4, 8, 2), "sweep": runs(10, 8, 7), "plain loop": runs(320)}
    found |= {name: runs(1) for name in ("repair.py", "plot.py", "eval.py", "Geval.py")}
    found["plain pass, test files"] = runs(0)
    for what in ("--help", "bad argument", "missing file"):
        found |= {f"repair.py, {what}": runs(-2.8), f"eval.py, {what}": runs(-2.6)}
    rows = table(found)
    assert {len(row) for row in rows} == {len(HEADER)}
    assert rows[0][2:] == ["8.00 s", "plain pass", "4.00 s", "2"] + [
        "1 to 3.5",
        "<= 2, aim 1.4",
        "reached",
    ]
    assert rows[1][5:] == ["40", "", ">= 30, aim 45", "reached"]
    assert rows[2][2:6] == ["100 MiB", "plain pass", "100 MiB", "1"]
    assert rows[3][-1] == "not measured"
    assert rows[5][5:] == ["1.33", "", "<= 1.2", "MISSED"]
    assert rows[7][-1] == "not measured"
    assert rows[8][2] == "0.40 s" and rows[8][-1] == "MISSED"
    assert [Target(2, 1.4).verdict(x) for x in (1.4, 1.5, 2.1)] == [
        "aim reached",
        "reached",
        "MISSED",
    ]
    most = Target(30, 45, least=True)
    assert [most.verdict(x) for x in (45, 30, 29)] == ["aim reached", "reached", "MISSED"]

    found["plain loop"][0].report["rows"] = [[1], [3]]
    assert differing_rows(found) == [1]


@pytest.mark.slow
def test_a_tiny_run(made, tmp_path):
    options = ["--model", made[0] / "network.h5", "--images", VALID, "--repeats", 1, "--no-loop"]
    command = [ROOT / "benchmarks/sweep.py", *options, "--keep", tmp_path / "files"]
    command = [sys.executable, *map(str, command), "--json", str(tmp_path / "all.json")]
    environment = {name: value for name, value in os.environ.items() if name != "LAB_DIR"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len(lines) == 14
    assert [line.split("|")[1].strip() for line in lines[2:]] == list("123344445555")
    results = json.loads((tmp_path / "all.json").read_text())
    runs = results["runs"]
    assert runs["plain pass"][0]["report"]["accuracies"][:2] == [100, 100]
    rows = runs["sweep"][0]["report"]["rows"]
    assert len(rows) == 7 and rows[0][:3] == [VALID, VALID, 0]
    for name, (run,) in runs.items():
        assert run["wall"] > 0
        assert (run["peak"] > 200 * 2**20) == (name in KERAS), name


KERAS = ("plain pass", "plain pass, test files", "sweep", "repair.py", "eval.py", "Geval.py")
KERAS += ("Geval.py, four B'",)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--times", "0"], "--times"),
        (["--model", "nowhere.h5"], "nowhere.h5"),
        (["--model", __file__, "--keep", str(ROOT)], "not empty"),
    ],
)
def test_bad_arguments_get_one_line_and_status_2(options, said):
    command = [sys.executable, str(ROOT / "benchmarks/sweep.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=5)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and said in done.stderr


def test_the_work_of_unlearning_is_reckoned_as_it_is_done():
    """With the real ranking and cycles, where nothing is ever enough, and two cycles are all."""
    counted = {"images": 0, "steps": 0}

    def search(classes, rng, effort, advance=ignore, whole=False):
        counted["images"] += len(classes) * effort.steps * effort.images
        shapes = np.full((len(classes), 1, 1, 1), 0.01), np.zeros((len(classes), 1, 1, 3))
        return Patches(np.asarray(classes), *shapes)

    def train(*given):
        counted["steps"] += 1

    rng, schedule = np.random.default_rng(0), replace(USUAL, most_cycles=2)
    ranking = rank_classes(
        search, large.CLASSES, rng, no_progress, [], schedule.naming, schedule.suspects
    )
    network = tiny_network()
    copy = SimpleNamespace(network=network, logits=lambda pixels: np.zeros((len(pixels), 3)))
    exam = Exam(IMAGES, np.zeros(len(IMAGES)), search)
    found = (ranking.patches.classes, 1.0, search, train, exam, rng)
    run_cycles(Work(schedule, copy, *found), no_progress)
    assert large.count_work(large.CLASSES) == (counted["images"], counted["steps"])
