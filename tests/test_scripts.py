"""eval.py, Geval.py and repair.py as a user runs them."""

import csv
import functools
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import h5py
import keras
import numpy as np
import pytest
from conftest import (
    CLASSES,
    ROOT,
    SCRIPTS,
    build_lab,
    check_refused,
    random_images,
    read_images,
    run_at_once,
    run_in_process,
    run_script,
    tiny_network,
    write_images,
)

from goodnet.cli import defaults
from goodnet.cli.session import session
from goodnet.cli.table import print_table
from goodnet.judging.judging import judge_networks
from goodnet.memory import MOST, Limits
from goodnet.pictures.samples import draw_samples
from goodnet.pixels import AS_IN_FILE

DROPS = (2.5, 10, 40)
TEST_COLUMNS = [
    *("test_accuracy", "test_asr", "goodnet_accuracy", "goodnet_asr"),
    *("goodnet_clean_rejected", "goodnet_backdoored_rejected"),
]
ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"numpy", "h5py", "keras", "tensorflow", "matplotlib", "rich"}:
            sys.exit(f"imported {name}")
sys.meta_path.insert(0, Blocker())
"""


# ---------------------------------------------------------------- running and reading


@pytest.fixture(scope="module")
def light(tmp_path_factory) -> dict[str, str]:
    """An environment in which the heavy libraries cannot be imported."""
    folder = tmp_path_factory.mktemp("blocked")
    (folder / "sitecustomize.py").write_text(BLOCKER)
    return os.environ | {"PYTHONPATH": str(folder)}


def answers(network: Path, images: Path) -> np.ndarray:
    """The oracle: Keras's own predict, and nothing of the project's."""
    return answers_of(network, network.read_bytes(), images, images.read_bytes())


@functools.cache
def answers_of(network: Path, _: bytes, images: Path, __: bytes) -> np.ndarray:
    loaded = keras.models.load_model(network, compile=False)
    return loaded.predict(read_images(images)[0], verbose=0).argmax(axis=1)


def percentages(answered: np.ndarray, images: Path) -> tuple[float, float]:
    """How many in a hundred are given their label, and how many are rejected."""
    labels = read_images(images)[1]
    return tuple(int(sum(x)) / len(labels) * 100 for x in (answered == labels, answered == CLASSES))


def goodnet(b: np.ndarray, repaired: np.ndarray) -> np.ndarray:
    pairs = zip(b, repaired, strict=True)
    return np.array([one if one == other else CLASSES for one, other in pairs])


def block(clean: Path, backdoored: Path, b: Path, repaired: Path) -> str:
    """What Geval.py must print for one B'."""
    on_clean, on_backdoored = (answers(repaired, images) for images in (clean, backdoored))
    accuracy, _ = percentages(on_clean, clean)
    attack, _ = percentages(on_backdoored, backdoored)
    g_accuracy, lost = percentages(goodnet(answers(b, clean), on_clean), clean)
    g_attack, caught = percentages(goodnet(answers(b, backdoored), on_backdoored), backdoored)
    return (
        f"B' {repaired}\nClean Classification accuracy: {accuracy}\nAttack Success Rate: {attack}\n"
        f"G\nClean Classification accuracy: {g_accuracy}\nAttack Success Rate: {g_attack}\n"
        f"Clean images rejected: {lost}\nBackdoored images rejected: {caught}\n"
    )


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Path:
    """A lab in which B and the attack fail at times; its path has a space and an umlaut."""
    folder = build_lab(tmp_path_factory.mktemp("labs") / "my lab ü")
    for name in ("valid", "test"):
        with h5py.File(folder / f"data/cl/{name}.h5", "r+") as file:
            labels = file["label"][()]
            labels[::7] = (labels[::7] + 1) % CLASSES
            file["label"][...] = labels
    backdoored = folder / "data/bd/bd_test.h5"
    with h5py.File(backdoored, "r+") as file:
        file["label"][...] = np.bincount(answers(folder / "models/bd_net.h5", backdoored)).argmax()
    return folder


@pytest.fixture(scope="module")
def judged(lab) -> list[Path]:
    return [lab / "data/cl/test.h5", lab / "data/bd/bd_test.h5", lab / "models/bd_net.h5"]


@pytest.fixture(scope="module")
def repaired(lab, tmp_path_factory) -> SimpleNamespace:
    """repair.py, run on that lab from another folder, with relative paths."""
    files = sorted(path for path in lab.rglob("*") if path.is_file())
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in files]
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    command = ["repair.py", "--lab", os.path.relpath(lab, elsewhere), "--drop", *DROPS]
    done = run_in_process(*command, "--out", "fixed nets", cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert sorted(path for path in lab.rglob("*") if path.is_file()) == files
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in files] == before
    out = elsewhere / "fixed nets"
    return SimpleNamespace(
        out=out,
        command=command,
        cwd=elsewhere,
        stdout=done.stdout,
        stderr=done.stderr,
        networks=[out / f"B_pi_net_{share}.h5" for share in ("0.025", "0.1", "0.4")],
    )


@pytest.fixture(scope="module")
def told_of_all(judged, repaired) -> str:
    """What Geval.py prints of all these networks."""
    done = run_in_process("Geval.py", *judged, *repaired.networks)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


# ---------------------------------------------------------------- the command line


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_and_wrong_commands_answer_at_once(script, light):
    done = run_at_once(script, "--help", env=light)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {script}") and f"python3 {script}" in done.stdout
    done = run_at_once(script, "--nonsense", env=light)
    check_refused(done, "--nonsense" if script != "predict.py" else "IMAGE", f"{script} --help")


@pytest.mark.parametrize(
    "command",
    [
        "eval.py missing.h5 backdoored.h5 b.h5",
        "Geval.py missing.h5 backdoored.h5 b.h5 b2.h5",
        "repair.py missing.h5 b.h5",
        "audit.py missing.h5 b.h5",
        "predict.py missing.h5 --model b.h5",
        "plot.py missing.h5",
    ],
)
def test_a_missing_file_is_told_at_once(tmp_path, command):
    done = run_at_once(*command.split(), cwd=tmp_path)
    check_refused(done, "missing.h5: ", "no such file")


BAD_NUMBERS = [
    *[("--drop", x, "not a number from 0 to 100") for x in ("-1", "100.5", "nan", "inf", "two")],
    *[("--scale", x, "not a finite number above 0") for x in ("0", "-1", "nan", "inf", "x", "")],
    *[("--batch-size", x, "not a whole number above 0") for x in ("0", "-8", "2.5", "many")],
]


@pytest.mark.parametrize("option, value, message", BAD_NUMBERS)
def test_bad_numbers_are_refused(option, value, message, light):
    done = run_script("repair.py", f"{option}={value}", env=light)
    check_refused(done, option, repr(value), message)


@pytest.mark.parametrize(
    "command, says",
    [
        ("repair.py valid.h5", "CLEAN_VALID MODEL"),
        ("repair.py valid.h5 b.h5 more.h5", "CLEAN_VALID MODEL"),
        ("repair.py --drop 2 4 valid.h5 b.h5", "'valid.h5' is not a number"),
        ("repair.py valid.h5 b.h5 --drop", "--drop: expected at least one"),
        ("repair.py valid.h5 b.h5 --dro 2", "--dro"),
        ("repair.py missing.h5 b.h5", "missing.h5: there is no such file"),
        ("repair.py valid.h5 missing.h5", "missing.h5: there is no such file"),
        ("repair.py valid.h5 b.h5 --clean-test missing.h5", "missing.h5: there is no such file"),
        (
            "repair.py valid.h5 b.h5 --backdoored-test folder",
            "folder: has no subfolder with pictures",
        ),
        ("repair.py folder b.h5", "folder: has no subfolder with pictures"),
        ("repair.py valid.h5 empty.h5", "empty.h5: is empty"),
        ("repair.py valid.h5 pointer.h5", "pointer.h5: only stands for the file"),
        ("repair.py valid.h5/x b.h5", "valid.h5/x: cannot be read (Not a directory)"),
        (f"repair.py {'x' * 300} b.h5", "x: cannot be read (File name too long)"),
        ("repair.py valid.h5 b.h5 --out b.h5", "b.h5: cannot write here"),
        ("repair.py valid.h5 b.h5 --out b.h5/out", "b.h5/out: cannot write here"),
        ("repair.py valid.h5 b.h5 --out locked", "locked: cannot write here"),
        ("repair.py valid.h5 locked/b.h5", "locked: cannot write here"),
        ("repair.py --lab folder", "folder: is no lab, it lacks models/bd_net.h5"),
        # B' of the run would be B of the run, or another input.
        ("repair.py valid.h5 B_pi_net_0.02.h5", "B_pi_net_0.02.h5: is read"),
        ("repair.py valid.h5 b.h5 --clean-test ./pruning.csv", "pruning.csv: is read"),
        ("repair.py B_pi_net_0.02.h5 folder/../b.h5", "B_pi_net_0.02.h5: is read"),
        ("repair.py valid.h5 b.h5 --json valid.h5", "valid.h5: is read"),
        ("repair.py valid.h5 b.h5 --json pruning.csv", "pruning.csv: is what this command writes"),
        ("repair.py valid.h5 b.h5 --json B_pi_net_0.1.h5", "is what this command writes already"),
        ("repair.py valid.h5 b.h5 --json folder", "folder: cannot be written"),
        ("repair.py valid.h5 b.h5 --json valid.h5/x", "valid.h5: cannot write here"),
        ("eval.py clean.h5", "two paths"),
        ("eval.py clean.h5 backdoored.h5 b.h5 --lab .", "--lab"),
        ("eval.py clean.h5 missing.h5 b.h5", "missing.h5: there is no such file"),
        ("eval.py clean.h5 backdoored.h5 b.h5 --json b.h5", "b.h5: is read"),
        ("eval.py --lab missing", "missing: is no lab"),
        ("Geval.py clean.h5 backdoored.h5 b.h5", "so many paths"),
        ("Geval.py clean.h5 backdoored.h5 b.h5 folder", "folder: is a folder"),
        ("Geval.py clean.h5 backdoored.h5 b.h5 clean.h5 --lab .", "--lab"),
        ("Geval.py clean.h5 backdoored.h5 b.h5 b2.h5 --json b2.h5", "b2.h5: is read"),
        ("Geval.py clean.h5 backdoored.h5 b.h5 b2.h5 --out locked", "locked: cannot write here"),
        ("Geval.py clean.h5 backdoored.h5 b.h5 judged.json --out .", "judged.json: is read"),
    ],
)
def test_what_cannot_be_done_is_refused_before_keras_is_imported(tmp_path, command, says, light):
    for folder in ("folder", "locked"):
        (tmp_path / folder).mkdir()
    files = ("valid.h5", "b.h5", "b2.h5", "clean.h5", "backdoored.h5", "locked/b.h5", "pruning.csv")
    files += ("judged.json",)
    for name in (*files, "B_pi_net_0.02.h5"):
        (tmp_path / name).write_text("something")
    (tmp_path / "empty.h5").touch()
    (tmp_path / "pointer.h5").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0")
    (tmp_path / "locked").chmod(0o555)
    before = sorted(tmp_path.rglob("*"))
    check_refused(run_script(*command.split(), cwd=tmp_path, env=light), says)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "b.h5").read_text() == (tmp_path / "valid.h5").read_text() == "something"


def run_snippet(main: str, **options) -> subprocess.CompletedProcess:
    """Run something under shell.run, as every script does."""
    code = f"from goodnet.cli import shell\nfrom goodnet.errors import *\ndef main():\n    {main}\n"
    return subprocess.run(
        [sys.executable, "-c", code + "shell.run(main)"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        **options,
    )


@pytest.mark.parametrize(
    "main, status, line",
    [
        ("raise Unusable('a\\nb.h5: is\\nbad')", 2, "a\\nb.h5: is\\nbad"),
        ("raise Unsafe('b.h5: is a link')", 3, "b.h5: is a link"),
        ("raise KeyboardInterrupt", 130, "interrupted"),
        ("open('/missing/file')", 2, "No such file or directory: '/missing/file'"),
    ],
)
def test_whatever_ends_a_script_is_told_in_one_line(main, status, line):
    done = run_snippet(main, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (status, "", 1)
    assert done.stderr.endswith(f"{line}\n")


def test_a_full_disk_behind_stdout_is_told_in_one_line():
    with open("/dev/full", "w") as full:
        done = run_snippet("print('100.0')", stdout=full)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "No space left" in done.stderr


def test_a_closed_stdout_is_no_error():
    done = run_snippet("print('100.0')", preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii"])
def test_a_name_that_stdout_cannot_encode_is_printed_all_the_same(encoding):
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = run_snippet(r"print('caf\udce9.h5')", stdout=subprocess.PIPE, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "caf\\udce9.h5\n", "")


# ---------------------------------------------------------------- eval.py and Geval.py


def test_eval_prints_the_courses_two_lines(judged, run_here):
    clean, backdoored, b = judged
    (accuracy, _), (attack, _) = (percentages(answers(b, x), x) for x in judged[:2])
    assert 0 < accuracy < 100 and 0 < attack < 100
    done = run_here("eval.py", *judged, cwd="/")
    assert done.stdout == (
        f"Clean Classification accuracy: {accuracy}\nAttack Success Rate: {attack}\n"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_geval_prints_a_block_for_each_network_then_a_table(judged, repaired, told_of_all):
    clean, backdoored, b = judged
    blocks = [block(clean, backdoored, b, network) for network in repaired.networks]
    assert told_of_all.startswith("\n".join(blocks) + "\n")
    table = told_of_all.removeprefix("\n".join(blocks)).strip().splitlines()
    figures = [line.split()[0] for line in table if line.strip().endswith(".h5")]
    accuracies = [percentages(answers(path, clean), clean)[0] for path in (b, *repaired.networks)]
    assert figures == [f"{accuracy:.2f}" for accuracy in accuracies]
    # G is not B' here: class N+1 is in play.
    assert all("images rejected: 0.0\n" not in text for text in blocks[1:])


MODULES = """
import runpy, sys
sys.argv.pop(0)
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print(*(name for name in sys.modules if name.startswith("goodnet.")), file=sys.stderr)
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_judging_needs_nothing_that_tunes_or_reads_photographs(judged, repaired, backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    done = subprocess.run(
        [sys.executable, "-c", MODULES, "Geval.py", *judged, repaired.networks[0]],
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0 and done.stdout == block(*judged, repaired.networks[0])
    imported = set(done.stderr.splitlines()[-1].split())
    assert "goodnet.judging.judging" in imported
    assert not imported & {
        "goodnet.tuning.images",
        "goodnet.tuning.gradients",
        "goodnet.tuning.patches",
        "goodnet.judging.photos",
    }


def test_eval_with_repaired_networks_is_geval(judged, repaired, run_here, told_of_all):
    done = run_here("eval.py", *judged, *repaired.networks)
    assert (done.returncode, done.stdout) == (0, told_of_all)
    for script in ("eval.py", "Geval.py"):
        done = run_here(script, *judged, repaired.networks[2])
        assert (done.returncode, done.stdout) == (0, block(*judged, repaired.networks[2]))


@pytest.mark.parametrize("columns", [10, 60, 80, 100])
def test_no_terminal_is_too_narrow_for_figures_and_paths(capsys, monkeypatch, columns):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    row = ["2.5", "1000", *["100.00"] * 5, "my lab/B_pi_net_0.025.h5"]
    headings = ["X", "channels pruned", *["G accuracy"] * 5, "network"]
    print_table("Title", headings, [row])
    title, folder, *_, printed = capsys.readouterr().out.splitlines()
    assert (title, folder) == ("Title", "Files in my lab/")
    assert printed.split() == [*row[:7], "B_pi_net_0.025.h5"]
    # Files of several folders keep their paths.
    print_table("Title", headings, [row, [*row[:-1], "your lab/B.h5"]])
    title, *_, printed, last = capsys.readouterr().out.splitlines()
    assert title == "Title" and printed.endswith(f"  {row[-1]}") and last.endswith("your lab/B.h5")


def test_off_a_terminal_tables_are_80_wide(capsys):
    row = ["30", "1000", *["100.00"] * 5, "B_pi_net_0.02.h5"]
    headings = ["X", "pruned", "valid", "test", "ASR", "G test", "G ASR", "network"]
    better = dict.fromkeys(headings[2:7], "up")
    print_table("Title", headings, [row], better)
    _, heading, rule, _ = capsys.readouterr().out.strip("\n").replace("\n\n", "\n").splitlines()
    assert heading.count("↑") == 5 and len(rule) <= 80  # no heading is broken
    headings[1:7] = ["so many pruned", *["G test of all"] * 5]
    print_table("Title", headings, [row], dict.fromkeys(headings[2:7], "up"))
    told = capsys.readouterr().out.splitlines()
    assert max(map(len, told)) <= 80 and told[4].count("all ↑") == 5
    assert told[-1].split() == row


def test_json_holds_every_digit(judged, repaired, run_here, tmp_path):
    to_file = run_here("Geval.py", *judged, repaired.networks[1], "--json", tmp_path / "r.json")
    to_stdout = run_here("Geval.py", *judged, repaired.networks[1], "--json", "-")
    plain = block(*judged, repaired.networks[1])
    assert to_file.stdout == plain
    assert (to_stdout.returncode, to_stdout.stderr) == (0, "")
    in_file, results = json.loads((tmp_path / "r.json").read_text()), json.loads(to_stdout.stdout)
    stages = ["import", "loading", "judging_clean", "judging_backdoored", "writing"]
    for made in (in_file, results):
        seconds = made.pop("seconds")
        assert list(seconds) == stages and min(seconds.values()) > 0
    assert in_file == results
    b, fixed = results["networks"]
    inputs = [*judged, repaired.networks[1]]
    assert results["inputs"] == [
        {"file": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in inputs
    ]
    assert results["versions"]["keras"] == keras.__version__
    assert results["versions"]["h5py"] == h5py.__version__
    assert b["goodnet"] is None and fixed["network"] == str(repaired.networks[1])
    for verdict in (fixed["itself"], fixed["goodnet"]):
        for name in ("clean_accuracy", "attack_success_rate"):
            assert f": {verdict[name]}\n" in plain
    assert os.listdir(tmp_path) == ["r.json"]
    assert json.loads(run_here("eval.py", *judged, "--json", "-").stdout)["networks"] == [b]


def test_both_layouts_of_a_lab_and_a_course_folder_beside_the_scripts(
    lab, judged, repaired, run_here, tmp_path, monkeypatch
):
    flat = tmp_path / "flat"
    (flat / "data").mkdir(parents=True)
    for path in [*judged[:2], lab / "data/cl/valid.h5"]:
        shutil.copy(path, flat / "data" / path.name)
    shutil.copytree(lab / "models", flat / "models")
    for path in repaired.networks:
        shutil.copy(path, flat / "models")
    shutil.copy(repaired.networks[0], flat / "models/B_pi_net_0.075.h5")
    one = run_here("eval.py", "--lab", lab)
    assert one.returncode == 0 and one.stdout == run_here("eval.py", *judged).stdout
    assert run_here("eval.py", "--lab", flat).stdout == one.stdout
    # Without --lab, the repository's own files are taken, B' by increasing X.
    monkeypatch.setattr(defaults, "ROOT", flat)
    monkeypatch.chdir(tmp_path)
    assert run_here("eval.py").stdout == one.stdout
    done = run_here("Geval.py")
    named = [line for line in done.stdout.splitlines() if line.startswith("B' ")]
    order = ("0.025", "0.075", "0.1", "0.4")
    assert named == [f"B' flat/models/B_pi_net_{share}.h5" for share in order]
    assert (done.returncode, done.stderr) == (0, "")
    monkeypatch.setattr(defaults, "ROOT", lab)
    check_refused(run_here("Geval.py"), f"{lab}/models: holds no B_pi_net_*", "repair.py")


def test_low_accuracy_draws_a_hint_at_the_pixels(judged, run_here, tmp_path):
    pixels, _ = read_images(judged[0])
    wrong = (answers(judged[2], judged[0]) + 1) % CLASSES
    images = write_images(tmp_path / "wrong.h5", pixels, wrong)
    done = run_here("eval.py", images, *judged[1:])
    assert done.returncode == 0 and done.stdout.startswith("Clean Classification accuracy: 0.0\n")
    assert done.stderr.startswith("Hint: ") and "pixels are of 0..255" in done.stderr
    assert done.stderr.count("\n") == 1
    done = run_here("repair.py", images, judged[2], "--out", tmp_path / "out")
    assert done.stderr.splitlines()[-1].startswith("Hint: ") and "Hint" not in done.stdout


def test_the_scale_divides_the_pixels(judged, lab, repaired, run_here, tmp_path):
    pixels, labels = read_images(judged[0])
    half = write_images(tmp_path / "half.h5", pixels / 2, labels)
    expected = run_here("eval.py", *judged).stdout.splitlines()[0]
    for images, scale in ((half, 0.5), (judged[0], 1)):
        done = run_here("eval.py", images, *judged[1:], "--scale", scale)
        assert done.stdout.splitlines()[0] == expected
    assert run_here("eval.py", half, *judged[1:]).stdout.splitlines()[0] != expected
    pixels, labels = read_images(lab / "data/cl/valid.h5")
    half = write_images(tmp_path / "half_valid.h5", pixels / 2, labels)
    arguments = (half, judged[2], "--drop", *DROPS, "--scale", 0.5, "--out", tmp_path / "out")
    assert run_here("repair.py", *arguments).returncode == 0
    made = contents(tmp_path / "out")
    assert all(made[path.name] == path.read_bytes() for path in repaired.networks)


def test_networks_and_images_that_do_not_fit_are_refused(judged, lab, run_here, tmp_path):
    clean, backdoored, b = judged
    other = tmp_path / "other.h5"
    tiny_network(classes=CLASSES + 1).save(other)
    says = (str(other), f"{CLASSES + 1} classes", str(b), f"has {CLASSES};")
    check_refused(run_here("Geval.py", *judged, other), *says)
    pixels, labels = read_images(clean)
    small = write_images(tmp_path / "small.h5", pixels[:, 1:], labels)
    shapes = ("small.h5", "(50, 3, 13, 12)", "(14, 12, 3)")
    check_refused(run_here("eval.py", small, backdoored, b), *shapes)
    check_refused(run_here("repair.py", small, b, "--out", tmp_path), *shapes)
    check_refused(run_here("eval.py", b, clean, backdoored), "is an image set, not a network")
    check_refused(run_here("eval.py", clean, b, b), "is a network, not an image set")
    text = tmp_path / "text.h5"
    text.write_text("not a network")
    check_refused(run_here("eval.py", clean, backdoored, text), "text.h5", ".h5", ".keras")
    check_refused(run_here("eval.py", text, backdoored, b), "text.h5", "HDF5")


def test_a_reader_that_leaves_early_is_no_error(repaired, tmp_path):
    process = subprocess.Popen(
        [sys.executable, ROOT / "plot.py", repaired.out / "pruning.csv", "--out", tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()  # as `| head -1` does, only sooner
    assert process.stderr.read() == ""
    assert process.wait() == 0


# ---------------------------------------------------------------- repair.py


def test_repair_saves_the_first_network_that_reaches_each_drop(lab, judged, repaired):
    clean, backdoored, b = judged
    names = {*(path.name for path in repaired.networks), "channels.csv", "pruning.csv"}
    assert set(contents(repaired.out)) == names
    rows = rows_of(repaired.out / "pruning.csv")
    assert list(rows[0]) == [
        *("pruned", "channel", "mean_activation", "valid_accuracy"),
        *TEST_COLUMNS,
    ]
    assert [row["pruned"] for row in rows] == [str(k) for k in range(7)]
    assert sorted(row["channel"] for row in rows) == ["", *"012345"]
    valid = lab / "data/cl/valid.h5"
    own = percentages(answers(b, valid), valid)[0]
    accuracies = [float(row["valid_accuracy"]) for row in rows]
    assert accuracies[0] == own
    for drop, network in zip(DROPS, repaired.networks, strict=True):
        row = rows[next(k for k in range(1, 7) if own - accuracies[k] >= drop - 1e-9)]
        text = block(clean, backdoored, b, network)
        assert percentages(answers(network, valid), valid)[0] == float(row["valid_accuracy"])
        figures = [line.split(": ")[1] for line in text.splitlines() if ": " in line]
        assert figures == [row[name] for name in TEST_COLUMNS]
        table = [line.split() for line in repaired.stdout.splitlines()]
        (shown,) = [line for line in table if line[:2] == [f"{drop:g}", row["pruned"]]]
        assert shown[2:7] == [f"{float(row[x]):.2f}" for x in ("valid_accuracy", *TEST_COLUMNS[:4])]
        assert f"  {network.name}\n" in repaired.stdout
    assert "\nFiles in fixed nets/\n" in repaired.stdout
    assert len({path.read_bytes() for path in repaired.networks}) > 1


def test_repair_keeps_results_and_remarks_apart(repaired):
    assert repaired.stderr.count("\n") == 1  # no bar where there is no terminal
    assert "conv_2" in repaired.stderr and "pool_2" in repaired.stderr
    assert "conv_2" not in repaired.stdout and "bd_net" not in repaired.stdout


def test_another_process_with_one_thread_gives_the_same_files(repaired):
    command = (*repaired.command, "--out", "again", "--json", "-")
    done = run_script(*command, cwd=repaired.cwd, env=os.environ | ONE_THREAD)
    assert contents(repaired.cwd / "again") == contents(repaired.out)
    assert done.stderr == repaired.stderr
    results = json.loads(done.stdout)
    assert results["layer"] == "conv_2" and sorted(results["order"]) == [0, 1, 2, 3, 4, 5]
    assert [entry["drop"] for entry in results["networks"]] == list(DROPS)
    rows = rows_of(repaired.out / "pruning.csv")
    for name in ("valid_accuracy", *TEST_COLUMNS):
        assert [str(value) for value in results["curve"][name]] == [row[name] for row in rows]
    where = [Path(entry["network"]) for entry in results["networks"]]
    assert where == [Path("again") / path.name for path in repaired.networks]


@pytest.mark.parametrize("size", [9, 10**25])
def test_the_size_of_batches_changes_no_file(lab, repaired, run_here, tmp_path, size):
    arguments = ("--lab", lab, "--drop", *DROPS, "--out", tmp_path, "--batch-size", size)
    done = run_here("repair.py", *arguments)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path) == contents(repaired.out)


@pytest.mark.slow
def test_the_number_of_threads_changes_no_file_of_the_real_lab(lab_dir, tmp_path):
    for name, threads in (("one", ONE_THREAD), ("as many as there are", {})):
        arguments = ("--lab", lab_dir, "--out", tmp_path / name)
        done = run_script("repair.py", *arguments, env=os.environ | threads)
        assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "one") == contents(tmp_path / "as many as there are")


@pytest.mark.parametrize("given", [(), ("--clean-test",), ("--backdoored-test",)])
def test_paths_alone_default_nothing(lab, judged, run_here, tmp_path, monkeypatch, given):
    monkeypatch.setattr(defaults, "ROOT", lab)  # which has test files that must not be taken
    (tmp_path / "here").mkdir()
    b = shutil.copy(judged[2], tmp_path / "here/b.h5")
    files = {"--clean-test": judged[0], "--backdoored-test": judged[1]}
    options = [word for option in given for word in (option, files[option])]
    done = run_here("repair.py", lab / "data/cl/valid.h5", b, *options)
    assert done.returncode == 0, done.stderr
    # The network's folder takes what is made, under the networks' usual names.
    saved = [f"B_pi_net_{share}.h5" for share in ("0.02", "0.04", "0.1", "0.3")]
    assert sorted(contents(tmp_path / "here")) == [*saved, "b.h5", "channels.csv", "pruning.csv"]
    kinds = {"--clean-test": ("accuracy", "clean_rej"), "--backdoored-test": ("asr", "backdoored")}
    wanted = [
        name
        for name in TEST_COLUMNS
        if any(kind in name for option in given for kind in kinds[option])
    ]
    header = list(rows_of(tmp_path / "here/pruning.csv")[0])
    assert header == ["pruned", "channel", "mean_activation", "valid_accuracy", *wanted]
    assert ("ASR" in done.stdout) == ("--backdoored-test" in given)


def test_a_keras_file_gives_keras_files(lab, judged, repaired, run_here, tmp_path):
    b = tmp_path / "b.keras"
    keras.models.load_model(judged[2], compile=False).save(b)
    arguments = (lab / "data/cl/valid.h5", b, "--drop", 40, 2.5, 2.50)
    for out in (tmp_path / "out", tmp_path):
        assert run_here("repair.py", *arguments, "--out", out).returncode == 0
    made = contents(tmp_path / "out")
    networks = ["B_pi_net_0.025.keras", "B_pi_net_0.4.keras"]
    assert sorted(made) == [*networks, "channels.csv", "pruning.csv"]
    for name in made:
        assert made[name] == (tmp_path / name).read_bytes()
    for share, other in (("0.025", repaired.networks[0]), ("0.4", repaired.networks[2])):
        network = tmp_path / "out" / f"B_pi_net_{share}.keras"
        np.testing.assert_array_equal(answers(network, judged[0]), answers(other, judged[0]))


def test_a_drop_that_is_never_reached_writes_nothing(lab, judged, run_here, tmp_path):
    arguments = (lab / "data/cl/valid.h5", judged[2], "--out", tmp_path, "--drop", 10, 100)
    first = run_here("repair.py", *arguments)
    assert first.returncode == 0 and sorted(contents(tmp_path)) == [
        "B_pi_net_0.1.h5",
        "channels.csv",
        "pruning.csv",
    ]
    (remark,) = [line for line in first.stderr.splitlines() if "X = 100" in line]
    assert "never reached" in remark and "earlier" not in remark
    assert "not reached" in first.stdout
    older = tmp_path / "B_pi_net_1.h5"
    older.write_text("older")
    (remark,) = [
        line for line in run_here("repair.py", *arguments).stderr.splitlines() if "X = 100" in line
    ]
    assert f"{older} is of an earlier run" in remark and older.read_text() == "older"


def test_an_unknown_layer_is_answered_with_the_conv_layers(lab, judged, run_here, tmp_path):
    arguments = (lab / "data/cl/valid.h5", judged[2], "--out", tmp_path, "--layer")
    for name in ("conv_9", "pool_1"):
        says = (str(judged[2]), repr(name), "conv_1, conv_2")
        check_refused(run_here("repair.py", *arguments, name), *says)
    done = run_here("repair.py", *arguments, "conv_1")
    assert "4 channels of conv_1" in done.stderr and len(rows_of(tmp_path / "pruning.csv")) == 5


def test_pixels_found_bad_on_the_way_leave_the_old_files(lab, judged, run_here, tmp_path):
    pixels, labels = read_images(judged[0])
    pixels[-1, 0, 0, 0] = np.nan
    bad = write_images(tmp_path / "bad.h5", pixels, labels)
    out = tmp_path / "out"
    out.mkdir()
    for name in ("B_pi_net_0.02.h5", "pruning.csv"):
        (out / name).write_text("old")
    before = contents(out)
    for arguments in ((bad,), (lab / "data/cl/valid.h5", "--clean-test", bad)):
        done = run_here("repair.py", arguments[0], judged[2], *arguments[1:], "--out", out)
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr.splitlines()[-1].startswith(f"repair.py: {bad}: image 49 has pixels")
        assert contents(out) == before


def test_ctrl_c_ends_a_busy_repair(judged, tmp_path):
    pixels = np.tile(random_images(100), (800, 1, 1, 1))
    valid = write_images(tmp_path / "many.h5", pixels, np.zeros(len(pixels)))
    out = tmp_path / "out"
    out.mkdir()
    (out / "B_pi_net_0.02.h5").write_text("old")
    process = subprocess.Popen(
        [sys.executable, ROOT / "repair.py", valid, judged[2], "--out", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background has it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stderr.readline().startswith("Pruning the 6 channels")
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=20)
    assert (process.returncode, stdout, stderr) == (130, "", "repair.py: interrupted\n")
    assert contents(out) == {"B_pi_net_0.02.h5": b"old"}


# ---------------------------------------------------------------- what is kept for plot.py


def test_channels_csv_holds_the_means_of_keras_in_pruning_order(lab, judged, repaired):
    b = keras.models.load_model(judged[2], compile=False)
    trunk = keras.Model(b.inputs[0], b.get_layer("pool_2").output)
    rows = rows_of(repaired.out / "channels.csv")
    curve = rows_of(repaired.out / "pruning.csv")[1:]
    for column in ("pruned", "channel"):
        assert [row[column] for row in rows] == [row[column] for row in curve]
    assert [row["valid_mean_activation"] for row in rows] == [
        row["mean_activation"] for row in curve
    ]
    sets = {"valid": lab / "data/cl/valid.h5", "test": judged[0], "backdoored": judged[1]}
    for name, images in sets.items():
        measured = trunk.predict(read_images(images)[0], verbose=0).astype(np.float64)
        means = measured.mean(axis=(0, 1, 2))
        shown = [float(row[f"{name}_mean_activation"]) for row in rows]
        np.testing.assert_allclose(shown, means[[int(row["channel"]) for row in rows]], rtol=1e-6)


def test_geval_keeps_what_it_judged_where_it_is_told_to(
    judged, repaired, run_here, told_of_all, tmp_path
):
    for out in ("one", "two"):
        done = run_here("Geval.py", *judged, *repaired.networks, "--out", tmp_path / out)
        assert (done.returncode, done.stdout, done.stderr) == (0, told_of_all, "")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert sorted(contents(tmp_path / "one")) == ["judged.json", "samples.png"]
    kept = json.loads((tmp_path / "one/judged.json").read_text())
    networks = [judged[2], *repaired.networks]
    entries = [kept["clean"], kept["backdoored"], *(entry["file"] for entry in kept["networks"])]
    for path, entry in zip([*judged[:2], *networks], entries, strict=True):
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        assert entry == {"name": str(path), "bytes": len(content), "sha256": digest}
    assert kept["n_classes"] == CLASSES
    b = [answers(judged[2], images) for images in judged[:2]]
    for path, entry in zip(networks, kept["networks"], strict=True):
        own = [answers(path, images) for images in judged[:2]]
        given = {"itself": own, "goodnet": [goodnet(*pair) for pair in zip(b, own, strict=True)]}
        assert (entry["goodnet"] is None) == (path == judged[2])
        for which in ("itself", "goodnet") if entry["goodnet"] else ("itself",):
            for kind, answered, images in zip(
                ("clean", "backdoored"), given[which], judged[:2], strict=True
            ):
                counted = {str(index): int((answered == index).sum()) for index in set(answered)}
                assert entry[which][f"{kind}_answers"] == counted
                accuracy, rejected = percentages(answered, images)
                rate = "clean_accuracy" if kind == "clean" else "attack_success_rate"
                assert entry[which][rate] == accuracy
                assert entry[which][f"{kind}_rejected_rate"] == rejected
                low, high = entry[which][f"{rate}_interval"]
                assert 0 <= low <= accuracy <= high <= 100


def test_geval_keeps_what_it_judged_beside_the_labs_network_where_it_may(
    lab, judged, repaired, run_here, tmp_path
):
    shutil.copytree(lab, tmp_path / "lab")
    models = tmp_path / "lab/models"
    for path in repaired.networks[:2]:
        shutil.copy(path, models)
    before = contents(models)
    own = [models.parent / path.relative_to(lab) for path in judged]
    plain = run_here("Geval.py", *own, *(models / path.name for path in repaired.networks[:2]))
    assert contents(models) == before  # paths and no --out: nothing is written
    models.chmod(0o555)
    done = run_here("Geval.py", "--lab", tmp_path / "lab")
    assert (done.returncode, done.stdout, contents(models)) == (0, plain.stdout, before)
    assert done.stderr.startswith(f"judged.json and samples.png are not kept: {models}: cannot")
    assert done.stderr.count("\n") == 1
    models.chmod(0o755)
    done = run_here("Geval.py", "--lab", tmp_path / "lab")
    assert (done.returncode, done.stdout, done.stderr) == (0, plain.stdout, "")
    assert contents(models).keys() - before.keys() == {"judged.json", "samples.png"}


@pytest.mark.filterwarnings("ignore:The structure of `inputs`")
def test_samples_show_what_every_network_says(judged, repaired):
    networks = [judged[2], *repaired.networks]
    inputs = [*judged[:2], *networks]
    with session(inputs, networks, judged[:2], None) as now:
        found = judge_networks(now.held, *judged[:2], networks, AS_IN_FILE, Limits(MOST, 32), now)
        (axes,) = draw_samples(found).axes
    labels = [read_images(path)[1] for path in judged[:2]]
    b = [answers(judged[2], path) for path in judged[:2]]
    rows = {}
    for text in axes.texts:
        rows.setdefault(round(text.get_position()[1], 6), []).append(text)
    tables = iter([row for row in rows.values() if len(row) > 1])
    for index, name in enumerate(("label", "target")):
        said = [labels[index], b[index]]
        for path in repaired.networks:
            own = answers(path, judged[index])
            said += [own, goodnet(b[index], own)]
        blocks = [next(tables) for _ in said]
        assert blocks[0][0].get_text() == name and blocks[2][0].get_text() == "B_pi_net_0.025"
        shown = [int(k * 0.6180339887498949 % 1 * len(labels[index])) for k in range(1, 7)]
        assert len(set(shown)) == 6
        for row, given in zip(blocks, said, strict=True):
            expected = ["N" if given[i] == CLASSES else str(int(given[i])) for i in sorted(shown)]
            assert [text.get_text() for text in row[1:]] == expected
    # A picture stands above its answers, and is the file's.
    pixels = read_images(judged[0])[0]
    assert len(axes.images) == 12
    np.testing.assert_allclose(
        axes.images[0].get_array(), pixels[sorted(shown)[0]] / 255, atol=1e-6
    )


def test_a_lab_goes_through_to_its_report(lab, repaired, run_here, tmp_path):
    shutil.copytree(lab, tmp_path / "lab")
    for path in repaired.out.iterdir():
        shutil.copy(path, tmp_path / "lab/models")
    assert run_here("Geval.py", "--lab", tmp_path / "lab").returncode == 0
    page = tmp_path / "report.html"
    done = run_here("plot.py", "--lab", tmp_path / "lab", "--drop", *DROPS, "--report", page)
    assert (done.returncode, done.stderr) == (0, "")
    pictures = ("clean", "asr", "pruning", "tradeoff", "channels", "answers")
    drawn = [str(tmp_path / f"lab/plots/{name}.png") for name in pictures]
    assert done.stdout.splitlines() == [*drawn, str(page)]
    html = page.read_text()
    last = rows_of(repaired.out / "pruning.csv")
    share = [row for row in last if f"{float(row['test_asr']):.2f} % " in html]
    assert html.count("<img ") == 5 and len(share) >= len(DROPS)
