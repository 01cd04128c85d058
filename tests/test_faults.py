"""Each call by which a script writes its files fails, one after the other; as SQLite is tested.

Whatever fails, each final name holds the old file or the whole new one, and one line tells it.
"""

import json
import shutil
from functools import partial
from pathlib import Path

import faults
import numpy as np
import pytest
from conftest import build_lab

from goodnet.locks import LOCK_FILE
from goodnet.practice import lab as practice

SEED = 5
B = "models/bd_net.h5"
SETS = "data/cl/test.h5 data/bd/bd_test.h5"
# What writes files: the command in a lab, and the folder that all of them go to.
COMMANDS = {
    "eval.py": f"eval.py {SETS} {B} --json out/r.json",
    "Geval.py": f"Geval.py {SETS} {B} {B} --out out --save out/G.keras --json out/r.json",
    "repair.py": "repair.py --lab . --out out --goodnet --json out/r.json",
    "plot.py": "plot.py models/pruning.csv --out out --report out/report.html --format png svg",
    "practice.py": "practice.py --out out --identities 4 --json out/r.json",
    "predict.py": f"predict.py out.png --model {B} --json out/r.json",
}
QUICK = [script for script in COMMANDS if script != "repair.py"]
LONG = [pytest.param([script], marks=pytest.mark.slow, id=script) for script in COMMANDS]


@pytest.fixture
def lab(tmp_path, monkeypatch, run_here) -> Path:
    """A lab with all that the commands read, as the current folder."""
    build_lab(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(practice, "build", partial(practice.build, training_images=4, epochs=1))
    for work in ("draw_faces", "_attack"):  # once is enough
        monkeypatch.setattr(practice, work, once(getattr(practice, work)))
    for command in ("repair.py --lab .", "Geval.py --lab ."):
        done = run_here(*command.split())
        assert done.returncode == 0, done.stderr
    shutil.copy("models/samples.png", "out.png")
    return tmp_path


def once(work):
    """A function that answers always what it did first."""
    first = []

    def answer(*args):
        if not first:
            first.append(work(*args))
        return first[0]

    return answer


def contents(folder: Path) -> dict[str, bytes | dict]:
    """What each file of a folder holds, but for the seconds."""
    held: dict[str, bytes | dict] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        held[name] = path.read_bytes()
        if path.suffix == ".json" and held[name] != b"old":
            held[name] = json.loads(held[name])
            held[name].pop("seconds", None)
    return held


@pytest.mark.parametrize("scripts", [pytest.param(QUICK, id="some calls"), *LONG])
def test_whatever_call_fails_files_are_whole_and_one_line_tells_it(lab, run_here, scripts):
    rng = np.random.default_rng(SEED)
    for script in scripts:
        command = COMMANDS[script].split()
        shutil.rmtree(lab / "out", ignore_errors=True)  # what another script has written
        with faults.failing(0, 0) as made:
            assert run_here(*command).returncode == 0
        new, calls = contents(lab / "out"), len(made)
        assert new and calls > 10
        failing = rng.integers(1, calls + 1, 2) if scripts is QUICK else range(1, calls + 1)
        statuses = {check_failing(run_here, command, lab / "out", int(n), new) for n in failing}
        assert statuses <= {0, 2} and (2 in statuses or scripts is QUICK)


def check_failing(run_here, command: list[str], out: Path, nth: int, new: dict) -> int:
    """Run a command whose nth call fails; its exit status."""
    old = b"old" if nth % 3 else None
    shutil.rmtree(out)
    for path in [out / name for name in new if old]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(old)
    with faults.failing(nth, faults.NUMBERS[nth % len(faults.NUMBERS)]) as made:
        done = run_here(*command)
    told = f"{command}, call {nth}, {made[nth - 1]}: {done.stderr}"
    after = contents(out) if out.exists() else {}
    # Windows itself removes its lock, in the end.
    left = [name for name in after if ".tmp-" in name or Path(name).name == LOCK_FILE]
    assert not left or made[nth - 1] == "unlink", told
    for name in new:
        assert after.get(name) in (new[name], old), f"{name}: {told}"
    assert set(after) <= {*new, *left} and "Traceback" not in done.stderr, told
    if done.returncode:
        line = done.stderr.splitlines()[-1]
        assert line.startswith(f"{command[0]}: ") and "cannot" in line, told
    else:
        assert [name for name in new if after[name] != new[name]] == [], told
    return done.returncode
