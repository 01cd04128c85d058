"""The report: one self-contained HTML page with tables, pictures and a verdict.

It is built as a tree, so that every name in it is escaped: files come from strangers. The page
needs no script and fetches nothing, and tells the browser so.
"""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from matplotlib.figure import Figure
from PIL import Image

from goodnet.errors import Unusable
from goodnet.files import replacing
from goodnet.judging.judged_json import Answered, InputFile, JudgedFiles
from goodnet.metrics import Judgement, defense_effectiveness_rating, percent, wilson_interval
from goodnet.pictures import canvas
from goodnet.pictures.networks import network_names, of_one_run
from goodnet.pictures.verdict import verdict
from goodnet.pruning.curve import ChannelMeans, PruningCurve

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
body { margin: 0 auto; max-width: 60rem; padding: 1rem; color: #111; background: #fff;
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.2; }
h2 { font-size: 1.2rem; margin: 2rem 0 0.5rem; border-bottom: 1px solid #999; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: 0.35rem 0.6rem; text-align: right; vertical-align: top;
  border-bottom: 1px solid #ccc; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child, .text td, .text th { text-align: left; }
td:first-child, .text td { overflow-wrap: anywhere; }
.text td:first-child, .text td:nth-child(3) { white-space: nowrap; }
td small { display: block; color: #444; white-space: nowrap; }
tr.network td:first-child { min-width: 12.5rem; }
tr.goodnet td:first-child { padding-left: 1.6rem; }
code { font-size: 0.8rem; }
.pictures { display: grid; gap: 1.5rem;
  grid-template-columns: repeat(auto-fit, minmax(24rem, 1fr)); }
figure { margin: 0; }
img { width: 100%; max-width: 30rem; height: auto; }
figcaption { color: #333; font-size: 0.9rem; }
.note { font-size: 0.9rem; color: #333; }
@media (max-width: 54rem) {
  thead { position: absolute; left: -100rem; }
  table, tbody, tr, td { display: block; }
  tr { padding: 0.5rem 0; border-bottom: 1px solid #999; }
  td, td:first-child { border: 0; padding: 0.1rem 0; text-align: left; }
  td::before { content: attr(data-label) ": "; color: #444; }
  td:first-child { font-weight: bold; }
  td:first-child::before { content: ""; }
  td small { display: inline; white-space: normal; }
  td small + small::before { content: "· "; }
  .pictures { grid-template-columns: 1fr; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  h2 { break-after: avoid; }
  figure, tr { break-inside: avoid; }
  .pictures { grid-template-columns: 1fr 1fr; }
  code { font-size: 7pt; }
}
"""
CAPTIONS = {
    "tradeoff": "The trade-off: what is left of the attack against what is left of the network. "
    "A repair that works leads to the corner.",
    "pruning": "Channels pruned one after the other, those that clean images use least first. "
    "A repair that works brings the lower line down while the upper one is still up.",
    "channels": "How much clean and backdoored images use each channel, in the order of pruning. "
    "Pruning works where the trigger has channels of its own, at the left.",
    "answers": "What B and each B' answer to backdoored images: where the attack works, it is the "
    "target, whoever is seen.",
    "samples": "Some images from all over the files, and what every network says of them.",
}
RATES = {
    "Clean accuracy\u00a0↑": ("clean_hits", "clean_images"),
    "ASR\u00a0↓": ("backdoored_hits", "backdoored_images"),
    "Clean rejected\u00a0↓": ("clean_rejected", "clean_images"),
    "Backdoored rejected\u00a0↑": ("backdoored_rejected", "backdoored_images"),
}


def write_page(
    path: Path,
    judged: JudgedFiles,
    curve: PruningCurve,
    channels: ChannelMeans | None,
    figures: Mapping[str, Figure],
    samples: Path | None,
) -> None:
    """Write the report. `figures`: the pictures by name; `samples`: the samples.png, if any.

    Raises Unusable where `samples` is no PNG, or the page cannot be written.
    """
    names = network_names(judged)
    html = ElementTree.Element("html", lang="en")
    head, body = _add(html, "head"), _add(html, "body")
    _add(head, "meta", charset="utf-8")
    _add(head, "meta", {"http-equiv": "Content-Security-Policy", "content": POLICY})
    _add(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    _add(head, "title", text=f"Backdoor report: {names[0]}")
    _add(head, "style", text=STYLE)
    main = _add(body, "main")
    _add(main, "h1", text=f"Backdoor report: {names[0]}")

    fits = of_one_run(curve, judged)
    _add(main, "h2", text="Verdict")
    sentences = _add(main, "ul")
    for sentence in verdict(judged, names, curve if fits else None, channels):
        _add(sentences, "li", text=sentence)
    if not fits:
        text = "The pruning curve below is of other networks or images than these figures."
        _add(sentences, "li", text=text)
    _add(main, "h2", text="Networks")
    _networks(main, judged, names)
    _add(main, "h2", text="Pictures")
    pictures = _add(main, "div", {"class": "pictures"})
    drawn = {name: canvas.png(figures[name]) for name in CAPTIONS if name in figures}
    if samples:
        drawn["samples"] = _checked_png(samples)
    for name, data in drawn.items():
        _picture(pictures, data, CAPTIONS[name])
    _add(main, "h2", text="What was judged")
    _files(main, judged)
    page = "<!doctype html>\n" + ElementTree.tostring(html, encoding="unicode", method="html")
    with replacing(path) as temporary:
        temporary.write_text(page + "\n", encoding="utf-8")


def _add(parent: ElementTree.Element, tag: str, attributes=(), text="", **more) -> ElementTree:
    element = ElementTree.SubElement(parent, tag, dict(attributes), **more)
    element.text = text
    return element


def _table(parent: ElementTree.Element, columns: list[str], **attributes) -> ElementTree.Element:
    table = _add(parent, "table", attributes)
    row = _add(_add(table, "thead"), "tr")
    for column in columns:
        _add(row, "th", text=column, scope="col")
    return _add(table, "tbody")


def _networks(main: ElementTree.Element, judged: JudgedFiles, names: list[str]) -> None:
    columns = ["Network", *RATES, "DER\u00a0↑"]
    body = _table(main, columns)
    b = judged.networks[0].itself.judgement
    for number, (name, network) in enumerate(zip(names, judged.networks, strict=True)):
        label = f"B' {number}: {name}" if number else f"B: {name}"
        _network_row(body, columns, label, network.itself, b if number else None)
        if network.goodnet:
            _network_row(body, columns, f"G of B and B' {number}", network.goodnet, b, "goodnet")
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


def _network_row(
    body: ElementTree.Element,
    columns: list[str],
    label: str,
    answered: Answered,
    b: Judgement | None,
    kind: str = "network",
) -> None:
    row = _add(body, "tr", {"class": kind})
    _add(row, "td", {"data-label": columns[0]}, label)
    for column, (count, images) in RATES.items():
        count, images = (getattr(answered.judgement, name) for name in (count, images))
        if "rejected" in column and kind == "network":
            _add(row, "td", {"data-label": column}, "–")
            continue
        cell = _add(row, "td", {"data-label": column}, f"{percent(count, images):.2f} % ")
        low, high = wilson_interval(count, images)
        _add(cell, "small", text=f"{low:.2f} to {high:.2f}").tail = " "
        _add(cell, "small", text=f"{count} of {images}")
    der = f"{defense_effectiveness_rating(b, answered.judgement):.3f}" if b else "–"
    _add(row, "td", {"data-label": columns[-1]}, der)


def _picture(parent: ElementTree.Element, data: bytes, caption: str) -> None:
    width, height = Image.open(io.BytesIO(data)).size
    figure = _add(parent, "figure")
    source = "data:image/png;base64," + base64.b64encode(data).decode()
    size = {"width": str(width), "height": str(height)}
    _add(figure, "img", {"src": source, "alt": caption, **size})
    _add(figure, "figcaption", text=caption)


def _checked_png(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.verify()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Unusable(f"{path}: is not a PNG file that can be read ({error})") from None
    return data


def _files(main: ElementTree.Element, judged: JudgedFiles) -> None:
    columns = ["File", "Name", "Size", "SHA-256"]
    body = _table(main, columns, **{"class": "text"})
    files = {"Clean images": judged.clean, "Backdoored images": judged.backdoored}
    for number, network in enumerate(judged.networks):
        files[f"B' {number}" if number else "B"] = network.file
    for role, file in files.items():
        _file_row(body, columns, role, file)
    targets = ", ".join(map(str, sorted(judged.targets)))
    text = (
        f"The networks have {judged.n_classes} classes. Labels of the backdoored images: {targets}."
    )
    _add(main, "p", {"class": "note"}, text)


def _file_row(body: ElementTree.Element, columns: list[str], role: str, file: InputFile) -> None:
    row = _add(body, "tr")
    _add(row, "td", {"data-label": columns[0]}, role)
    _add(row, "td", {"data-label": columns[1]}, file.name)
    _add(row, "td", {"data-label": columns[2]}, f"{file.bytes:,} bytes")
    _add(_add(row, "td", {"data-label": columns[3]}), "code", text=file.sha256)
