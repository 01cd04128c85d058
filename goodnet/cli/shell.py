"""What every script does alike in the shell: one-line errors, notices, progress, JSON.

Nothing here imports NumPy, h5py or Keras: `--help` and a wrong command line answer at once.
"""

import io
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TextIO

from goodnet.cli import interrupts
from goodnet.cli.ending import discard_stdout, fill_descriptors, tell
from goodnet.cli.foreign import describe_folder, refuse_foreign
from goodnet.cli.libraries import import_keras as import_keras
from goodnet.errors import Unusable
from goodnet.files import check_output, check_writable, refuse_inputs, refuse_link, replacing
from goodnet.lab import MOST_KEPT, KeptFiles, kept_files, other_layout
from goodnet.printable import printable
from goodnet.progress import Advance

PATIENCE = 60  # seconds between two lines of progress, where they are written to a file


def check_files(*paths: Path, networks: Iterable[Path] = ()) -> None:
    """Raise Unusable unless each path is a file that can be read and holds something.

    networks: those of them that are to be networks; what other programs save as one is named. The
    others are image sets, which may be folders.
    """
    named = set(networks)
    for path in paths:
        if os.path.isdir(path) and path not in named:
            continue
        start = _first_bytes(path)
        if not start:
            raise Unusable("is empty; copy or download it again", path)
        refuse_foreign(path, start, path in named)


def _first_bytes(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise Unusable(describe_folder(path), path)
        refuse_pipes(path)
        with open(path, "rb") as file:
            return file.read(520)
    except FileNotFoundError:
        there = other_layout(path)
        hint = f"; {there} is there" if there else ""
        raise Unusable(f"there is no such file{hint}", path) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Unusable(f"cannot be read ({reason})", path) from None


def refuse_pipes(*paths: Path) -> None:
    """Raise Unusable where one is neither file nor folder: it may never give a byte, or end."""
    for path in paths:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise Unusable("is not a regular file; copy it into one", path)


def check_outputs(
    files: Iterable[Path], out: Path, own: Iterable[Path], inputs: Iterable[Path]
) -> None:
    """Raise Unusable where a file would be written over an input, or cannot be written.

    out: the folder that they go to; own: folders in it that are there and get files as well.
    """
    files = list(files)
    refuse_inputs(files, inputs)
    check_writable(out)
    for folder in own:
        check_writable(refuse_link(folder))
    for path in files:
        check_output(path)


def check_json(where: str | None, inputs: Iterable[Path], outputs: Iterable[Path] = ()) -> None:
    """Raise Unusable where `write_json` could not write, or over an input or another output."""
    if where and where != "-":
        refuse_inputs([Path(where)], inputs)
        if os.path.realpath(where) in map(os.path.realpath, outputs):
            raise Unusable("is what this command writes already; name another place", Path(where))
        check_output(Path(where))


def check_kept(
    named: Path | None, usual: Path | None, inputs: Iterable[Path], networks: int
) -> KeptFiles | None:
    """Where judged.json and samples.png go, None for nowhere: the usual folder may be read-only.

    networks: how many are judged. Raises Unusable where the named folder cannot be written, a file
    would be written over, or there are too many networks.
    """
    folder = named or usual
    if folder is None:
        return None
    kept = kept_files(folder)
    refuse_inputs(kept.all, inputs)
    try:
        if networks > MOST_KEPT:
            raise Unusable(f"{networks} networks are more than the {MOST_KEPT} that plot.py takes")
        for path in kept.all:
            check_output(path)
    except Unusable as error:
        if named:
            raise
        notice(f"judged.json and samples.png are not kept: {error}; --out says where.")
        return None
    return kept


def hint(line: str | None) -> None:
    """Tell the user what is probably wrong, if anything is."""
    if line:
        notice(line)


def write_json(results: object, where: str) -> None:
    """Write results as JSON to a file, or to stdout where `where` is "-".

    JSON has no word for what is infinite or not a number: null stands for it.
    """
    text = json.dumps(_finite(results), indent=2, allow_nan=False) + "\n"
    if where == "-":
        sys.stdout.write(text)
        return
    with replacing(Path(where)) as temporary:
        temporary.write_text(text)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def notice(line: str) -> None:
    """Tell the user something that is not a result."""
    print(printable(line), file=sys.stderr, flush=True)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal; IDLE's window says so of itself, but shows escape codes."""
    idle = type(stream).__module__.startswith("idlelib")
    return stream is not None and stream.isatty() and not idle


@contextmanager
def progress(description: str, total: int) -> Iterator[Advance]:
    """Show a bar on stderr; where that is no terminal, a line a minute. Both tell what is left."""
    if not is_terminal(sys.stderr):
        yield _line_a_minute(description, total)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda amount: bar.advance(task, amount)


def _line_a_minute(description: str, total: int) -> Advance:
    done, began = 0, time.monotonic()
    told = began

    def advance(amount: int) -> None:
        nonlocal done, told
        done += amount
        now = time.monotonic()
        if done and now - told >= PATIENCE:
            told = now
            left = (now - began) * (total - done) / done
            notice(f"{description}: {100 * done // total} %, about {_in_words(left)} left")

    return advance


def _in_words(seconds: float) -> str:
    """How long that is, as one would say it."""
    minutes = math.ceil(seconds / 60)
    if minutes < 2:
        return f"{math.ceil(seconds)} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a script's main function and leave with the exit status that docs/scripts.md lists.

    That is what the function answers, 0 where it answers nothing.

    Whatever ends it is one line on stderr, the last one; before it the traceback, with --debug.
    """
    fill_descriptors()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file's name need not be text in the encoding of stdout.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = main() or 0
        print(end="", flush=True)
    except BrokenPipeError:
        # The reader of our output has gone.
        discard_stdout()
        status = 0
    except (Exception, KeyboardInterrupt) as error:
        status = tell(error, notice)
    interrupts.ignore()
    sys.exit(status)
