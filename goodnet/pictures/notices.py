"""What plot.py tells besides the paths it writes: what is missing, and what does not fit."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from goodnet.pictures.catalogue import CHANNELS, PICTURES, RECORD, SOURCES
from goodnet.pictures.findings import Findings, fits_channels, fits_record
from goodnet.pruning.curve import TEST_COLUMNS


def list_notices(
    findings: Findings, csv: Path, out: Path, suffix: str, with_report: bool
) -> list[str]:
    """A line for each thing to tell. `csv`: the file of the curve; `out`: where pictures lie.

    `suffix`: of the pictures, to name one by. `with_report`: whether the report is written too.
    """
    return [
        *_never_reached(findings),
        *_lacking_columns(findings, csv, out, suffix),
        *_lacking_files(csv, suffix, with_report),
        *_not_fitting(findings, csv),
    ]


def _never_reached(findings: Findings) -> Iterator[str]:
    never = [f"{float(drop):g}" for drop, pruned in findings.stops.items() if pruned is None]
    if never:
        yield f"Never reached, so not marked: X = {', '.join(never)}."


def _lacking_columns(findings: Findings, csv: Path, out: Path, suffix: str) -> Iterator[str]:
    shown = {name for picture in PICTURES for name in (*picture.columns, *picture.needs)}
    lacking = [name for name in TEST_COLUMNS if name not in findings.curve.percentages]
    missing = [name for name in lacking if name in shown]
    if not missing:
        return
    line = f"Left out, as {csv} has no such columns: {', '.join(missing)}"
    for picture in PICTURES:
        if not set(missing).isdisjoint(picture.needs):
            path = out / f"{picture.name}.{suffix}"
            line += f"; {path} is " + ("of an earlier run" if path.exists() else "not drawn")
    yield f"{line}."


def _lacking_files(csv: Path, suffix: str, with_report: bool) -> Iterator[str]:
    absent = []
    for source in SOURCES:
        path = csv.with_name(source.name)
        if path.exists() or (source.caption and not with_report):
            continue
        lost = [f"{row.name}.{suffix}" for row in PICTURES if source.name in row.needs]
        lost += [source.lost] if source.lost else []
        command = f"{source.script} --out {shlex.quote(str(csv.parent))}"
        absent.append(f"{path} ({command} writes it): no {' and no '.join(lost)}")
    if absent:
        yield f"Not there: {'; '.join(absent)}."


def _not_fitting(findings: Findings, csv: Path) -> Iterator[str]:
    for name, fits in ((CHANNELS, fits_channels(findings)), (RECORD, fits_record(findings))):
        if not fits:
            path = csv.with_name(name)
            yield f"{path} does not fit {csv}: they are of different runs or files."
