"""The report of an audit: one HTML page that answers its reader first."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from goodnet.auditing import words
from goodnet.auditing.answer import share
from goodnet.auditing.auditing import Audit, Traced
from goodnet.auditing.rates import Measure
from goodnet.auditing.repairing import SmallPatch
from goodnet.auditing.sheet import Tile, draw_sheet
from goodnet.auditing.triggers import Trigger
from goodnet.pictures.markup import (
    add,
    add_cell,
    add_picture,
    add_rate,
    add_table,
    begin_page,
    render,
)
from goodnet.tuning.suspects import Sighting

NUMBERS = "Score, lead, resistance"
SIZES = ["Patch in B, % of the image", "At last, in B'"]
SMALLEST = "The classes that need the smallest patch"
SOUGHT = ["Family", "Leads to class", "Needs, as a share of the usual"]
WORKS = ["Works in B", "in B'\u00a0↓", "in G\u00a0↓", "G rejects\u00a0↑"]
NETWORKS = ["Judged on", "B", "B'", "G"]
MEASURES = {  # what a row of the table of networks is called
    "clean_accuracy": "Clean images set aside, given their label\u00a0↑",
    "clean_as_b": "The same, answered as by B\u00a0↑",
    "clean_rejected": "The same, rejected\u00a0↓",
    "clean_test_accuracy": "Clean test file, given their label\u00a0↑",
    "clean_test_rejected": "Clean test file, rejected\u00a0↓",
    "backdoored_targets": "Backdoored file, given the attacker's target\u00a0↓",
    "backdoored_rejected": "Backdoored file, rejected\u00a0↑",
    "backdoored_robust": "The same, of other classes: given their true class (RA)\u00a0↑",
}


def render_report(found: Audit, lines: Sequence[str], document: Mapping[str, Any]) -> str:
    """The page. lines: the answer; document: audit.json, for files, settings and versions."""
    html, main = begin_page(f"Backdoor audit: {Path(document['network']).name}")
    for line in lines[:-1]:
        add(main, "p", {"class": "answer"}, line)
    add(main, "p", text=words.recommend(found))
    add(main, "p", {"class": "note"}, words.tell_letters(found))
    _add_list(main, "What this rests on", words.explain(found))
    if found.traced:
        _add_traces(main, found.traced)
    stand_out = any(each.trace.possible for each in found.traced or [])
    heading = "Triggers that stand out, and the smallest patches" if stand_out else SMALLEST
    add(main, "h2", text=heading)
    _add_sheet(main, draw_sheet(found), found)
    _add_suspects(main, found)
    add(main, "h2", text="The networks")
    _add_networks(main, found)
    _add_list(main, "What is not known", words.unknown(found))
    add(main, "h2", text="How it was made")
    _add_origin(main, document)
    return render(html)


def _add_list(main: Element, heading: str, sentences: Sequence[str]) -> None:
    add(main, "h2", text=heading)
    listed = add(main, "ul")
    for sentence in sentences:
        add(listed, "li", text=sentence)


def _add_traces(main: Element, traced: Sequence[Traced]) -> None:
    add(main, "h2", text="Triggers of each family")
    columns = SOUGHT + WORKS
    body = add_table(main, columns)
    for each in traced:
        trace = each.trace
        row = add(body, "tr", {"class": "named"} if each.trace.possible else None)
        to = "each to another" if trace.label is None else str(trace.label)
        family = f"{trace.family}, later" if trace.later else trace.family
        for column, text in zip(columns, (family, to, f"{trace.share:.2f}"), strict=False):
            add_cell(row, column, text)
        _add_counts(row, each.trigger)
    text = (
        "What each family found to stand out most; later: once a copy of B had been trained. "
        "What is not bold does not stand out: in any network such triggers lead some images. "
        "↑ higher is better, ↓ lower is better."
    )
    add(main, "p", {"class": "note"}, text)


def _add_sheet(main: Element, tiles: Sequence[Tile], found: Audit) -> None:
    sheet = add(main, "div", {"class": "sheet"})
    triggers = {each.label: each for each in found.triggers}
    for tile in tiles:
        add_picture(sheet, tile.png, _caption(tile, triggers, found.repair.ordinary))


def _caption(tile: Tile, triggers: Mapping[int | None, Trigger], ordinary: float) -> str:
    if tile.traced:
        to = "Each class to another" if tile.label is None else f"Class {tile.label}"
        return f"{to}, by a {tile.traced.trace.family}: {_works(tile.traced.trigger)}."
    if tile.label is None:
        return "A clean image."
    if tile.ordinary:
        return f"Class {tile.label}, as an ordinary class: {ordinary * 100:.1f} % of the image."
    return f"Class {tile.label}: {_works(triggers[tile.label])}."


def _works(trigger: Trigger) -> str:
    return (
        f"works on {share(trigger.b, trigger.images)} of other images in B, "
        f"{share(trigger.repaired, trigger.images)} in B'"
    )


def _add_suspects(main: Element, found: Audit) -> None:
    seen = {each.label: each for each in found.repair.sounding}
    body = add_table(main, ["Class", *([NUMBERS] if seen else []), *SIZES, *WORKS])
    for suspect, trigger in zip(found.repair.suspects, found.triggers, strict=True):
        kind = {"class": "named"} if trigger.label in found.verdict.classes else None
        _add_suspect(add(body, "tr", kind), seen.get(suspect.label), suspect, trigger)
    begun = "Score, lead and resistance are of the search that the repair began with. "
    add(
        main,
        "p",
        {"class": "note"},
        f"An ordinary patch in B: {found.repair.ordinary * 100:.2f} % of the image. "
        f"{begun if seen else ''}Works: each patch, found in B, was laid over images set aside, of "
        "other classes; how many of them get the class. ↑ higher is better, ↓ lower is better. "
        "Small: the 95 % Wilson interval, and the counts of images.",
    )


def _add_suspect(
    row: Element, seen: Sighting | None, suspect: SmallPatch, trigger: Trigger
) -> None:
    add_cell(row, "Class", str(suspect.label))
    if seen:
        add_cell(row, NUMBERS, f"{seen.score:.1f}, {seen.lead:.1f}, {seen.resistance:.2f}")
    for column, size in zip(SIZES, (suspect.size, suspect.size_at_last), strict=True):
        add_cell(row, column, f"{size * 100:.2f}")
    _add_counts(row, trigger)


def _add_counts(row: Element, trigger: Trigger) -> None:
    counts = (trigger.b, trigger.repaired, trigger.goodnet, trigger.rejected)
    for column, count in zip(WORKS, counts, strict=True):
        _add_rate(row, column, count, trigger.images)


def _add_networks(main: Element, found: Audit) -> None:
    body = add_table(main, NETWORKS)
    for each in found.measures:
        row = add(body, "tr")
        add_cell(row, NETWORKS[0], MEASURES[each.name])
        for column, count in zip(NETWORKS[1:], _counts(each), strict=True):
            _add_rate(row, column, count, each.images)


def _counts(each: Measure) -> tuple[int | None, ...]:
    return each.b, each.repaired, each.goodnet


def _add_rate(row: Element, column: str, count: int | None, images: int) -> None:
    if count is None or not images:
        add_cell(row, column, "–")
    else:
        add_rate(row, column, count, images, digits=1)


def _add_origin(main: Element, document: Mapping[str, Any]) -> None:
    settings = ", ".join(f"{name} {value}" for name, value in document["settings"].items())
    versions = ", ".join(f"{name} {value}" for name, value in document["versions"].items())
    add(main, "p", text=f"Settings: {settings}. Versions: {versions}. To repeat it:")
    add(add(main, "p"), "code", text=shlex.join(document["command"]))
    columns = ["File", "SHA-256"]
    body = add_table(main, columns, {"class": "files"})
    for each in document["inputs"] + document["made"]:
        row = add(body, "tr")
        add_cell(row, columns[0], each["file"])
        add(add_cell(row, columns[1]), "code", text=each["sha256"])
