"""The report: one self-contained HTML page with tables, pictures and a verdict.

markup.py has the parts that it is put together from.
"""

import io
import math
from collections.abc import Mapping
from pathlib import Path
from xml.etree.ElementTree import Element

from matplotlib.figure import Figure
from PIL import Image

from goodnet.errors import Unusable
from goodnet.files import replacing
from goodnet.judging.record import AnswerRecord, Record, name_networks, rates_of
from goodnet.metrics import Judgement, defense_effectiveness_rating, fidelity, percent
from goodnet.pictures import canvas
from goodnet.pictures.catalogue import list_captions
from goodnet.pictures.findings import Findings, fits_record
from goodnet.pictures.markup import (
    add,
    add_cell,
    add_picture,
    add_rate,
    add_table,
    begin_page,
    render,
)
from goodnet.pictures.verdict import describe

LABELS = {  # of the rates in the table
    "clean_accuracy": "Clean accuracy\u00a0↑",
    "attack_success_rate": "ASR\u00a0↓",
    "clean_rejected_rate": "Clean rejected\u00a0↓",
    "backdoored_rejected_rate": "Backdoored rejected\u00a0↑",
}
REJECTED = ("clean_rejected_rate", "backdoored_rejected_rate")  # by a goodnet alone
LETTERS = (
    "B is the network that was handed over, B' a repaired copy of it. G, the goodnet, asks both: "
    "where they agree, that is its answer, and where they differ it rejects the image. X: how many "
    "points of clean accuracy pruning may cost."
)
ROBUST = (
    *("Network", "True class\u00a0↑", "Most often instead", "Fidelity\u00a0↑"),
    "Rejected by its G\u00a0↑",
)
COLUMNS = ["Network", *LABELS.values(), "DER\u00a0↑"]


def write_page(
    path: Path, findings: Findings, figures: Mapping[str, Figure], samples: Path | None
) -> None:
    """Write the report of what is there: findings that have a record, or a pruning curve alone.

    `figures`: the pictures by name; `samples`: the samples.png, if any. Raises Unusable where
    `samples` is no PNG, or the page cannot be written.
    """
    record = findings.record
    names = name_networks(record) if record else []
    html, main = begin_page(f"Backdoor report: {names[0]}" if names else "Pruning report")
    add(main, "h2", text="Verdict")
    _add_verdict(main, findings, names)
    if record:
        add(main, "h2", text="Networks")
        _add_networks(main, record, names)
        _add_robust(main, record, names)
    add(main, "h2", text="Pictures")
    _add_pictures(main, figures, samples)
    if record:
        add(main, "h2", text="What was judged")
        _add_files(main, record)
    with replacing(path) as temporary:
        temporary.write_text(render(html), encoding="utf-8")


def _add_verdict(main: Element, findings: Findings, names: list[str]) -> None:
    fits = fits_record(findings)
    curve = findings.curve if fits else None
    sentences = describe(findings.record, names, curve, findings.channels)
    if not fits:
        sentences.append(
            "The pruning curve below is of other networks or images than these figures."
        )
    listed = add(main, "ul")
    for sentence in sentences:
        add(listed, "li", text=sentence)


def _add_networks(main: Element, record: Record, names: list[str]) -> None:
    body = add_table(main, COLUMNS)
    b = record.networks[0].itself.judgement
    add(main, "p", {"class": "note"}, LETTERS)
    for number, (name, network) in enumerate(zip(names, record.networks, strict=True)):
        label = f"B' {number}: {name}" if number else f"B: {name}"
        _add_network(body, label, network.itself, b if number else None)
        if network.goodnet:
            _add_network(body, f"G of B and B' {number}", network.goodnet, b, "goodnet")
    note = (
        "↑ higher is better, ↓ lower is better. ASR, attack success rate: backdoored images given "
        "the attacker's target. Rejected: answered by the goodnet G with class N+1, as B and B' "
        "differ. Small: the 95 % Wilson interval, and the counts of images. DER, defense "
        "effectiveness rating, from 0 to 1: half of the drop in ASR less the drop in clean "
        "accuracy plus 1 (Zhu et al., ICCV 2023, as in BackdoorBench); doing nothing has 0.5."
    )
    if b.backdoored_without_target:
        note += (
            f" {b.backdoored_without_target} of the backdoored images are labelled with class N+1, "
            "not with a target: they never count as a success."
        )
    add(main, "p", {"class": "note"}, note)


def _add_network(
    body: Element,
    label: str,
    answers: AnswerRecord,
    b: Judgement | None,
    kind: str = "network",
) -> None:
    """A row for a network or a goodnet. `b`: what its DER is measured against, None for B."""
    row = add(body, "tr", {"class": kind})
    add_cell(row, COLUMNS[0], label)
    rates = rates_of(answers.judgement)
    for name in LABELS:
        rate = rates.get(name)
        if rate is None or (name in REJECTED and kind == "network"):
            add_cell(row, LABELS[name], "–")
            continue
        add_rate(row, LABELS[name], rate.count, rate.images, digits=2)
    attacked = b and b.backdoored_images
    der = f"{defense_effectiveness_rating(b, answers.judgement):.3f}" if b and attacked else "–"
    add_cell(row, COLUMNS[-1], der)


def _add_robust(main: Element, record: Record, names: list[str]) -> None:
    """What becomes of backdoored images, where their true classes are known."""
    b = record.networks[0]
    if not b.robust:
        return
    add(main, "h2", text="What backdoored images are called")
    body = add_table(main, ROBUST)
    for number, (name, network) in enumerate(zip(names, record.networks, strict=True)):
        found = network.robust
        if not found:
            continue
        row = add(body, "tr")
        add_cell(row, ROBUST[0], f"B' {number}: {name}" if number else f"B: {name}")
        add_rate(row, ROBUST[1], found.right, found.images, digits=2)
        share = f"{percent(found.given_instead, found.images):.2f} % class {found.instead}"
        add_cell(row, ROBUST[2], "–" if found.instead is None else share)
        kept = fidelity(b.itself.judgement, network.itself.judgement)
        add_cell(row, ROBUST[3], f"{kept:.3f}" if number and not math.isnan(kept) else "–")
        rejected = network.goodnet and network.goodnet.judgement.backdoored_rejected_rate
        add_cell(row, ROBUST[4], "–" if rejected is None else f"{rejected:.2f} %")
    add(
        main,
        "p",
        {"class": "note"},
        "Of backdoored images of other classes than the target: the backdoored images are the "
        "clean ones with the trigger, in the same order, so their true classes are known. True "
        "class: robust accuracy (RA). An ASR near 0 is not all: an image may be given a wrong "
        "class all the same, where G rejects it. Fidelity, from 0 to 1: the share of B's ASR that "
        "is gone, times the share of its clean accuracy that is kept. Rejected: of all backdoored "
        "images.",
    )


def _add_pictures(main: Element, figures: Mapping[str, Figure], samples: Path | None) -> None:
    pictures = add(main, "div", {"class": "pictures"})
    captions = list_captions()
    files = {name: canvas.render_png(figures[name]) for name in captions if name in figures}
    if samples:
        files[samples.stem] = _read_png(samples)
    for name, caption in captions.items():
        if name in files:
            add_picture(pictures, files[name], caption)


def _read_png(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.verify()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Unusable(f"is not a PNG file that can be read ({error})", path) from None
    return data


def _add_files(main: Element, record: Record) -> None:
    columns = ["File", "Name", "Size", "SHA-256"]
    body = add_table(main, columns, {"class": "text"})
    files = {"Clean images": record.clean}
    if record.backdoored:
        files["Backdoored images"] = record.backdoored
    for number, network in enumerate(record.networks):
        files[f"B' {number}" if number else "B"] = network.file
    for role, file in files.items():
        row = add(body, "tr")
        for column, text in zip(columns, (role, file.name, f"{file.bytes:,} bytes"), strict=False):
            add_cell(row, column, text)
        add(add_cell(row, columns[-1]), "code", text=file.sha256)
    text = f"The networks have {record.n_classes} classes."
    if targets := ", ".join(map(str, sorted(record.targets))):
        text += f" Labels of the backdoored images: {targets}."
    add(main, "p", {"class": "note"}, text)
