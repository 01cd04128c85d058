"""audit.py with many networks, from a command line to a table."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from goodnet.cli import options, shell
from goodnet.cli.findings import FAIL_ON
from goodnet.cli.libraries import THREADS
from goodnet.cli.settings import asked_for
from goodnet.errors import Unusable
from goodnet.fleet import index, table
from goodnet.fleet.networks import find_networks, name_folders, read_networks
from goodnet.fleet.options import is_folder_of_networks
from goodnet.fleet.results import Row, Wanted
from goodnet.fleet.working import Fleet, audit_all
from goodnet.lab import audit_files
from goodnet.memory import BATCH_SIZE
from goodnet.pixels import Range
from goodnet.vetting.opening import digest_of, open_plain

FOLDER = "audits"  # beside the networks


def audit_many(args: argparse.Namespace) -> int:
    """Audit all networks that are named, write and print the table; the exit status.

    Raises Unusable where an image set or the folder for it all cannot be used.
    """
    clean, *models = args.paths
    sets = list(dict.fromkeys(p for p in (clean, args.clean_test, args.backdoored_test) if p))
    shell.check_files(*sets)
    paths = find_networks(models, sets)
    out = args.out or (models[0] if is_folder_of_networks(models[0]) else models[0].parent) / FOLDER
    tables = [out / "audits.csv", out / "index.html"]
    read = [*sets, *paths, *options.listed_classes(args)]
    shell.check_outputs(tables, out, [], read)
    shell.check_json(args.json, read, tables)
    digests = _digests(sets)
    asked = asked_for(args, "seed", "fail_on").settings
    tests = {"clean_test": args.clean_test, "backdoored": args.backdoored_test}
    judged_on = {name for name, path in tests.items() if path}
    wanted = Wanted(list(digests.values()), frozenset(judged_on), {**asked, "threads": THREADS})
    networks = read_networks(paths)
    made = [
        audit_files(each.path, out / name)
        for each, name in zip(networks, name_folders(networks), strict=True)
    ]
    fleet = Fleet(clean, networks, made, wanted, _words(args))
    rows = audit_all(fleet, args.jobs or 1, args.scheduler)
    table.write_csv(tables[0], rows)
    index.write_index(tables[1], rows)
    if args.json:
        shell.write_json(table.list_rows(rows, wanted.settings, digests), args.json)
    if args.json != "-":
        table.print_rows(rows)
        print(f"Table: {tables[0]}", f"Reports: {tables[1]}", sep="\n")
    return _status(rows, args.fail_on)


def _digests(sets: Sequence[Path]) -> dict[Path, str]:
    """The SHA-256 of each image set, as an audit tells it."""
    found = {}
    for path in sets:
        if path.is_dir():
            from goodnet.vetting.folders import picture_folders  # which needs NumPy
            from goodnet.vetting.subfolders import list_subfolders

            found[path] = picture_folders([list_subfolders(path)], None)[path].digest()
        else:
            try:
                with open_plain(path) as file:
                    found[path] = digest_of(file)
            except OSError as error:
                raise Unusable(f"cannot be read ({error.strerror})", path) from None
    return found


def _words(args: argparse.Namespace) -> list[str]:
    """The options that are the same for all, as they are given to each."""
    ranged = isinstance(args.scale, Range)
    given = {
        "fail-on": args.fail_on != "likely" and args.fail_on,
        "seed": args.seed,
        "clean-test": args.clean_test,
        "backdoored-test": args.backdoored_test,
        "keys": args.keys and ",".join(args.keys),
        "classes": args.classes and args.classes.path,
        "pixels": ranged and args.scale,
        "scale": not ranged and args.scale.divisor != 1 and args.scale.divisor,
        "batch-size": args.batch_size != BATCH_SIZE and args.batch_size,
        "memory": args.memory,
    }
    debug = ["--debug"] if args.debug else []
    return [f"--{name}={value}" for name, value in given.items() if value] + debug


def _status(rows: Sequence[Row], fail_on: str) -> int:
    """1 for a finding; else the worst of those that were not audited, which is told; else 0."""
    if bad := sum(row.status > 0 for row in rows):
        shell.notice(f"audit.py: {bad} of {table.count_networks(len(rows))} not audited")
    if any(row.answer in FAIL_ON[fail_on] for row in rows):
        return 1
    return max(row.status for row in rows)
