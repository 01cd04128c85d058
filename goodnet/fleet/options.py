"""When audit.py is given many networks, and the options for that."""

import argparse
import os
from pathlib import Path

from goodnet.cli.foreign import PLAIN_FOLDER, describe_folder
from goodnet.cli.options import positive_int, refuse_given
from goodnet.errors import Unusable


def add_fleet_options(options: argparse.ArgumentParser) -> None:
    """--jobs and --scheduler, where the audits of many networks run."""
    where = options.add_mutually_exclusive_group()
    where.add_argument(
        "--jobs", type=positive_int, metavar="N", help="so many audits at a time (default: 1)"
    )
    where.add_argument(
        "--scheduler", metavar="ADDRESS", help="audit on the workers of this Dask scheduler"
    )


def is_folder_of_networks(path: Path) -> bool:
    """Whether a path is a folder, and not one that another program takes for a network."""
    return os.path.isdir(path) and describe_folder(path) == PLAIN_FOLDER


def are_many(args: argparse.Namespace) -> bool:
    """Whether a table is wanted, a row for each network. Raises Unusable with --sarif then."""
    models = args.paths[1:]
    many = bool(
        args.jobs or args.scheduler or len(models) > 1 or any(map(is_folder_of_networks, models))
    )
    if many:
        refuse_given(args, ("sarif",), "for one network; of many, audits.csv and --json tell all")
    return many


def refuse_too_few(args: argparse.Namespace) -> None:
    """Raise Unusable where one path is named, which may be either of the two that are needed."""
    if len(args.paths) == 1:
        raise Unusable("needs CLEAN MODEL, two paths or more, or none for the lab's files")
