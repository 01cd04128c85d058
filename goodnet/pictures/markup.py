"""The parts of a page: built as a tree, so that every name in it is escaped.

Files come from strangers. A page needs no script and fetches nothing, and tells the browser so.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

from PIL import Image

from goodnet.metrics import percent, wilson_interval

STYLE = Path(__file__).with_name("page.css")
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def begin_page(title: str) -> tuple[Element, Element]:
    """A page with its title as heading: the whole of it, and where its content goes."""
    html = Element("html", lang="en")
    _add_head(html, title)
    main = add(add(html, "body"), "main")
    add(main, "h1", text=title)
    return html, main


def render(html: Element) -> str:
    """A page as the text of its file."""
    return "<!doctype html>\n" + tostring(html, encoding="unicode", method="html") + "\n"


def add(
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
    head = add(html, "head")
    add(head, "meta", charset="utf-8")
    add(head, "meta", {"http-equiv": "Content-Security-Policy", "content": POLICY})
    add(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    add(head, "title", text=title)
    add(head, "style", text="\n" + STYLE.read_text(encoding="utf-8"))


def add_table(
    parent: Element, columns: Sequence[str], kind: Mapping[str, str] | None = None
) -> Element:
    """A table with its head; the body, to add rows to."""
    table = add(parent, "table", kind)
    row = add(add(table, "thead"), "tr")
    for column in columns:
        add(row, "th", text=column, scope="col")
    return add(table, "tbody")


def add_cell(row: Element, column: str, text: str = "") -> Element:
    """A cell that names its column, as a narrow screen shows the table without its head."""
    return add(row, "td", {"data-label": column}, text)


def add_rate(row: Element, column: str, count: int, images: int, digits: int) -> None:
    """A cell with a count of images in percent, its 95 % Wilson interval, and the counts."""
    low, high = wilson_interval(count, images)
    cell = add_cell(row, column, f"{percent(count, images):.{digits}f} % ")
    add(cell, "small", text=f"{low:.{digits}f} to {high:.{digits}f}").tail = " "
    add(cell, "small", text=f"{count} of {images}")


def add_picture(parent: Element, data: bytes, caption: str) -> None:
    width, height = Image.open(io.BytesIO(data)).size
    figure = add(parent, "figure")
    source = "data:image/png;base64," + base64.b64encode(data).decode()
    size = {"width": str(width), "height": str(height)}
    add(figure, "img", {"src": source, "alt": caption, **size})
    add(figure, "figcaption", text=caption)
