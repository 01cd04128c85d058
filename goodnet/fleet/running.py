"""Where audits run: some at a time on this machine, or on the workers of Dask."""

import logging
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from goodnet.cli import interrupts, shell
from goodnet.errors import Unusable
from goodnet.fleet import child
from goodnet.printable import say

MISSING = "needs distributed, which is not installed; pip install -r requirements-fleet.txt"
PATIENCE = 30  # seconds until the scheduler must have answered


@dataclass(frozen=True)
class Task:
    """An audit that is to run: its place among the networks, and what Python is given."""

    number: int
    words: tuple[str, ...]


Tell = Callable[[Task, str], None]  # shows a line that an audit says
Ended = Callable[[Task, int, str], None]  # takes its exit status and the last line that it said


def run_here(tasks: Sequence[Task], at_a_time: int, tell: Tell, ended: Ended) -> None:
    """Run so many tasks at a time, each in a process. Where this is interrupted, all are ended."""
    waiting = deque(tasks)
    running: dict[Task, subprocess.Popen[str]] = {}
    done: SimpleQueue[tuple[Task, int, str]] = SimpleQueue()

    def follow(task: Task) -> None:
        done.put((task, *child.follow(running[task], partial(tell, task))))

    try:
        while waiting or running:
            while waiting and len(running) < at_a_time:
                task = waiting.popleft()
                tell(task, "begun")
                with interrupts.withheld():  # Ctrl-C is told once, here
                    running[task] = child.start(task.words, ".")
                Thread(target=follow, args=[task], daemon=True).start()
            with suppress(Empty):
                task, status, said = done.get(timeout=1)  # else Windows hears no Ctrl-C
                del running[task]
                ended(task, status, said)
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()


def run_on_dask(tasks: Sequence[Task], address: str, ended: Ended) -> None:
    """Run the tasks on the workers of this scheduler, which find the files at the same places.

    A task whose worker is lost is given to another. Raises Unusable where there is no scheduler.
    """
    try:
        import cloudpickle
        from distributed import Client, as_completed
    except ImportError:
        raise Unusable(f"argument --scheduler: {MISSING}") from None
    # Scheduler and workers need not find this package: what they are to run is sent as code. A
    # function of a module would be sent as a name.
    cloudpickle.register_pickle_by_value(child)
    for name in ("distributed", "distributed.client"):  # else they show tracebacks
        logging.getLogger(name).setLevel(logging.CRITICAL)
    run, end = child.run_on_worker, child.end_on_worker
    try:
        client = Client(address, timeout=PATIENCE)
    except (OSError, ValueError, TypeError) as error:
        raise Unusable(f"argument --scheduler: {address} does not answer: {say(error)}") from None
    with client:
        at_a_time = sum(client.nthreads().values())
        shell.notice(f"{len(tasks)} audits on the workers of {address}, {at_a_time} at a time")
        folder = str(Path.cwd())
        tasks_of = {
            client.submit(lambda *given: run(*given), task.words, folder, pure=False): task
            for task in tasks
        }
        try:
            for future in as_completed(list(tasks_of)):
                task = tasks_of[future]
                if future.status == "finished":
                    ended(task, *future.result())
                else:
                    ended(task, -1, _lost(future))
        except BaseException:
            with suppress(Exception):
                client.cancel(list(tasks_of))
                client.run(lambda dask_worker: end(dask_worker), on_error="ignore")
            raise


def _lost(future: Any) -> str:
    """Why a task of Dask came to no end: its workers died, or the scheduler went away."""
    with suppress(Exception):
        if error := future.exception(timeout=PATIENCE):
            return say(error)
    return "the scheduler of Dask went away"
