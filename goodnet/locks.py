"""One run at a time writes into a folder: a lock on the folder itself, of which nothing stays.

All runs on a machine see each other's locks, those in containers too. Network file systems keep
such a lock on the machine alone, and some file systems have none. On Windows, where a folder cannot
be locked, it is a file in it that Windows removes with the process.
"""

import errno
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from goodnet.errors import Unusable
from goodnet.process import is_running

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PATIENCE = 60.0  # seconds to wait for another run; one writes for some seconds at most
LOCK_FILE = ".lock-goodnet"
TAKEN = {errno.EWOULDBLOCK, errno.EEXIST, *(() if fcntl else (errno.EACCES,))}  # or on its way out
NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF}
_held: set[tuple[int, int]] = set()  # by this process: device and inode of each folder


@contextmanager
def hold(folders: Iterable[Path]) -> Iterator[list[Path]]:
    """Hold these folders' locks while the block runs; yields those that this process gains by it.

    What it holds already it keeps, and a folder that cannot be locked is written into without: both
    are left out. Raises Unusable where another run keeps a lock for longer than PATIENCE, and
    OSError where a folder cannot be opened.
    """
    with ExitStack() as until_the_end:
        found = {}
        for folder in folders:
            status = os.stat(folder)
            found[status.st_dev, status.st_ino] = folder
        gained = []
        for key in sorted(found.keys() - _held):  # all runs in one order: none waits in a circle
            folder = found[key]
            if _lock(folder, until_the_end):
                _held.add(key)
                until_the_end.callback(_held.discard, key)
                gained.append(folder)
        yield gained


def _lock(folder: Path, until_the_end: ExitStack) -> bool:
    """Wait for the lock; whether there is one to have."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            until_the_end.enter_context(_folder_locked(folder) if fcntl else _file_locked(folder))
            return True
        except OSError as error:
            if error.errno in NO_LOCKS:
                return False
            if error.errno not in TAKEN:
                raise
        if time.monotonic() >= end:
            raise Unusable("another run writes here; wait, or name another folder", folder)
        time.sleep(0.05)


@contextmanager
def _folder_locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder itself. Raises OSError where it is taken."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _file_locked(folder: Path) -> Iterator[None]:
    """Hold the file in a folder that stands for its lock. Raises OSError where it is there.

    Windows removes it when the process ends, in whatever way, and lets nobody do so before.
    """
    path = folder / LOCK_FILE
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_TEMPORARY", 0)
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileExistsError:
        _remove_dead(path)
        raise
    try:
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)
        with suppress(OSError):
            os.unlink(path)


def _remove_dead(path: Path) -> None:
    """Remove the file of a process that is gone, as a machine that lost its power leaves it."""
    with suppress(OSError, ValueError):
        if not is_running(int(path.read_text())):
            os.unlink(path)
