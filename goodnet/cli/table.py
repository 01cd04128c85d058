"""Tables on stdout."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from goodnet.cli.shell import is_terminal
from goodnet.printable import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Direction = Literal["up", "down"]
GLUE = "\uf8ff"  # a space at which no line is broken: no name holds one, as it does not print
WIDTH = 80  # characters, where no terminal sets another
ARROWS: dict[Direction, str] = {"up": "↑", "down": "↓"}


def _console() -> "Console":
    """Where no terminal sets a width, it is WIDTH.

    A narrow table breaks headings between words, but neither figures nor paths.
    """
    from rich.console import Console

    terminal = is_terminal(sys.stdout)
    return Console(
        highlight=False,
        markup=False,
        force_terminal=terminal,
        force_jupyter=False,
        width=None if terminal else WIDTH + 1,  # its right edge is a space, which is cut off
    )


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    better: Mapping[str, Direction] | None = None,
) -> None:
    """Print an aligned table on stdout; columns but the last hold figures.

    The last may hold files: of one folder, it is named in the title, once. `better`: for a column,
    whether higher or lower figures are better: an arrow behind its name says so. On a terminal the
    best figures are set in bold and colour, where they are better than those of the first row, B.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = _console()
    arrows = {"up": "high", "down": "low"} if console.options.ascii_only else ARROWS
    better = better or {}
    title, rows = _name_folder_once(title, [[printable(cell) for cell in row] for row in rows])
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    best = {}
    pairs = zip(columns[:-1], zip(*rows, strict=True), strict=False)
    for index, (column, cells) in enumerate(pairs):
        heading = column
        if column in better:
            heading += f"{GLUE}{arrows[better[column]]}"
            most = max if better[column] == "up" else min
            figures = [float(cell) for cell in cells if cell]
            best[index] = most(figures, default=None)
            if cells[0] and best[index] == float(cells[0]):  # as good as B is no gain
                best[index] = None
        widest = max(map(len, (*heading.split(), *cells)))
        table.add_column(heading, justify="right", min_width=widest)
    files = max(len(each) for each in (columns[-1], *(row[-1] for row in rows)))
    table.add_column(columns[-1], no_wrap=True, min_width=files)
    for number, row in enumerate(rows):
        table.add_row(
            *(
                Text(cell, "bold green" if number and cell and float(cell) == best[index] else "")
                if index in best
                else cell
                for index, cell in enumerate(row)
            )
        )
    _fit(table, console)
    with console.capture() as drawn:
        console.print(table, crop=False)
    print(title)
    print("\n".join(line.rstrip() for line in drawn.get().replace(GLUE, " ").rstrip().splitlines()))


def _fit(table: "Table", console: "Console") -> None:
    """Make a table that is too wide as narrow as it can be, and the console as wide as that."""
    wide = console.options.update(width=1000)
    if console.measure(table, options=wide).maximum > console.width:
        for column in table.columns:  # by itself rich makes some narrow and leaves others wide
            column.width = column.min_width
        console.width = max(console.width, console.measure(table, options=wide).minimum)


def _name_folder_once(title: str, rows: list[list[str]]) -> tuple[str, list[list[str]]]:
    """The title with the folder of all files in the last column, and rows with their names alone.

    Where the files are of several folders, or of the one where the user is, nothing changes.
    """
    folders = {row[-1].rpartition("/")[0] for row in rows if "/" in row[-1]}
    if len(folders) != 1 or folders == {""}:
        return title, rows
    (folder,) = folders
    named = [[*row[:-1], row[-1].removeprefix(f"{folder}/")] for row in rows]
    return f"{title}\nFiles in {folder}/", named
