"""The limited child: what it may take, what it says, and that what was looked through is used."""

import hashlib
import json
import os
import subprocess
import time

import h5py
import numpy as np
import pytest
from conftest import (
    CLASSES,
    SHAPE,
    hold,
    load_network,
    open_clean,
    random_images,
    run_script,
    tiny_network,
    write_images,
)

from goodnet import dataset
from goodnet.errors import Unsafe, Unusable
from goodnet.networks import loading
from goodnet.vetting import quarantine

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
        "import sys; sys.path.insert(0, sys.argv[1]); from goodnet.vetting import inspector; "
        f"inspector.rebuild_network = lambda file, size: {does}; inspector.main()"
    )
    monkeypatch.setattr(quarantine, "_CHILD", ("-P", "-c", code, quarantine._ROOT))


@pytest.mark.parametrize(
    "does, says",
    [
        ("[None for _ in iter(int, 1)]", "crashes HDF5 or takes more than 1 seconds"),
        ("__import__('time').sleep(60)", "crashes HDF5 or takes more than 1 seconds"),
        ("__import__('os').abort()", "crashes HDF5 or takes more than"),
        ("bytearray(1 << 40)", "asks for more memory"),
        ("print('x', file=open({path!r}, 'w'), flush=True)", "File too large"),
    ],
)
def test_the_child_is_limited(tmp_path, monkeypatch, network, images, does, says):
    monkeypatch.setattr(quarantine, "SECONDS", 1)
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


def test_an_image_set_that_is_written_to_meanwhile_is_refused(images):
    opened = open_clean(images, SHAPE, CLASSES, 1)
    with h5py.File(images, "r+") as file:
        file["data"][0] = 0
    os.utime(images, ns=(1, 1))
    with pytest.raises(Unusable, match="has changed since"):
        dataset.read(opened, 0, 6)


def test_an_image_set_whose_name_is_given_to_another_is_still_itself(tmp_path, images):
    """A rename alone is not seen as a change of what is read: it is refused, or read as it was."""
    opened = open_clean(images, SHAPE, CLASSES, 1)
    write_images(tmp_path / "other", random_images(6, seed=9), np.ones(6)).replace(images)
    try:
        read = dataset.read(opened, 0, 6)
    except Unusable as error:
        assert str(error).startswith(f"{images}: ")
    else:
        np.testing.assert_array_equal(read, random_images(6))


def test_names_from_a_file_cannot_steer_the_terminal(tmp_path, network):
    with h5py.File(network, "r+") as file:
        file["\x1b[2J\x1b]0;owned\x07"] = h5py.SoftLink("/")
    with pytest.raises(Unsafe) as caught:
        load_network(network)
    assert "\x1b" not in str(caught.value) and "owned" in str(caught.value)


def test_what_the_child_says_is_not_trusted():
    header = {"status": 2, "reason": "a\nb\x1b", "suffix": "", "bytes": 0}
    (answer,) = quarantine.parse_answers(json.dumps(header).encode() + b"\n", 1)
    assert isinstance(answer, Unusable) and str(answer) == "a?b?"
    cut = {"status": 0, "reason": "", "suffix": ".h5", "bytes": 10}
    assert quarantine.parse_answers(json.dumps(cut).encode() + b"\n12345", 1) == []


@pytest.mark.parametrize("closed", ["2>&-", "1>&- 2>&-", "0<&- 2>&-"])
def test_closed_descriptors_are_no_error(tmp_path, network, images, closed):
    script = os.path.join(quarantine._ROOT, "eval.py")
    command = f"{quarantine.sys.executable} {script} {images} {images} {network} {closed}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("Clean Classification accuracy: ") == ("1>&-" not in closed)


def test_a_keras_with_known_holes_is_refused(tmp_path, network, images):
    (tmp_path / "keras.py").write_text("__version__ = '3.13.2'")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = run_script("eval.py", images, images, network, env=environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Keras 3.13.2 has known holes" in done.stderr and "3.15 or newer" in done.stderr
    assert done.stderr.count("\n") == 1
