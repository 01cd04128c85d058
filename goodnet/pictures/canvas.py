"""What all pictures share: sizes, colours, axes, and files that are the same byte for byte.

Figures are built as objects, without pyplot, which takes longer to import. What often lies on one
another shows, in grey and to the colour-blind too: B' is wide and light and G thin and dark before
it (sky blue and a darker vermilion of Okabe and Ito, 2008).
"""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from goodnet.files import replacing

Style = dict[str, Any]  # keyword arguments of matplotlib

LIGHT, DARK = "#56b4e9", "#8c2d04"
REPAIRED: Style = {"color": LIGHT, "linewidth": 3.4, "solid_capstyle": "butt"}
GOODNET: Style = {"color": DARK, "linewidth": 1.2, "linestyle": (0, (3, 1))}
VALIDATION: Style = {"color": "black", "linestyle": "", "marker": "o", "markersize": 1.6}
MARK: Style = {"color": "0.45", "linewidth": 0.7}
MARKED: Style = {
    "color": "black",
    "linestyle": "",
    "marker": "o",
    "markerfacecolor": "white",
    "markersize": 3.5,
}

DPI = 250
FONT = 8  # points
# Inches. One column of a report is some 3.5 wide; at that width the text is still 6.7 points.
WIDTH, LEFT, RIGHT = 4.2, 0.55, 0.12
BOTTOM, TOP = 0.68, 0.08  # below the panels stand the x axis and the legend
PANEL, GAP, LABEL_ROW = 1.5, 0.14, 0.16

# Without dates and versions, so that a file is the same each time.
METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Creator": None, "Date": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}


def make_figure(height: float) -> Figure:
    """An empty figure of the common width; inches."""
    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def add_axes(figure: Figure, bottom: float, height: float) -> Axes:
    """Axes across the figure, with their position in inches."""
    whole = figure.get_figheight()
    return figure.add_axes(
        (LEFT / WIDTH, bottom / whole, (WIDTH - LEFT - RIGHT) / WIDTH, height / whole)
    )


def add_panel(figure: Figure, bottom: float, height: float, label: str) -> Axes:
    """Axes with a named y axis and light lines across."""
    axes = add_axes(figure, bottom, height)
    axes.set_ylabel(label, fontsize=FONT)
    axes.tick_params(labelsize=FONT)
    axes.grid(axis="y", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def add_percent_panel(figure: Figure, bottom: float, height: float, label: str) -> Axes:
    """A panel whose y axis shows all of 0 to 100."""
    axes = add_panel(figure, bottom, height, label)
    axes.set_ylim(-3, 103)
    axes.set_yticks(range(0, 101, 20))
    return axes


def finish(
    figure: Figure, panels: Sequence[Axes], label: str, below: float = 0, columns: int = 5
) -> Figure:
    """The figure with its x axis named and one legend for all panels, `below` inches up."""
    panels[-1].set_xlabel(label, fontsize=FONT)
    lines = {
        str(line.get_label()): line
        for axes in panels
        for line in axes.get_legend_handles_labels()[0]
    }
    figure.legend(
        list(lines.values()),
        list(lines),
        loc="lower center",
        bbox_to_anchor=(0.5, below / figure.get_figheight()),
        ncols=min(columns, len(lines)),
        fontsize=FONT - 0.5,
        frameon=False,
        columnspacing=1.2,
        handletextpad=0.5,
    )
    return figure


def shorten(name: str, length: int) -> str:
    """A name of at most so many characters, its end kept: there names differ."""
    return name if len(name) <= length else f"{name[: length // 3]}…{name[1 - length * 2 // 3 :]}"


def write_names(figure: Figure, names: Sequence[str], top: float) -> None:
    """The names of the repaired networks, by number, from `top` inches down."""
    for row, name in enumerate(names):
        y = (top - (row + 0.5) * LABEL_ROW) / figure.get_figheight()
        text = f"{row + 1}  {shorten(name, 48)}"
        figure.text(LEFT / WIDTH, y, text, fontsize=FONT, va="center_baseline", parse_math=False)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as its path's suffix says; the same bytes for the same figure."""
    with replacing(path) as temporary:
        _render(figure, temporary, path.suffix[1:])


def render_png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file."""
    file = io.BytesIO()
    _render(figure, file, "png")
    return file.getvalue()


def _render(figure: Figure, to: Path | io.BytesIO, kind: str) -> None:
    # The ids of an .svg are made with this word: another one would change the bytes of every file.
    # Fonts go into a .pdf as TrueType: submission systems refuse matplotlib's own Type 3.
    salted = matplotlib.rc_context({"svg.hashsalt": "defense", "pdf.fonttype": 42})
    with salted, warnings.catch_warnings():
        # A file's name may need signs that the font lacks; it is drawn with boxes in their place.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(to, format=kind, metadata=METADATA[kind])
