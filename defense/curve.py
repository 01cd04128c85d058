"""The pruning curve, and `pruning.csv`, the file that carries it from repair.py to plot.py.

One row for each number of pruned channels, 0 to all; everything in percent, with every digit.
"""

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from defense.errors import Unusable
from defense.files import replacing

VALID = "valid_accuracy"
TEST_COLUMNS = (
    "test_accuracy",
    "test_asr",
    "goodnet_accuracy",
    "goodnet_asr",
    "goodnet_clean_rejected",
    "goodnet_backdoored_rejected",
)
REQUIRED = ("pruned", "channel", "mean_activation", VALID)
# A percentage is count / n * 100, rounded to a double, so a drop of exactly X points can come out
# some 1e-14 short of X. Counts that differ are 100 / n points apart, far more than this.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class PruningCurve:
    """What B becomes as its C channels are pruned one after the other."""

    channels: tuple[int, ...]  # (C,) in the order of pruning
    mean_activation: tuple[float, ...]  # (C,) in the same order
    percentages: dict[str, tuple[float, ...]]  # column -> (C + 1,), the first value is B's own


def first_reaching(curve: PruningCurve, drops: Iterable[Fraction]) -> dict[Fraction, int | None]:
    """For each drop X, the first number of pruned channels that costs X points or more.

    The points are of clean validation accuracy, against B's own. None where X is never reached.
    """
    own, *rest = curve.percentages[VALID]
    return {
        drop: next((k for k, now in enumerate(rest, 1) if own - now >= drop - TOLERANCE), None)
        for drop in drops
    }


def write_curve(path: Path, curve: PruningCurve) -> None:
    """Write `pruning.csv`. Raises Unusable where that cannot be done."""
    columns = [name for name in (VALID, *TEST_COLUMNS) if name in curve.percentages]
    channels = ["", *map(int, curve.channels)]
    means = ["", *map(float, curve.mean_activation)]
    percentages = [map(float, curve.percentages[name]) for name in columns]
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*REQUIRED[:3], *columns])
        writer.writerows(zip(range(len(channels)), channels, means, *percentages, strict=True))


def read_curve(path: Path) -> PruningCurve:
    """Read `pruning.csv`; columns that it does not know are passed over.

    Raises Unusable, which names line and column, where the file is not such a curve.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        rows = [(lines.line_num, row) for row in lines if row]
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise Unusable(
            f"{path}: cannot be read ({reason}); name a pruning.csv that repair.py wrote"
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        reason = "not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error
        raise Unusable(f"{path}: is not a CSV file ({reason})") from None
    if not rows:
        raise Unusable(f"{path}: is empty; repair.py writes this file")
    (_, header), *rows = rows
    _check_header(path, header)
    columns = [name for name in (VALID, *TEST_COLUMNS) if name in header]
    cells = [_cells(f"{path}: line {line}", header, row) for line, row in rows]
    if len(cells) < 2:
        raise Unusable(f"{path}: needs a row for each channel, and row 0; it has {len(cells)} rows")
    _check_order(cells)
    return PruningCurve(
        _channels(cells[1:]),
        tuple(_number(row, "mean_activation", -math.inf, math.inf) for row in cells[1:]),
        {name: tuple(_number(row, name, 0, 100) for row in cells) for name in columns},
    )


def _check_header(path: Path, header: list[str]) -> None:
    if missing := [name for name in REQUIRED if name not in header]:
        raise Unusable(
            f"{path}: has no column {', '.join(missing)}; name a pruning.csv that repair.py wrote"
        )
    if twice := [name for name in (*REQUIRED, *TEST_COLUMNS) if header.count(name) > 1]:
        raise Unusable(f"{path}: has the column {', '.join(twice)} more than once")


def _cells(where: str, header: list[str], row: list[str]) -> dict[str, str]:
    """A row by column, and under "" where it stands, for messages."""
    if len(row) < len(header):
        raise Unusable(f"{where}: ends before column {header[len(row)]}")
    if len(row) > len(header):
        raise Unusable(f"{where}: has {len(row)} values for {len(header)} columns")
    return dict(zip(header, row, strict=True)) | {"": where}


def _check_order(cells: list[dict[str, str]]) -> None:
    for pruned, row in enumerate(cells):
        if row["pruned"] != str(pruned):
            raise Unusable(
                f"{row['']}, column pruned: is {row['pruned']!r}, not {pruned}; "
                "rows are missing or out of order"
            )
    for name in ("channel", "mean_activation"):
        if cells[0][name]:
            raise Unusable(f"{cells[0]['']}, column {name}: must be empty, as nothing is pruned")


def _channels(cells: list[dict[str, str]]) -> tuple[int, ...]:
    """The channels, each of 0..C-1 once; a file that was cut off shows in this too."""
    left = {str(channel): channel for channel in range(len(cells))}
    channels = []
    for row in cells:
        if row["channel"] not in left:
            raise Unusable(
                f"{row['']}, column channel: is {row['channel']!r}; the {len(cells)} rows "
                f"must hold the channels 0..{len(cells) - 1} once each"
            )
        channels.append(left.pop(row["channel"]))
    return tuple(channels)


def _number(row: dict[str, str], name: str, low: float, high: float) -> float:
    try:
        number = float(row[name])
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and low <= number <= high):
        right = "a finite number" if high == math.inf else f"a number from {low} to {high}"
        raise Unusable(f"{row['']}, column {name}: {row[name]!r} is not {right}")
    return number
