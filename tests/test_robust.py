"""What becomes of backdoored images: robust accuracy, the class instead, fidelity."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import examples
import keras
import numpy as np
import pytest
from conftest import CLASSES, SHAPE, open_clean, random_images, tiny_network, write_images
from test_json import check_json

from goodnet.errors import Unusable
from goodnet.judging.judged_json import read_record, write_record
from goodnet.judging.judging import Answers, JudgedNetwork
from goodnet.judging.record import Record
from goodnet.judging.report import print_robust
from goodnet.judging.robust import true_classes
from goodnet.metrics import Judgement, Robust, count_robust, fidelity
from goodnet.pictures import page
from goodnet.pictures.findings import Findings

TARGET = 1


def as_set(path, images, labels):
    return open_clean(write_images(path, images, labels), SHAPE, CLASSES, 1.0)


def worn_by(images: np.ndarray) -> np.ndarray:
    """A patch, and a wave over all of it: no pixel stays."""
    worn = images.astype(int) + 20
    worn[:, :4, :4] = 255
    return worn.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("chosen", "paired"),
    [
        (np.arange(100), True),
        (np.arange(70), True),  # the first of them, as the course's bd_valid may be
        (np.arange(7), False),  # too few to tell
        (np.arange(100)[::-1], False),
        (np.delete(np.arange(100), 60), False),  # only the beginning is in the same order
        (np.delete(np.arange(100), 3), False),
    ],
)
def test_pixels_tell_whether_backdoored_images_are_the_clean_ones(tmp_path, chosen, paired):
    images, labels = random_images(100), np.arange(100) % CLASSES
    clean = as_set(tmp_path / "clean.h5", images, labels)
    targets = np.full(len(chosen), TARGET)
    backdoored = as_set(tmp_path / "bd.h5", worn_by(images[chosen]), targets)
    found = true_classes(clean, backdoored)
    assert (found is not None) == paired
    assert not paired or np.array_equal(found, labels[chosen])


def test_other_sizes_and_more_images_than_clean_ones_are_not_paired(tmp_path):
    images = random_images(20)
    clean = as_set(tmp_path / "clean.h5", images, np.zeros(20))
    more = as_set(tmp_path / "more.h5", np.concatenate([images, images]), np.zeros(40))
    assert true_classes(clean, more) is None
    wide = write_images(tmp_path / "wide.h5", np.repeat(images, 2, axis=2), np.zeros(20))
    shape = (SHAPE[0], 2 * SHAPE[1], SHAPE[2])
    assert true_classes(clean, open_clean(wide, shape, CLASSES, 1.0)) is None


def test_counts_by_hand():
    true = np.array([0, 0, 2, 2, 2, 1, 0])
    targets = np.full(7, TARGET)
    answers = [np.array([0, 3, 3, 2, 1, 1, 0]), np.array([0, 0, 2, 2, 2, 2, 0])]
    first, second = (count_robust(each, true, targets) for each in answers)
    assert count_robust(targets, targets, targets) is None
    assert first == Robust(images=6, right=3, instead=3, given_instead=2)
    assert second == Robust(images=6, right=6, instead=None, given_instead=0)


def judgement(clean: int, attacked: int) -> Judgement:
    return Judgement(100, clean, 0, 100, 0, attacked, 0)


def test_fidelity_by_hand():
    b = judgement(80, 100)
    assert fidelity(b, b) == 0
    assert fidelity(b, judgement(60, 10)) == pytest.approx(0.9 * 0.75)
    assert math.isnan(fidelity(judgement(80, 0), b)) and math.isnan(fidelity(judgement(0, 5), b))


def test_geval_tells_it_where_it_is_known(tmp_path, run_here):
    images = random_images(40)
    networks = [tiny_network(seed) for seed in (0, 1)]
    labels = networks[0].predict(images, verbose=0).argmax(axis=1)
    worn = worn_by(images)
    clean = write_images(tmp_path / "clean.h5", images, labels)
    paths = [tmp_path / "b.h5", tmp_path / "repaired.h5"]
    for network, path in zip(networks, paths, strict=True):
        network.save(path)
    for order, known in ((np.arange(40), True), (np.arange(40)[::-1], False)):
        bd = write_images(tmp_path / "bd.h5", worn[order], np.full(40, TARGET))
        told = tmp_path / "told.json"
        done = run_here("Geval.py", clean, bd, *paths, "--json", told)
        assert done.returncode == 0, done.stderr
        assert ("backdoored images of other classes" in done.stdout) == known
        document = json.loads(told.read_text())
        check_json(document, "judged")
        found = [each["robust"] for each in document["networks"]]
        if not known:
            assert found == [None, None]
            continue
        others = labels != TARGET
        for path, each in zip(paths, found, strict=True):
            answers = keras.models.load_model(path).predict(worn, verbose=0).argmax(axis=1)
            assert each["images"] == others.sum()
            assert each["robust_accuracy"] == (answers == labels)[others].mean() * 100
            wrong = answers[others & (answers != labels)]
            assert each["given_instead"] == (wrong == each["instead"]).sum()
            assert each["given_instead"] == np.bincount(wrong).max(initial=0)


def test_nothing_is_printed_where_nothing_is_known(capsys):
    path, b = Path("b.h5"), judgement(80, 100)
    answers = Answers(np.zeros(0), np.zeros(0))
    print_robust([JudgedNetwork(path, b, answers, None, None, None)])
    assert capsys.readouterr().out == ""


def told_of() -> Record:
    """The record of the published networks, with something known of what the images are."""
    record = examples.record()
    networks = [
        replace(each, robust=Robust(12000, 500 * number, 81 + number, 4000))
        for number, each in enumerate(record.networks)
    ]
    return replace(record, networks=tuple(networks))


def test_judged_json_keeps_it(tmp_path):
    record = told_of()
    write_record(tmp_path / "judged.json", record)
    assert read_record(tmp_path / "judged.json") == record
    content = json.loads((tmp_path / "judged.json").read_text())
    del content["networks"][1]["robust"]  # as an earlier version wrote it
    (tmp_path / "judged.json").write_text(json.dumps(content))
    assert read_record(tmp_path / "judged.json").networks[1].robust is None


@pytest.mark.parametrize(
    "harm",
    [
        {"images": 0},
        {"right": 8001},
        {"instead": 1283},
        {"instead": None},
        {"given_instead": 0},
        {"right": "5"},
        {"images": -1},
    ],
)
def test_a_judged_json_with_other_counts_is_refused(tmp_path, harm):
    path = tmp_path / "judged.json"
    write_record(path, told_of())
    content = json.loads(path.read_text())
    content["networks"][2]["robust"].update(harm)
    path.write_text(json.dumps(content))
    with pytest.raises(Unusable, match="judged.json that Geval.py wrote: "):
        read_record(path)


def test_the_page_says_what_backdoored_images_are_called(tmp_path):
    record = told_of()
    page.write_page(
        tmp_path / "report.html", Findings(examples.curve(), {}, record=record), {}, None
    )
    html = (tmp_path / "report.html").read_text()
    (part,) = re.findall("What backdoored images are called.*?</table>", html, re.DOTALL)
    b, *repaired = record.networks
    assert "33.33 % class 81" in part and "B: bd_net.h5" in part
    for number, each in enumerate(repaired, 1):
        assert f"{500 * number / 120:.2f} % " in part
        kept = fidelity(b.itself.judgement, each.itself.judgement)
        assert f">{kept:.3f}<" in part
        assert f">{each.goodnet.judgement.backdoored_rejected_rate:.2f} %<" in part
    page.write_page(
        tmp_path / "old.html", Findings(examples.curve(), {}, record=examples.record()), {}, None
    )
    assert "What backdoored images are called" not in (tmp_path / "old.html").read_text()
