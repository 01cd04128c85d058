"""What every script does alike in the shell: options, one-line errors, notices, progress.

Nothing here imports NumPy, h5py or Keras: `--help` and a wrong command line answer at once.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import NoReturn

from defense.errors import Unusable
from defense.files import check_output, refuse_inputs, replacing
from defense.lab import Lab, find_lab, missing_files

ROOT = Path(__file__).resolve().parent.parent
BATCH_SIZE = 768  # as fast as 1024, and a sixth less memory
DROPS = (Fraction(2), Fraction(4), Fraction(10), Fraction(30))
# Closed by then: CVE-2025-1550, -8747, -9905, -9906, CVE-2026-0897, -1462, -1669 and the path
# traversal of GHSA-hqp4-2352-xf5r.
SAFE_KERAS = (3, 14)


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise Unusable(f"{message} (see {self.prog} --help)")


def parser(doc: str) -> argparse.ArgumentParser:
    """A parser that shows a script's docstring as its help."""
    return _Parser(
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def positive_int(text: str) -> int:
    """An argparse type: a whole number above 0."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number


def scale(text: str) -> float:
    """An argparse type: a finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number above 0")
    return number


def drop(text: str) -> Fraction:
    """An argparse type: a drop X in percentage points, from 0 to 100, as it was written."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 100")
    # The shortest decimal of the float is what was written: 0.1 is one tenth.
    return Fraction(repr(number))


def seed(text: str) -> int:
    """An argparse type: the seed of a random number generator, 32 bits."""
    number = int(text) if text.isdecimal() else -1
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to {2**32 - 1}")
    return number


def keras_file(text: str) -> Path:
    """An argparse type: a path that ends in .keras."""
    if not text.endswith(".keras"):
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .keras")
    return Path(text)


def check_files(*paths: Path) -> None:
    """Raise Unusable unless each path is a file that can be read and holds something."""
    for path in paths:
        try:
            with open(path, "rb") as file:
                start = file.read(64)
        except IsADirectoryError:
            raise Unusable(f"{path}: is a folder, not a file") from None
        except FileNotFoundError:
            raise Unusable(f"{path}: there is no such file") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise Unusable(f"{path}: cannot be read ({reason})") from None
        if not start:
            raise Unusable(f"{path}: is empty; copy or download it again")
        if start.startswith(b"version https://git-lfs"):
            raise Unusable(f"{path}: only stands for the file; fetch that with git lfs pull")


def check_json(where: str | None, inputs: Iterable[Path], outputs: Iterable[Path] = ()) -> None:
    """Raise Unusable where `write_json` could not write, or over an input or another output."""
    if where and where != "-":
        refuse_inputs([Path(where)], inputs)
        if Path(where).resolve() in {path.resolve() for path in outputs}:
            raise Unusable(f"{where}: is what this command writes already; name another place")
        check_output(Path(where))


def add_common_options(options: argparse.ArgumentParser) -> None:
    """The options that mean the same in every script that runs a network on image sets."""
    options.add_argument(
        "--lab", type=Path, metavar="DIR", help="take the files that are not named from this lab"
    )
    options.add_argument(
        "--scale",
        type=scale,
        default=1.0,
        metavar="S",
        help="divide pixels by S (default: 1; networks trained on 0..1 need 255)",
    )
    options.add_argument(
        "--batch-size",
        type=positive_int,
        default=BATCH_SIZE,
        metavar="N",
        help=f"images at a time: speed and memory only, never an answer (default: {BATCH_SIZE})",
    )
    options.add_argument(
        "--json",
        metavar="FILE",
        help="write the results with every digit to FILE; - writes them to stdout, alone",
    )


def add_drop_option(options: argparse.ArgumentParser, meaning: str) -> None:
    """--drop X [X ...], the drops in clean accuracy, in percentage points."""
    options.add_argument(
        "--drop",
        nargs="+",
        type=drop,
        default=DROPS,
        metavar="X",
        help=f"{meaning} (default: {' '.join(map(str, DROPS))}); name it after the paths",
    )


def lab_folder() -> Path:
    """The folder of the lab that is taken where none is named.

    It is the repository itself where it holds the course's files, else the practice lab, with a
    word of what is missing. A folder below the one the user is in is named from there.
    """
    here = Path.cwd()
    root = ROOT.relative_to(here) if ROOT.is_relative_to(here) else ROOT
    missing = missing_files(root)
    if not missing:
        return root
    practice = root / "practice"
    notice(f"Taking the practice lab in {practice}/: {' and '.join(missing)} not found in {ROOT}.")
    return practice


def default_lab(folder: Path | None) -> Lab:
    """The lab in `folder`, else the one of `lab_folder`; the practice lab is built if need be.

    Raises Unusable where `folder` holds no lab.
    """
    if folder is not None:
        return find_lab(folder)
    folder = lab_folder()
    try:
        lab = find_lab(folder)
        complete = lab.clean_test is not None and lab.backdoored_test is not None
    except Unusable:
        complete = False
    if not complete:
        build = [sys.executable, str(ROOT / "practice.py"), "--out", str(folder)]
        if status := subprocess.run(build, stdout=sys.stderr).returncode:
            raise Unusable(f"the practice lab was not built (practice.py ended with {status})")
    return find_lab(folder)


def files_to_judge(folder: Path | None) -> list[Path]:
    """The lab's clean and backdoored test files and its B, in this order.

    Raises Unusable, naming what is missing, where the lab lacks one.
    """
    lab = default_lab(folder)
    for file, name in ((lab.clean_test, "clean"), (lab.backdoored_test, "backdoored")):
        if file is None:
            raise Unusable(f"{lab.root}: the lab has no {name} test file; name the files to judge")
    return [lab.clean_test, lab.backdoored_test, lab.network]


def hint_at_scale(clean_accuracy: float, used: float) -> None:
    """Say what is usually wrong where B itself hardly knows its clean images."""
    if clean_accuracy < 20:
        other = "255" if used == 1 else "1"
        notice(
            f"Hint: B gives only {clean_accuracy:.1f} % of the clean images their label; its "
            f"pixels may need another scale (this was --scale {used:g}; try --scale {other})."
        )


def write_json(results: object, where: str) -> None:
    """Write results as JSON to a file, or to stdout where `where` is "-"."""
    text = json.dumps(results, indent=2) + "\n"
    if where == "-":
        sys.stdout.write(text)
        return
    with replacing(Path(where)) as temporary:
        temporary.write_text(text)


def stopwatch() -> tuple[Callable[[str], None], dict[str, float]]:
    """A function to call with its name when a stage ends, and the stages' seconds so far."""
    seconds: dict[str, float] = {}
    last = time.perf_counter()

    def lap(stage: str) -> None:
        nonlocal last
        now = time.perf_counter()
        seconds[stage] = now - last
        last = now

    return lap, seconds


def notice(line: str) -> None:
    """Tell the user something that is not a result."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr, on a terminal only; yields a function that adds to what is done."""
    if not sys.stderr or not sys.stderr.isatty():
        yield lambda amount: None
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
    if tuple(int(part) for part in keras.__version__.split(".")[:2]) < SAFE_KERAS:
        raise Unusable(
            f"Keras {keras.__version__} has known holes that a network's file can use; needed is "
            f"{'.'.join(map(str, SAFE_KERAS))} or newer: pip install -r requirements.txt"
        )


def run(main: Callable[[], None]) -> NoReturn:
    """Run a script's main function and leave with the exit status that the README lists."""
    name = Path(sys.argv[0]).name
    _fill_descriptors()
    if sys.stdout:
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
