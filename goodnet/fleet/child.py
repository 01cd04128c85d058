"""One audit in a process of its own. Needs Python alone, for Dask sends this to its workers."""

import subprocess
import sys
from collections.abc import Callable, Sequence

WHY = "audit.py: "  # begins the line that says why there is no audit
RUNNING = "goodnet_running"  # on a worker: the processes that were started there


def start(words: Sequence[str], folder: str) -> "subprocess.Popen[str]":
    """Start this Python with these words, in this folder."""
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="backslashreplace",
    )


def follow(process: "subprocess.Popen[str]", tell: Callable[[str], object]) -> tuple[int, str]:
    """Tell each line that it says on stderr, but that which says why it ends; status, last line."""
    last = ""
    assert process.stderr
    with process.stderr:
        for line in process.stderr:
            last = line.rstrip("\n")
            if not last.startswith(WHY):
                tell(last)
    return process.wait(), last


def run_on_worker(words: Sequence[str], folder: str) -> tuple[int, str]:
    """The same for a task of Dask. What is started is ended when the worker is told to end it."""
    from distributed import get_worker

    running = vars(get_worker()).setdefault(RUNNING, [])
    process = start(words, folder)
    running.append(process)
    try:
        return follow(process, lambda line: None)
    finally:
        running.remove(process)
        process.kill()  # where the worker gives the task up


def end_on_worker(dask_worker: object) -> None:
    """End what was started on this worker."""
    for process in vars(dask_worker).get(RUNNING, ()):
        process.terminate()
