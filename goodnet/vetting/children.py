"""Start a child process that works on files of strangers; it limits itself before it does."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_ROOT = str(Path(__file__).resolve().parents[2])
_FIND = "import sys; sys.path.insert(0, sys.argv[1])"


def start_child(program: str, descriptors: Sequence[int]) -> subprocess.Popen[bytes]:
    """Start Python on a program that finds this package, with these files open, and two pipes."""
    return subprocess.Popen(
        # Python's -P: a module that a stranger put into the folder the user is in must not be
        # imported.
        [sys.executable, "-P", "-c", f"{_FIND}; {program}", _ROOT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=descriptors,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )
