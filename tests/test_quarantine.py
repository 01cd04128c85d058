"""The limited child: what it may take, what it says, and that what was looked through is used."""

import hashlib
import io
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from conftest import (
    CLASSES,
    ROOT,
    SHAPE,
    build_lab,
    hold,
    load_network,
    open_clean,
    posix,
    random_images,
    run_script,
    tiny_network,
    write_images,
)

from goodnet import dataset
from goodnet.errors import Unsafe, Unusable
from goodnet.networks import loading
from goodnet.vetting import asking, children, quarantine
from goodnet.vetting.parts import NOTHING

pytestmark = pytest.mark.child


@pytest.fixture
def network(tmp_path):
    tiny_network().save(tmp_path / "b.h5")
    return tmp_path / "b.h5"


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / "images.h5", random_images(6), np.zeros(6))


def child_that(monkeypatch, does: str) -> None:
    """Have the child do this instead of writing the network anew."""
    code = (
        "from goodnet.vetting import inspector; "
        f"inspector.take_apart = lambda file, size: {does}; inspector.main()"
    )
    monkeypatch.setattr(asking, "_CHILD", code)


@pytest.mark.parametrize(
    "does, says",
    [
        ("[None for _ in iter(int, 1)]", "crashes HDF5 or takes more than 1 seconds"),
        ("__import__('time').sleep(60)", "crashes HDF5 or takes more than 1 seconds"),
        ("__import__('os').abort()", "crashes HDF5 or takes more than"),
        ("bytearray(1 << 40)", "asks for more memory"),
        pytest.param(
            "print('x', file=open({path!r}, 'w'), flush=True)",
            "not implemented|Too many open files",
            marks=posix,
        ),
    ],
)
def test_the_child_is_limited(tmp_path, monkeypatch, network, images, does, says):
    monkeypatch.setattr(asking, "SECONDS", 1)
    child_that(monkeypatch, does.format(path=str(tmp_path / "written")))
    start = time.perf_counter()
    held = hold([network], [images])
    with pytest.raises(Unusable, match=says) as caught:
        held.network(network)
    assert time.perf_counter() - start < 8
    assert caught.value.exit_status == 2 and str(caught.value).startswith(f"{network}: ")
    written = tmp_path / "written"
    assert not written.exists() or not written.read_bytes()
    if "crashes" in str(caught.value):
        with pytest.raises(Unusable, match="was not looked through, as .*b.h5 is damaged"):
            held.images(images)


def test_one_child_looks_through_all_files(monkeypatch, network, images):
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *args, **more: started.append(args) or popen(*args, **more)
    )
    with quarantine.opened([network], [images]) as held:
        loading.load_network(held.network(network))
        dataset.open_clean(held.images(images), dataset.Fit(SHAPE, CLASSES))
        loading.load_network(held.network(network))
    assert len(started) == 1


def test_modules_of_the_users_folder_are_not_imported(tmp_path, monkeypatch, network):
    for name in ("numpy.py", "h5py.py", "json.py", "goodnet.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'canary')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    load_network(network)
    assert not (tmp_path / "canary").exists()


def test_a_network_that_is_replaced_meanwhile_is_the_one_looked_through(tmp_path, network):
    content = network.read_bytes()
    held = hold([network], [])
    vetted = held.network(network)
    network.write_bytes(b"something else")
    vetted.original.seek(0)
    assert vetted.original.read() == content
    assert held.digests([network]).result() == {network: hashlib.sha256(content).hexdigest()}
    with pytest.raises(Unusable, match="is neither an HDF5 file"):
        load_network(network)  # asked anew, it is looked through anew


def test_image_sets_are_read_where_there_is_no_h5py(tmp_path, images):
    """In a process that cannot import it; the children can."""
    packed = {"chunks": (4, SHAPE[2], *SHAPE[:2]), "compression": "gzip"}
    chunked = write_images(tmp_path / "chunked.h5", random_images(6), np.zeros(6), **packed)
    program = """if True:
        import sys
        from pathlib import Path
        sys.modules["h5py"] = None  # importing it is an error
        from goodnet import dataset
        from goodnet.vetting import quarantine
        paths = [Path(name) for name in sys.argv[1:]]
        with quarantine.opened([], paths) as held:
            for path in paths:
                images = dataset.open_clean(held.images(path), dataset.Fit((14, 12, 3), 5))
                print(sum(int(batch.sum()) for batch in dataset.batches(images, 4)))
    """
    done = subprocess.run(
        [sys.executable, "-c", program, images, chunked],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.stderr == "" and done.stdout == f"{random_images(6).sum()}\n" * 2


@pytest.mark.parametrize("script", ["eval.py", "Geval.py", "repair.py"])
def test_scripts_do_not_open_image_sets_with_h5py(tmp_path, monkeypatch, run_here, script):
    """Neither by a name, nor by a descriptor, nor through a Python file."""
    lab = build_lab(tmp_path / "lab")
    clean, backdoored, b = (
        lab / name for name in ("data/cl/test.h5", "data/bd/bd_test.h5", "models/bd_net.h5")
    )
    packed = {"chunks": (9, SHAPE[2], *SHAPE[:2]), "compression": "gzip", "shuffle": True}
    write_images(backdoored, random_images(50, seed=5), np.zeros(50), **packed)
    sets = [path.stat() for path in (clean, backdoored)]
    opened = []

    def watch(holder, name):
        once = getattr(holder, name)

        def watched(*arguments, **options):
            for given in (*arguments, *options.values()):
                with suppress(TypeError, OSError, ValueError):  # what is no file, is no image set
                    opened.append(os.stat(given.fileno() if hasattr(given, "fileno") else given))
            return once(*arguments, **options)

        monkeypatch.setattr(holder, name, watched)

    watch(h5py.File, "__init__")
    watch(h5py.h5f, "open")
    commands = {
        "eval.py": [clean, backdoored, b],
        "Geval.py": [clean, backdoored, b, b],
        "repair.py": [clean, b, "--backdoored-test", backdoored, "--out", tmp_path],
    }
    with open(clean, "rb") as file:
        for given in (clean, f"/dev/fd/{file.fileno()}", file):
            opened.clear()
            h5py.File(given).close()
            assert any(os.path.samestat(found, sets[0]) for found in opened)  # it would be seen
    opened.clear()
    done = run_here(script, *commands[script])
    assert done.returncode == 0, done.stderr
    assert not any(os.path.samestat(found, one) for found in opened for one in sets)


def test_an_image_set_that_is_written_to_meanwhile_is_refused(images):
    opened = open_clean(images, SHAPE, CLASSES, 1)
    with h5py.File(images, "r+") as file:
        file["data"][0] = 0
    os.utime(images, ns=(1, 1))
    with pytest.raises(Unusable, match="has changed since"):
        dataset.read(opened, 0, 6)


def test_an_image_set_whose_name_is_taken_over_is_refused(tmp_path, images):
    """The open file is as it was, but the system changes its ctime when it loses its name."""
    opened = open_clean(images, SHAPE, CLASSES, 1)
    np.testing.assert_array_equal(dataset.read(opened, 0, 6), random_images(6))
    time.sleep(0.02)  # the clock of ctime is coarse
    write_images(tmp_path / "other", random_images(6, seed=9), np.ones(6)).replace(images)
    with pytest.raises(Unusable, match="images.h5: has changed since"):
        dataset.read(opened, 0, 6)


def test_names_from_a_file_cannot_steer_the_terminal(tmp_path, network):
    with h5py.File(network, "r+") as file:
        file["\x1b[2J\x1b]0;owned\x07"] = h5py.SoftLink("/")
    with pytest.raises(Unsafe) as caught:
        load_network(network)
    assert "\x1b" not in str(caught.value) and "owned" in str(caught.value)


def test_what_the_child_says_is_not_trusted():
    header = {"status": 2, "reason": "a\nb\x1b", "suffix": "", "bytes": 0}
    answer = asking.parse_answer(header, b"")
    assert isinstance(answer, Unusable) and str(answer) == "a\\nb\\x1b"


WHOLE = {"status": 0, "reason": "", **NOTHING.as_json(), "bytes": 5}


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"{",
        b"7\n",
        b"[" * 9000 + b"\n",
        *(
            json.dumps(WHOLE | {"bytes": count}).encode() + b"\n12345"
            for count in (10, -1, 1 << 62, 5.0, True, "5", None)
        ),
        *(
            json.dumps({"read": asked}).encode() + b"\n"
            for asked in (
                *(7, None, [], [0], [0, 7], [0, [7]], [0, [[7]]], [0, [["0", 1]]], [{}, []]),
                *([1, [[0, 1]]], [-1, [[0, 1]]], [0, [[-1, 1]]], [0, [[0, -1]]], [0, [[7, 1]]]),
            )
        ),
    ],
    ids=ascii,
)
def test_what_makes_no_sense_is_no_answer(said):
    pipes = SimpleNamespace(stdout=io.BytesIO(said), stdin=io.BytesIO(), kill=lambda: None)
    child = children.Child(pipes, children.Most(1 << 20))
    assert asking._hear_answer(child, [io.BytesIO(b"secret")]) is None
    assert pipes.stdin.getvalue() == b""


def test_a_child_gets_the_bytes_that_it_asks_for_and_no_others():
    said = json.dumps({"read": [1, [[2, 3], [0, 1], [6, 0]]]}).encode() + b"\n"
    said += json.dumps(WHOLE).encode() + b"\n12345"
    pipes = SimpleNamespace(stdout=io.BytesIO(said), stdin=io.BytesIO())
    child = children.Child(pipes, children.Most(1 << 20))
    files = [io.BytesIO(b"first"), io.BytesIO(b"second")]
    assert asking._hear_answer(child, files) == replace(NOTHING, values=b"12345")
    assert pipes.stdin.getvalue() == b"cons"


@pytest.mark.parametrize("closed", ["1>&- 2>&-", "0<&- 2>&-"])
def test_closed_descriptors_are_no_error(tmp_path, network, images, closed):
    script = ROOT / "eval.py"
    command = f"{sys.executable} {script} {images} {images} {network} {closed}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("Clean Classification accuracy: ") == ("1>&-" not in closed)


def test_a_keras_with_known_holes_is_refused(tmp_path, network, images):
    (tmp_path / "keras.py").write_text("__version__ = '3.13.2'")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = run_script("eval.py", images, images, network, env=environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Keras 3.13.2 has known holes" in done.stderr and "3.15.1 or newer" in done.stderr
    assert done.stderr.count("\n") == 1
