"""One run at a time writes into a folder: a lock on the folder itself, of which nothing stays.

All runs on a machine see each other's locks, those in containers too. Network file systems keep
such a lock on the machine alone, and some file systems have none.
"""

import errno
import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from goodnet.errors import Unusable

PATIENCE = 60.0  # seconds to wait for another run; one writes for some seconds at most
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
        opened = {}
        for folder in folders:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            until_the_end.callback(os.close, descriptor)
            status = os.fstat(descriptor)
            opened[status.st_dev, status.st_ino] = folder, descriptor
        gained = []
        for key in sorted(opened.keys() - _held):  # all runs in one order: none waits in a circle
            folder, descriptor = opened[key]
            if _lock(folder, descriptor):
                _held.add(key)
                until_the_end.callback(_held.discard, key)
                gained.append(folder)
        yield gained


def _lock(folder: Path, descriptor: int) -> bool:
    """Wait for the lock; whether there is one to have."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno in NO_LOCKS:
                return False
            if error.errno != errno.EWOULDBLOCK:
                raise
        if time.monotonic() >= end:
            raise Unusable("another run writes here; wait, or name another folder", folder)
        time.sleep(0.05)
