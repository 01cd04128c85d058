"""The frame around every script: Ctrl-C, faults in one line, names, foreign files, settings."""

import ast
import gc
import io
import json
import os
import pickle
import re
import runpy
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from conftest import (
    CLASSES,
    ROOT,
    build_lab,
    check_refused,
    random_images,
    run_script,
    tiny_network,
    write_images,
)

from goodnet.cli import options, shell
from goodnet.cli.foreign import FOREIGN
from goodnet.errors import Unusable
from goodnet.judging.judged_json import read_record
from goodnet.lab import MOST_KEPT
from goodnet.networks.deepid import deepid
from goodnet.printable import LONGEST, printable, say

SCRIPTS = ("eval.py", "repair.py", "Geval.py", "predict.py", "plot.py", "practice.py", "audit.py")


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Path:
    return build_lab(tmp_path_factory.mktemp("frame") / "lab")


@pytest.fixture(scope="module")
def judged(lab) -> list[Path]:
    return [lab / "data/cl/test.h5", lab / "data/bd/bd_test.h5", lab / "models/bd_net.h5"]


def with_sitecustomize(folder: Path, code: str) -> dict[str, str]:
    """An environment in which every Python runs this before all else."""
    (folder / "sitecustomize.py").write_text(code)
    return os.environ | {"PYTHONPATH": str(folder)}


# ---------------------------------------------------------------- Ctrl-C


def listening() -> None:
    """In a child: Ctrl-C is not ignored, as it is where tests run in the background of a shell."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


PRESSES = """
import os, signal, sys
class Presser:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["AT"]:
            for _ in range(int(os.environ["TIMES"])):
                os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Presser())
"""


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    "at", ["contextlib", "argparse", "goodnet.errors", "goodnet.cli.session", "keras", "h5py"]
)
def test_ctrl_c_is_one_line_wherever_it_comes(judged, tmp_path, at, times):
    environment = with_sitecustomize(tmp_path, PRESSES) | {"AT": at, "TIMES": str(times)}
    done = run_script("eval.py", *judged, env=environment, preexec_fn=listening)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "eval.py: interrupted\n")


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_handler_is_what_a_script_imports_first(script):
    body = ast.parse((ROOT / script).read_text()).body
    names = [
        alias.name
        for node in body
        if isinstance(node, ast.Import | ast.ImportFrom)
        and getattr(node, "module", "") != "__future__"
        for alias in node.names
    ]
    assert names[0] == "goodnet.cli.interrupts"
    source = (ROOT / "goodnet/cli/interrupts.py").read_text()
    first = source.index("sys.excepthook")
    imported = set(re.findall(r"^(?:import|from) (\w+)", source[:first], re.MULTILINE))
    assert imported == {"__future__", "os", "sys", "goodnet"}  # loaded with Python, but ours
    assert re.findall(r"^from (goodnet.*)", source[:first], re.MULTILINE) == [
        "goodnet.process import OURS"
    ]
    ours = (ROOT / "goodnet/process.py").read_text()
    assert re.findall(r"^(?:import|from) (\w+)", ours, re.MULTILINE) == ["os", "sys"]


def descendants(process: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        found += map(int, task.read_text().split())
    return found


def works(process: int) -> bool:
    """Whether a process is there and has not ended; nobody may have asked how it did."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


SLOW_CHILD = """
import subprocess
class Slow(subprocess.Popen):
    def __init__(self, command, **options):
        if "inspector" in " ".join(map(str, command)):
            command = [command[0], "-c", "import time; time.sleep(60)"]
        super().__init__(command, **options)
subprocess.Popen = Slow
"""


def test_ctrl_c_to_the_process_alone_ends_its_child(judged, tmp_path):
    process = subprocess.Popen(
        [sys.executable, ROOT / "eval.py", *judged],
        env=with_sitecustomize(tmp_path, SLOW_CHILD),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listening,
    )
    while not (children := descendants(process.pid)):
        time.sleep(0.01)
    time.sleep(0.2)
    start = time.perf_counter()
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout, stderr) == (130, "", "eval.py: interrupted\n")
    assert time.perf_counter() - start < 5
    while any(map(works, children)):
        assert time.perf_counter() - start < 5
        time.sleep(0.01)


def test_an_error_does_not_wait_for_the_child(judged, tmp_path):
    environment = with_sitecustomize(tmp_path, SLOW_CHILD) | {"KERAS_BACKEND": "theano"}
    start = time.perf_counter()
    done = run_script("eval.py", *judged, env=environment)
    check_refused(done, "KERAS_BACKEND is 'theano'", "unset KERAS_BACKEND")
    assert time.perf_counter() - start < 30


# ---------------------------------------------------------------- what is left, in one line


def run_main(monkeypatch, capsys, main, *arguments: str) -> tuple[int, list[str]]:
    """Run something as a script's main: the exit status and the lines on stderr."""
    monkeypatch.setattr(sys, "argv", ["eval.py", *arguments])
    with pytest.raises(SystemExit) as left:
        shell.run(main)
    return left.value.code, capsys.readouterr().err.splitlines()


class ResourceExhaustedError(Exception):
    """As TensorFlow's is called."""


@pytest.mark.parametrize(
    "error, says",
    [
        (ValueError("a\n\x1b[1mb\x1b[0m  c"), "this is a fault of ours: ValueError: a b c"),
        (KeyError("a"), "this is a fault of ours: KeyError: a"),
        (AssertionError(), "this is a fault of ours: AssertionError: AssertionError"),
        (RecursionError("too deep"), "this is a fault of ours: RecursionError: too deep"),
        (ImportError("No module named 'PIL'"), "No module named 'PIL'; run make lab once"),
        (MemoryError(), "needs more memory than there is; try a smaller --batch-size"),
        (ResourceExhaustedError("OOM"), "needs more memory than there is"),
        (Unusable("is bad\n\x1b[31m"), "is bad\\n\\x1b[31m"),
    ],
)
def test_whatever_is_left_is_one_line(monkeypatch, capsys, error, says):
    def main():
        raise error from None

    status, lines = run_main(monkeypatch, capsys, main)
    assert (status, len(lines)) == (2, 1) and lines[0].startswith(f"eval.py: {says}")
    assert ("--debug shows where" in lines[0]) == ("fault" in says)
    status, debugged = run_main(monkeypatch, capsys, main, "--debug")
    assert status == 2 and debugged[0].startswith("Traceback") and "raise error" in str(debugged)
    assert debugged[-1] == lines[0].removesuffix("; --debug shows where")
    assert not any("\x1b" in line for line in debugged)


def test_what_keras_cannot_compute_is_told_as_that(monkeypatch, capsys):
    def main():
        network = keras.Sequential([keras.Input((None, None, 3)), keras.layers.AveragePooling2D(9)])
        network.predict(np.zeros((1, 4, 4, 3), np.float32), verbose=0)

    status, (line,) = run_main(monkeypatch, capsys, main)
    assert status == 2 and line.startswith("eval.py: Keras cannot compute this: ")
    assert line.endswith("; --debug shows where") and "negative" in line.lower()


def test_debug_shows_the_error_that_another_was_raised_in_place_of(monkeypatch, capsys):
    def main():
        try:
            raise ValueError("what Keras said, all of it")
        except ValueError:
            raise Unusable("is bad") from None

    _, lines = run_main(monkeypatch, capsys, main, "--debug")
    assert "ValueError: what Keras said, all of it" in lines and lines[-1] == "eval.py: is bad"


def test_debug_is_an_option_of_every_script():
    for script in SCRIPTS:
        done = run_script(script, "--debug", "--nonsense")
        assert done.returncode == 2 and done.stderr.startswith("Traceback")
        assert done.stderr.splitlines()[-1].endswith(f" (see {script} --help)")


# ---------------------------------------------------------------- words of strangers


def test_what_does_not_print_is_written_out():
    for code in [*range(32), 127, 0x85, 0x9B, 0x200B, 0x202E, 0x2028, 0x2066, 0xFEFF, 0xDCE9]:
        shown = printable(f"a{chr(code)}b")
        assert shown == f"a{ascii(chr(code))[1:-1]}b" and shown.isprintable()
    assert printable("größe 顔 😀 a\\b'\"") == "größe 顔 😀 a\\b'\""
    assert printable(Path("my lab/ü.h5")) == "my lab/ü.h5"


def test_what_a_library_says_ends_with_a_whole_sentence():
    sentence = "Layer 'x' wants 1 input, not 2."
    assert say(ValueError(f"{sentence}\n\n  It got these.")) == f"{sentence} It got these."
    long = f"It got {'more ' * 100}inputs."
    assert say(ValueError(f"{sentence} {long}")) == sentence
    assert say(ValueError(long)) == long  # even where it is longer than two
    endless = say(ValueError("word " * 1000))
    assert len(endless) < LONGEST + 50 and endless.endswith("word … (--debug shows all of it)")
    assert say(ValueError("Sizes: 3.15 by 2.")) == "Sizes: 3.15 by 2."
    assert say(OSError()) == "OSError"
    keras_says = (
        "Exception encountered when calling MaxPooling2D.call().\n\n\x1b[1mNegative size.\x1b[0m"
        "\n\nArguments received by MaxPooling2D.call():\n  • inputs=tf.Tensor(shape=(1,))"
    )
    assert say(ValueError(keras_says)) == "Negative size."


# ---------------------------------------------------------------- foreign files


def zipped(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return path


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def numpy_archive(folder: Path) -> Path:
    np.savez(folder / "set.npz", x=np.zeros(3))
    return folder / "set.npz"


def numpy_array(folder: Path) -> Path:
    np.save(folder / "set.npy", np.zeros(3))
    return folder / "set.npy"


MADE = {
    "PyTorch, a zip": (
        lambda folder: zipped(folder / "net.pth", "archive/data.pkl", "archive/data/0"),
        "is a PyTorch file; needed is a Keras network (.h5 or .keras)",
    ),
    "PyTorch, a state_dict of today": (
        lambda folder: zipped(folder / "net.pt", "net/.format_version", "net/data.pkl"),
        "is a PyTorch file",
    ),
    "PyTorch, old": (
        lambda folder: written(
            folder / "net.pth", pickle.dumps(0x1950A86A20F9469CFC6C, 2) + b"\x80\x02M\xe9\x03."
        ),
        "is a PyTorch file",
    ),
    "a pickle": (
        lambda folder: written(folder / "net.h5", pickle.dumps({"a": 1})),
        "is a Python pickle",
    ),
    "NumPy, an archive": (numpy_archive, "is a NumPy archive"),
    "NumPy, an array": (numpy_array, "is a NumPy array"),
    "TFLite": (
        lambda folder: written(folder / "net.tflite", b"\x1c\0\0\0TFL3\x14\0\x20\0"),
        "is a TensorFlow Lite file",
    ),
    "safetensors": (
        lambda folder: written(folder / "net.safetensors", b"\x40\0\0\0\0\0\0\0" + b'{"a":{}}'),
        "is a safetensors file",
    ),
    "ONNX": (
        lambda folder: written(folder / "net.onnx", b"\x08\x07\x12\x07pytorch"),
        "is an ONNX file",
    ),
    "a graph": (
        lambda folder: written(folder / "frozen.pb", b"\x0a\x10\x0a\x01x"),
        "is a graph of TensorFlow",
    ),
    "JSON": (
        lambda folder: written(folder / "net.json", tiny_network().to_json().encode()),
        "is JSON",
    ),
    "a checkpoint": (
        lambda folder: written(folder / "checkpoint", b'model_checkpoint_path: "x"'),
        "is of a TensorFlow checkpoint",
    ),
    "a picture": (
        lambda folder: written(folder / "b.h5", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        "is a picture",
    ),
    "a pointer": (
        lambda folder: written(folder / "b.h5", b"version https://git-lfs.github.com/spec/v1\n"),
        "only stands for the file; fetch that with git lfs pull",
    ),
    "a page": (
        lambda folder: written(folder / "b.h5", b"\n<!DOCTYPE html>\n<html>"),
        "is a web page, not the file",
    ),
    "packed": (
        lambda folder: written(folder / "b.h5.gz", b"\x1f\x8b\x08\0"),
        "is packed; unpack it first",
    ),
    "a zip around it": (
        lambda folder: zipped(folder / "b.zip", "models/bd_net.h5"),
        "is a zip archive with the file in it",
    ),
}


@pytest.mark.parametrize("kind", MADE)
def test_files_of_other_programs_are_named(judged, run_here, tmp_path, kind):
    make, says = MADE[kind]
    path = make(tmp_path)
    check_refused(run_here("eval.py", *judged[:2], path), f"eval.py: {path}: {says}")
    ever = any(row.ever and row.what.startswith(says[:12]) for row in FOREIGN)
    if ever:
        check_refused(run_here("eval.py", path, *judged[1:]), f"eval.py: {path}: {says}")
    else:
        shell.check_files(path)  # whether it is an image set, its reader tells


def test_every_foreign_kind_is_tried():
    said = {says for _, says in MADE.values()}
    assert all(any(row.what.startswith(text) for text in said) for row in FOREIGN)


def test_networks_of_keras_are_never_foreign(tmp_path, judged):
    network = tiny_network()
    for name in ("a.keras", "a.h5", "a.weights.h5"):
        save = network.save_weights if "weights" in name else network.save
        save(tmp_path / name)
        shell.check_files(tmp_path / name, networks=[tmp_path / name])
    # HDF5 may begin with a block of the user's own.
    block = tmp_path / "block.h5"
    with h5py.File(block, "w", userblock_size=512):
        pass
    block.write_bytes(b'{"mine": 1}' + block.read_bytes()[11:])
    shell.check_files(block, networks=[block])


def test_folders_and_what_is_no_file_are_named(judged, run_here, tmp_path):
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "saved_model.pb").write_bytes(b"\x08\x01")
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(tmp_path / "b.keras", "w") as archive:
        for name in ("config.json", "model.weights.h5"):
            archive.writestr(name, "x")
        archive.extractall(unpacked)
    os.mkfifo(tmp_path / "pipe")
    for name, says in {
        "saved": "is a SavedModel folder, not a file; needed is a Keras network",
        "unpacked": "is an unpacked .keras file; name the .keras file itself",
        "pipe": "is not a regular file; copy it into one",
    }.items():
        check_refused(run_here("eval.py", *judged[:2], tmp_path / name), f"{name}: {says}")


@pytest.mark.parametrize("name", ["pruning.csv", "channels.csv", "judged.json", "samples.png"])
def test_plot_waits_for_no_pipe(run_here, tmp_path, name):
    csv = "pruned,channel,mean_activation,valid_accuracy\n0,,,98.0\n1,1,0.0,97.0\n2,0,0.5,1.0\n"
    (tmp_path / "pruning.csv").write_text(csv)
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    check_refused(run_here("plot.py", tmp_path / "pruning.csv"), f"{name}: is not a regular file")


def test_the_other_layout_is_looked_in(lab, run_here, monkeypatch, tmp_path):
    monkeypatch.chdir(lab)
    done = run_here("eval.py", "data/test.h5", "data/bd/bd_test.h5", "models/bd_net.h5")
    check_refused(done, "data/test.h5: there is no such file; data/cl/test.h5 is there")
    done = run_here("eval.py", "data/cl/test.h5", "data/bd_test.h5", "models/bd_net.h5")
    check_refused(done, "data/bd_test.h5: there is no such file; data/bd/bd_test.h5 is there")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/valid.h5").write_bytes((lab / "data/cl/valid.h5").read_bytes())
    monkeypatch.chdir(tmp_path)
    done = run_here("repair.py", "data/cl/valid.h5", lab / "models/bd_net.h5")
    check_refused(done, "data/cl/valid.h5: there is no such file; data/valid.h5 is there")


@pytest.mark.parametrize("dot", [".", "./"])
@pytest.mark.parametrize("script", ["eval.py", "Geval.py", "repair.py"])
def test_a_dot_at_the_end_is_told(judged, run_here, script, dot):
    done = run_here(script, *judged, dot)
    check_refused(done, f"{dot!r} is the folder you are in, not a file; leave it out")


# ---------------------------------------------------------------- settings of the user


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> list[Path]:
    """Two image sets and the weights of a DeepID, whose network is built by code of our own."""
    folder = tmp_path_factory.mktemp("weights")
    keras.utils.set_random_seed(3)
    network = deepid(7)
    network.save_weights(folder / "bd.weights.h5")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 55, 47, 3)).astype(np.uint8)
    answered = network.predict(pixels, verbose=0).argmax(axis=1)
    labels = np.where(np.arange(40) % 3, answered, (answered + 1) % 7)
    write_images(folder / "clean.h5", pixels, labels)
    write_images(folder / "bd.h5", pixels, answered)
    return [folder / "clean.h5", folder / "bd.h5", folder / "bd.weights.h5"]


@pytest.mark.parametrize("backend", ["tensorflow", "theano"])
def test_keras_json_and_variables_change_no_answer(faces, tmp_path, backend):
    settings = {"floatx": "float16", "image_data_format": "channels_first", "epsilon": 0.5}
    (tmp_path / ".keras").mkdir()
    config = tmp_path / ".keras/keras.json"
    config.write_text(json.dumps(settings | {"backend": backend}))
    environment = os.environ | {"HOME": str(tmp_path), "KERAS_MAX_STEPS_PER_EPOCH": "1"}
    if backend == "theano":
        environment |= {"KERAS_HOME": str(tmp_path / ".keras"), "KERAS_MAX_EPOCHS": "nonsense"}
    environment.pop("KERAS_BACKEND", None)
    before = config.read_bytes()
    done = run_script("eval.py", *faces, "--batch-size", 8, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Clean Classification accuracy: 65.0\nAttack Success Rate: 100.0\n"
    assert config.read_bytes() == before and len(list((tmp_path / ".keras").iterdir())) == 1


def test_what_a_notebook_told_keras_is_told_otherwise():
    keras.config.set_floatx("float16")
    keras.config.set_image_data_format("channels_first")
    keras.config.set_max_steps_per_epoch(1)
    before = dict(os.environ)
    shell.import_keras()
    assert keras.config.floatx() == keras.config.dtype_policy().name == "float32"
    assert keras.config.image_data_format() == "channels_last"
    assert keras.config.max_steps_per_epoch() is None
    assert dict(os.environ) == before | {"TF_CPP_MIN_LOG_LEVEL": "3"}


@pytest.mark.parametrize("wanted", [True, False])
def test_what_a_process_wants_of_its_garbage_stands(wanted):
    """Nothing is frozen where the process is not ours alone, as here."""
    frozen, collects = gc.get_freeze_count(), gc.isenabled()
    (gc.enable if wanted else gc.disable)()
    try:
        shell.import_keras()
        assert gc.isenabled() == wanted
        assert gc.get_freeze_count() == frozen
    finally:
        (gc.enable if collects else gc.disable)()


def test_a_script_does_not_look_through_keras_again_and_again(faces, tmp_path):
    """Which it would do once more at its end, for most of a second."""
    code = "import atexit, gc; atexit.register(lambda: print('frozen', gc.get_freeze_count()))"
    (tmp_path / "sitecustomize.py").write_text(code)
    done = run_script("eval.py", *faces, env=os.environ | {"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    *said, last = done.stdout.splitlines()
    assert len(said) == 2 and int(last.removeprefix("frozen ")) > 100_000


LIKE_PERCENT_RUN = """
import io, runpy, sys
sys.argv = sys.argv[1:]
sys.stdout, kept = io.StringIO(), sys.stdout
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print(sys.stdout.getvalue(), end="", file=kept)
"""


def test_a_notebook_runs_a_script(judged, tmp_path):
    plain = run_script("eval.py", *judged)
    program = tmp_path / "like_run.py"
    program.write_text(LIKE_PERCENT_RUN)
    command = [sys.executable, program, ROOT / "eval.py", *judged]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, plain.stdout, "")


@pytest.mark.parametrize("script", SCRIPTS)
def test_streams_may_be_anything(script, monkeypatch):
    class Stream(io.StringIO):
        """As ipykernel's: no buffer, no descriptor, no reconfigure()."""

    out, err = Stream(), Stream()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr(sys, "argv", [str(ROOT / script), "--nonsense"])
    hook, handler = sys.excepthook, signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    assert left.value.code == 2 and out.getvalue() == ""
    assert err.getvalue().startswith(f"{script}: ") and err.getvalue().count("\n") == 1
    # The process is not the script's own: nothing of it is changed.
    assert (sys.excepthook, signal.getsignal(signal.SIGINT)) == (hook, handler)


HOSTILE_RC = (
    "text.usetex: True\ntext.latex.preamble: \\input{/tmp/other}\naxes.facecolor: red\n"
    "font.size: 40\nbackend: module://elsewhere\nsavefig.dpi: 7\n"
)


def test_no_matplotlibrc_changes_a_picture(judged, lab, tmp_path):
    networks = [judged[2], lab / "models/other.h5"]
    tiny_network(seed=1).save(networks[1])
    csv = "pruned,channel,mean_activation,valid_accuracy\n0,,,98.0\n1,1,0.0,97.0\n2,0,0.5,1.0\n"
    made = {}
    for name, settings in {"plain": "", "hostile": HOSTILE_RC}.items():
        folder = tmp_path / name
        (folder / ".config/matplotlib").mkdir(parents=True)
        (folder / "pruning.csv").write_text(csv)
        home = os.environ | {"HOME": str(folder)}
        if settings:
            for place in ("matplotlibrc", ".config/matplotlib/matplotlibrc"):
                (folder / place).write_text(settings)
            rc = str(folder / "matplotlibrc")
            home |= {"MATPLOTLIBRC": rc, "MPLBACKEND": "module://elsewhere"}
        done = run_script("Geval.py", *judged[:2], *networks, "--out", ".", cwd=folder, env=home)
        assert (done.returncode, done.stderr) == (0, "")
        formats = ("--format", "png", "svg", "pdf")
        done = run_script("plot.py", "pruning.csv", *formats, cwd=folder, env=home)
        assert done.returncode == 0 and "Traceback" not in done.stderr
        kinds = {".png", ".svg", ".pdf"}
        made[name] = {x.name: x.read_bytes() for x in folder.iterdir() if x.suffix in kinds}
    assert len(made["plain"]) > 9 and made["plain"] == made["hostile"]


# ---------------------------------------------------------------- JSON


def no_constant(word: str) -> None:
    raise AssertionError(f"{word} is not JSON")


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_weights_that_are_no_numbers_are_told_and_json_is_json(judged, run_here, tmp_path, value):
    network = tiny_network()
    layer = network.get_layer("output")
    kernel, bias = layer.get_weights()
    kernel[0, 0] = value
    layer.set_weights([kernel, bias])
    path = tmp_path / "odd.keras"
    network.save(path)
    done = run_here("eval.py", *judged[:2], path, "--json", "-")
    assert done.returncode == 0
    json.loads(done.stdout, parse_constant=no_constant)
    assert done.stderr.startswith(f"{path}: weights of the layer output are infinite or no numbers")
    assert "odd" not in run_here("eval.py", *judged).stderr
    bad = {"a": [value, -value, 1.5], "b": (2, {"c": value}), "d": float(value)}
    shell.write_json(bad, str(tmp_path / "bad.json"))
    read = json.loads((tmp_path / "bad.json").read_text(), parse_constant=no_constant)
    assert read == {"a": [None, None, 1.5], "b": [2, {"c": None}], "d": None}


def test_too_many_networks_are_refused_at_once(judged, lab, run_here, tmp_path):
    other = lab / "models/other.h5"
    tiny_network(seed=1).save(other)
    assert run_here("Geval.py", *judged, other, "--out", tmp_path).returncode == 0
    record = json.loads((tmp_path / "judged.json").read_text())
    for count in (MOST_KEPT, MOST_KEPT + 1):
        networks = record["networks"][:1] + record["networks"][1:] * (count - 1)
        (tmp_path / "judged.json").write_text(json.dumps(record | {"networks": networks}))
        if count == MOST_KEPT:
            assert len(read_record(tmp_path / "judged.json").networks) == count
    csv = "pruned,channel,mean_activation,valid_accuracy\n0,,,98.0\n1,1,0.0,97.0\n2,0,0.5,1.0\n"
    (tmp_path / "pruning.csv").write_text(csv)
    done = run_here("plot.py", tmp_path / "pruning.csv")
    check_refused(done, f"judged.json: is no judged.json that Geval.py wrote: it holds {count}")
    start = time.perf_counter()
    many = [other] * MOST_KEPT
    check_refused(run_here("Geval.py", *judged, *many, "--out", tmp_path), "201 networks are more")
    assert time.perf_counter() - start < 2


# ---------------------------------------------------------------- an unwritten chunk


def test_chunks_that_are_there_are_counted(run_here, judged, tmp_path):
    path = tmp_path / "holes.h5"
    with h5py.File(path, "w") as file:
        shape = (40, 3, 14, 12)
        data = file.create_dataset("data", shape, "uint8", chunks=(8, 3, 14, 12))
        data[:32] = random_images(32).transpose(0, 3, 1, 2)
        file["label"] = np.zeros(40) % CLASSES
    done = run_here("eval.py", path, *judged[1:])
    check_refused(done, "'data': declares (40, 3, 14, 12), but holds 4 of 5 chunks")


def test_options_parse_debug():
    assert options.parser("a").parse_args(["--debug"]).debug
