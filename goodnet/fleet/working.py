"""The work on many networks: each is audited in a process of its own, and gets a row.

What such a process writes is what audit.py writes for that network alone. Nothing of a network is
opened here: what is known of it is what that process wrote into audit.json.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

from goodnet.cli import shell
from goodnet.cli.defaults import ROOT
from goodnet.errors import Unusable
from goodnet.files import refuse_link
from goodnet.fleet import table
from goodnet.fleet.child import WHY
from goodnet.fleet.networks import Network
from goodnet.fleet.results import Row, Wanted, read_row, refused, row_after
from goodnet.fleet.running import Task, run_here, run_on_dask
from goodnet.lab import AuditFiles
from goodnet.printable import printable

SCRIPT = ROOT / "audit.py"


@dataclass(frozen=True)
class Fleet:
    """The networks of a run, where the audit of each goes, and what it is to be made of."""

    clean: Path
    networks: Sequence[Network]
    made: Sequence[AuditFiles]  # for each network
    wanted: Wanted
    options: Sequence[str]  # the same for all
    lock: Lock = field(default_factory=Lock)  # of the lines that are told

    def tell(self, number: int, line: str) -> None:
        """Show a line about one of them; several threads do."""
        name = self.networks[number].path.name
        with self.lock:
            shell.notice(f"{number + 1} of {len(self.networks)}, {name}: {line}")


def audit_all(fleet: Fleet, at_a_time: int, scheduler: str | None) -> list[Row]:
    """A row for each network, in their order; what is done is not done again.

    scheduler: the address of that of Dask, where the audits run; else so many run here at a time.
    """
    rows = dict(_rows_before(fleet))
    twins = _find_twins(fleet.networks, rows)
    left = [number for number in range(len(fleet.networks)) if number not in {*rows, *twins}]
    tasks = [Task(number, _words(fleet, number)) for number in left]

    def tell(task: Task, line: str) -> None:
        fleet.tell(task.number, line)

    def ended(task: Task, status: int, said: str) -> None:
        network, made = fleet.networks[task.number], fleet.made[task.number]
        row = row_after(network, made, fleet.wanted, status, _reason(said, network.path))
        rows[task.number] = row
        tell(task, describe(row))

    if tasks and scheduler:
        run_on_dask(tasks, scheduler, ended)
    elif tasks:
        run_here(tasks, at_a_time, tell, ended)
    for twin, number in twins.items():
        rows[twin] = replace(rows[number], network=fleet.networks[twin].path)
        fleet.tell(twin, f"the same bytes as {number + 1}: {describe(rows[twin])}")
    return [rows[number] for number in range(len(fleet.networks))]


def _rows_before(fleet: Fleet) -> Iterator[tuple[int, Row]]:
    """The rows of networks that were audited before, and of those that cannot be read."""
    for number, network in enumerate(fleet.networks):
        try:
            if network.error:
                raise network.error
            refuse_link(fleet.made[number].results.parent)
        except Unusable as error:
            row = refused(network, error)
            fleet.tell(number, describe(row))
            yield number, row
            continue
        if before := read_row(network, fleet.made[number], fleet.wanted):
            fleet.tell(number, f"audited before: {describe(before)}")
            yield number, before


def _find_twins(networks: Sequence[Network], rows: Mapping[int, Row]) -> dict[int, int]:
    """Networks without a row whose bytes are those of another: which one, by their places.

    Of one that was refused for its own place or folder, others may still be audited.
    """
    known = {networks[number].sha256: number for number, row in rows.items() if not row.status}
    twins = {}
    for number, network in enumerate(networks):
        if number not in rows and known.setdefault(network.sha256, number) != number:
            twins[number] = known[network.sha256]
    return twins


def _words(fleet: Fleet, number: int) -> tuple[str, ...]:
    """What Python is given to audit one of them."""
    paths = [str(path) for path in (fleet.clean, fleet.networks[number].path)]
    files = [f"./{path}" if path.startswith("-") else path for path in paths]
    out = fleet.made[number].results.parent
    return (str(SCRIPT), *files, f"--out={out}", *fleet.options)


def _reason(said: str, path: Path) -> str:
    """The line that ends an audit without the names that it begins with."""
    return said.removeprefix(WHY).removeprefix(f"{printable(path)}: ")


def describe(row: Row) -> str:
    """A row in a few words."""
    if row.status:
        return f"{row.answer}: {row.reason}"
    return row.answer + (f", class {table.name_classes(row)}" if row.classes else "")
