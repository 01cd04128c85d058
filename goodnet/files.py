"""Writing files so that a final name only ever holds the old file or the whole new one."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from goodnet import locks, temporaries
from goodnet.errors import Unusable

NO_SYNC = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}  # of a folder, on some file systems


def _respect_mode(path: Path) -> None:
    """Raise PermissionError for what is marked read-only; root and a rename would pass over it."""
    if not path.stat().st_mode & 0o222:
        raise PermissionError(errno.EACCES, "it is marked read-only", str(path))


def _make_folder(folder: Path) -> None:
    """Make a folder if need be; raises OSError where that, or writing into it, must not be."""
    _respect_mode(next(path for path in (folder, *folder.parents) if path.exists()))
    os.makedirs(folder, exist_ok=True)


def _check_replaceable(path: Path) -> None:
    """Raise OSError where a rename to `path` must not be: it would even replace /dev/null."""
    if path.exists():
        _respect_mode(path)
        if not path.is_file():
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def check_writable(folder: Path) -> None:
    """Make `folder` if need be and try it out with an empty file.

    A folder that is made here and gets nothing, as the command ends early, is removed at the end.
    Raises Unusable where nothing can be written there, before any work is spent.
    """
    trial = temporaries.name_beside(folder / "trial")
    try:
        temporaries.remove_if_empty(folder)
        _make_folder(folder)
        os.close(temporaries.create(trial, 0o600))
        with suppress(FileNotFoundError):  # another run may have tidied up
            os.unlink(trial)
        _flush_folder(folder)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Unusable(f"cannot write here ({reason}); name another folder", folder) from None


def check_output(path: Path) -> None:
    """Raise Unusable where `path` cannot be written, before any work is spent."""
    check_writable(path.parent)
    with telling(path):
        _check_replaceable(path)


def refuse_link(folder: Path) -> Path:
    """The folder, whose name is not the user's choice; Unusable where it is a link to elsewhere."""
    if folder.is_symlink():
        raise Unusable("is a link, and is not followed; remove it or name another --out", folder)
    return folder


def refuse_inputs(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise Unusable where a file to be written is one that was read, or lies among its pictures.

    A folder of pictures that is read has them in its subfolders.
    """
    inputs = list(inputs)
    read = {os.path.realpath(path) for path in inputs}  # which takes links in a circle, too
    folders = {os.path.realpath(path) for path in inputs if os.path.isdir(path)}
    for output in outputs:
        place = os.path.realpath(output)
        if place in read:
            raise Unusable("is read and would be written over; name another place", output)
        if os.path.dirname(os.path.dirname(place)) in folders:
            raise Unusable("would lie among pictures that are read; name another place", output)


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Raise Unusable, the line that the user reads, where writing `path` raises OSError."""
    try:
        yield
    except OSError as error:
        raise Unusable(f"cannot be written ({error.strerror or error})", path) from None


@contextmanager
def alone_in(*folders: Path) -> Iterator[None]:
    """Keep other runs from writing into these folders while the block runs, which makes them.

    Temporaries of runs that are gone are removed first. Blocks may stand in one another; the outer
    one should name the folders of all. Raises Unusable where a folder cannot be written.
    """
    with ExitStack() as held:
        for folder in folders:
            with telling(folder):
                _make_folder(folder)
        with telling(folders[0]):
            for folder in held.enter_context(locks.hold(folders)):
                temporaries.remove_leftovers(folder)
        yield


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file in `path`'s folder that becomes `path` when the block ends well.

    It is there, and empty. Its content and its new name are flushed to the disk; it has the mode of
    the file that it replaces. When the block fails, it goes and `path` stays as it was. Raises
    Unusable where the folder cannot be written.
    """
    with replacing_all([path]) as (temporary,):
        yield temporary


@contextmanager
def replacing_all(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield a temporary file for each path, as `replacing` does; they take their names together.

    The first path is away while the others change, and comes last: where it is, all are of one
    block. When anything fails, all hold again what they held before.
    """
    with ExitStack() as until_the_end, telling(paths[0]):
        for path in paths:
            with telling(path):
                _make_folder(path.parent)
                _check_replaceable(path)
        until_the_end.enter_context(alone_in(*(path.parent for path in paths)))
        drafts = []
        for path in paths:
            with telling(path):
                drafts.append(until_the_end.enter_context(_drafting(path)))
        yield [draft.temporary for draft in drafts]
        for draft in drafts:
            with telling(draft.path):
                draft.seal()
        _swap(drafts)
        for folder in {path.parent for path in paths}:
            _flush_folder(folder)


@dataclass(frozen=True)
class _Draft:
    """A file that is being written: where it goes, where it is, and the mode of the old one."""

    path: Path
    temporary: Path
    file: FileIO
    old: os.stat_result | None

    def seal(self) -> None:
        """Flush it to the disk, with the old file's owner and mode, and let go of it.

        Windows gives no other name to a file that is open.
        """
        descriptor = self.file.fileno()
        temporaries.check_same(self.temporary, descriptor)
        if self.old and hasattr(os, "fchmod"):  # Windows has neither owner nor mode
            with suppress(OSError):  # root alone can give files away
                os.fchown(descriptor, self.old.st_uid, self.old.st_gid)
            mode = stat.S_IMODE(self.old.st_mode) & 0o777
            if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:  # else it may have none
                os.fchmod(descriptor, mode)
        os.fsync(descriptor)
        self.file.close()


@contextmanager
def _drafting(path: Path) -> Iterator[_Draft]:
    old = path.stat() if path.exists() else None
    temporary = temporaries.name_beside(path)
    # What replaces a file that others may not read cannot be read by them while it is written.
    descriptor = temporaries.create(temporary, 0o600 if old else 0o666)
    try:
        with FileIO(descriptor, "r+") as file:
            yield _Draft(path, temporary, file, old)
    finally:
        with suppress(OSError):  # mostly it has its final name
            os.unlink(temporary)


def _swap(drafts: Sequence[_Draft]) -> None:
    """Give all their final names, the first one last; where one fails, undo what was done."""
    first, *others = drafts
    last = [*others, first]
    with ExitStack() as undoing:
        spares = []
        for draft in last if others else ():  # a single rename leaves nothing to undo
            spare = temporaries.name_beside(draft.path)
            there = os.path.lexists(draft.path)
            undoing.callback(_restore, draft.path, spare if there else None)
            if there:
                with telling(draft.path):
                    _spare(draft.path, spare, away=draft is first)
                spares.append(spare)
        for draft in last:
            with telling(draft.path):
                os.replace(draft.temporary, draft.path)
        undoing.pop_all()
    for spare in spares:
        with suppress(OSError):  # the next run removes it
            os.unlink(spare)


def _spare(path: Path, spare: Path, away: bool) -> None:
    """Keep what `path` holds under another name as well, or under that name alone."""
    if not away:
        with suppress(OSError, NotImplementedError):  # not everywhere a file has two names
            os.link(path, spare, follow_symlinks=False)
            return
    os.rename(path, spare)


def _restore(path: Path, spare: Path | None) -> None:
    with suppress(OSError):
        if spare:
            os.replace(spare, path)  # does nothing where both are one file
            os.unlink(spare)
        else:
            os.unlink(path)


def _flush_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where that can be done."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows opens no folder
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise
    finally:
        os.close(descriptor)
