"""The package without what Windows and macOS lack, as tests/portable.py takes it away."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, build_lab, random_images, run_script, tiny_network, write_images
from portable import MISSING, SYSTEM, start_of

from goodnet.vetting import cage

pytestmark = pytest.mark.skipif(bool(SYSTEM), reason="is about a system that has everything")
CHUNKS = {"chunks": (4, 3, 14, 12), "compression": "gzip"}

# Reads a network and image sets, writes two files; all without Keras.
PROGRAM = """
import json, pathlib, sys
sys.path.insert(0, sys.argv[1])
from goodnet import files
from goodnet.vetting import quarantine
from goodnet.vetting.patching import write_changed
from goodnet.vetting.values import arrays_of
folder = pathlib.Path(sys.argv[2])
paths = [folder / name for name in ("b.h5", "flat.h5", "chunked.h5", "b.keras")]
with quarantine.opened([paths[0], paths[3]], paths[1:3]) as held:
    sums = [int(held.images(path).pixels(1, 6, True).sum()) for path in paths[1:3]]
    walls = held.images(paths[2]).source.child.walls
    for path in (paths[0], paths[3]):
        network = held.network(path)
        changed = {name: array + 1 for name, array in arrays_of(network.parts).items()}
        name = next(iter(changed))
        with files.replacing(path.with_stem("repaired")) as temporary:
            write_changed(network, {name: changed[name]}, temporary)
    digests = len(held.digests(paths[:3]).result())
old = folder / ".tmp-4194305-old"
old.touch()
with files.alone_in(folder):
    left = [path.name for path in folder.glob(".*")]
(folder / "notes").mkdir()
try:
    with quarantine.opened([folder / "notes"], []): pass
except Exception as error:
    refused = str(error)
print(json.dumps([sums, walls, digests, left, [p.name for p in folder.glob(".*")], refused]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("made")
    for name in ("b.h5", "b.keras"):
        tiny_network().save(made / name)
    write_images(made / "flat.h5", random_images(6), np.zeros(6))
    write_images(made / "chunked.h5", random_images(6), np.zeros(6), **CHUNKS)
    return made


@pytest.mark.parametrize("system", [None, *MISSING])
def test_files_are_read_and_written_where_a_system_lacks_much(folder, tmp_path, system):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    program = (start_of(system) if system else "") + PROGRAM
    command = [sys.executable, "-c", program, str(ROOT), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    sums, walls, digests, during, after, refused = json.loads(done.stdout)
    assert sums == [random_images(6)[1:].sum()] * 2 and digests == 3
    assert after == [] and during == ([".lock-goodnet"] if system == "windows" else [])
    assert str(tmp_path / "notes") in refused
    for name in ("b.h5", "b.keras"):
        repaired = (tmp_path / name).with_stem("repaired").read_bytes()
        assert len(repaired) > 1000 and repaired != (tmp_path / name).read_bytes()
    if system == "windows":
        assert walls == []
    elif system == "macos":
        assert "writing" in walls and not {"memory", "paths", "calls"} & set(walls)
    assert set(walls) <= set(cage.WALLS)


def test_nothing_is_used_that_one_system_alone_has():
    """What tests/portable.py cannot take away."""
    for path in (ROOT / "goodnet").rglob("*.py"):
        found = re.search(r"pass_fds|preexec_fn|/dev/fd|/proc/self|os\.fork", path.read_text())
        assert not found, (path, found)


@pytest.mark.slow
@pytest.mark.parametrize("system", MISSING)
def test_scripts_answer_the_same(tmp_path, system):
    lab = build_lab(tmp_path / "lab")
    (tmp_path / "start").mkdir()
    (tmp_path / "start/sitecustomize.py").write_text(start_of(system))
    said = {}
    for where in ("", str(tmp_path / "start")):
        out = tmp_path / f"out {len(said)}"
        judged = [lab / name for name in ("data/cl/test.h5", "data/bd/bd_test.h5")]
        runs = [run_with(where, "repair.py", "--lab", lab, "--out", out)]
        networks = [lab / "models/bd_net.h5", *sorted(out.glob("B_pi_net_*"))]
        runs.append(run_with(where, "Geval.py", *judged, *networks))
        runs.append(run_with(where, "eval.py", *judged, judged[0]))
        assert [run.returncode for run in runs] == [0, 0, 2], runs
        kept = {path.name: path.read_bytes() for path in out.iterdir()}
        said[where] = [(run.stdout + run.stderr).replace(str(out), "") for run in runs], kept
    first, second = said.values()
    assert first == second


def run_with(where: str, script: str, *arguments: object) -> subprocess.CompletedProcess:
    return run_script(script, *arguments, env=os.environ | {"PYTHONPATH": where})
