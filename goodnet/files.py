"""Writing files so that a final name only ever holds the old file or the whole new one."""

import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from goodnet.errors import Unusable

TEMPORARY = re.compile(r"\.tmp-(\d+)-.+")


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _remove_leftovers(folder: Path) -> None:
    for file in folder.iterdir():
        match = TEMPORARY.fullmatch(file.name)
        if match and not _is_running(int(match[1])):
            with suppress(OSError):  # somebody else's, in a shared folder
                file.unlink()


def _respect_mode(path: Path) -> None:
    """Raise PermissionError for what is marked read-only; root and a rename would pass over it."""
    if not path.stat().st_mode & 0o222:
        raise PermissionError(errno.EACCES, "it is marked read-only", str(path))


def _make_folder(folder: Path) -> None:
    """Make a folder if need be; raises OSError where that, or writing into it, must not be."""
    _respect_mode(next(path for path in (folder, *folder.parents) if path.exists()))
    folder.mkdir(parents=True, exist_ok=True)


def _check_replaceable(path: Path) -> None:
    """Raise OSError where a rename to `path` must not be: it would even replace /dev/null."""
    if path.exists():
        _respect_mode(path)
        if not path.is_file():
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def check_writable(folder: Path) -> None:
    """Make `folder` if need be and try it out with an empty file.

    Raises Unusable where nothing can be written there, before any work is spent.
    """
    try:
        _make_folder(folder)
        trial = folder / f".tmp-{os.getpid()}-trial"
        trial.touch()
        trial.unlink()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Unusable(f"cannot write here ({reason}); name another folder", folder) from None


def check_output(path: Path) -> None:
    """Raise Unusable where `path` cannot be written, before any work is spent."""
    check_writable(path.parent)
    try:
        _check_replaceable(path)
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: Path, error: OSError) -> Unusable:
    return Unusable(f"cannot be written ({error.strerror or error})", path)


def refuse_inputs(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise Unusable where a file to be written is one that was read."""
    read = {path.resolve() for path in inputs}
    for output in outputs:
        if output.resolve() in read:
            raise Unusable("is read and would be written over; name another place", output)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name in `path`'s folder that becomes `path` when the block ends well.

    The content is flushed to the disk before the rename. When the block fails, the temporary
    file goes and `path` stays as it was. Temporaries of processes that are gone are removed.
    Raises Unusable where the folder cannot be written.
    """
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        _make_folder(path.parent)
        _check_replaceable(path)
        _remove_leftovers(path.parent)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        with suppress(OSError):  # mostly it is gone, or its folder never was one
            temporary.unlink()
