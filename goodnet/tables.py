"""CSV files that carry figures from one script to the next: write whole, read with suspicion."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from goodnet.errors import Unusable
from goodnet.files import replacing


@dataclass(frozen=True)
class Row:
    """A row of a file that was read: its texts by column, and where it stands."""

    path: Path
    line: int
    texts: Mapping[str, str]

    def refusal(self, column: str, reason: str) -> Unusable:
        """The error that names line and column."""
        return Unusable(f"line {self.line}, column {column}: {reason}", self.path)


@dataclass(frozen=True)
class Table:
    """What a CSV file holds."""

    columns: list[str]
    rows: list[Row]


def write(path: Path, columns: Sequence[str], rows: Iterable[Sequence]) -> None:
    """Write a table. Raises Unusable where that cannot be done."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def read(path: Path, required: Sequence[str], optional: Sequence[str], right: str) -> Table:
    """Read a table as it stands; it may have columns that are neither required nor optional.

    `right` says what the file should be. Raises Unusable, which names line and column, where it
    is no such table.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        rows = [(lines.line_num, row) for row in lines if row]
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Unusable(f"cannot be read ({reason}); name {right}", path) from None
    except UnicodeDecodeError:
        raise Unusable("is not a CSV file (not UTF-8 text)", path) from None
    except csv.Error as error:
        raise Unusable(f"is not a CSV file ({error})", path) from None
    if not rows:
        raise Unusable("is empty; repair.py writes this file", path)
    (_, header), *rows = rows
    if missing := [name for name in required if name not in header]:
        raise Unusable(f"has no column {', '.join(missing)}; name {right}", path)
    if twice := [name for name in (*required, *optional) if header.count(name) > 1]:
        raise Unusable(f"has the column {', '.join(twice)} more than once", path)
    return Table(header, [_named(path, line, header, texts) for line, texts in rows])


def _named(path: Path, line: int, header: list[str], texts: list[str]) -> Row:
    if len(texts) < len(header):
        raise Unusable(f"line {line}: ends before column {header[len(texts)]}", path)
    if len(texts) > len(header):
        raise Unusable(f"line {line}: has {len(texts)} values for {len(header)} columns", path)
    return Row(path, line, dict(zip(header, texts, strict=True)))


def read_channels(rows: Sequence[Row]) -> tuple[int, ...]:
    """The column `channel`: each of 0..C-1 once; a file that was cut off shows in this too.

    Raises Unusable, which names line and column, where it is not so.
    """
    left = {str(channel): channel for channel in range(len(rows))}
    order = []
    for row in rows:
        text = row.texts["channel"]
        if text not in left:
            reason = (
                f"is {text!r}; the {len(rows)} rows "
                f"must hold the channels 0..{len(rows) - 1} once each"
            )
            raise row.refusal("channel", reason)
        order.append(left.pop(text))
    return tuple(order)


def read_numbers(
    rows: Sequence[Row], column: str, low: float = -math.inf, high: float = math.inf
) -> tuple[float, ...]:
    """The finite numbers in a column, from `low` to `high`.

    Raises Unusable, which names line and column, where one is none.
    """
    return tuple(_number(row, column, low, high) for row in rows)


def _number(row: Row, column: str, low: float, high: float) -> float:
    text = row.texts[column]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and low <= value <= high):
        right = "a finite number" if high == math.inf else f"a number from {low} to {high}"
        raise row.refusal(column, f"{text!r} is not {right}")
    return value
