"""Temporary files beside the file that they become: how they are made, and what is left of them.

Their names are chosen by chance and the files are made new, so that nobody can have put a link
there before.
"""

import atexit
import errno
import os
import platform
import re
import stat
import time
import zlib
from contextlib import suppress
from pathlib import Path

from goodnet.process import is_running

NAME = re.compile(r"\.tmp-goodnet-([0-9a-f]{8})-[0-9a-f]{16}(?:\.\w+)*")
OLD_NAME = re.compile(r"\.tmp-(\d+)-.+")  # of version 0.1, which had no locks: the process
BOOT = Path("/proc/sys/kernel/random/boot_id")
# What Windows lacks of them it does not need: there O_EXCL follows no link either.
FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL
FLAGS |= sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"))
LONG = 24 * 60 * 60  # seconds: then what no lock tells of is left, too


def name_beside(path: Path) -> Path:
    """A name that nothing has yet, in the folder of `path` and with its suffix."""
    suffix = path.suffix if re.fullmatch(r"\.\w{1,8}", path.suffix) else ""
    return path.with_name(f".tmp-goodnet-{_machine()}-{os.urandom(8).hex()}{suffix}")


def create(path: Path, mode: int) -> int:
    """Make a file that was not there, whose mode the umask limits; its descriptor."""
    return os.open(path, FLAGS, mode)


def check_same(path: Path, descriptor: int) -> None:
    """Raise OSError unless `path` still is the open file: somebody may have put another there."""
    there, opened = os.lstat(path), os.fstat(descriptor)
    if not os.path.samestat(there, opened):
        raise OSError(errno.EBUSY, "its temporary file was changed for another", str(path))


def remove_if_empty(folder: Path) -> None:
    """When this process ends, remove the folder and those it lies in, if they are new and empty."""

    def remove(path: str) -> None:
        with suppress(OSError):  # it holds something, or was never made
            os.rmdir(path)

    for path in (*reversed(folder.parents), folder):
        if not path.exists():
            atexit.register(remove, os.path.abspath(path))  # the last comes first


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of runs that are gone; who holds the folder's lock may do so.

    Under the lock nobody else on this machine has one. Links are neither followed nor removed.
    """
    for name in os.listdir(folder):
        with suppress(OSError):  # somebody else's, in a shared folder
            if _is_left(folder / name):
                os.unlink(folder / name)


def _is_left(file: Path) -> bool:
    if match := NAME.fullmatch(file.name):
        gone = match[1] == _machine()
    elif match := OLD_NAME.fullmatch(file.name):
        gone = not is_running(int(match[1]))
    else:
        return False
    status = os.lstat(file)
    return stat.S_ISREG(status.st_mode) and (gone or time.time() - status.st_mtime > LONG)


def _machine() -> str:
    """Eight digits that all processes share that see each other's locks, and no others."""
    try:
        machine = BOOT.read_bytes()
    except OSError:
        machine = os.fsencode(platform.node())
    return f"{zlib.crc32(machine):08x}"
