"""What every script does alike in the shell: one-line errors, notices, progress, JSON.

Nothing here imports NumPy, h5py or Keras: `--help` and a wrong command line answer at once.
"""

import io
import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from goodnet.errors import Unusable
from goodnet.files import check_output, check_writable, refuse_inputs, replacing
from goodnet.lab import KeptFiles, kept_files
from goodnet.progress import Advance, ignore
from goodnet.vetting.keras_version import refuse_unsafe_keras


def check_files(*paths: Path) -> None:
    """Raise Unusable unless each path is a file that can be read and holds something."""
    for path in paths:
        try:
            with open(path, "rb") as file:
                start = file.read(64)
        except IsADirectoryError:
            raise Unusable("is a folder, not a file", path) from None
        except FileNotFoundError:
            raise Unusable("there is no such file", path) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise Unusable(f"cannot be read ({reason})", path) from None
        if not start:
            raise Unusable("is empty; copy or download it again", path)
        if start.startswith(b"version https://git-lfs"):
            raise Unusable("only stands for the file; fetch that with git lfs pull", path)


def check_outputs(files: Iterable[Path], folders: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise Unusable where a file would be written over an input, or a folder cannot be written."""
    refuse_inputs(files, inputs)
    for folder in folders:
        check_writable(folder)


def check_json(where: str | None, inputs: Iterable[Path], outputs: Iterable[Path] = ()) -> None:
    """Raise Unusable where `write_json` could not write, or over an input or another output."""
    if where and where != "-":
        refuse_inputs([Path(where)], inputs)
        if Path(where).resolve() in {path.resolve() for path in outputs}:
            raise Unusable("is what this command writes already; name another place", Path(where))
        check_output(Path(where))


def check_kept(named: Path | None, usual: Path | None, inputs: Iterable[Path]) -> KeptFiles | None:
    """Where judged.json and samples.png go, None for nowhere: the usual folder may be read-only.

    Raises Unusable where the named folder cannot be written, or a file would be written over.
    """
    folder = named or usual
    if folder is None:
        return None
    kept = kept_files(folder)
    refuse_inputs(kept.all, inputs)
    try:
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
    """Write results as JSON to a file, or to stdout where `where` is "-"."""
    text = json.dumps(results, indent=2) + "\n"
    if where == "-":
        sys.stdout.write(text)
        return
    with replacing(Path(where)) as temporary:
        temporary.write_text(text)


def notice(line: str) -> None:
    """Tell the user something that is not a result."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def progress(description: str, total: int) -> Iterator[Advance]:
    """Show a bar on stderr, on a terminal only."""
    if not sys.stderr or not sys.stderr.isatty():
        yield ignore
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


def import_keras() -> None:
    """Import Keras without the lines that TensorFlow and Keras write to stderr.

    Raises Unusable where Keras or its backend is not installed, or is one whose ways of loading a
    network have known holes.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")  # Keras has much to say about files that it loads well
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            import keras
        except ImportError as error:
            raise Unusable(
                f"Keras cannot be imported ({error}); run make lab once, then "
                "source .venv/bin/activate"
            ) from None
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
    refuse_unsafe_keras(keras.__version__)


def run(main: Callable[[], None]) -> NoReturn:
    """Run a script's main function and leave with the exit status that docs/scripts.md lists."""
    name = Path(sys.argv[0]).name
    _fill_descriptors()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file's name need not be text in the encoding of stdout.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        main()
        print(end="", flush=True)
        status = 0
    except Unusable as error:
        notice(f"{name}: {' '.join(str(error).splitlines())}")
        status = error.exit_status
    except KeyboardInterrupt:
        notice(f"{name}: interrupted")
        status = 130
    except BrokenPipeError:
        # The reader of our output has gone.
        _discard_stdout()
        status = 0
    except OSError as error:
        # A full disk, for one.
        notice(f"{name}: {error}")
        _discard_stdout()
        status = 2
    sys.exit(status)


def _fill_descriptors() -> None:
    """Where the shell closed stdin, stdout or stderr, keep files that we open from its place."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free one: this
    sys.stderr = sys.stderr or open(os.devnull, "w")  # else print would take stdout instead


def _discard_stdout() -> None:
    """Keep Python from failing on what is left in stdout's buffer once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
