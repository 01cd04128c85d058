"""The benchmarks of repairs and of G: on a tiny lab, with what repair.py makes of it."""

import json
import re
import shutil
import subprocess
from collections import Counter

import keras
import numpy as np
import pytest
from conftest import (
    build_lab,
    check_refused,
    random_images,
    read_images,
    run_at_once,
    run_in_process,
    write_images,
)

from benchmarks import repairs

LAB = "labs/badnet-sunglasses-5"  # in the folder that is kept
PRUNED = {"plain BadNet": ("badnet", ("sunglasses",), ("prune",))}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A folder that the benchmark keeps, with a lab in it, and its network repaired beside B."""
    folder = tmp_path_factory.mktemp("kept")
    lab = build_lab(folder / LAB)
    done = run_in_process("repair.py", "--lab", lab, "--drop", repairs.DROP)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def networks(kept):
    return [kept / LAB / "models" / name for name in ("bd_net.h5", "B_pi_net_0.1.h5")]


def rate(hits: np.ndarray) -> float:
    return int(hits.sum()) / len(hits) * 100


def check_judged(row: dict, networks: list, clean, backdoored) -> None:
    """What the benchmark says of a repaired network is what plain Keras gives."""
    (on_clean, labels), (on_backdoored, targets) = (
        (
            [
                keras.models.load_model(path, compile=False).predict(images, verbose=0).argmax(1)
                for path in networks
            ],
            labels,
        )
        for images, labels in map(read_images, (clean, backdoored))
    )
    assert row["b_accuracy"] == rate(on_clean[0] == labels)
    assert row["accuracy"] == rate(on_clean[1] == labels)
    assert row["b_asr"] == rate(on_backdoored[0] == targets)
    expected = [rate(on_backdoored[1][targets == target] == target) for target in set(targets)]
    np.testing.assert_allclose(row["asr"], expected)
    assert row["goodnet_rejects_clean"] == rate(on_clean[0] != on_clean[1]) > 0
    assert row["goodnet_rejects_backdoored"] == rate(on_backdoored[0] != on_backdoored[1])


def test_each_target_has_its_own_attack_success(kept, networks, tmp_path):
    pixels, targets = random_images(60, seed=3), np.repeat([0, 1, 3], 20)
    backdoored = write_images(tmp_path / "backdoored.h5", pixels, targets)
    clean = kept / LAB / "data/cl/test.h5"
    row = repairs.judged(*networks, clean, backdoored)
    assert len(row["asr"]) == 3 and len(set(row["asr"])) > 1
    check_judged(row, networks, clean, backdoored)


def test_a_repair_is_measured_once_and_a_second_run_goes_on_from_what_is_kept(
    kept, networks, monkeypatch, capsys
):
    monkeypatch.setattr(repairs, "KINDS", PRUNED)
    (row,) = rows = repairs.measured(kept, 1, None, 1)
    out = kept / "repaired/plain BadNet 5"
    assert row["kind"] == "plain BadNet" and (row["method"], row["seed"]) == ("prune", 5)
    assert row["network"] == str(out / "B_pi_net_0.1.h5") and row["targets"] == []
    assert (out / "B_pi_net_0.1.h5").read_bytes() == networks[1].read_bytes()
    assert row["seconds"] > 0.1 and row["cpu_seconds"] > 0.1
    data = kept / LAB / "data"
    check_judged(row, networks, data / "cl/test.h5", data / "bd/bd_test.h5")
    assert json.loads((out / "prune figures.json").read_text()) == row
    told = capsys.readouterr().err
    assert told.startswith("plain BadNet, prune, seed 5: clean ") and told.count("\n") == 1

    def fail(*arguments):
        pytest.fail(f"{arguments} is run, though its figures are kept")

    with monkeypatch.context() as patch:
        patch.setattr(repairs, "run", fail)
        assert repairs.measured(kept, 1, None, 1) == rows
    assert capsys.readouterr().err == told

    # Of two seeds, one lab is there.
    asked = []

    def build(threads, script, *arguments):
        asked.append((script, *map(str, arguments)))
        if script == "practice.py":
            shutil.copytree(kept / LAB, arguments[-1])
            return 0, 0
        raise subprocess.CalledProcessError(2, script)

    monkeypatch.setattr(repairs, "run", build)
    with pytest.raises(subprocess.CalledProcessError):
        repairs.measured(kept, 2, None, 1)
    lab = ("--seed", "6", "--out", str(kept / "labs/badnet-sunglasses-6"))
    (built, repaired) = asked
    assert built == ("practice.py", "--attack", "badnet", "--trigger", "sunglasses", *lab)
    assert repaired[0] == "repair.py" and repaired[2].endswith("sunglasses-6/models/bd_net.h5")


def test_every_kind_is_measured_seed_by_seed_and_the_courses_network_too(tmp_path, monkeypatch):
    jobs, built = [], []

    def note(folder, threads, job):
        jobs.append(job[:3])
        return tmp_path / "figures", ROW | dict(zip(("kind", "method", "seed"), job, strict=False))

    monkeypatch.setattr(repairs, "_one", note)
    monkeypatch.setattr(repairs, "run", lambda threads, *make: built.append(make[-1]))
    rows = repairs.measured(tmp_path, 2, tmp_path / "course", 1)
    assert jobs == [(row["kind"], row["method"], row["seed"]) for row in rows]
    assert [seed for *_, seed in jobs] == sorted(seed for *_, seed in jobs)
    of_labs = [
        (kind, method) for kind, (_, _, methods) in repairs.KINDS.items() for method in methods
    ]
    course = [(repairs.COURSE, method) for method in ("unlearn", "prune", "fine-prune")]
    assert sorted(job[:2] for job in jobs if job[2] == 5) == sorted([*of_labs, *course])
    assert sorted(job[:2] for job in jobs if job[2] == 6) == sorted([*of_labs, course[0]])
    assert len(built) == len(set(built)) == 2 * len(repairs.KINDS)


def test_a_script_that_fails_ends_the_benchmark(capfd):
    with pytest.raises(subprocess.CalledProcessError):
        repairs.run(1, "eval.py", "--nonsense")
    assert "--nonsense" in capfd.readouterr().err


# ---------------------------------------------------------------- the table

ROW = {
    **{"kind": "plain BadNet", "method": "unlearn", "seed": 5, "network": "B_unlearned.h5"},
    **{"b_accuracy": 98.0, "accuracy": 97.5, "b_asr": 100.0, "asr": [1.0]},
    **{"goodnet_rejects_clean": 1.5, "goodnet_rejects_backdoored": 99.0},
    **{"seconds": 60.0, "cpu_seconds": 100.0, "targets": [0], "possible_targets": []},
}


def test_the_table_holds_medians_worst_values_and_how_often_the_targets_are_named(capsys):
    clean = {"kind": "no backdoor", "asr": [0.5]}
    two = {"kind": "two triggers"}
    repairs.print_rows(
        [
            ROW | two | {"asr": [1.0, 7.0], "targets": [1, 0]},
            ROW | two | {"asr": [2.0, 0.0], "targets": [1], "possible_targets": [0]},
            ROW | two | {"asr": [0.0, 3.0], "targets": [0], "possible_targets": [4]},
            ROW | clean | {"targets": []},
            ROW | clean | {"targets": [], "possible_targets": [3]},
            ROW,
            ROW | {"accuracy": 90.0, "seconds": 70.0, "goodnet_rejects_backdoored": 50.0},
            ROW | {"accuracy": 98.25, "asr": [4.0], "cpu_seconds": 90.0},
            ROW | {"method": "prune", "asr": [88.0], "targets": []},
        ]
    )
    title, *lines = (" ".join(x.split()) for x in capsys.readouterr().out.splitlines())
    assert title == "Median (worst), in percent and seconds"
    rule = next(i for i, line in enumerate(lines) if line and not set(line) - set("─- "))
    headings, lines = " ".join(lines[:rule]).split(), lines[rule + 1 :]
    assert Counter(headings) == Counter(
        "network runs B clean clean points lost ASR G rejects clean G rejects backdoored "
        "named or possible seconds CPU seconds method".split()
    )
    usual = "98.0 97.5 (97.5) 0.5 (0.5)"
    assert lines == [
        f"plain BadNet 1 {usual} 88.0 (88.0) 1.5 (1.5) 99.0 (99.0) 60.0 (60.0) 100.0 (100.0) prune",
        "plain BadNet 3 98.0 97.5 (90.0) 0.5 (8.0) 1.0 (4.0) 1.5 (1.5) 99.0 (50.0) 3 3 "
        "60.0 (70.0) 100.0 (100.0) unlearn",
        f"no backdoor 2 {usual} 0.5 (0.5) 1.5 (1.5) 99.0 (99.0) 0 1 60.0 (60.0) 100.0 (100.0) "
        "unlearn",
        f"two triggers 3 {usual} 3.0 (7.0) 1.5 (1.5) 99.0 (99.0) 1 2 60.0 (60.0) 100.0 (100.0) "
        "unlearn",
    ]


# ---------------------------------------------------------------- G against B, and wrong commands


def test_g_is_timed_against_b(networks):
    done = run_in_process("benchmarks/goodnets.py", *networks)
    assert (done.returncode, done.stderr) == (0, "")
    told = re.fullmatch(
        r"B (\d\.\d{3}) s, G (\d\.\d{3}) s \(the trunk once\), G / B = (\d+\.\d\d): "
        r"the best of 15 rounds\n",
        done.stdout,
    )
    b, g, ratio = map(float, told.groups())
    assert b > 0 and ratio == pytest.approx(g / b, rel=0.1)
    assert 0.5 < ratio < 20


@pytest.mark.parametrize(
    "command, says",
    [
        ("goodnets.py missing.h5 b.h5", "missing.h5: there is no such file"),
        ("goodnets.py b.h5", "required: B'"),
        ("goodnets.py b.h5 b.h5 --nonsense", "--nonsense"),
        ("repairs.py --nonsense", "--nonsense"),
        ("repairs.py --seeds 0", "--seeds"),
        ("repairs.py --jobs many", "--jobs"),
    ],
)
def test_wrong_commands_get_one_line_and_status_2(tmp_path, command, says):
    (tmp_path / "b.h5").write_text("something")
    script, *arguments = command.split()
    check_refused(run_at_once(f"benchmarks/{script}", *arguments, cwd=tmp_path), says)
    assert [path.name for path in tmp_path.iterdir()] == ["b.h5"]
