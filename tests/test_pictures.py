"""The pictures that explain, and the page: what they hold, against the figures they are made of."""

import base64
import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO

import examples
import numpy as np
import pytest
from conftest import run_in_process, run_script
from examples import CHANNELS, COUNTS, DROPS, HOSTILE, IMAGES, SHOWN
from matplotlib.colors import to_rgb
from PIL import Image

from goodnet.cli.table import print_table
from goodnet.errors import Unusable
from goodnet.judging.judged_json import read_record, write_record
from goodnet.metrics import defense_effectiveness_rating, wilson_interval
from goodnet.pictures import canvas, page
from goodnet.pictures.answers import draw_answers
from goodnet.pictures.catalogue import PICTURES, SOURCES, explain, list_captions
from goodnet.pictures.channels import draw_channels
from goodnet.pictures.findings import Findings, draw
from goodnet.pictures.tradeoff import draw_tradeoff
from goodnet.pictures.verdict import describe
from goodnet.pruning.curve import (
    TEST_COLUMNS,
    PruningCurve,
    read_channels,
    write_channels,
    write_curve,
)

CURVE, RECORD = examples.curve(), examples.record()
NAMES = ["bd_net.h5", *COUNTS]
FINDINGS = Findings(CURVE, DROPS, CHANNELS, RECORD)


# ---------------------------------------------------------------- figures


@pytest.mark.parametrize("count, n", [(0, 1), (1, 1), (3, 7), (893, 12830), (12830, 12830)])
def test_wilson_interval_ends_where_the_rate_is_at_the_edge_of_belief(count, n):
    """At its ends p, the count is 1.96 standard deviations of p away: a quadratic's roots."""
    z2, rate = 1.959963984540054**2, count / n
    roots = sorted(np.roots([1 + z2 / n, -2 * rate - z2 / n, rate**2]).real * 100)
    low, high = wilson_interval(count, n)
    assert (low, high) == pytest.approx(roots, abs=1e-6)
    assert 0 <= low <= rate * 100 <= high <= 100


def test_der_is_that_of_the_papers_table():
    """Zhu et al. (2023), table 1: fine-tuning and ABL on BadNets, FP on the input-aware attack."""
    b = RECORD.networks[0].itself.judgement
    for before, after, der in (
        ((91.82, 93.79), (90.29, 1.70), 95.28),
        ((91.82, 93.79), (80.10, 0.00), 91.03),
        ((94.03, 98.35), (94.05, 10.95), 93.70),  # an accuracy that rises counts for nothing
    ):
        one, other = (
            replace(
                b,
                clean_images=10000,
                backdoored_images=10000,
                clean_hits=round(accuracy * 100),
                backdoored_hits=round(asr * 100),
            )
            for accuracy, asr in (before, after)
        )
        assert defense_effectiveness_rating(one, other) * 100 == pytest.approx(der, abs=0.0051)
    assert defense_effectiveness_rating(b, b) == 0.5


# ---------------------------------------------------------------- channels.csv and judged.json


def test_channels_csv_is_as_documented_and_read_back(tmp_path):
    path = tmp_path / "channels.csv"
    in_channel_order = {
        name: np.array([means[CHANNELS.channels.index(channel)] for channel in range(5)])
        for name, means in CHANNELS.means.items()
    }
    write_channels(path, np.array(CHANNELS.channels), in_channel_order)
    assert path.read_text().splitlines()[:3] == [
        "pruned,channel,valid_mean_activation,test_mean_activation,backdoored_mean_activation",
        "1,3,0.0,0.0,0.0",
        "2,0,0.5,0.6,0.0",
    ]
    assert read_channels(path) == CHANNELS
    for bad, says in (("0.6", "many"), ("2,0", "2,3")):
        path.write_text(path.read_text().replace(bad, says))
        with pytest.raises(Unusable, match=f"^{re.escape(str(path))}: line 3, column "):
            read_channels(path)


def test_judged_json_is_read_back(tmp_path):
    write_record(tmp_path / "judged.json", RECORD)
    assert read_record(tmp_path / "judged.json") == RECORD
    content = json.loads((tmp_path / "judged.json").read_text())
    best = content["networks"][4]["itself"]
    assert best["attack_success_rate"] == 893 / 12830 * 100
    assert best["attack_success_rate_interval"] == list(wilson_interval(893, 12830))
    assert best["backdoored_answers"] == {"0": 893, "7": 11937}


def _first(content):
    return content["networks"][0]["itself"]


@pytest.mark.parametrize(
    "harm, says",
    [
        (lambda c: c.clear(), "it has no networks"),
        (lambda c: c.update(networks=[]), "no network"),
        (lambda c: c.update(networks=[3]), "it has no "),
        (lambda c: c.update(n_classes="9"), "n_classes"),
        (lambda c: c.update(n_classes=2), "must count the classes 0..2"),
        (lambda c: c["clean"].update(sha256="<b>"), "sha256"),
        (lambda c: c["clean"].update(bytes=-1), "bytes is -1"),
        (lambda c: c["clean"].update(bytes=True), "bytes is True"),
        (lambda c: c["clean"].update(name=None), "name"),
        (lambda c: c.update(targets={"0": 5}), "same images"),
        (lambda c: c.update(targets={"-1": IMAGES}), "classes"),
        (lambda c: c.update(targets={"9" * 5000: IMAGES}), "classes"),
        (lambda c: _first(c).update(clean_hits=IMAGES + 1), "do not add up"),
        (lambda c: _first(c).update(clean_images=0), "do not add up"),
        (lambda c: _first(c).update(clean_hits=1e300), "clean_hits"),
        (lambda c: _first(c).update(backdoored_rejected=4), "do not add up"),
        (lambda c: _first(c).update(backdoored_answers={"0": 2**60}), "not a count"),
        (lambda c: c["networks"][1].update(goodnet=None), "must have a goodnet"),
        (lambda c: c["networks"][0].update(goodnet=c["networks"][1]["goodnet"]), "goodnet"),
    ],
)
def test_a_judged_json_that_is_none_is_refused_in_one_line(tmp_path, harm, says):
    path = tmp_path / "judged.json"
    write_record(path, RECORD)
    content = json.loads(path.read_text())
    harm(content)
    path.write_text(json.dumps(content))
    with pytest.raises(Unusable) as refusal:
        read_record(path)
    assert refusal.value.path == path and says in refusal.value.reason
    assert refusal.value.reason.startswith("is no judged.json")
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize("text", ["", "{", "[" * 100000, "\xff"])
def test_what_is_no_json_is_refused(tmp_path, text):
    (tmp_path / "judged.json").write_text(text, encoding="latin-1")
    with pytest.raises(Unusable, match="judged.json: is n"):
        read_record(tmp_path / "judged.json")


# ---------------------------------------------------------------- pictures


def test_every_row_of_the_table_is_explained_drawn_and_shown(tmp_path):
    explained = f"{explain(beside=False)}\n{explain(beside=True)}"
    assert [row.split(maxsplit=1) for row in explained.splitlines()] == [
        [f"{picture.name}.png", picture.shows] for picture in PICTURES
    ]
    assert list(draw(FINDINGS)) == [picture.name for picture in PICTURES]
    sources = {source.name for source in SOURCES}
    for picture in PICTURES:
        assert {*picture.columns, *picture.needs} <= {*TEST_COLUMNS, *sources}, picture.name
    positions = [row.caption.position for row in (*PICTURES, *SOURCES) if row.caption]
    assert len(set(positions)) == len(positions)
    samples = tmp_path / "samples.png"
    Image.new("RGB", (40, 30)).save(samples)
    shown = [image["alt"] for image in Reader(written(tmp_path, samples=samples)).images]
    assert shown == list(list_captions().values())
    assert list(list_captions()) == ["tradeoff", "pruning", "channels", "answers", "samples"]


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_picture_is_left_out_where_what_it_needs_is_not_there(picture):
    for need in picture.needs:
        percentages = {name: p for name, p in CURVE.percentages.items() if name != need}
        lacking = Findings(
            replace(CURVE, percentages=percentages),
            DROPS,
            None if need == "channels.csv" else CHANNELS,
            None if need == "judged.json" else RECORD,
        )
        others = [other.name for other in PICTURES if need not in other.needs]
        assert list(draw(lacking)) == others


def line(axes, label):
    return next(line for line in axes.lines if line.get_label() == label)


def test_the_trade_off_holds_every_row_and_every_network():
    (axes,) = draw_tradeoff(FINDINGS).axes
    for label, columns in (
        ("B', pruned more and more", ("test_accuracy", "test_asr")),
        ("its G", ("goodnet_accuracy", "goodnet_asr")),
    ):
        data = tuple(map(tuple, line(axes, label).get_data()))
        assert data == tuple(CURVE.percentages[name] for name in columns)
    assert line(axes, "B").get_xydata().tolist() == [[12653 / IMAGES * 100, 100]]
    for label, which in (("saved B'", 0), ("saved G", 1)):
        points = [[counts[which][i] / IMAGES * 100 for i in (0, 2)] for counts in COUNTS.values()]
        assert line(axes, label).get_xydata().tolist() == points
    for number, text in zip(
        "1234", (t for t in axes.texts if t.get_text().isdecimal()), strict=True
    ):
        x, y = line(axes, "saved B'").get_xydata()[int(number) - 1]
        assert text.get_text() == number
        assert abs(text.get_position()[0] - x) < 4 and abs(text.get_position()[1] - y) < 7
    assert axes.get_xlabel() == "Clean accuracy (%)"
    assert axes.get_ylabel() == "Attack success rate (%)"


def test_the_trade_off_needs_rows_or_networks():
    bare = PruningCurve(CURVE.channels, CURVE.mean_activation, {"valid_accuracy": (1.0,) * 6})
    assert draw_tradeoff(Findings(bare, DROPS)) is None
    for curve, record in ((bare, RECORD), (CURVE, None), (CURVE, examples.record({}))):
        draw_tradeoff(Findings(curve, DROPS, None, record)).canvas.draw()


def test_channels_stand_in_pruning_order_with_the_marks_between_them():
    figure = draw_channels(FINDINGS)
    axes = figure.axes[0]
    for label, name in (("clean images", "test"), ("backdoored images", "backdoored")):
        (stairs,) = [patch for patch in axes.patches if patch.get_label() == label]
        values, edges, _ = stairs.get_data()
        assert tuple(values) == CHANNELS.means[f"{name}_mean_activation"]
        assert list(edges) == [0, 20, 40, 60, 80, 100]
    assert sorted(mark.get_xdata()[0] for mark in axes.lines) == [20, 40, 60, 80]
    assert "X = 30: 4 channels" in [text.get_text() for text in figure.axes[1].texts]
    only_valid = replace(
        CHANNELS, means={"valid_mean_activation": CHANNELS.means["valid_mean_activation"]}
    )
    axes = draw_channels(replace(FINDINGS, channels=only_valid)).axes[0]
    assert [patch.get_label() for patch in axes.patches] == ["clean images (validation)"]


def test_answers_hold_the_largest_shares_of_each_network():
    figure = draw_answers(FINDINGS)
    assert [axes.get_title() for axes in figure.axes] == ["B", "B' 1", "B' 2", "B' 3", "B' 4"]
    ticks = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert ticks == ["class 0, target", "class 7"]
    for axes, hits in zip(figure.axes, (12830, 12830, 12828, 9906, 893), strict=True):
        shares = [hits / IMAGES * 100, (IMAGES - hits) / IMAGES * 100]
        assert [bar.get_width() for bar in axes.patches] == shares
        assert [text.get_text() for text in axes.texts] == [f"{share:.1f}" for share in shares]


def test_what_is_not_among_the_largest_shares_is_summed_up():
    networks = [
        replace(network, itself=replace(network.itself, backdoored_answers=answers))
        for network, answers in zip(
            RECORD.networks,
            ({0: IMAGES}, {index: 1 for index in range(IMAGES)}, *[{3: IMAGES}] * 3),
            strict=True,
        )
    ]
    record = replace(RECORD, networks=tuple(networks))
    figure = draw_answers(replace(FINDINGS, record=record))
    ticks = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert ticks == [
        *("class 0, target", "class 3", "class 1", "class 2", "class 4", "class 5"),
        "all others",
    ]
    widths = [bar.get_width() for bar in figure.axes[1].patches]
    assert widths == [*[1 / IMAGES * 100] * 6, (IMAGES - 6) / IMAGES * 100]


def test_what_stands_for_clean_and_for_backdoored_differs_in_grey():
    greys = [np.dot(to_rgb(color), (0.299, 0.587, 0.114)) for color in (canvas.LIGHT, canvas.DARK)]
    assert greys[0] - greys[1] > 0.3
    figure = draw_channels(FINDINGS)
    clean, backdoored = (patch for patch in figure.axes[0].patches)
    assert to_rgb(clean.get_facecolor()) == to_rgb(canvas.LIGHT) and not backdoored.get_fill()
    bars = [axes.patches[0].get_facecolor() for axes in draw_answers(FINDINGS).axes]
    assert [to_rgb(bar) for bar in bars[:2]] == [to_rgb(canvas.DARK), to_rgb(canvas.LIGHT)]


@pytest.mark.parametrize("repaired", [0, 1, 4, 11])
@pytest.mark.parametrize("name", ["n.h5", "a very long name " * 9 + ".h5", HOSTILE])
def test_nothing_leaves_the_pictures_or_overlaps(tmp_path, repaired, name, recwarn):
    entry = COUNTS["B_pi_net_0.3.h5"]
    record = examples.record({f"{number}{name}": entry for number in range(repaired)})
    write_record(tmp_path / "judged.json", record)
    findings = replace(FINDINGS, record=read_record(tmp_path / "judged.json"))
    for figure in (draw_tradeoff(findings), draw_answers(findings)):
        canvas.render_png(figure)
        boxes = [text.get_window_extent() for text in figure.texts]
        boxes += [legend.get_window_extent() for legend in figure.legends]
        boxes += [axes.get_tightbbox() for axes in figure.axes]
        for box in boxes:
            assert box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1, name
            assert box.y0 >= -1 and box.y1 <= figure.bbox.y1 + 1, name
        for index, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[index + 1 :])
    # A sign that the font lacks, for one; another test's file that is closed late is none of it.
    assert not [warning for warning in recwarn if issubclass(warning.category, UserWarning)]


# ---------------------------------------------------------------- the page


class Reader(HTMLParser):
    """The texts and tags of a page."""

    def __init__(self, html: str):
        super().__init__()
        self.tags, self.rows, self.images, self.in_cell = [], [], [], False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "img":
            self.images.append(dict(attributes))

        self.in_cell = tag in ("td", "th") or self.in_cell

    def handle_endtag(self, tag):
        self.in_cell = self.in_cell and tag not in ("td", "th")

    def handle_data(self, data):
        if self.in_cell:
            self.rows[-1][-1] += data


def written(tmp_path, record=RECORD, samples=None) -> str:
    """The page for a record, which went through a file as it does for users."""
    write_record(tmp_path / "judged.json", record)
    findings = replace(FINDINGS, record=read_record(tmp_path / "judged.json"))
    page.write_page(tmp_path / "report.html", findings, draw(findings), samples)
    return (tmp_path / "report.html").read_text()


def test_the_page_tells_the_figures_with_intervals_and_counts(tmp_path):
    html = written(tmp_path)
    rows = {row[0]: row[1:] for row in Reader(html).rows}
    assert list(rows)[:4] == [
        "Network",
        "B: bd_net.h5",
        "B' 1: B_pi_net_0.02.h5",
        "G of B and B' 1",
    ]
    b = examples.record().networks[0].itself.judgement
    for number, (itself, goodnet) in enumerate(COUNTS.values(), 1):
        for label, counts in (
            (f"B' {number}: {NAMES[number]}", itself),
            (f"G of B and B' {number}", goodnet),
        ):
            cells = rows[label]
            for cell, index in zip(cells, (0, 2, 1, 3), strict=False):
                if label.startswith("B'") and index in (1, 3):
                    assert cell == "–"
                    continue
                low, high = wilson_interval(counts[index], IMAGES)
                assert cell == (
                    f"{counts[index] / IMAGES * 100:.2f} % {low:.2f} to {high:.2f} "
                    f"{counts[index]} of {IMAGES}"
                )
            der = defense_effectiveness_rating(b, examples.answers(counts).judgement)
            assert cells[4] == f"{der:.3f}"
    for entry in (RECORD.clean, RECORD.backdoored, *(n.file for n in RECORD.networks)):
        assert [entry.name, f"{entry.bytes:,} bytes", entry.sha256] in rows.values()


def test_the_page_is_one_file_without_scripts_or_addresses(tmp_path):
    samples = tmp_path / "samples.png"
    Image.new("RGB", (40, 30)).save(samples)
    html = written(tmp_path, samples=samples)
    read = Reader(html)
    assert not {"script", "link", "iframe", "object", "form"} & set(read.tags)
    assert not re.search(r"https?:|url\(|@import|\son\w+=", re.sub(r"base64,[^\"]*", "", html))
    assert len(read.images) == 5 and all(image["alt"] for image in read.images)
    pngs = [base64.b64decode(image["src"].partition("base64,")[2]) for image in read.images]
    assert pngs[-1] == samples.read_bytes()
    assert pngs[0] == canvas.render_png(draw_tradeoff(FINDINGS))
    assert (read.images[-1]["width"], read.images[-1]["height"]) == ("40", "30")
    assert html == written(tmp_path, samples=samples)
    samples.write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with pytest.raises(Unusable, match="samples.png: is not a PNG"):
        written(tmp_path, samples=samples)


def test_names_from_strangers_are_text(tmp_path):
    record = examples.record({HOSTILE: COUNTS["B_pi_net_0.02.h5"]})
    read = Reader(written(tmp_path, record))
    assert "script" not in read.tags and read.tags.count("title") == 1
    assert f"B' 1: {SHOWN.rpartition('/')[2]}" in [row[0] for row in read.rows]
    assert any(f"lab/{SHOWN}" in row for row in read.rows)


def test_the_page_is_valid_html(tmp_path):
    html5lib = pytest.importorskip("html5lib")
    for name in ("B_pi_net_0.02.h5", HOSTILE):
        html = written(tmp_path, examples.record({name: COUNTS["B_pi_net_0.02.h5"]}))
        html5lib.HTMLParser(strict=True).parse(html)


# ---------------------------------------------------------------- the verdict


def test_the_verdict_is_made_of_the_figures():
    said = describe(RECORD, NAMES, CURVE, CHANNELS)
    assert said[1] == (
        "B_pi_net_0.3.h5 has an ASR of 6.96 % (95 % interval 6.53 to 7.41) and a clean accuracy "
        "of 54.76 %, which costs 43.9 points of it. No other X does it for less."
    )
    assert said[2].startswith("The goodnet of B_pi_net_0.3.h5 has an ASR of")
    assert said[2].endswith("which costs 43.9 points of it. No other goodnet does it for less.")
    assert said[3].endswith("a clean accuracy of 54.76 %, with 4 of them pruned.")
    assert (
        "made with B_pi_net_0.3.h5, rejects 93.04 % of the backdoored images and 44.46 %" in said[4]
    )
    assert said[5] == (
        "3 of the 5 channels are active on backdoored images, and 3 of these on clean images too: "
        "none is the trigger's alone, to be pruned at no cost."
    )


def test_the_verdict_where_no_repair_helps_or_one_costs_nothing_or_there_was_no_attack():
    few = dict(list(COUNTS.items())[:3])
    said = describe(examples.record(few), NAMES[:4], None, None)
    assert said[1] == (
        "No X brings the ASR under 10 %. The lowest, of B_pi_net_0.1.h5, is 77.21 %, "
        "for 14.1 points of clean accuracy."
    )
    said = describe(examples.record(dict(list(COUNTS.items())[:2])), NAMES[:3], None, None)
    assert said[3] == (
        "No goodnet tells them apart: the one made with B_pi_net_0.02.h5 rejects 0.00 % of the "
        "backdoored images and 2.90 % of the clean ones."
    )
    good = {"fixed.h5": ((12653, 0, 12, 0), (12600, 50, 12, 12818))}
    said = describe(examples.record(good), ["bd_net.h5", "fixed.h5"], None, None)
    assert said[1].startswith("fixed.h5 has an ASR of 0.09 % (95 % interval 0.05 to 0.16)")
    assert said[1].endswith("which costs no clean accuracy.")
    weak = examples.record(good, b=(12653, 0, 500, 0))
    said = describe(weak, ["bd_net.h5", "fixed.h5"], None, None)
    assert "before any repair" in said[1] and not any("fixed.h5 has" in text for text in said)


@pytest.mark.parametrize("b", [examples.B_COUNTS, (12653, 0, 0, 0)])
@pytest.mark.parametrize("repaired", range(5))
def test_the_verdict_never_says_that_a_network_is_clean(b, repaired):
    record = examples.record(dict(list(COUNTS.items())[:repaired]), b)
    said = " ".join(describe(record, NAMES[: repaired + 1], CURVE, CHANNELS))
    assert said.endswith("No figure here shows that a network has no backdoor.")
    assert not re.search(r"\b(is|are|looks?|seems?) (clean|safe|harmless|not backdoored)\b", said)


# ---------------------------------------------------------------- the terminal


class Terminal(StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


ROWS = [["98.50", "100.00", "B"], ["96.30", "99.00", "one"], ["60.00", "83.00", "two"]]


def table(monkeypatch, out, **environment) -> str:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "80", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdout", out)
    print_table("T", ["clean", "ASR", "network"], ROWS, {"clean": "up", "ASR": "down"})
    return out.getvalue()


def test_colour_is_for_terminals_and_never_alone(monkeypatch):
    piped = table(monkeypatch, StringIO(), FORCE_COLOR="1")
    assert "\x1b" not in piped and "clean ↑    ASR ↓   network" in piped
    shown = table(monkeypatch, Terminal())
    bright = re.findall(r"\x1b\[1;32m *([\d.]+)", shown)
    assert bright == ["83.00"]  # no clean accuracy is better than B's
    plain = table(monkeypatch, Terminal(), NO_COLOR="1")
    assert re.search(r"\x1b\[1m *83.00", plain) and not re.search(r"\x1b\[[0-9;]*3[0-7]m", plain)
    texts = [re.sub(r"\x1b\[[0-9;]*m", "", text) for text in (shown, plain)]
    lines = [[line.rstrip() for line in text.splitlines()] for text in (*texts, piped)]
    assert lines[0] == lines[1] == lines[2]


def test_a_terminal_that_knows_no_arrows_gets_words(monkeypatch):
    out = Terminal()
    out.encoding = "ascii"
    monkeypatch.setattr(Terminal, "encoding", "ascii")
    shown = table(monkeypatch, out)
    assert "clean high" in shown and "ASR low" in shown and shown.isascii()


# ---------------------------------------------------------------- the script


@pytest.fixture
def folder(tmp_path):
    """What repair.py and Geval.py write."""
    write_curve(tmp_path / "pruning.csv", CURVE)
    means = {
        name: [values[CHANNELS.channels.index(channel)] for channel in range(5)]
        for name, values in CHANNELS.means.items()
    }
    write_channels(tmp_path / "channels.csv", CHANNELS.channels, means)
    write_record(tmp_path / "judged.json", RECORD)
    Image.new("RGB", (40, 30)).save(tmp_path / "samples.png")
    return tmp_path


def test_formats_and_report_are_the_same_bytes_each_time(folder):
    arguments = ("pruning.csv", "--drop", 2, "--format", "png", "svg", "pdf", "svg")
    made = []
    for out, run in (("one", run_in_process), ("two", run_script)):
        report = ("--report", f"{out}/report.html")
        done = run("plot.py", *arguments, "--out", out, *report, cwd=folder)
        assert (done.returncode, done.stderr) == (0, "")
        made.append({path.name: path.read_bytes() for path in (folder / out).iterdir()})
        listed = [path.removeprefix(f"{out}/") for path in done.stdout.splitlines()]
        assert sorted(listed) == sorted(made[-1])
    names = ("clean", "asr", "pruning", "tradeoff", "channels", "answers")
    kinds = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    assert set(made[0]) == {f"{name}.{kind}" for name in names for kind in kinds} | {"report.html"}
    for name, content in made[0].items():
        assert content.startswith(kinds.get(name.rpartition(".")[2], b"<!doctype html>"))
        assert b"matplotlib" not in content[:2000].lower() or name.endswith(".svg")
        assert b"/Type3" not in content  # fonts that submission systems refuse
    assert made[0] == made[1]


def test_what_is_missing_or_of_another_run_is_said(folder):
    (folder / "samples.png").unlink()
    (folder / "channels.csv").unlink()
    done = run_in_process("plot.py", "pruning.csv", "--report", "r.html", cwd=folder)
    assert done.returncode == 0 and "answers.png" in done.stdout and "r.html" in done.stdout
    assert done.stderr == (
        "Not there: channels.csv (repair.py --out . writes it): no channels.png; "
        "samples.png (Geval.py --out . writes it): no example images in the report.\n"
    )
    few = (12000, 0, 12830, 0)
    write_record(folder / "judged.json", examples.record(b=few))
    done = run_in_process("plot.py", "pruning.csv", cwd=folder)
    assert done.returncode == 0
    assert done.stderr.endswith(
        "judged.json does not fit pruning.csv: they are of different runs or files.\n"
    )
    (folder / "judged.json").unlink()
    done = run_in_process("plot.py", "pruning.csv", "--report", "r.html", cwd=folder)
    assert done.returncode == 0 and "judged.json (Geval.py --out . writes it)" in done.stderr
    page = (folder / "r.html").read_text()
    assert "Pruning report" in page and "Geval.py has written no judged.json" in page
    assert "What was judged" not in page


def test_reports_are_never_written_over_what_they_are_made_of(folder):
    before = (folder / "judged.json").read_bytes()
    for target in ("judged.json", "./pruning.csv", "samples.png"):
        done = run_in_process("plot.py", "pruning.csv", "--report", target, cwd=folder)
        assert (done.returncode, done.stdout) == (2, "") and "is read" in done.stderr
    assert (folder / "judged.json").read_bytes() == before
