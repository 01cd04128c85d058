"""CSV files that carry figures from one script to the next: write whole, read with suspicion."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from goodnet.errors import Unusable
from goodnet.files import replacing

Cells = dict[str, str]  # a row by column, and under "" where it stands, for messages


def write(path: Path, columns: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Write a table. Raises Unusable where that cannot be done."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def read(
    path: Path, required: Sequence[str], optional: Sequence[str], right: str
) -> tuple[list[str], list[Cells]]:
    """Read a table: its columns, and its rows as they stand; further columns are passed over.

    `right` says what the file should be. Raises Unusable, which names line and column, where it
    is no such table.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        rows = [(lines.line_num, row) for row in lines if row]
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Unusable(f"{path}: cannot be read ({reason}); name {right}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        reason = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error
        raise Unusable(f"{path}: is not a CSV file ({reason})") from None
    if not rows:
        raise Unusable(f"{path}: is empty; repair.py writes this file")
    (_, header), *rows = rows
    if missing := [name for name in required if name not in header]:
        raise Unusable(f"{path}: has no column {', '.join(missing)}; name {right}")
    if twice := [name for name in (*required, *optional) if header.count(name) > 1]:
        raise Unusable(f"{path}: has the column {', '.join(twice)} more than once")
    return header, [_cells(f"{path}: line {line}", header, row) for line, row in rows]


def channels(cells: Sequence[Cells]) -> tuple[int, ...]:
    """The column `channel`: each of 0..C-1 once; a file that was cut off shows in this too."""
    left = {str(channel): channel for channel in range(len(cells))}
    order = []
    for row in cells:
        if row["channel"] not in left:
            raise Unusable(
                f"{row['']}, column channel: is {row['channel']!r}; the {len(cells)} rows "
                f"must hold the channels 0..{len(cells) - 1} once each"
            )
        order.append(left.pop(row["channel"]))
    return tuple(order)


def number(row: Cells, name: str, low: float, high: float) -> float:
    """The number in a column of a row, from `low` to `high`."""
    try:
        value = float(row[name])
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and low <= value <= high):
        right = "a finite number" if high == math.inf else f"a number from {low} to {high}"
        raise Unusable(f"{row['']}, column {name}: {row[name]!r} is not {right}")
    return value


def _cells(where: str, header: list[str], row: list[str]) -> Cells:
    if len(row) < len(header):
        raise Unusable(f"{where}: ends before column {header[len(row)]}")
    if len(row) > len(header):
        raise Unusable(f"{where}: has {len(row)} values for {len(header)} columns")
    return dict(zip(header, row, strict=True)) | {"": where}
