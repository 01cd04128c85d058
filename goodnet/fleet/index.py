"""index.html: the table of many audits, with a link to the report of each."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element

from goodnet.files import replacing
from goodnet.fleet.results import Row
from goodnet.fleet.table import (
    count_networks,
    figure,
    link_of,
    name_classes,
    tell_nothing_found,
)
from goodnet.pictures.markup import add, add_cell, add_table, begin_page, render
from goodnet.printable import printable

FIGURES = {
    "Clean accuracy of B": "b_accuracy",
    "of B'\u00a0↑": "repaired_accuracy",
    "of G\u00a0↑": "goodnet_accuracy",
    "G rejects clean images\u00a0↓": "goodnet_rejects",
    "Trigger works in B": "trigger_b",
    "in B'\u00a0↓": "trigger_repaired",
    "in G\u00a0↓": "trigger_goodnet",
}
COLUMNS = ["Network", "Verdict", "Class", *FIGURES, "Why"]
NOTE = (
    "In percent, of the clean images that were set aside. B is a network that was audited, B' its "
    "repaired copy, G the goodnet of both, which rejects images on which they differ. The trigger "
    "is the one that was found, or the patch to the class; of several, each time the highest "
    "figure. ↑ higher is better, ↓ lower is better. Each verdict leads to its report, which has "
    "the intervals and the files."
)


def write_index(path: Path, rows: Sequence[Row]) -> None:
    """Write the page. Raises Unusable where that cannot be done."""
    html, main = begin_page(f"Backdoor audits: {count_networks(len(rows))}")
    for line in tell_nothing_found(rows):
        add(main, "p", {"class": "note"}, line)
    body = add_table(main, COLUMNS, {"class": "files"})
    for row in rows:
        _add_row(add(body, "tr"), row, path.parent)
    add(main, "p", {"class": "note"}, NOTE)
    with replacing(path) as temporary:
        temporary.write_text(render(html), encoding="utf-8")


def _add_row(line: Element, row: Row, out: Path) -> None:
    add_cell(line, COLUMNS[0], printable(row.network))
    verdict = add_cell(line, COLUMNS[1], "" if row.report else row.answer)
    if row.report:
        add(verdict, "a", {"href": link_of(row, out)}, row.answer)
    add_cell(line, COLUMNS[2], name_classes(row) or "–")
    for column, name in FIGURES.items():
        add_cell(line, column, figure(row, name, 1) or "–")
    add_cell(line, COLUMNS[-1], printable(row.reason))
