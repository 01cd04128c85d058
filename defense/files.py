"""Writing files so that a final name only ever holds the old file or the whole new one."""

import errno
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from defense.errors import Unusable

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
            file.unlink(missing_ok=True)


def _respect_mode(path: Path) -> None:
    """Raise PermissionError for what is marked read-only; root and a rename would pass over it."""
    if not path.stat().st_mode & 0o222:
        raise PermissionError(errno.EACCES, "it is marked read-only", str(path))


def check_writable(folder: Path) -> None:
    """Make `folder` if need be and try it out with an empty file.

    Raises Unusable where nothing can be written there, before any work is spent.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _respect_mode(folder)
        trial = folder / f".tmp-{os.getpid()}-trial"
        trial.touch()
        trial.unlink()
    except OSError as error:
        reason = error.strerror.lower()
        raise Unusable(
            f"{folder}: cannot write here ({reason}); name another folder with --out"
        ) from None


def refuse_inputs(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise Unusable where a file to be written is one that was read."""
    read = {path.resolve() for path in inputs}
    for output in outputs:
        if output.resolve() in read:
            raise Unusable(
                f"{output}: is read and would be written over; name another folder with --out"
            )


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name in `path`'s folder that becomes `path` when the block ends well.

    The content is flushed to the disk before the rename. When the block fails, the temporary
    file goes and `path` stays as it was. Temporaries of processes that are gone are removed.
    Raises Unusable where the folder cannot be written.
    """
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _respect_mode(path.parent)
        if path.exists():
            _respect_mode(path)
        _remove_leftovers(path.parent)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise Unusable(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        temporary.unlink(missing_ok=True)
