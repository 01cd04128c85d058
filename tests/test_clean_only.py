"""Without backdoored images: eval.py CLEAN MODEL, Geval.py --clean-only, and the report of that."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import CLASSES, build_lab, check_refused, read_images, run_in_process

from goodnet.judging.judged_json import read_record


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Path:
    folder = build_lab(tmp_path_factory.mktemp("clean only") / "lab")
    done = run_in_process("repair.py", "--lab", folder, "--drop", 10, 40)
    assert done.returncode == 0, done.stderr
    return folder


def networks(lab: Path) -> list[Path]:
    return [lab / f"models/{name}.h5" for name in ("bd_net", "B_pi_net_0.1", "B_pi_net_0.4")]


def counted(lab: Path) -> list[tuple[float, float, float]]:
    """Of each B': its accuracy, its goodnet's, how many are rejected; by Keras's own predict."""
    images, labels = read_images(lab / "data/cl/test.h5")
    b, *others = (
        keras.models.load_model(path, compile=False).predict(images, verbose=0).argmax(1)
        for path in networks(lab)
    )
    found = []
    for answers in others:
        goodnet = np.where(answers == b, b, CLASSES)
        hits = [int((x == labels).sum()) for x in (answers, goodnet)]
        rejected = int((goodnet == CLASSES).sum())
        found.append(tuple(count / len(labels) * 100 for count in (*hits, rejected)))
    return found


def test_eval_prints_the_first_line_alone(lab):
    clean, b = lab / "data/cl/test.h5", networks(lab)[0]
    done = run_in_process("eval.py", clean, b)
    assert (done.returncode, done.stdout) == (0, "Clean Classification accuracy: 100.0\n")
    check_refused(run_in_process("eval.py", clean), "needs CLEAN [BACKDOORED] MODEL")
    # A second image set is no network, and is said not to be one.
    check_refused(run_in_process("eval.py", clean, lab / "data/bd/bd_test.h5"), "bd_test.h5")


def test_geval_judges_and_rejects_clean_images(lab):
    clean, (b, *repaired) = lab / "data/cl/test.h5", networks(lab)
    done = run_in_process("Geval.py", "--clean-only", clean, b, *repaired)
    assert done.returncode == 0 and "ttack" not in done.stdout and "ASR" not in done.stdout
    blocks = [
        f"B' {path}\nClean Classification accuracy: {own}\n"
        f"G\nClean Classification accuracy: {together}\nClean images rejected: {rejected}\n\n"
        for path, (own, together, rejected) in zip(repaired, counted(lab), strict=True)
    ]
    assert done.stdout.startswith("".join(blocks))
    table = done.stdout.removeprefix("".join(blocks)).splitlines()
    assert table[3].split("  ")[-1].strip() == "network" and "rejects clean" in table[3]
    assert done.stdout.count("rejects") == 1
    check_refused(run_in_process("Geval.py", "--clean-only", clean, b), "needs CLEAN B B'")
    check_refused(run_in_process("Geval.py", clean, clean, b), "needs CLEAN BACKDOORED B B'")


def test_the_lab_is_judged_and_a_report_made_of_what_is_there(lab, tmp_path):
    done = run_in_process("Geval.py", "--clean-only", "--lab", lab)
    assert done.returncode == 0, done.stderr
    record = read_record(lab / "models/judged.json")
    assert record.backdoored is None and record.targets == {} and len(record.networks) == 3
    done = run_in_process("plot.py", "--lab", lab, "--report", tmp_path / "r.html")
    assert done.returncode == 0 and "answers.png" not in done.stdout, done.stderr
    page = (tmp_path / "r.html").read_text()
    assert "No backdoored images were judged" in page
    assert "G, the goodnet, asks both" in page and "nan %" not in page
    own, _, rejected = counted(lab)[0]
    sentence = f"B_pi_net_0.1.h5 gives {own:.2f} % of them their label, and its goodnet rejects "
    assert f"{sentence}{rejected:.2f} %." in page


@pytest.mark.parametrize("backdoored", [None, {"name": "x", "bytes": 1, "sha256": "0" * 64}])
def test_a_record_that_counts_other_images_than_it_names_is_refused(lab, tmp_path, backdoored):
    done = run_in_process("Geval.py", "--clean-only", "--lab", lab, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "judged.json").read_text())
    content["backdoored"] = backdoored
    if backdoored is None:
        content["networks"][0]["itself"]["backdoored_images"] = 7
    (tmp_path / "judged.json").write_text(json.dumps(content))
    (tmp_path / "pruning.csv").write_bytes((lab / "models/pruning.csv").read_bytes())
    done = run_in_process("plot.py", tmp_path / "pruning.csv", "--out", tmp_path)
    check_refused(done, "judged.json")


def test_labels_of_one_class_in_the_clean_set_are_told(lab):
    clean, backdoored = lab / "data/cl/test.h5", lab / "data/bd/bd_test.h5"
    b = networks(lab)[0]
    swapped = run_in_process("eval.py", backdoored, clean, b)
    assert swapped.returncode == 0
    assert f"{backdoored}: all 50 labels are class 0" in swapped.stderr
    assert "labels are class" not in run_in_process("eval.py", clean, backdoored, b).stderr
