"""pruning.csv, where each X falls on it, and the pictures that plot.py draws from it."""

import itertools
import os
import random
import shutil
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from conftest import ROOT, check_refused, run_in_process, run_script, run_within
from matplotlib import colors

from goodnet.errors import Unusable
from goodnet.pictures.curve import draw_asr, draw_clean, draw_pruning
from goodnet.pictures.findings import Findings, draw
from goodnet.pruning.curve import (
    TEST_COLUMNS,
    PruningCurve,
    points_lost,
    read_curve,
    write_curve,
)
from goodnet.pruning.stops import find_stops

NAMES = ["clean.png", "asr.png", "pruning.png", "tradeoff.png"]  # of the CSV alone
NOTHING_BESIDE = (
    "Not there: {0}channels.csv (repair.py --out {1} writes it): no channels.png; "
    "{0}judged.json (Geval.py --out {1} writes it): no answers.png and no saved networks.\n"
)
# Of 2,400 images. The third row has lost 48 of them, exactly 2 points, which floats put at less.
VALID_HITS = (2396, 2390, 2349, 2348, 2100, 2090, 1100, 24, 0)
CURVE = PruningCurve(
    channels=(3, 0, 5, 1, 7, 2, 6, 4),
    mean_activation=(0.0, 0.0, 0.1 + 0.2, 1 / 3, 2.0, 5e-324, 1e22, 123.456),
    percentages={"valid_accuracy": tuple(hits / 2400 * 100 for hits in VALID_HITS)}
    | {
        name: tuple((900 - 101 * row - column) / 909 * 100 for row in range(8)) + (0.0,)
        for column, name in enumerate(TEST_COLUMNS)
    },
)
DROPS = tuple(map(Fraction, (2, 4, 10, 30)))
CLEAN_ONLY = ("valid_accuracy", "test_accuracy", "goodnet_accuracy", "goodnet_clean_rejected")
BACKDOORED_ONLY = ("valid_accuracy", "test_asr", "goodnet_asr", "goodnet_backdoored_rejected")


def with_columns(*names):
    percentages = {name: CURVE.percentages[name] for name in names}
    return PruningCurve(CURVE.channels, CURVE.mean_activation, percentages)


def findings_of(curve):
    return Findings(curve, find_stops(points_lost(curve), DROPS))


def plot(*args, cwd):
    return run_in_process("plot.py", *args, cwd=cwd)


@pytest.fixture
def csv_file(tmp_path):
    path = tmp_path / "pruning.csv"
    write_curve(path, CURVE)
    return path


# pruning.csv


@pytest.mark.parametrize(
    "curve", [CURVE, with_columns(*CLEAN_ONLY), with_columns("valid_accuracy")]
)
def test_reading_gives_back_every_digit_that_was_written(tmp_path, curve):
    write_curve(tmp_path / "pruning.csv", curve)
    assert read_curve(tmp_path / "pruning.csv") == curve


def test_the_file_is_as_documented(tmp_path):
    path = tmp_path / "pruning.csv"
    means = np.array([0.1, np.float64(2) / 3])
    valid = np.array([98.64899974019225, 50.0, 0.0])
    write_curve(path, PruningCurve(np.array([1, 0]), means, {"valid_accuracy": valid}))
    assert path.read_bytes() == (
        b"pruned,channel,mean_activation,valid_accuracy\n"
        b"0,,,98.64899974019225\n"
        b"1,1,0.1,50.0\n"
        b"2,0,0.6666666666666666,0.0\n"
    )
    write_curve(path, CURVE)
    assert path.read_text().partition("\n")[0] == (
        "pruned,channel,mean_activation,valid_accuracy,test_accuracy,test_asr,goodnet_accuracy,"
        "goodnet_asr,goodnet_clean_rejected,goodnet_backdoored_rejected"
    )


def test_a_spreadsheet_may_have_saved_it(csv_file):
    text = csv_file.read_text()
    widened = "\r\n".join(line + ",mine" for line in text.splitlines())
    csv_file.write_bytes(b"\xef\xbb\xbf" + widened.encode() + b"\r\n\r\n")
    assert read_curve(csv_file) == CURVE


GOOD = "pruned,channel,mean_activation,valid_accuracy\n0,,,98.0\n1,1,0.0,97.0\n2,0,0.5,1.0\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"\x89HDF\r\n\x1a\n\xff\xfe", "not UTF-8"),
        (GOOD.encode("utf-16"), "not UTF-8"),
        (b'pruned,"channel\n', "not a CSV file"),
        (b"<html>\n<body>\n", "no column pruned, channel, mean_activation, valid_accuracy"),
        (GOOD.replace("valid_accuracy", "accuracy"), "no column valid_accuracy"),
        (GOOD.replace(",", ";"), "no column pruned"),
        (GOOD.replace("mean_activation", "pruned"), "no column mean_activation"),
        (GOOD.replace("\n", ",5\n").replace("accuracy,5", "accuracy,channel"), "channel more than"),
        (GOOD[: GOOD.index("0,,")], "has 0 rows"),
        (GOOD[: GOOD.index("1,1")], "has 1 rows"),
        (GOOD.replace("97.0", "many"), "line 3, column valid_accuracy: 'many'"),
        (GOOD.replace("97.0", ""), "line 3, column valid_accuracy: ''"),
        (GOOD.replace("97.0", "nan"), "line 3, column valid_accuracy: 'nan'"),
        (GOOD.replace("97.0", "inf"), "line 3, column valid_accuracy: 'inf'"),
        (GOOD.replace("97.0", "100.1"), "'100.1' is not a number from 0 to 100"),
        (GOOD.replace("97.0", "-0.1"), "'-0.1' is not a number from 0 to 100"),
        (GOOD.replace("0.5", "nan"), "line 4, column mean_activation: 'nan' is not a finite"),
        (GOOD.replace("0,,", "0,,0.5"), "line 2, column mean_activation"),
        (GOOD.replace("0,,", "0,1,"), "line 2, column channel"),
        (GOOD.replace("2,0,0.5,1.0\n", "2,0,0.5\n"), "line 4: ends before column valid_accuracy"),
        (GOOD.replace("1.0\n", "1.0,9\n"), "line 4: has 5 values for 4 columns"),
        (GOOD.replace("0,,,98.0\n", ""), "line 2, column pruned: is '1', not 0"),
        (GOOD.replace("1,1,0.0,97.0\n", ""), "line 3, column pruned: is '2', not 1"),
        (GOOD.replace("2,0,0.5", "1,0,0.5"), "line 4, column pruned: is '1', not 2"),
        (GOOD.replace("2,0,0.5,1.0\n", ""), "line 3, column channel: is '1'"),
        (GOOD.replace("2,0,", "2,1,"), "line 4, column channel: is '1'"),
        (GOOD.replace("2,0,", "2,0.0,"), "line 4, column channel: is '0.0'"),
    ],
)
def test_what_is_not_such_a_file_is_refused_in_one_line(tmp_path, content, said):
    path = tmp_path / "pruning.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(Unusable) as refusal:
        read_curve(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert said in str(refusal.value)
    assert refusal.value.path == path and "\n" not in str(refusal.value)


# Where each X falls


def test_a_drop_of_exactly_x_points_is_reached():
    own, *rest = CURVE.percentages["valid_accuracy"]
    assert own - rest[2] < 2, "floats no longer fall short here: this test needs other counts"
    reached = find_stops(points_lost(CURVE), [*DROPS, Fraction(0), Fraction(100)])
    assert reached == dict(zip([*DROPS, 0, 100], [3, 4, 4, 6, 1, None], strict=True))


def test_drops_are_those_of_whole_counts():
    draw = random.Random(0)
    for _ in range(300):
        images = draw.choice((90, 800, 1283, 2400, 11547))
        hits = sorted((draw.randint(0, images) for _ in range(9)), reverse=True)
        drops = [Fraction(draw.randint(0, 1000), 10) for _ in range(4)]
        exact = Fraction((hits[0] - hits[4]) * 100, images)
        drops += [exact, exact + Fraction(1, 10**6)]
        valid = tuple(count / images * 100 for count in hits)
        curve = PruningCurve(tuple(range(8)), (0.0,) * 8, {"valid_accuracy": valid})
        for drop, pruned in find_stops(points_lost(curve), drops).items():
            enough = [k for k in range(1, 9) if Fraction(hits[0] - hits[k], images) * 100 >= drop]
            assert pruned == min(enough, default=None)


# The pictures


def line(axes, label):
    return next(line for line in axes.lines if line.get_label() == label)


def panel(figure, label):
    return next(axes for axes in figure.axes if label in axes.get_ylabel())


def test_steps_and_marks_hold_the_values_of_the_curve():
    figure = draw_pruning(findings_of(CURVE))
    for label, columns in (
        ("Clean accuracy", ("test_accuracy", "goodnet_accuracy")),
        ("Attack success rate", ("test_asr", "goodnet_asr")),
    ):
        axes = panel(figure, label)
        for name, column in zip(("B'", "G"), columns, strict=True):
            steps = line(axes, name)
            assert steps.get_drawstyle() == "steps-post"
            assert list(steps.get_xdata()) == [0, 12.5, 25, 37.5, 50, 62.5, 75, 87.5, 100]
            assert tuple(steps.get_ydata()) == CURVE.percentages[column]
        marked = line(axes, "B' at a drop of X points (validation)")
        assert list(marked.get_xdata()) == [37.5, 50, 75]
        values = CURVE.percentages[columns[0]]
        assert list(marked.get_ydata()) == [values[3], values[4], values[6]]
    shown = [(text.get_text(), text.xy[0]) for axes in figure.axes for text in axes.texts]
    assert sorted(shown) == [
        ("X = 2: 3 channels", 37.5),
        ("X = 30: 6 channels", 75.0),
        ("X = 4, 10: 4 channels", 50.0),
    ]


def test_clean_and_asr_hold_the_values_of_the_curve():
    for figure, columns in (
        (
            draw_clean(findings_of(CURVE)),
            {
                "B', test": "test_accuracy",
                "G, test": "goodnet_accuracy",
                "B', validation": "valid_accuracy",
            },
        ),
        (draw_asr(findings_of(CURVE)), {"B'": "test_asr", "G": "goodnet_asr"}),
    ):
        (axes,) = figure.axes
        assert {plotted.get_label() for plotted in axes.lines} == set(columns)
        for label, column in columns.items():
            assert list(line(axes, label).get_xdata()) == list(range(9))
            assert tuple(line(axes, label).get_ydata()) == CURVE.percentages[column]


def test_axes_have_units_and_show_all_of_0_to_100():
    for figure in draw(findings_of(CURVE)).values():
        panels = [axes for axes in figure.axes if axes.get_ylabel()]
        for axes in panels:
            assert axes.get_ylabel().endswith("(%)")
            assert axes.get_ylim()[0] <= 0 and axes.get_ylim()[1] >= 100
        x_axes = ("Channels pruned", "Channels pruned (% of 8)", "Clean accuracy (%)")
        assert panels[-1].get_xlabel() in x_axes


def test_lines_differ_in_grey():
    for figure in draw(findings_of(CURVE)).values():
        for axes in figure.axes:
            lines = [drawn for drawn in axes.lines if not drawn.get_label().startswith("_")]
            for one, other in itertools.combinations(lines, 2):
                looks = [
                    (x.get_linestyle(), x.get_linewidth(), x.get_marker()) for x in (one, other)
                ]
                greys = [
                    np.dot(colors.to_rgb(x.get_color()), (0.299, 0.587, 0.114))
                    for x in (one, other)
                ]
                assert looks[0] != looks[1]
                assert abs(greys[0] - greys[1]) > 0.2 or one.get_marker() != other.get_marker()


@pytest.mark.parametrize(
    "marked",
    [
        {2: 45, 4: 48, 10: 52, 30: 54},
        {2: 1, 4: 2, 10: 3, 30: 4},
        {2: 28, 4: 29, 10: 30, 30: 31},
        {2: 60, 4: 60, 10: 60, 30: None},
        {0.25: 1, 2.5: 1, 12.75: 1, 99.125: 1, 100: 60},
        {x: 10 + 2 * x for x in range(1, 25)},
    ],
)
def test_labels_keep_clear_of_each_other_and_of_the_panels(marked):
    percentages = {name: (50.0,) * 61 for name in ("valid_accuracy", *TEST_COLUMNS)}
    curve = PruningCurve(tuple(range(60)), (0.0,) * 60, percentages)
    figure = draw_pruning(Findings(curve, {Fraction(x): k for x, k in marked.items()}))
    figure.canvas.draw()
    labels = [text for axes in figure.axes for text in axes.texts]
    assert len(labels) == len({pruned for pruned in marked.values() if pruned is not None})
    boxes = [label.get_window_extent() for label in labels]
    boxes += [axes.get_tightbbox() for axes in figure.axes if axes.get_ylabel()]
    boxes += [legend.get_window_extent() for legend in figure.legends]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    for box in boxes:
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 and box.y1 <= figure.bbox.y1


@pytest.mark.parametrize(
    ("columns", "panels"),
    [
        (("valid_accuracy",), ["Validation accuracy (%)"]),
        (CLEAN_ONLY, ["Clean accuracy (%)"]),
        (BACKDOORED_ONLY, ["Validation accuracy (%)", "Attack success rate (%)"]),
        (("valid_accuracy", "goodnet_accuracy"), ["Validation accuracy (%)"]),
    ],
)
def test_columns_may_be_absent(columns, panels):
    curve = with_columns(*columns)
    pictures = draw(findings_of(curve))
    assert ("asr" in pictures) == ("test_asr" in columns)
    labels = [axes.get_ylabel() for axes in pictures["pruning"].axes]
    assert [label for label in labels if label] == panels
    for figure in pictures.values():
        figure.canvas.draw()


# The script, as a user runs it


def test_draws_beside_the_csv_from_any_folder(csv_file, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = plot("../pruning.csv", cwd=elsewhere)
    assert (done.returncode, done.stderr) == (0, NOTHING_BESIDE.format("../", ".."))
    names = NAMES
    assert done.stdout.splitlines() == [f"../{name}" for name in names]
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(
        [*names, "pruning.csv", "elsewhere"]
    )
    for name in names:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_same_csv_same_bytes(csv_file, tmp_path):
    assert plot(csv_file, "--out", "one", cwd=tmp_path).returncode == 0
    assert run_script("plot.py", csv_file, "--out", "two", cwd=tmp_path).returncode == 0
    for name in NAMES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_needs_neither_keras_nor_h5py_and_little_time(csv_file, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    for name in ("keras", "tensorflow", "h5py"):
        (blocked / f"{name}.py").write_text(f"raise ImportError('{name} is not there')")
    surroundings = os.environ | {"PYTHONPATH": str(blocked)}
    done = run_within(2, "plot.py", "pruning.csv", cwd=tmp_path, env=surroundings)
    assert (done.returncode, done.stderr) == (0, NOTHING_BESIDE.format("", "."))


@pytest.mark.parametrize("args", [["--help"], ["--drop", "200"], ["none.csv"]])
def test_answers_before_anything_heavy_is_imported(tmp_path, args):
    command = [sys.executable, "-X", "importtime", str(ROOT / "plot.py"), *args]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == (0 if args == ["--help"] else 2)
    assert "argparse" in done.stderr
    assert not any(name in done.stderr for name in ("matplotlib", "numpy", "h5py", "keras\n"))


def test_what_is_left_out_is_said_in_one_line(tmp_path):
    path = tmp_path / "pruning.csv"
    write_curve(path, with_columns(*CLEAN_ONLY))
    done = plot("pruning.csv", cwd=tmp_path)
    assert done.stdout.splitlines() == ["clean.png", "pruning.png"]
    assert done.stderr == (
        "Left out, as pruning.csv has no such columns: test_asr, goodnet_asr; "
        "asr.png is not drawn.\n" + NOTHING_BESIDE.format("", ".")
    )
    (tmp_path / "asr.png").write_bytes(b"older")
    done = plot("pruning.csv", cwd=tmp_path)
    assert "asr.png is of an earlier run.\n" in done.stderr
    assert (tmp_path / "asr.png").read_bytes() == b"older"


def test_an_x_that_is_never_reached_is_said(csv_file, tmp_path):
    done = plot(csv_file, "--drop", "99.9", "2", "100", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr.startswith("Never reached, so not marked: X = 99.9, 100.\n")


@pytest.mark.parametrize("value", ["-1", "100.5", "nan", "inf", "two", "1/3"])
def test_an_x_must_be_from_0_to_100(csv_file, tmp_path, value):
    done = plot(csv_file, f"--drop={value}", cwd=tmp_path)
    check_refused(done, f"'{value}' is not a number from 0 to 100")


def test_bad_files_end_in_one_line(csv_file, tmp_path):
    (tmp_path / "empty.csv").touch()
    (tmp_path / "clean.png").write_bytes(csv_file.read_bytes())
    (tmp_path / "file").touch()
    for args, said in (
        (["none.csv"], "none.csv: cannot be read (no such file"),
        (["."], ".: cannot be read (is a directory)"),
        (["empty.csv"], "empty.csv: is empty"),
        (["clean.png"], "clean.png: is read and would be written over"),
        (["pruning.csv", "--out", "file"], "file: cannot write here"),
        (["pruning.csv", "--lab", "."], "not both"),
        (["--lab", "file"], "file: is no lab, it lacks models/bd_net.h5 and data/"),
        (["--lab", "nowhere"], "nowhere: is no lab, it lacks models/bd_net.h5 and data/"),
    ):
        done = plot(*args, cwd=tmp_path)
        check_refused(done, said)
        assert done.stderr.startswith("plot.py: ")
    kept = ["clean.png", "empty.csv", "file", "pruning.csv"]
    assert sorted(file.name for file in tmp_path.iterdir()) == kept


def test_without_a_path_the_lab_is_drawn(tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "goodnet", copy / "goodnet")
    script = shutil.copy(ROOT / "plot.py", copy)

    done = run_script(script, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    missing = "copy/practice/models/pruning.csv"  # as seen from where the user is
    assert done.stderr.splitlines()[1:] == [
        f"plot.py: {missing}: no such file; run repair.py first"
    ]

    for lab, args in ((copy / "practice", []), (copy, []), (tmp_path / "lab", ["--lab", "lab"])):
        if lab == copy:  # it is taken for the course's where it holds the course's files
            (copy / "models").mkdir()
            (copy / "data").mkdir()
            for name in ("models/bd_net.h5", "data/valid.h5"):
                (copy / name).touch()
        write_curve(lab / "models" / "pruning.csv", CURVE)
        done = run_script(script, *args, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        where = str(lab.relative_to(tmp_path))
        names = NAMES
        assert done.stdout.splitlines() == [f"{where}/plots/{name}" for name in names]
        assert all((lab / "plots" / name).exists() for name in names)
