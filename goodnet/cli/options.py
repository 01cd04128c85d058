"""What the scripts' command lines have in common: the parser, options, types of values.

Nothing here imports NumPy, h5py or Keras: `--help` and a wrong command line answer at once.
"""

import argparse
import re
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import NoReturn

from goodnet.errors import Unusable
from goodnet.memory import BATCH_SIZE, Limits, find_memory, parse_memory
from goodnet.pixels import AS_IN_FILE, RANGES, Range, Scaling
from goodnet.version import VERSION
from goodnet.vetting.classes import Classes, read_classes
from goodnet.vetting.reading import Reading

DEBUG = "--debug"  # goodnet/cli/ending.py looks for it, for all scripts
DROPS = (Fraction(2), Fraction(4), Fraction(10), Fraction(30))


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise Unusable(f"{message} (see {self.prog} --help)")


def parser(doc: str) -> argparse.ArgumentParser:
    """A parser that shows a script's docstring as its help, and has --version."""
    options = _Parser(
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    # What looks like a negative number is a value; -1..1 is one, too.
    options._negative_number_matcher = re.compile(r"-(\d+|\d*\.\d+|1\.\.1)$")
    options.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    options.add_argument(DEBUG, action="store_true", help="show where an error arose")
    return options


def positive_int(text: str) -> int:
    """An argparse type: a whole number above 0."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def scale(text: str) -> Scaling:
    """An argparse type: what pixels are divided by, a finite number above 0."""
    number = _number(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number above 0")
    return Scaling(number)


def pixel_range(text: str) -> Range:
    """An argparse type: a range of pixels."""
    if text not in RANGES:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(RANGES)}")
    return RANGES[text]


def drop(text: str) -> Fraction:
    """An argparse type: a drop X in percentage points, from 0 to 100, as it was written."""
    number = _number(text)
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


def memory(text: str) -> int:
    """An argparse type: a size in bytes, like 4G."""
    try:
        return parse_memory(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def input_file(text: str) -> Path:
    """An argparse type: a path, but not the dot that ends the commands of some documents."""
    if Path(text) == Path():
        raise argparse.ArgumentTypeError(
            f"{text!r} is the folder you are in, not a file; leave it out, or name it in full"
        )
    return Path(text)


def keys(text: str) -> tuple[str, str]:
    """An argparse type: the names of two arrays, images and labels."""
    images, comma, labels = text.partition(",")
    if not (images and labels) or "," in labels:
        raise argparse.ArgumentTypeError(f"{text!r} is not two names, as in data,label")
    return images, labels


def classes(text: str) -> Classes:
    """An argparse type: a file that lists all classes."""
    return read_classes(input_file(text))


def keras_file(text: str) -> Path:
    """An argparse type: a path that ends in .keras."""
    if not text.endswith(".keras"):
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .keras")
    return Path(text)


def refuse_given(args: argparse.Namespace, names: Iterable[str], why: str) -> None:
    """Raise Unusable where one of these options is given."""
    for name in names:
        if getattr(args, name):
            raise Unusable(f"argument --{name.replace('_', '-')}: {why}")


def refuse_lab_and_paths(args: argparse.Namespace) -> None:
    """Raise Unusable where files are named one by one and by their lab."""
    if args.paths and args.lab:
        raise Unusable("argument --lab: names the files to judge; give it or their paths, not both")


def add_paths(options: argparse.ArgumentParser, names: str) -> None:
    """The input files, named one after the other."""
    options.add_argument("paths", nargs="*", type=input_file, metavar=names)


def add_set_options(options: argparse.ArgumentParser) -> None:
    """The options that mean the same in every script that runs a network on image sets."""
    options.add_argument(
        "--keys",
        type=keys,
        metavar="IMAGES,LABELS",
        help="what both arrays of image sets are called (default: data,label, or the one pair)",
    )
    options.add_argument(
        "--classes",
        type=classes,
        metavar="FILE",
        help="the names of all classes, one a line, for image sets that are folders "
        "(default: the subfolders, by the number that is their name or in the order of the names)",
    )
    add_common_options(options)


def listed_classes(args: argparse.Namespace) -> list[Path]:
    """The file that lists the classes, if one is named: an input that nothing may write over."""
    return [args.classes.path] if args.classes else []


def reading(args: argparse.Namespace) -> Reading:
    """How the command line says that image sets are to be read."""
    return Reading(args.keys, args.classes)


def add_common_options(options: argparse.ArgumentParser) -> None:
    """The options that mean the same in every script that runs a network."""
    options.add_argument(
        "--lab", type=Path, metavar="DIR", help="take the files that are not named from this lab"
    )
    scaling = options.add_mutually_exclusive_group()
    scaling.add_argument(
        "--pixels",
        type=pixel_range,
        dest="scale",
        default=AS_IN_FILE,
        metavar="RANGE",
        help=f"the range that the network takes, {', '.join(RANGES)} (default: as in the file)",
    )
    scaling.add_argument(
        "--scale",
        type=scale,
        default=AS_IN_FILE,
        metavar="S",
        help="divide pixels by S (default: 1)",
    )
    options.add_argument(
        "--batch-size",
        type=positive_int,
        default=BATCH_SIZE,
        metavar="N",
        help=f"images at a time, at most: changes no answer (default: {BATCH_SIZE})",
    )
    options.add_argument(
        "--memory",
        type=memory,
        metavar="SIZE",
        help="so much memory may be taken: fewer images at a time, no other answers (default: half "
        "of the machine's, 4G at most)",
    )
    add_json_option(options)


def limits(args: argparse.Namespace) -> Limits:
    """What the options say of memory and batches."""
    return Limits(args.memory or find_memory(), args.batch_size or BATCH_SIZE)


def add_json_option(options: argparse.ArgumentParser) -> None:
    """--json FILE."""
    options.add_argument(
        "--json",
        metavar="FILE",
        help="write the results with every digit to FILE; - writes them to stdout, alone",
    )


def add_seed_option(options: argparse.ArgumentParser, meaning: str) -> None:
    """--seed N, of what is made by chance."""
    options.add_argument(
        "--seed", type=seed, default=0, metavar="N", help=f"{meaning} (default: 0)"
    )


def add_test_options(options: argparse.ArgumentParser, meaning: str, *earlier: str) -> None:
    """--clean-test FILE and --backdoored-test FILE; `earlier`: what else the second was called."""
    for names in (("--clean-test",), ("--backdoored-test", *earlier)):
        options.add_argument(*names, type=Path, metavar="FILE", help=meaning)


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
