"""audit.py: the verdict, what it rests on, what it writes, and that nothing else decides."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from conftest import (
    ROOT,
    SHAPE,
    check_json,
    check_refused,
    convolutions,
    load_model,
    random_images,
    read_images,
    run_in_process,
    run_script,
    tiny_network,
    write_images,
)
from hasty import hurry_relearning
from hasty_audit import CLASSES, FOUND, HASTY, audit, build_case

from goodnet.auditing import command, measured, repairing, searching, verdict, words
from goodnet.auditing.answer import share
from goodnet.auditing.auditing import Traced
from goodnet.auditing.card import plain
from goodnet.auditing.pair import Pair
from goodnet.auditing.repairing import SmallPatch
from goodnet.auditing.searching import Searched
from goodnet.auditing.triggers import Trigger, try_patches, try_traces
from goodnet.cli import shell
from goodnet.errors import Unusable
from goodnet.progress import SILENT, ignore, no_progress
from goodnet.tuning import relearning, traces, tuned
from goodnet.tuning.families import Found
from goodnet.tuning.images import divide
from goodnet.tuning.patches import Patch, Patches
from goodnet.tuning.ranking import Smallest
from goodnet.tuning.sounding import average, sound
from goodnet.tuning.suspects import Sighting, likely, possible
from goodnet.tuning.traces import Trace, standing_out

MADE = ["B_repaired.h5", "G.keras", "MODEL_CARD.md", "audit.json", "report.html"]


# ---------------------------------------------------------------- the verdict


def seen(label: int, score: float, lead: float, resistance: float) -> Sighting:
    return Sighting(label, score, lead, resistance)


def evidence(*soundings: list[Sighting], **other: object) -> verdict.Evidence:
    usual = {
        **{"images": 900, "image_classes": 100, "n_classes": 100},
        **{"recognized": True, "unfinished": []},
    }
    return verdict.Evidence(soundings=soundings, **usual | other)


def trace(family: str, size: float, to: int = 3, usual: float = 1.0) -> Trace:
    targets = np.roll(np.arange(100), -1) if family == "shared patch" else np.full(100, to)
    if family == "wave":  # by odds, of a wave that leads half of the images
        size, usual = size / (1 + size), 0.5
    return Trace(family, targets, size, usual, lambda some: some, lambda some, rng: some)


NONE = "nothing found", []
TARGET, HALF, NOTHING = seen(0, 3.5, 3.5, 1.7), seen(0, 2.5, 2.5, 1.7), seen(0, 1.0, 0.5, 1.0)
WEAK = seen(0, 3.0, 2.5, 1.5)


def test_searches_count_together_by_their_means():
    found = average([[seen(3, 1, 2, 1), seen(4, 9, 9, 9)], [seen(3, 2, 4, 4)], [seen(3, 6, 0, 2)]])
    (only,) = found  # one search alone suspects class 4
    assert (only.label, only.score, only.lead) == (3, 3.0, 2.0)
    assert only.resistance == pytest.approx(2.0)  # the cube root of 8


def test_a_class_that_the_means_name_is_unlearned_whatever_one_search_says(monkeypatch):
    """Else the verdict names a class of which no patch was tried."""
    given = []

    def noted(*args):
        given.append(args[5])
        raise Unusable("no more is asked here")

    monkeypatch.setattr(repairing, "unlearn_parts", noted)
    soundings = [[seen(7, 5, 4, 1.0)], [seen(7, 1, 2, 3.0)]]
    assert not any(likely(each) + possible(each) for each in soundings)
    assert verdict.stand_out([*soundings, []], 100) == ([7], [])
    assert verdict.stand_out([*soundings, []], 99) == ([], [7])
    parts = divide(np.zeros((6, 2, 2, 1)), np.zeros(6, int), np.random.default_rng(0))
    named = Searched(soundings, None, parts).named
    sizes = repairing.Sizes(32, 8)
    rng = np.random.default_rng(0)
    with pytest.raises(Unusable):
        repairing.repair(tiny_network(), parts, rng, named, None, sizes, SILENT.progress, HASTY)
    assert given == [{7}]


def test_images_are_divided_where_they_are():
    """A second copy of large images may not fit."""
    images, labels = np.arange(50.0).reshape(25, 2), np.arange(25)
    before = images.copy()
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(25)
        before = before[order]
        parts = divide(images, labels, np.random.default_rng(seed))
        assert np.array_equal(np.concatenate([parts.held_back, parts.images]), before)
        assert np.array_equal(np.concatenate([parts.held_back_labels, parts.labels]), labels)
        assert (images[:, 0] == 2 * labels).all()
        assert np.shares_memory(parts.images, images)
        assert len(parts.held_back) == 4


def smallest(sizes: np.ndarray) -> Smallest:
    """Classes from 0 on, with patches of these sizes."""
    shapes = sizes.reshape(-1, 1, 1, 1), np.zeros((len(sizes), 1, 1, 3))
    patches = Patches(np.arange(len(sizes)), *shapes)
    return Smallest(patches, 0.3, patches, 0.4)


def test_of_traces_those_that_stand_out_count():
    shared, small = trace("shared patch", 0.01), trace("patch", 0.45, 8)
    parts = divide(np.zeros((6, 2, 2, 1)), np.zeros(6, int), np.random.default_rng(0))
    assert standing_out([trace("bend", 0.7), shared]) == [shared]
    one = smallest(np.array([0.1]))
    several = Found([small, trace("bend", 0.7, 3)], one)
    assert Searched([], several, parts).named == {8}
    assert Searched([], Found([shared], one), parts).named == set()
    assert (small.likely, small.possible, shared.likely) == (False, True, True)


@pytest.mark.parametrize(
    ("given", "answer", "classes"),
    [
        (evidence([TARGET], [TARGET], [TARGET]), "likely", [0]),
        (evidence([TARGET], [TARGET], [NOTHING]), "likely", [0]),  # most, but not the means
        (evidence([TARGET], [WEAK], [WEAK]), "likely", [0]),  # the means alone
        (evidence([HALF], [HALF], [NOTHING]), "possible", [0]),
        (evidence([HALF], [HALF], [HALF]), "likely", [0]),  # the means
        (evidence([HALF], [HALF], [HALF], n_classes=99), "possible", [0]),
        (evidence([seen(0, 4, 6, 1.9)], [WEAK], [WEAK], n_classes=99), "likely", [0]),
        (evidence([seen(0, 4, 4, 1.7)], [WEAK], [HALF], n_classes=99), "possible", [0]),
        (evidence(*[[seen(0, 2.4, 2.2, 1.46)]] * 3), "likely", [0]),
        (evidence(*[[seen(0, 2.4, 2.0, 1.58)]] * 3), *NONE),
        (evidence(*[[seen(0, 4.0, 4.4, 1.44)]] * 3), *NONE),
        (evidence([HALF], [HALF], [seen(0, 0.5, 0.5, 0.9)]), "possible", [0]),
        (evidence([HALF], [NOTHING], [NOTHING]), "nothing found", []),
        (evidence([TARGET], [NOTHING], [NOTHING]), "inconclusive", [0]),
        (evidence([TARGET], [], []), "inconclusive", [0]),
        # Where triggers were sought family by family, they alone decide.
        (evidence([TARGET], unfinished=[7], traces=[trace("patch", 0.9)]), *NONE),
        (evidence([NOTHING], traces=[trace("patch", 0.45), trace("wave", 0.9)]), "possible", [3]),
        (evidence([NOTHING], traces=[trace("patch", 0.9), trace("wave", 0.2, 5)]), "likely", [5]),
        (
            evidence([NOTHING], traces=[trace("patch", 0.1), trace("bend", 0.5, 5)]),
            "likely",
            [3, 5],
        ),
        (evidence([NOTHING], traces=[trace("bend", 0.8, usual=2.0)]), "likely", [3]),
        (evidence([NOTHING], traces=[trace("shared patch", 0.1)]), "likely", []),
        (evidence([NOTHING], traces=[trace("shared patch", 0.16)]), "possible", []),
        (evidence([NOTHING], traces=[trace("shared patch", 0.18)]), *NONE),
        (evidence([NOTHING], images=119, traces=[trace("patch", 0.1)]), "inconclusive", [3]),
        (evidence([NOTHING], [NOTHING], [NOTHING], unfinished=[7]), "inconclusive", [7]),
        (evidence([TARGET], [TARGET], [TARGET], unfinished=[7]), "likely", [0]),
        (evidence([TARGET], [TARGET], [TARGET], images=119), "inconclusive", [0]),
        (evidence([TARGET], [TARGET], [TARGET], n_classes=9), "inconclusive", [0]),
        (evidence([NOTHING], [NOTHING], [NOTHING], image_classes=1), "inconclusive", []),
        (evidence([NOTHING], [NOTHING], [NOTHING], recognized=False), "inconclusive", []),
    ],
)
def test_the_verdict(given, answer, classes):
    found = verdict.decide(given)
    assert (found.answer, found.classes) == (answer, classes) and found.reasons


def test_what_is_small_but_does_not_lead_is_told_and_not_named():
    small = replace(trace("patch", 0.3, 12), lead=2.9)
    found = verdict.decide(evidence(traces=[small, trace("bend", 0.9)]))
    assert (found.answer, found.classes, len(found.reasons)) == (*NONE, 2)
    assert "leads others to class 12" in found.reasons[1]
    assert found.reasons[1].endswith("does not get ahead on noise, as targets do")
    shared = replace(trace("shared patch", 0.1), targets=np.arange(100) % 49)
    found = verdict.decide(evidence(traces=[shared]))
    assert found.answer == "nothing found" and found.reasons[1].endswith("; but these are few")
    many = replace(shared, targets=np.where(np.arange(100) < 50, np.arange(100), -1))
    assert verdict.decide(evidence(traces=[many])).answer == "likely"
    leading = replace(small, lead=3.0)
    assert verdict.decide(evidence(traces=[leading])).answer == "likely"


def test_what_is_likely_is_not_possible_as_well():
    both = [TARGET, seen(5, 2.5, 2.5, 1.7), NOTHING]
    assert (likely(both), possible(both)) == ([0], [5])


def network(classes: int, shape: tuple = measured.SHAPE, normalized: bool = False):
    layers = [keras.layers.BatchNormalization()] if normalized else []
    layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(classes)]
    return keras.Sequential([keras.Input(shape), *layers])


def test_how_probable_a_backdoor_is_after_an_answer(monkeypatch):
    counts = measured.Counts(
        backdoored={"likely": 8, "possible": 1, "nothing found": 1},
        others={"likely": 0, "possible": 2, "nothing found": 6},
    )
    kinds = [replace(measured.BY_FAMILIES[0], counts=counts)]
    monkeypatch.setattr(measured, "BY_FAMILIES", kinds)
    ours = network(10, (32, 32, 3), True)
    # By hand: 9 of 12 with a backdoor and 1 of 10 without one; 2 of 12 and 7 of 10.
    assert measured.probability(ours, True, "likely") == pytest.approx(0.75 / 0.85)
    assert measured.probability(ours, True, "nothing found") == pytest.approx(5 / 26)
    for answer in ("possible", "inconclusive"):  # three networks are too few; never counted
        assert measured.probability(ours, True, answer) is None
    assert measured.probability(network(43, (32, 32, 3)), True, "likely") is None
    assert measured.probability(network(1283), False, "likely") is None


def test_the_counts_are_those_of_what_is_told():
    """89 of 96 and 0 of 32 stand in a sentence, too."""
    kind = measured.BY_FAMILIES[0]
    found, others = kind.counts.backdoored, kind.counts.others
    assert f"missed {found['nothing found']} of {sum(found.values())} that had" in kind.missed
    assert f"none of {others['nothing found']} others" in kind.missed


def test_nothing_found_is_told_with_what_was_measured():
    assert "practice networks" in measured.tell_measured(network(100), False)
    assert "course's network" in measured.tell_measured(network(1283), False)
    assert "missed 7 of 96" in measured.tell_measured(network(10, (32, 32, 3), True), True)
    for other, by_families in ((network(100), True), (network(10, (32, 32, 3)), False)):
        assert "never measured" in measured.tell_measured(other, by_families)
    for other, why in (
        (network(10), "of 10 classes"),
        (network(100, (32, 32, 3)), "for images of 32 x 32 x 3"),
        (network(100, normalized=True), "with normalization layers"),
        (network(10, (None, None, 3)), "for images of ? x ? x 3 and of 10 classes"),
    ):
        told = measured.tell_measured(other, False)
        assert "never measured" in told and told.endswith(why), told


# ---------------------------------------------------------------- what is counted


@pytest.mark.parametrize("aimed_at", [None, [0, 2], []], ids=str)
def test_a_patch_is_tried_on_the_images_of_other_classes(aimed_at):
    pair = Pair(tiny_network(0, CLASSES), tiny_network(1, CLASSES), targets=aimed_at)
    images = random_images(40).astype(np.float32)
    labels = np.arange(40) % 3
    mask = np.zeros((*images.shape[1:3], 1), np.float32)
    mask[:7] = 0.5
    suspect = SmallPatch(2, Patch(mask, np.full(images.shape[1:], 200.0)), 0, 0)
    (found,) = try_patches(pair, [suspect], images, labels, CLASSES, ignore)
    # The same by hand, with Keras's own predict.
    others = [image for image, label in zip(images, labels, strict=True) if label != 2]
    over = np.array([np.where(mask > 0, 0.5 * image + 100, image) for image in others])
    b, repaired = (x.predict(over, verbose=0).argmax(1).tolist() for x in (pair.b, pair.repaired))
    agreed = [
        CLASSES if x != y and (aimed_at is None or x in aimed_at) else y
        for x, y in zip(b, repaired, strict=True)
    ]
    counts = found.b, found.repaired, found.goodnet, found.rejected
    assert found.images == len(others) == 27 and found.label == 2
    assert counts == (b.count(2), repaired.count(2), agreed.count(2), agreed.count(CLASSES))
    assert share(0, 0) == share(None, 5) == "–" and share(1, 8) == "12.5 %"


# ---------------------------------------------------------------- the whole of it


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> Path:
    return build_case(tmp_path_factory.mktemp("audited"))


@pytest.fixture(scope="module")
def audited(case, tmp_path_factory):
    """An audit with everything that it can judge on; its folder, and what it said."""
    out = tmp_path_factory.mktemp("out")
    given = ("--clean-test", case / "test.h5", "--backdoored-test", case / "backdoored.h5")
    before = contents(case)
    done = audit(case, out, *given, "--fail-on", "never")
    assert contents(case) == before
    assert done.returncode == 0, done.stderr
    return out, done


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_it_answers_in_four_lines_and_numbers_its_steps(audited):
    out, done = audited
    lines = done.stdout.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["Backdoor", "Repaired", "Safest", "Report"]
    assert lines[-1] == f"Report: {out / 'report.html'}"
    steps = [line for line in done.stderr.splitlines() if line.startswith("Step ")]
    assert [step[:11] for step in steps] == [f"Step {n} of 5" for n in range(1, 6)]
    assert sorted(contents(out)) == MADE


def test_what_it_says_of_the_networks_is_what_keras_says(case, audited):
    out, done = audited
    told = json.loads((out / "audit.json").read_text())
    check_json(told, "audited")
    b, repaired, goodnet = (
        keras.models.load_model(path, compile=False)
        for path in (case / "b.h5", out / "B_repaired.h5", out / "G.keras")
    )
    import h5py

    for name, file, rows in (
        ("clean_test_accuracy", "test.h5", (b, repaired, goodnet)),
        ("backdoored_targets", "backdoored.h5", (b, repaired, goodnet)),
    ):
        with h5py.File(case / file) as images:
            pixels, labels = images["data"][()].transpose(0, 2, 3, 1), images["label"][()]
        answers = [network.predict(pixels, verbose=0).argmax(1) for network in rows]
        counts = [int((each == labels).sum()) for each in answers]
        found = told["measures"][name]
        assert [found[x]["count"] for x in ("b", "repaired", "goodnet")] == counts
        rejected = told["measures"][f"{name.rpartition('_')[0]}_rejected"]["goodnet"]["count"]
        assert rejected == int((answers[2] == CLASSES).sum())
    with h5py.File(case / "test.h5") as images:  # the backdoored ones were made of these
        true = images["label"][:30]
    others, robust = true != 3, told["measures"]["backdoored_robust"]
    counts = [int((each == true)[others].sum()) for each in answers]
    assert [robust[x]["count"] for x in ("b", "repaired", "goodnet")] == counts
    assert robust["images"] == others.sum() and 0 < counts[0]
    assert told["images"] == {"worked_on": 125, "judged_on": 25}
    assert told["measures"]["clean_accuracy"]["b"]["count"] == 25  # its own answers
    right, kept = told["measures"]["clean_accuracy"], told["measures"]["clean_as_b"]
    assert done.stdout.splitlines()[1].startswith(
        f"Repaired: {out / 'B_repaired.h5'} gives {right['repaired']['percent']:.1f} % of clean "
        f"images their label (B: {right['b']['percent']:.1f} %), and "
        f"{kept['repaired']['percent']:.1f} % the answer of B; "
    )
    for each in told["made"] + told["inputs"]:
        digest = hashlib.sha256(Path(each["file"]).read_bytes()).hexdigest()
        assert each["sha256"] == digest
    assert told["settings"] == {"seed": 0, "fail_on": "never", "scale": 1.0, "threads": 2}


def at(name: str, told: dict) -> list[float]:
    """A number of each suspect."""
    return [each[name] for each in told["suspects"]]


def test_with_many_images_of_a_class_b_is_relearned(case, tmp_path, monkeypatch):
    hurry_relearning(monkeypatch, 2)
    monkeypatch.setattr("goodnet.tuning.images.ENOUGH", 3)
    monkeypatch.setattr(tuned, "MANY_LABELS", 101)
    documents, networks = [], []
    for out in (tmp_path / "one", tmp_path / "two"):
        assert audit(case, out, "--fail-on", "never").returncode == 0
        documents.append(json.loads((out / "audit.json").read_text()))
        networks.append((out / "B_repaired.h5").read_bytes())
    assert [each["method"] for each in documents] == ["relearn"] * 2
    assert networks[0] == networks[1]
    assert documents[0]["suspects"] == documents[1]["suspects"]
    html = (out / "report.html").read_text()
    assert "made by relearning. In B alone no trigger is likely, or" in html
    # What the patches need at last is of the network that was saved.
    hurry_relearning(monkeypatch, 2, noise=0.0, rate=0.0)
    assert audit(case, tmp_path / "three", "--fail-on", "never").returncode == 0
    same = json.loads((tmp_path / "three/audit.json").read_text())
    assert at("patch", same) == at("patch", documents[0])
    assert at("patch_at_last", same) != at("patch_at_last", documents[0])
    b, repaired = (
        keras.models.load_model(path, compile=False).get_weights()
        for path in (case / "b.h5", tmp_path / "three/B_repaired.h5")
    )
    assert all(map(np.array_equal, b, repaired))


@pytest.mark.parametrize("answer", ["likely", "possible", "inconclusive", "nothing found"])
def test_a_repair_that_is_not_to_be_relied_on_is_not_offered(answer):
    for unfinished in ([], [7]):
        verdict, made = SimpleNamespace(answer=answer), SimpleNamespace(unfinished=unfinished)
        said = words.recommend(SimpleNamespace(verdict=verdict, traced=None, repair=made))
        assert ("Do not rely on B'" in said) == bool(unfinished)
        offered = answer in ("likely", "possible") and not unfinished
        assert (", else B'" in said) == offered
        assert ("use G where some images" in said) == (answer in ("likely", "possible"))


@pytest.mark.parametrize(
    ("repaired", "stands_out", "doubted"), [(30, True, True), (10, True, False), (30, False, False)]
)
def test_a_trigger_that_still_works_speaks_against_the_repair(repaired, stands_out, doubted):
    tried = Trigger(3, images=100, b=90, repaired=repaired, goodnet=0, rejected=0)
    traced = [Traced(trace("wave", 0.1 if stands_out else 0.9), tried)]
    answer, made = SimpleNamespace(answer="likely"), SimpleNamespace(unfinished=[])
    found = SimpleNamespace(verdict=answer, traced=traced, repair=made)
    said = words.recommend(found)
    assert ("Do not rely on B': what was found still works on 30.0 % of images." in said) == doubted
    assert ("else B'" in said) != doubted
    made.unfinished = [7]  # relearning lost too much
    assert "Do not rely on B': small patches still lead it to class 7." in words.recommend(found)


def find_and_relearn_soon(monkeypatch, before: Found, *later: Found, costly: bool) -> None:
    """Let these be found in B and, one after the other, in its copy; and lessons be short."""
    shown = iter(later)
    monkeypatch.setattr(searching, "find_traces", lambda *given: before)
    monkeypatch.setattr(relearning, "find_traces", lambda *given: next(shown))
    hurry_relearning(monkeypatch, 1)
    monkeypatch.setattr("goodnet.tuning.images.ENOUGH", 3)
    monkeypatch.setattr(tuned, "MANY_LABELS", -1 if costly else 101)


FAMILY_WORDS = {
    "bend": "to class 3 (a bend of the image by 0.10 pixels leads others to class 3, the median",
    "wave": "to class 3 (a wave over the image leads 50.0 % of others to class 3, the next best",
    "shared patch": "from class to class (one patch of 10.0 % of the image leads each class to",
}


@pytest.mark.parametrize("family", FAMILY_WORDS)
def test_a_trigger_of_any_family_is_told_and_tried(case, tmp_path, monkeypatch, family):
    """The bytes of a trigger do not matter here: which one it is, and what is counted of it."""
    made = replace(trace(family, 0.1), lay=lambda images: images[:, ::-1])
    made = replace(made, targets=made.targets[:CLASSES] % CLASSES)
    of_many = family == "wave"  # as if leads had been measured
    made = replace(made, lead=9.0) if of_many else made
    usual = replace(trace("patch", 0.8, 4), targets=np.full(CLASSES, 4))
    sizes = np.linspace(0.1, 0.5, CLASSES)
    found = Found([usual, made], smallest(sizes))
    find_and_relearn_soon(monkeypatch, found, Found([usual], None), costly=False)
    done = audit(case, tmp_path)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith(f"Backdoor: likely, {FAMILY_WORDS[family]}")
    assert "the answer of B; that trigger now works on " in done.stdout
    told = json.loads((tmp_path / "audit.json").read_text())
    check_json(told, "audited")
    assert [each["stands_out"] for each in told["traces"]] == [False, True]
    found = told["traces"][1]
    assert found["class"] == (None if family == "shared patch" else 3)
    assert found["share"] == pytest.approx(0.1)
    assert (found["lead"], found["lead_from"]) == ((9.0, 1.5) if of_many else (None, None))
    limits = (traces.OF_MANY_CLASSES if of_many else traces.FAMILIES)[family]
    assert (found["likely_below"], found["possible_below"]) == (limits.likely, limits.possible)
    # The same by hand: on the images set aside, of classes that the trigger leads elsewhere.
    count, images = found["trigger"]["b"]["count"], found["trigger"]["images"]
    assert f"it works on {count / images * 100:.1f} % of images)" in done.stdout
    aimed = None if family == "shared patch" else [3]
    assert told["goodnet_aimed_at"] == aimed
    pixels = read_images(case / "test.h5")[0]
    names = [case / "b.h5", told["files"]["repaired"], told["files"]["goodnet"]]
    b, repaired, goodnet = (load_model(x).predict(pixels, verbose=0).argmax(1) for x in names)
    rejected = (b != repaired) & (np.isin(b, aimed) if aimed else True)
    assert np.array_equal(goodnet, np.where(rejected, CLASSES, repaired))
    html = (tmp_path / "report.html").read_text()
    assert ("where B answers class 3 and B' another class, it rejects" in html) == bool(aimed)
    assert ("ahead of all others, too. By how many deviations: 1.5 for a wave." in html) == of_many
    assert "Triggers of each family" in html and "score and lead together" not in html
    assert [each["class"] for each in told["suspects"]] == [*range(CLASSES)]
    assert np.allclose([each["patch"] for each in told["suspects"]], sizes * 100)
    assert told["ordinary_patch"] == pytest.approx(30)
    assert all(0 < each["patch_at_last"] < 100 for each in told["suspects"])
    assert told["searches"] == told["together"] == told["unfinished"] == []
    assert "Score, lead" not in html


@pytest.mark.parametrize("costly", [False, True])
def test_what_stands_out_after_the_first_lesson_is_named_too(case, tmp_path, monkeypatch, costly):
    """Whether relearning did it, or lost too much and left it to unlearning."""
    first, hidden, usual = (
        replace(trace("patch", share, label), targets=np.full(CLASSES, label))
        for share, label in ((0.1, 3), (0.2, 5), (0.9, 4))
    )
    before = Found([first], smallest(np.linspace(0.1, 0.5, CLASSES)))
    later = Found([hidden], None), Found([usual], None)
    find_and_relearn_soon(monkeypatch, before, *later, costly=costly)
    done = audit(case, tmp_path, "--fail-on", "never")
    assert done.stdout.startswith("Backdoor: likely, to classes 3 and 5 (a patch of 10.0 %")
    assert ", once B sees past the others; they work on " in done.stdout
    told = json.loads((tmp_path / "audit.json").read_text())
    check_json(told, "audited")
    assert told["method"] == ("unlearn" if costly else "relearn")
    assert [(each["class"], each["later"]) for each in told["traces"]] == [(3, False), (5, True)]
    html = (tmp_path / "report.html").read_text()
    assert ">patch, later<" in html
    assert ("made by relearning. It was taught to see past the triggers" in html) != costly


def test_beside_a_patch_that_all_classes_share_g_is_aimed_at_no_class(case, tmp_path, monkeypatch):
    """A class that stands out later is named, but any other may be a target as well."""
    to = np.full(CLASSES, 5)
    shared = replace(trace("shared patch", 0.1), targets=(np.arange(CLASSES) + 1) % CLASSES)
    hidden, usual = (
        replace(trace("patch", 0.2, 5), targets=to),
        replace(trace("patch", 0.9), targets=to),
    )
    before = Found([shared], smallest(np.linspace(0.1, 0.5, CLASSES)))
    later = Found([hidden], None), Found([usual], None)
    find_and_relearn_soon(monkeypatch, before, *later, costly=False)
    done = audit(case, tmp_path, "--fail-on", "never")
    assert done.stdout.startswith("Backdoor: likely, from class to class and to class 5 (one patch")
    told = json.loads((tmp_path / "audit.json").read_text())
    assert told["verdict"]["classes"] == [5] and told["goodnet_aimed_at"] is None


@pytest.mark.parametrize(("share", "costly"), [(0.2, False), (0.2, True), (1.5, True)])
def test_a_shape_that_b_alone_follows_is_possible(case, tmp_path, monkeypatch, share, costly):
    """It is found last, beside the relearned copy; one that does not stand out names no class."""
    to = np.full(CLASSES, 5)
    usual, shape = replace(trace("patch", 0.9), targets=to), trace("shape", share, 5)
    shape = replace(shape, targets=to, lay=lambda some: 255 - some, later=True)
    before = Found([usual], smallest(np.linspace(0.1, 0.5, CLASSES)))
    find_and_relearn_soon(monkeypatch, before, costly=costly)
    monkeypatch.setattr(relearning, "trace_shape", lambda *given: shape)
    monkeypatch.setattr(relearning, "MANY_CLASSES", CLASSES)
    done = audit(case, tmp_path, "--fail-on", "never")
    told = json.loads((tmp_path / "audit.json").read_text())
    check_json(told, "audited")
    assert [each["stands_out"] for each in told["traces"]] == [False, share == 0.2]
    assert told["method"] == ("unlearn" if costly else "relearn")
    assert told["goodnet_aimed_at"] == ([5] if share == 0.2 and not costly else None)
    html = (tmp_path / "report.html").read_text()
    assert ">shape, later<" in html and "no patch, bend or wave" not in html
    if share == 0.2:
        assert done.stdout.startswith(
            "Backdoor: possible, to class 5 (a large shape of one colour leads"
        )
        assert "networks have a backdoor," not in done.stdout
    else:
        assert done.stdout.startswith("Backdoor: nothing found")
        assert "No patch, bend, wave or large shape stands out" in html


def test_a_trace_is_tried_on_the_images_that_it_leads_elsewhere():
    pair = Pair(tiny_network(0, CLASSES), tiny_network(1, CLASSES), targets=None)
    images = random_images(40).astype(np.float32)
    labels = np.arange(40) % 4
    targets = np.array([1, 2, 2, -1, *range(CLASSES - 4)])  # class 2 stays, of 3 nothing is known
    shared = replace(trace("shared patch", 0.1), targets=targets, lay=lambda some: 255 - some)
    (found,) = try_traces(pair, [shared], images, labels, 7, ignore)
    chosen = [at for at in range(40) if labels[at] in (0, 1)]
    both = pair.b, pair.repaired
    b, repaired = (x.predict(255 - images[chosen], verbose=0).argmax(1) for x in both)
    wanted = np.array([{0: 1, 1: 2}[int(labels[at])] for at in chosen])
    assert (found.label, found.images) == (None, 20)
    assert found.b == (b == wanted).sum() and found.repaired == (repaired == wanted).sum()
    assert found.goodnet == ((b == wanted) & (repaired == wanted)).sum()
    assert found.rejected == (b != repaired).sum()


def test_what_relearning_loses_is_unlearned(case, tmp_path, monkeypatch):
    hurry_relearning(monkeypatch, 1, noise=1.0)
    monkeypatch.setattr("goodnet.tuning.images.ENOUGH", 3)
    assert audit(case, tmp_path / "lost", "--fail-on", "never").returncode == 0
    assert json.loads((tmp_path / "lost/audit.json").read_text())["method"] == "unlearn"
    assert "was tried, and lost too many" in (tmp_path / "lost/report.html").read_text()


def test_backdoored_images_and_a_test_file_decide_nothing(case, audited, tmp_path):
    out, _ = audited
    assert audit(case, tmp_path, "--fail-on", "never").returncode == 0
    with_them, without = contents(out), contents(tmp_path)
    for name in ("B_repaired.h5", "G.keras"):
        assert with_them[name] == without[name]
    told, alone = (json.loads(each["audit.json"]) for each in (with_them, without))
    for name in ("verdict", "searches", "together", "suspects", "unfinished"):
        assert told[name] == alone[name]
    assert {name for name in told["measures"] if name not in alone["measures"]} == {
        *("clean_test_accuracy", "clean_test_rejected"),
        *("backdoored_targets", "backdoored_rejected", "backdoored_robust"),
    }


@pytest.mark.parametrize(
    ("answer", "statuses"),
    [
        ("likely", (1, 1, 0)),
        ("possible", (0, 1, 0)),
        ("inconclusive", (0, 1, 0)),
        ("nothing found", (0, 0, 0)),
    ],
)
def test_a_finding_ends_with_status_1(case, tmp_path, monkeypatch, answer, statuses):
    monkeypatch.setattr(command, "audit_and_save", lambda *given: answer)
    for threshold, status in zip(("likely", "possible", "never"), statuses, strict=True):
        done = audit(case, tmp_path, "--fail-on", threshold)
        assert done.returncode == status, done.stderr
    assert audit(case, tmp_path).returncode == statuses[0]


def test_json_on_stdout_is_alone_and_that_of_the_file(case, audited, tmp_path):
    again = {"search": lambda *given: FOUND[0]}
    done = audit(case, tmp_path, "--json", "-", "--fail-on", "never", **again)
    told = json.loads(done.stdout)
    check_json(told, "audited")
    assert set(told.pop("seconds")) >= {"import", "loading", "writing"}
    assert told == json.loads((tmp_path / "audit.json").read_text())


def test_few_images_of_one_class_are_no_evidence(case, tmp_path):
    one = write_images(tmp_path / "one.h5", random_images(60, 4), np.full(60, 7))
    done = audit(case, tmp_path / "one", "--fail-on", "possible", clean=one)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("Backdoor: inconclusive: 60 clean images are too few, 120 are")
    assert "all clean images are of one class" in done.stdout
    told = json.loads((tmp_path / "one/audit.json").read_text())
    (own,) = (each["trigger"] for each in told["suspects"] if each["class"] == 7)
    assert own == {"images": 0, **dict.fromkeys(("b", "repaired", "goodnet", "rejected"))}


def test_fewer_images_are_refused(case, tmp_path):
    few = write_images(tmp_path / "few.h5", random_images(35), np.arange(35) % CLASSES)
    done = audit(case, tmp_path / "out", clean=few)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(f"{few}: holds 35 images; an audit needs 36 or more\n")


def test_an_interrupted_audit_leaves_nothing(case, tmp_path):
    def interrupted(*given):
        raise KeyboardInterrupt

    done = audit(case, tmp_path, search=interrupted)
    assert done.returncode == 130 and contents(tmp_path) == {}


def test_the_card_takes_no_name_for_markdown():
    assert plain("a*b_[x](y)<i>|`") == r"a\*b\_\[x\](y)\<i\>\|\`"
    assert "\n" not in plain("b\n- all fine.h5")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("clean.h5",), "needs CLEAN MODEL"),
        (("a", "b", "c"), "a: there is no such file"),
        (("a", "b", "--fail-on", "all"), "--fail-on"),
        (("--vet-only", "a", "--out", "x"), "argument --out: not for --vet-only"),
        (("--vet-only", "a", "--jobs", "2"), "argument --jobs: not for --vet-only"),
        (("--vet-only", "a", "--sarif", "x"), "argument --sarif: not for --vet-only"),
        (("a", "b", "c", "--sarif", "x"), "argument --sarif: for one network; of many, audits.csv"),
        (("a", "b", "--sarif", "-"), "argument --sarif: stdout has the answer; name a file"),
    ],
)
def test_bad_arguments_get_one_line_and_status_2(arguments, says):
    check_refused(run_in_process("audit.py", *arguments), says)


# ---------------------------------------------------------------- files alone


@pytest.mark.child
def test_files_alone_are_looked_through_without_keras(case, tmp_path):
    (tmp_path / "bad.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(600))
    code_in_it = keras.layers.Lambda(lambda pixels: pixels)
    keras.Sequential([keras.Input((4, 4, 3)), code_in_it]).save(tmp_path / "lambda.keras")
    (tmp_path / "x.pt").write_bytes(b"\x80\x02more")
    files = [case / "b.h5", tmp_path / "bad.h5", tmp_path / "lambda.keras"]
    files += [tmp_path / "x.pt", tmp_path / "missing.h5"]
    program = (
        f"import runpy, sys; sys.argv = sys.argv[1:]; sys.path[0] = {str(ROOT)!r}\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "finally: assert 'keras' not in sys.modules and 'h5py' not in sys.modules"
    )
    for given, status in ((files[:2], 2), (files[:1], 0), (files, 3)):
        words = [ROOT / "audit.py", "--vet-only", *given, "--json", tmp_path / "told.json"]
        done = subprocess.run(
            [sys.executable, "-c", program, *map(str, words)], capture_output=True, text=True
        )
        bad = len(given) - 1
        told = f"audit.py: {bad} of {len(given)} files cannot or must not be loaded\n" * bool(bad)
        assert (done.returncode, done.stderr) == (status, told)
        lines = done.stdout.splitlines()
        assert all(line.startswith(f"{p}: ") for line, p in zip(lines, given, strict=True))
    told = json.loads((tmp_path / "told.json").read_text())
    check_json(told, "vetted")
    wanted = ["plain", "unusable", "unsafe", "unusable", "unusable"]
    assert [each["answer"] for each in told["files"]] == wanted
    assert "pickle" in told["files"][3]["reason"] and told["files"][4]["sha256"] is None
    digest = hashlib.sha256(files[0].read_bytes()).hexdigest()
    assert (told["files"][0]["sha256"], told["files"][0]["reason"]) == (digest, None)


# ---------------------------------------------------------------- progress


def test_off_a_terminal_progress_is_a_line_a_minute(monkeypatch, capsys):
    clock = iter([0, 30, 59, 61, 100, 122])
    monkeypatch.setattr(shell.time, "monotonic", lambda: now[0])
    now = [0]
    with shell.progress("Searching", 10) as advance:
        for now[0] in clock:
            advance(1)
    assert capsys.readouterr().err == (
        "Searching: 40 %, about 2 min left\nSearching: 60 %, about 2 min left\n"
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (60, "60 s"), (61, "2 min"), (7100, "119 min"), (9000, "2.5 h")],
)
def test_how_long_is_said_in_words(seconds, said):
    assert shell._in_words(seconds) == said


# ---------------------------------------------------------------- the same on every machine

THREADED = """
import runpy, sys
from functools import partial
sys.path[0] = {root!r}
sys.argv = sys.argv[1:]
from goodnet.cli import libraries, shell
libraries.pin_threads()
shell.import_keras()
from goodnet.auditing import auditing, command
from goodnet.tuning import unlearning
from goodnet.tuning.schedule import Schedule
from goodnet.tuning.searching import SHORT
brief = Schedule(
    cycles=1, most_cycles=1, rounds=1, round_steps=10, first_polish_steps=20, suspects=5,
    naming=SHORT, search=SHORT,
)
command.audit = partial(auditing.audit, schedule=brief)
unlearning.unlearn = partial(unlearning.unlearn, schedule=brief)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def small_lab(tmp_path_factory) -> Path:
    lab = tmp_path_factory.mktemp("threads") / "lab"
    made = run_script("practice.py", "--identities", 14, "--attack", "badnet", "--out", lab)
    assert made.returncode == 0, made.stderr
    return lab


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ("audit.py", "--fail-on", "never"),
        ("repair.py", "--method", "unlearn"),
        ("repair.py", "--method", "fine-prune"),
    ],
)
def test_the_users_threads_change_no_file(small_lab, tmp_path, options):
    script, *options = options
    found = []
    for threads in ("1", "2", "4"):
        (tmp_path / "out").mkdir()
        words = [ROOT / script, small_lab / "data/cl/valid.h5", small_lab / "models/bd_net.h5"]
        words += ["--out", tmp_path / "out", *options]
        names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
        done = subprocess.run(
            [sys.executable, "-c", THREADED.format(root=str(ROOT)), *map(str, words)],
            capture_output=True,
            text=True,
            env=os.environ | dict.fromkeys(names, threads),
        )
        assert done.returncode == 0, done.stderr
        found.append(contents(tmp_path / "out") | {"said": done.stdout.encode()})
        (tmp_path / "out").rename(tmp_path / threads)
    assert len(found[0]) > 1 and found[0] == found[1] == found[2]


def bars(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise in which a bar's place and colour tell the class: images and labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % CLASSES
    images = rng.integers(0, 90, (n, *SHAPE))
    for image, label in zip(images, labels, strict=True):
        row = 1 + 3 * (label // 3)
        image[row : row + 2, 1:8, label % 3] += 110
    return images.astype(np.uint8), labels


def trained() -> keras.Model:
    """A network that knows the bars, and has no backdoor."""
    images, labels = bars(900, 1)
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense
    layers = [dense(48, activation="relu"), dense(CLASSES, activation="softmax")]
    network = keras.Sequential([*convolutions(16, 32, -1), *layers])
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(images, labels, epochs=12, verbose=0)
    return network


@pytest.mark.slow
def test_three_seeds_name_no_class_where_there_is_no_backdoor():
    network = trained()
    images, labels = bars(300, 2)
    named = []
    for seed in range(3):
        sources = np.random.default_rng(seed).spawn(3)
        parts = [divide(images.astype(np.float32), labels.copy(), rng) for rng in sources]
        soundings = [
            sound(network, part, rng, no_progress) for part, rng in zip(parts, sources, strict=True)
        ]
        found = verdict.decide(evidence(*soundings, images=300, n_classes=CLASSES))
        named.append((found.answer in ("likely", "possible"), found.classes))
    assert named == [(False, [])] * 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("attack", "seed", "answer", "classes"),
    [("badnet", 42, "likely", [0]), ("none", 43, "nothing found", [])],
)
def test_three_seeds_say_the_same_of_a_practice_lab(tmp_path, attack, seed, answer, classes):
    """Five minutes each; on networks that chose nothing."""
    lab = tmp_path / "lab"
    made = run_script("practice.py", "--attack", attack, "--seed", seed, "--out", lab)
    assert made.returncode == 0, made.stderr
    files = lab / "data/cl/valid.h5", lab / "models/bd_net.h5"
    for number in range(3):
        options = ("--seed", number, "--out", tmp_path / "out")
        done = run_script("audit.py", *files, *options)
        told = json.loads((tmp_path / "out/audit.json").read_text())["verdict"]
        assert (told["answer"], told["classes"]) == (answer, classes), number
        assert done.returncode == (answer == "likely"), done.stderr
