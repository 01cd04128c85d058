"""Open a file of a stranger: nothing but a plain file, whose bytes are there."""

import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

from goodnet.vetting.pieces import read_pieces, size_of

# A file with holes of so many bytes, and so many times its bytes on the disk, holds nothing. File
# systems that compress come nowhere near.
LARGEST_HOLLOW = 1 << 26
MOST_HOLLOW = 64
# Each where the system has it; Windows needs to be told that a file is no text.
FLAGS = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY", "O_NOINHERIT")
)

NO_IMAGE_SET = (
    "is neither an HDF5 file nor a NumPy archive (.npz) that can be read, as image sets are"
)


def open_plain(path: Path) -> BinaryIO:
    """Open a file for reading. Raises OSError where it is a folder, a pipe, a device or hollow.

    A pipe that nobody writes to would wait for ever; one that was opened thus does not.
    """
    descriptor = os.open(path, FLAGS)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is a pipe or a device, not a plain file")
        there = getattr(found, "st_blocks", found.st_size) * 512  # Windows does not tell
        if found.st_size > max(LARGEST_HOLLOW, there * MOST_HOLLOW) and _has_holes(descriptor):
            raise OSError(
                errno.EINVAL, f"it claims {found.st_size} bytes, but has {there} on the disk"
            )
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _has_holes(descriptor: int) -> bool:
    """Whether the file system says so; one that cannot tell calls all of it data."""
    if not hasattr(os, "SEEK_HOLE"):
        return True
    hole = os.lseek(descriptor, 0, os.SEEK_HOLE)
    return hole < os.lseek(descriptor, 0, os.SEEK_END) and os.lseek(descriptor, 0, os.SEEK_SET) == 0


def digest_of(file: BinaryIO) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal. Raises Unusable where it becomes shorter."""
    digest = hashlib.sha256()
    for piece in read_pieces(file, 0, size_of(file)):
        digest.update(piece)
    return digest.hexdigest()


def signature_of(file: BinaryIO) -> tuple[int, ...]:
    """What of a file changes where it is written to or replaced."""
    return signature_of_status(os.stat(file.fileno()))


def signature_of_status(found: os.stat_result) -> tuple[int, ...]:
    """The same, out of what the system says of a file."""
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
