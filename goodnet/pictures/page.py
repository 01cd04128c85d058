"""The report: one self-contained HTML page with tables, pictures and a verdict.

It is built as a tree, so that every name in it is escaped: files come from strangers. The page
needs no script and fetches nothing, and tells the browser so.
"""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

from matplotlib.figure import Figure
from PIL import Image

from goodnet.errors import Unusable
from goodnet.files import replacing
from goodnet.judging.record import AnswerRecord, Record, name_networks, rates_of
from goodnet.metrics import Judgement, defense_effectiveness_rating, percent, wilson_interval
from goodnet.pictures import canvas
from goodnet.pictures.catalogue import list_captions
from goodnet.pictures.findings import Findings, fits_record
from goodnet.pictures.verdict import describe

STYLE = Path(__file__).with_name("page.css")
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
LABELS = {  # of the rates in the table
    "clean_accuracy": "Clean accuracy\u00a0↑",
    "attack_success_rate": "ASR\u00a0↓",
    "clean_rejected_rate": "Clean rejected\u00a0↓",
    "backdoored_rejected_rate": "Backdoored rejected\u00a0↑",
}
REJECTED = ("clean_rejected_rate", "backdoored_rejected_rate")  # by a goodnet alone
COLUMNS = ["Network", *LABELS.values(), "DER\u00a0↑"]


def write_page(
    path: Path, findings: Findings, figures: Mapping[str, Figure], samples: Path | None
) -> None:
    """Write the report of findings that have a record.

    `figures`: the pictures by name; `samples`: the samples.png, if any. Raises Unusable where
    `samples` is no PNG, or the page cannot be written.
    """
    record = findings.record
    assert record is not None
    names = name_networks(record)
    html = Element("html", lang="en")
    _add_head(html, f"Backdoor report: {names[0]}")
    main = _add(_add(html, "body"), "main")
    _add(main, "h1", text=f"Backdoor report: {names[0]}")
    _add(main, "h2", text="Verdict")
    _add_verdict(main, findings, record, names)
    _add(main, "h2", text="Networks")
    _add_networks(main, record, names)
    _add(main, "h2", text="Pictures")
    _add_pictures(main, figures, samples)
    _add(main, "h2", text="What was judged")
    _add_files(main, record)
    page = "<!doctype html>\n" + tostring(html, encoding="unicode", method="html")
    with replacing(path) as temporary:
        temporary.write_text(page + "\n", encoding="utf-8")


def _add(
    parent: Element,
    tag: str,
    attributes: Mapping[str, str] | None = None,
    text: str = "",
    **more: str,
) -> Element:
    element = SubElement(parent, tag, {**(attributes or {}), **more})
    element.text = text
    return element


def _add_head(html: Element, title: str) -> None:
    head = _add(html, "head")
    _add(head, "meta", charset="utf-8")
    _add(head, "meta", {"http-equiv": "Content-Security-Policy", "content": POLICY})
    _add(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    _add(head, "title", text=title)
    _add(head, "style", text="\n" + STYLE.read_text(encoding="utf-8"))


def _add_verdict(main: Element, findings: Findings, record: Record, names: list[str]) -> None:
    fits = fits_record(findings)
    sentences = describe(record, names, findings.curve if fits else None, findings.channels)
    if not fits:
        sentences.append(
            "The pruning curve below is of other networks or images than these figures."
        )
    listed = _add(main, "ul")
    for sentence in sentences:
        _add(listed, "li", text=sentence)


def _add_table(
    parent: Element, columns: list[str], kind: Mapping[str, str] | None = None
) -> Element:
    """A table with its head; the body, to add rows to."""
    table = _add(parent, "table", kind)
    row = _add(_add(table, "thead"), "tr")
    for column in columns:
        _add(row, "th", text=column, scope="col")
    return _add(table, "tbody")


def _add_cell(row: Element, column: str, text: str = "") -> Element:
    """A cell that names its column, as a narrow screen shows the table without its head."""
    return _add(row, "td", {"data-label": column}, text)


def _add_networks(main: Element, record: Record, names: list[str]) -> None:
    body = _add_table(main, COLUMNS)
    b = record.networks[0].itself.judgement
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
    _add(main, "p", {"class": "note"}, note)


def _add_network(
    body: Element,
    label: str,
    answers: AnswerRecord,
    b: Judgement | None,
    kind: str = "network",
) -> None:
    """A row for a network or a goodnet. `b`: what its DER is measured against, None for B."""
    row = _add(body, "tr", {"class": kind})
    _add_cell(row, COLUMNS[0], label)
    for name, rate in rates_of(answers.judgement).items():
        if name in REJECTED and kind == "network":
            _add_cell(row, LABELS[name], "–")
            continue
        cell = _add_cell(row, LABELS[name], f"{percent(rate.count, rate.images):.2f} % ")
        low, high = wilson_interval(rate.count, rate.images)
        _add(cell, "small", text=f"{low:.2f} to {high:.2f}").tail = " "
        _add(cell, "small", text=f"{rate.count} of {rate.images}")
    der = f"{defense_effectiveness_rating(b, answers.judgement):.3f}" if b else "–"
    _add_cell(row, COLUMNS[-1], der)


def _add_pictures(main: Element, figures: Mapping[str, Figure], samples: Path | None) -> None:
    pictures = _add(main, "div", {"class": "pictures"})
    captions = list_captions()
    files = {name: canvas.render_png(figures[name]) for name in captions if name in figures}
    if samples:
        files[samples.stem] = _read_png(samples)
    for name, caption in captions.items():
        if name in files:
            _add_picture(pictures, files[name], caption)


def _add_picture(parent: Element, data: bytes, caption: str) -> None:
    width, height = Image.open(io.BytesIO(data)).size
    figure = _add(parent, "figure")
    source = "data:image/png;base64," + base64.b64encode(data).decode()
    size = {"width": str(width), "height": str(height)}
    _add(figure, "img", {"src": source, "alt": caption, **size})
    _add(figure, "figcaption", text=caption)


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
    body = _add_table(main, columns, {"class": "text"})
    files = {"Clean images": record.clean, "Backdoored images": record.backdoored}
    for number, network in enumerate(record.networks):
        files[f"B' {number}" if number else "B"] = network.file
    for role, file in files.items():
        row = _add(body, "tr")
        for column, text in zip(columns, (role, file.name, f"{file.bytes:,} bytes"), strict=False):
            _add_cell(row, column, text)
        _add(_add_cell(row, columns[-1]), "code", text=file.sha256)
    targets = ", ".join(map(str, sorted(record.targets)))
    text = (
        f"The networks have {record.n_classes} classes. Labels of the backdoored images: {targets}."
    )
    _add(main, "p", {"class": "note"}, text)
