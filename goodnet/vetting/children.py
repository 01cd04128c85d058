"""Start a child process that works on files of strangers, talk with it, and end it in time.

It gets two pipes and nothing else: no open file, no name of one. What it wants to read it asks for,
so this is the same on every system. It shuts itself in before it reads what strangers wrote
(goodnet/vetting/cage.py); besides, its memory and its time are watched from here. Lines and bytes
go either way, and nothing that comes from it is believed.
"""

import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from goodnet.errors import Unusable
from goodnet.printable import printable
from goodnet.vetting.pieces import read_pieces, size_of

if TYPE_CHECKING:
    import psutil

READY = "in its cage"  # what a child says first
START = 120  # seconds by the clock until it has said so
LONGEST_START = 1 << 16  # bytes of what it may print before
EACH = 0.1  # seconds between two looks at what it takes
PIPE = 1 << 20  # bytes of a pipe, where the system makes it so large
# What Python needs to start, and libraries to be found, on one system or another.
_KEPT = ("LD_LIBRARY_PATH", "PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR")
_OURS = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_ROOT = str(Path(__file__).resolve().parents[2])
# Modules are found where this process finds them. So no other variable of the user's is needed,
# and none is obeyed; a module that a stranger put into the folder the user is in is not imported.
_BEGIN = "import sys; sys.path[:] = sys.argv[1:]"


@dataclass(frozen=True)
class Most:
    """What a child may take.

    memory: in bytes, of address space where the system limits that, else of what it holds; seconds:
    of processor time, if that is limited.
    """

    memory: int
    seconds: int | None = None


@dataclass
class Child:
    """A child at work, until it is ended. One thread at a time may talk with it."""

    process: subprocess.Popen[bytes]
    most: Most
    deadline: float = math.inf  # by time.monotonic(): then it is ended
    busy_until: float = math.inf  # seconds of its processor time: then it is ended
    walls: tuple[str, ...] = ()  # of its cage, as far as they hold
    _over: threading.Event = field(default_factory=threading.Event)

    def tell(self, part: bytes | bytearray) -> None:
        """Send bytes. Where it has ended, what it says will be missing."""
        assert self.process.stdin
        with suppress(OSError):
            self.process.stdin.write(part)
            self.process.stdin.flush()

    def hear_line(self, longest: int) -> bytes:
        """A line that it says; b"" where it has ended or says more."""
        assert self.process.stdout
        line = self.process.stdout.readline(longest)
        return line if line.endswith(b"\n") else b""

    def hear_answer(self, files: Sequence[BinaryIO], longest: int) -> dict | None:
        """What it says at last, when it has got the bytes of files that it asked for.

        None where it has ended; {} where what it says makes no sense, or it may not ask so. Raises
        Unusable where a file cannot be read.
        """
        while line := self.hear_line(longest):
            try:
                said = json.loads(line)
            except (ValueError, RecursionError):
                return {}
            if not isinstance(said, dict):
                return {}
            if "read" not in said:
                return said
            if not self.serve(files, said["read"]):
                return {}
        return None

    def hear_bytes(self, length: int) -> bytes:
        """So many bytes that it says; fewer where it has ended."""
        assert self.process.stdout
        return self.process.stdout.read(length)

    def serve(self, files: Sequence[BinaryIO], asked: Any) -> bool:
        """Send it bytes of files that it asks for: [number, [[begin, length], …]].

        Whether it may ask so. Raises Unusable where the file cannot be read.
        """
        try:
            number, ranges = asked
            file = dict(enumerate(files))[number]
            size = size_of(file)
            wanted = [(begin, length) for begin, length in ranges]
            if not all(0 <= begin <= size and 0 <= length for begin, length in wanted):
                return False
        except (ValueError, KeyError, TypeError):
            return False
        try:
            for begin, length in wanted:
                for piece in read_pieces(file, begin, length):
                    self.tell(piece)
        except OSError as error:
            raise Unusable(f"cannot be read ({error.strerror})") from None
        return True

    def kill(self) -> None:
        """Have it end, whoever talks with it."""
        self.process.kill()

    def end(self) -> None:
        """End it and let go of its pipes; nobody may talk with it any more."""
        self._over.set()
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                pipe and pipe.close()
        self.process.wait()

    def allow(self, seconds: float) -> None:
        """From now on, let it take no more processor time than so many seconds."""
        import psutil

        with suppress(psutil.Error):  # it has ended
            self.busy_until = _processor_time(psutil.Process(self.process.pid)) + seconds

    def watch(self) -> None:
        """From now on, end it once it takes too much."""
        import psutil  # 20 ms, while it starts

        def takes_too_much(seen: psutil.Process) -> bool:
            return (
                time.monotonic() > self.deadline
                or seen.memory_info().rss > self.most.memory
                or _processor_time(seen) > self.busy_until
            )

        def look() -> None:
            with suppress(psutil.Error):  # it has ended
                seen = psutil.Process(self.process.pid)
                while not self._over.wait(EACH) and self.process.poll() is None:
                    if takes_too_much(seen):
                        self.process.kill()

        threading.Thread(target=look, daemon=True).start()


def start_child(
    program: str, most: Most, settings: dict, started: Callable[["Child"], None] | None = None
) -> Child:
    """Start Python on a program that finds this package, hears its settings and shuts itself in.

    settings: what it is told first, as JSON; started: is told of the child at once, to end it with
    the command. Raises Unusable where it does not get so far.
    """
    child = Child(_start(program), most, time.monotonic() + START, most.seconds or math.inf)
    if started:
        started(child)
    try:
        told = settings | {"memory": most.memory, "seconds": most.seconds}
        child.tell(json.dumps(told).encode() + b"\n")
        child.watch()
        child.walls = _hear_ready(child)
    except BaseException:
        child.end()
        raise
    child.deadline = math.inf
    return child


def _start(program: str) -> subprocess.Popen[bytes]:
    # On Windows sys.executable may be a program that starts this one.
    python = getattr(sys, "_base_executable", None) or sys.executable
    modules = [_ROOT, *(place for place in sys.path if os.path.isabs(place))]
    try:
        process = subprocess.Popen(
            [python, "-I", "-S", "-c", f"{_BEGIN}; {program}", *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # until it is in its cage
            env=_OURS | {name: os.environ[name] for name in _KEPT if name in os.environ},
        )
    except OSError as error:
        raise _not_started(error.strerror or str(error)) from None
    with suppress(ImportError, AttributeError, OSError):  # Linux alone has it, and may refuse it
        import fcntl

        for pipe in (process.stdin, process.stdout):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE)  # type: ignore[arg-type]
    return process


def _processor_time(seen: "psutil.Process") -> float:
    used = seen.cpu_times()
    return used.user + used.system


def _not_started(reason: str) -> Unusable:
    return Unusable(
        f"the process that opens files for this command did not start ({printable(reason)[:300]}); "
        "nothing is known of the files; install what requirements.txt lists again, or free memory"
    )


def _hear_ready(child: Child) -> tuple[str, ...]:
    """The walls of its cage, behind what libraries may print."""
    said, reason = 0, "it ended at once"
    while (line := child.hear_line(LONGEST_START)) and (said := said + len(line)) < LONGEST_START:
        with suppress(ValueError, KeyError, TypeError):
            return tuple(json.loads(line)[READY])
        reason = line.decode("utf-8", "replace").strip() or reason
    raise _not_started(reason)
