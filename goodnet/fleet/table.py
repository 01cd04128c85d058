"""The table of many audits, a row for each network: printed, as CSV and as plain values."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from goodnet import tables
from goodnet.cli.table import print_table
from goodnet.fleet.results import RATES, TRIGGERS, Row
from goodnet.printable import printable
from goodnet.version import SCHEMA_VERSION, VERSION

FIGURES = (*RATES, *TRIGGERS)
COLUMNS = ("network", "answer", "classes", *FIGURES, "reason", "report", "sha256")
FORMULAS = "=+-@"  # what a spreadsheet takes for the beginning of one
SHOWN = {
    "B": "b_accuracy",
    "B'": "repaired_accuracy",
    "G rejects": "goodnet_rejects",
    "trigger in B": "trigger_b",
    "in B'": "trigger_repaired",
}
TITLE = (
    "{}: accuracy of B and B', images that G rejects, and how often the trigger\n"
    "that was found works; in percent of the clean images that were set aside"
)


def count_networks(number: int) -> str:
    """So many networks, in words."""
    return "1 network" if number == 1 else f"{number} networks"


def figure(row: Row, name: str, digits: int) -> str:
    """A rate in percent, or nothing where there is none."""
    rate = row.rates.get(name)
    return f"{rate['percent']:.{digits}f}" if rate else ""


def name_classes(row: Row) -> str:
    """The classes that the verdict names: 0, 5."""
    return ", ".join(map(str, row.classes))


def print_rows(rows: Sequence[Row]) -> None:
    """Print the table on stdout, and what is known of "nothing found" where that was answered."""
    shown = [
        [
            row.answer,
            name_classes(row),
            *(figure(row, name, 1) for name in SHOWN.values()),
            str(row.network),
        ]
        for row in rows
    ]
    title = TITLE.format(count_networks(len(rows)))
    print_table(title, ["verdict", "class", *SHOWN, "network"], shown)
    print()
    for line in tell_nothing_found(rows):
        print(line)


def tell_nothing_found(rows: Sequence[Row]) -> list[str]:
    """What "nothing found" is worth, on each kind of network of which it was said."""
    measured = dict.fromkeys(row.reason for row in rows if row.answer == "nothing found")
    return [
        f"Nothing found does not show that there is none: {printable(each)}." for each in measured
    ]


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write audits.csv, with every digit. Raises Unusable where that cannot be done."""
    tables.write(path, COLUMNS, [_cells(row, path.parent) for row in rows])


def _cells(row: Row, out: Path) -> list[str]:
    rates = [row.rates.get(name) for name in FIGURES]
    figures = ["" if rate is None else repr(rate["percent"]) for rate in rates]
    texts = (str(row.network), row.answer, name_classes(row))
    ends = (row.reason, link_of(row, out), row.sha256 or "")
    return [*map(as_text, texts), *figures, *map(as_text, ends)]


def as_text(text: str) -> str:
    """Text on one line that no spreadsheet takes for a formula."""
    shown = printable(text)
    return f"'{shown}" if shown.startswith(tuple(FORMULAS)) else shown


def link_of(row: Row, out: Path) -> str:
    """Where a row's report is, from the folder of the table; nothing where there is none."""
    return row.report.relative_to(out).as_posix() if row.report else ""


def list_rows(
    rows: Sequence[Row], settings: Mapping[str, object], sets: Mapping[Path, str]
) -> dict:
    """The table as plain values, for JSON. sets: the SHA-256 of the image sets."""
    return {
        "schema_version": SCHEMA_VERSION,
        "goodnet": VERSION,
        "settings": dict(settings),
        "inputs": [{"file": str(path), "sha256": digest} for path, digest in sets.items()],
        "networks": [
            {
                "network": str(row.network),
                "sha256": row.sha256,
                "answer": row.answer,
                "classes": list(row.classes),
                **{name: row.rates.get(name) for name in FIGURES},
                "reason": row.reason,
                "report": str(row.report) if row.report else None,
            }
            for row in rows
        ],
    }
