"""repair.py killed at any moment: what is there is whole, and the next run puts all right."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, build_lab, run_in_process
from portable import SYSTEM

from goodnet.locks import LOCK_FILE

SEED = 4
MOST_SECONDS = 4  # about what a run takes
NAMES = {
    "pruning.csv",
    "channels.csv",
    *(f"B_pi_net_{share}.h5" for share in ("0.02", "0.04", "0.1", "0.3")),
}


def start(lab: Path, out: Path) -> subprocess.Popen:
    command = [sys.executable, ROOT / "repair.py", "--lab", lab, "--out", out]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def begun(out: Path) -> set[Path]:
    """The networks that a run writes, or wrote when it was killed."""
    return set(out.glob(".tmp-goodnet-*.h5")) if out.exists() else set()


@pytest.mark.parametrize(
    "kills", [2, pytest.param(50, marks=pytest.mark.slow)], ids=["short", "long"]
)
def test_runs_that_are_killed_leave_nothing_wrong(tmp_path, kills):
    lab, out = build_lab(tmp_path / "lab"), tmp_path / "out"
    reference = tmp_path / "reference"
    assert run_in_process("repair.py", "--lab", lab, "--out", reference).returncode == 0
    whole = {path.name: path.read_bytes() for path in reference.iterdir()}
    assert set(whole) == NAMES

    rng = np.random.default_rng(SEED)
    killed = 0
    for index in range(kills):
        left = begun(out)
        process = start(lab, out)
        # Half of them while it writes: once the first file is begun, within a few milliseconds.
        if index % 2 == 0:
            time.sleep(rng.uniform(0, MOST_SECONDS))
        else:
            while process.poll() is None and not begun(out) - left:
                time.sleep(0.0005)
            time.sleep(rng.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        for path in out.iterdir() if out.exists() else ():
            if path.name in NAMES:
                assert path.read_bytes() == whole[path.name], f"seed {SEED}, kill {index}"
            else:
                # Windows itself removes its lock with the process.
                lock = SYSTEM == "windows" and path.name == LOCK_FILE
                assert lock or path.name.startswith(".tmp-goodnet-")
    assert killed >= kills / 2
    # To the end, and twice at the same time.
    both = [start(lab, out), start(lab, out)]
    for process in both:
        _, stderr = process.communicate()
        assert process.returncode == 0, stderr
    assert {path.name: path.read_bytes() for path in out.iterdir()} == whole
