"""Relearning: the changes by chance, the shaking, and what is learned again."""

import math
from dataclasses import replace
from functools import partial
from unittest.mock import MagicMock

import keras
import numpy as np
import pytest
from conftest import CLASSES, SHAPE, open_clean, random_images, tiny_network, write_images
from hasty import hurry_relearning
from keras import layers
from test_tuning import TARGET, filled, poisoned, rates, scenes, valid_of, wearing  # noqa: F401

from goodnet.cli import shell
from goodnet.errors import Unusable
from goodnet.methods import METHODS
from goodnet.progress import SILENT
from goodnet.tuning import bending, changes, gradients, lessons, relearning
from goodnet.tuning import report as tuning_report
from goodnet.tuning.families import Found
from goodnet.tuning.images import count_kept, has_enough, read_parts
from goodnet.tuning.patches import Patches
from goodnet.tuning.relearning import Relearned, relearn, relearn_parts, shake, start_chance
from goodnet.tuning.traces import FAMILIES, Trace, standing_out
from goodnet.tuning.tuned import Tuned

LOW, HIGH = -1.0, 3.0


@pytest.fixture
def brief(monkeypatch):
    hurry_relearning(monkeypatch, 4)


# ---------------------------------------------------------------- changes by chance


@pytest.mark.parametrize("shape", [(32, 32, 3), (17, 40, 1), (5, 4, 3)])
@pytest.mark.parametrize("change", changes.ODDS, ids=lambda change: change.__name__)
def test_a_change_keeps_the_range_and_the_shape(change, shape):
    rng = np.random.default_rng(0)
    images = rng.uniform(LOW, HIGH, (12, *shape)).astype(np.float32)
    before = images.copy()
    changed = change(images, LOW, HIGH, rng)
    assert changed.shape == images.shape and np.array_equal(images, before)
    assert LOW - 1e-5 <= changed.min() and changed.max() <= HIGH + 1e-5
    assert (changed != images).any(axis=(1, 2, 3)).all()
    again = change(images, LOW, HIGH, np.random.default_rng(5))
    assert np.array_equal(again, change(images, LOW, HIGH, np.random.default_rng(5)))


def test_a_bend_moves_pixels_as_far_as_it_says_and_smoothly():
    rows, columns = np.mgrid[:64, :64].astype(np.float32)
    images = np.stack([rows, columns], axis=-1)[None].repeat(50, 0)
    moved = (changes.bend(images, 0, 63, np.random.default_rng(0)) - images)[:, 8:-8, 8:-8]
    means = np.abs(moved).mean(axis=(1, 2, 3))
    # 0.3 to 2 pixels in an image of 32, so twice as many here; the border is left out.
    assert 0.3 < means.min() < 1.2 and 2.8 < means.max() < 5
    assert np.abs(np.diff(moved, axis=1)).mean() < 0.2 * np.abs(moved).mean()
    flat = np.full((3, 9, 8, 1), 0.25, np.float32)
    assert np.allclose(changes.bend(flat, 0, 1, np.random.default_rng(0)), 0.25)


def test_a_wave_is_a_single_one_of_the_height_that_it_says():
    grey = np.full((40, 32, 32, 3), 0.5, np.float32)
    waves = changes.wave(grey, 0, 1, np.random.default_rng(0)) - 0.5
    for wave in waves:
        power = np.abs(np.fft.fft2(wave[..., 0])) ** 2
        assert np.sort(power.ravel())[-2:].sum() > 0.999 * power.sum()
        assert np.abs(wave).max() <= 0.2 + 1e-6
        assert np.allclose(np.abs(wave), np.abs(wave[..., :1]), atol=1e-6)


def test_a_blend_is_faint_and_a_patch_is_small():
    dark = np.zeros((200, 32, 32, 3), np.float32)
    blended = changes.blend(dark, 0, 1, np.random.default_rng(0))
    assert 0.2 < blended.max() <= 0.3
    covered = (
        (changes.patch(dark, 0, 1, np.random.default_rng(0)) > 0).any(axis=3).mean(axis=(1, 2))
    )
    assert 0 < covered.min() and 0.03 < covered.max() <= (6 / 32) ** 2


def test_each_family_changes_as_many_images_as_its_odds_say():
    rng = np.random.default_rng(0)
    images = rng.uniform(0.2, 0.8, (4000, 16, 16, 1)).astype(np.float32)
    for share in (1.0, 0.5, 0.0):
        changed = changes.change_some(images, 0, 1, rng, share=share) != images
        odds = share * sum(changes.ODDS.values())
        assert abs(changed.any(axis=(1, 2, 3)).mean() - odds) < 0.03
    bent = changes.change_some(images, 0, 1, rng, {changes.bend: 0.2, changes.wave: 0.0})
    assert abs((bent != images).any(axis=(1, 2, 3)).mean() - 0.2) < 0.03


# ---------------------------------------------------------------- shaking


def nested(last: keras.Layer) -> keras.Sequential:
    return keras.Sequential(
        [keras.Input((40,)), layers.Dense(300), layers.Dropout(0.5), keras.Sequential([last])]
    )


@pytest.mark.parametrize("noise", [0.0, 0.4, 0.8])
def test_shaking_keeps_the_size_of_weights_and_leaves_biases(noise):
    network = nested(layers.BatchNormalization())
    kernel, bias, *norms = network.get_weights()
    network.layers[0].bias.assign(bias + 2)
    shake(network, np.random.default_rng(0), noise)
    shaken, bias, *norms_now = network.get_weights()
    assert np.isclose(np.linalg.norm(shaken), np.linalg.norm(kernel), rtol=0.02)
    alike = np.corrcoef(shaken.ravel(), kernel.ravel())[0, 1]
    assert np.isclose(alike, (1 - noise) / np.hypot(1 - noise, noise), atol=0.03)
    assert (bias == 2).all() and all(map(np.array_equal, norms, norms_now))


def test_what_decides_on_dropout_follows_the_seed_alone():
    network = nested(layers.ReLU())
    kept, states = network.get_weights(), []
    for seed in (0, 0, 1):
        start_chance(network, np.random.default_rng(seed))
        states.append([np.asarray(each.value) for each in network.layers[1].variables])
    assert np.array_equal(*states[:2]) and not np.array_equal(*states[1:])
    assert all(map(np.array_equal, kept, network.get_weights()))


def test_batch_norm_is_seen_wherever_it_is():
    assert relearning.has_batch_norm(nested(layers.BatchNormalization()))
    assert not relearning.has_batch_norm(nested(layers.LayerNormalization()))


def test_logits_in_training_follow_the_statistics_of_the_images():
    network = keras.Sequential(
        [keras.Input((9, 8, 3)), layers.Conv2D(4, 3), layers.BatchNormalization()]
        + [layers.Flatten(), layers.Dense(3, activation="softmax")]
    )
    images = np.random.default_rng(0).uniform(0, 255, (20, 9, 8, 3)).astype(np.float32)
    copy = gradients.copy_with_logits(network, images)
    now = np.asarray(keras.ops.softmax(copy.see_in_training(images).logits))
    assert np.allclose(now, np.asarray(network(images, training=True)), atol=1e-5)
    assert not np.allclose(now, network.predict(images, verbose=0), atol=1e-2)


# ---------------------------------------------------------------- learning again


def test_relearning_ends_a_backdoor_and_keeps_the_accuracy(poisoned, monkeypatch):  # noqa: F811
    hurry_relearning(monkeypatch, 500)
    network, valid = poisoned
    before = network.get_weights()
    clean, asr = rates(network)
    assert clean > 0.95 and asr > 0.95
    results = [relearn(network, valid_of(valid), seed, shell.progress) for seed in (0, 1)]
    assert all(map(np.array_equal, before, network.get_weights()))
    now, asr = np.transpose([rates(filled(network, each.arrays)) for each in results])
    assert now.min() > clean - 0.03 and asr.mean() < 0.2 and asr.max() < 0.4
    for result in results:
        assert (result.held_back, result.b_hits) == (33, 33) and result.kept >= 32


def test_the_copy_comes_near_what_b_makes_its_answers_of(poisoned, monkeypatch):  # noqa: F811
    hurry_relearning(monkeypatch, 100)
    network, valid = poisoned
    images = scenes(100, 4)[0]

    def features(of: keras.Model) -> np.ndarray:
        return keras.Model(of.inputs, of.layers[-1].input).predict(images, verbose=0)

    wanted, away = features(network), {}
    for weight in (lessons.FEATURES, 0.0):
        monkeypatch.setattr(lessons, "FEATURES", weight)
        made = filled(network, relearn(network, valid_of(valid), 0, shell.progress).arrays)
        away[weight] = np.square(features(made) - wanted).mean() / np.square(wanted).mean()
    assert 2 * away[2.0] < away[0.0], away


def test_a_seed_gives_one_network(poisoned, brief):  # noqa: F811
    network, valid = poisoned
    first, again, other = (
        relearn(network, valid_of(valid), seed, shell.progress).arrays for seed in (0, 0, 1)
    )
    assert all(map(np.array_equal, first, again))
    assert not all(map(np.array_equal, first, other))


def test_dropout_and_batch_norm_follow_the_seed_alone(tmp_path, brief):
    network = keras.Sequential(
        [keras.Input((9, 8, 1)), layers.Conv2D(4, 3), layers.BatchNormalization()]
        + [layers.ReLU(), layers.Dropout(0.5), layers.Flatten(), layers.Dense(3)]
    )
    pixels = np.random.default_rng(0).integers(0, 256, (40, 9, 8, 1))
    valid = write_images(tmp_path / "v.h5", pixels, np.arange(40) % 3)
    images = open_clean(valid, (9, 8, 1), 3, 1.0)
    moving = [np.asarray(each) for each in network.layers[1].non_trainable_variables]
    first, again = (relearn(network, images, 0, shell.progress).arrays for _ in range(2))
    assert all(map(np.array_equal, first, again))
    assert not np.allclose(moving[0], first[4])
    assert all(map(np.array_equal, moving, network.layers[1].non_trainable_variables))


@pytest.mark.parametrize("together", [64, 9])
def test_images_in_parts_teach_the_same(poisoned, brief, together):  # noqa: F811
    network, valid = poisoned
    whole, parts = (
        relearn(network, valid_of(valid), 0, shell.progress, size) for size in (1 << 30, together)
    )
    for one, other in zip(whole.arrays, parts.arrays, strict=True):
        assert np.allclose(one, other, rtol=1e-2, atol=3e-3)


def test_images_are_mirrored_only_where_b_knows_them_mirrored(poisoned, brief):  # noqa: F811
    network, valid = poisoned
    assert relearn(network, valid_of(valid), 0, shell.progress).findings.mirrored
    sided = keras.Sequential(  # what is bright on the left is of class 0, on the right of class 1
        [keras.Input(SHAPE), layers.Flatten(), layers.Dense(CLASSES, use_bias=False)]
    )
    kernel = np.zeros((*SHAPE, CLASSES), np.float32)
    kernel[:, : SHAPE[1] // 2, :, 0] = kernel[:, -(SHAPE[1] // 2) :, :, 1] = 1
    kernel[..., 2:] = -1
    sided.set_weights([kernel.reshape(-1, CLASSES)])
    pixels = np.zeros((40, *SHAPE), np.uint8)
    pixels[::2, :, :3], pixels[1::2, :, -3:] = 200, 200
    path = write_images(valid.parent / "sided.h5", pixels, np.arange(40) % 2)
    result = relearn(sided, valid_of(path), 0, shell.progress)
    assert result.b_hits == 6 and not result.findings.mirrored


def test_what_cannot_be_relearned_is_refused_in_one_line(tmp_path, brief):
    few = write_images(tmp_path / "few.h5", random_images(5), np.zeros(5))
    with pytest.raises(Unusable, match="5 images; tuning needs 6"):
        relearn(tiny_network(), valid_of(few), 0, shell.progress)


def bend_to(label: int, size: float) -> Trace:
    """A bend, of a network in which a usual one moves pixels by 2."""
    targets = np.full(CLASSES, label)
    return Trace("bend", targets, size, 2.0, lambda some: some, lambda some, rng: 0 * some)


def shape_to(label: int, size: float) -> Trace:
    return replace(bend_to(label, size), family="shape", later=True)


NOT_SOUGHT = "No trigger was sought: it takes 10 classes, half with 150 images"
NO_TRACE = "No patch, bend or wave stands out, and no patch that all classes share"
SHAPED = (
    "a backdoor: a large shape of one colour leads others to class 4 in B, not in a copy that "
    "learned anew, 10.0 times as surely as clean images are led to their own"
)
BENT = (
    "a backdoor: a bend of the image by {:.2f} pixels leads others to class 4, the median class "
    "needs 2.00"
)


@pytest.mark.parametrize(
    ("kept", "traces", "told"),
    [
        (44, None, [NOT_SOUGHT]),
        (43, [], [NO_TRACE]),
        (43, [shape_to(4, 2.0)], [NO_TRACE.replace(" or wave", ", wave or large shape")]),
        (44, [shape_to(4, 0.2)], [f"Possibly {SHAPED}"]),
        (44, [bend_to(4, 0.5)], [f"Likely {BENT.format(0.5)}"]),
        (43, [bend_to(4, 1.0)], [f"Possibly {BENT.format(1)}"]),
        (
            44,
            [replace(bend_to(4, 0.5), later=True)],
            [f"Likely {BENT.format(0.5)}, once B sees past the others"],
        ),
    ],
)
def test_relearning_tells_what_it_found_and_cost(capsys, kept, traces, told):
    shape = next((x for x in traces or [] if x.family == "shape"), None)
    standing = traces and standing_out(traces)
    result = Tuned([], 50, kept, 46, Relearned(3300, False, True, standing, shape))
    method = METHODS["relearn"]
    tuning_report.print_tuned(method, result, [], "B_relearned.h5")
    first, *found, held, saved = capsys.readouterr().out.splitlines()
    assert first == "Learned again in 3300 steps, no image mirrored"
    assert [held, saved] == [f"Images held back, given their label: {kept} of 50", "B_relearned.h5"]
    assert found[: len(told)] == told
    costs = [("It lost 6.0 points" in line, line.endswith("may keep more")) for line in found[1:]]
    assert costs == [(True, True)] * (kept == 43)
    limits = {"likely_below": 0.45, "possible_below": 0.6}
    limits |= {"lead": math.inf, "lead_from": -math.inf}  # none is measured, and none is needed
    assert tuning_report.list_tuned(method, result, [], "B_relearned.h5") == {
        **{"network": "B_relearned.h5", "held_back": 50, "kept": kept},
        **{
            "steps": 3300,
            "mirrored": False,
            "anew": True,
            "held_back_accuracy_lost": 2.0 * (46 - kept),
        },
        "traces": traces
        and [
            {"family": x.family, "class": 4, "size": x.size, "usual": 2.0, "share": x.size / 2}
            | limits
            | ({} if x.family == "bend" else {"likely_below": 0.0, "possible_below": 0.6})
            | {"later": x.later}
            for x in traces
            if x.possible
        ],
    }


# ---------------------------------------------------------------- triggers that are sought


def test_triggers_are_sought_with_images_enough(poisoned, brief, monkeypatch):  # noqa: F811
    network, valid = poisoned
    small, usual = bend_to(3, 0.3), bend_to(5, 1.9)
    show(monkeypatch, [small, usual], [usual])
    plain = relearn(network, valid_of(valid), 0, shell.progress)
    assert plain.findings.traces is None  # none of its classes has 150 images
    assert plain.findings.anew
    monkeypatch.setattr("goodnet.tuning.images.ENOUGH", 3)
    monkeypatch.setattr(relearning, "LEAST_CLASSES", CLASSES)
    taught = relearn(network, valid_of(valid), 0, shell.progress)
    assert taught.findings == Relearned(4, True, False, [small])
    assert not all(map(np.array_equal, plain.arrays, taught.arrays))
    monkeypatch.setattr(relearning, "LEAST_CLASSES", CLASSES + 1)
    assert relearn(network, valid_of(valid), 0, shell.progress).findings.traces is None
    monkeypatch.setattr(relearning, "LEAST_CLASSES", CLASSES)
    show(monkeypatch, [usual])
    monkeypatch.setattr(relearning, "trace_shape", lambda *given: usual)
    nothing = relearn(network, valid_of(valid), 0, shell.progress)
    assert nothing.findings == Relearned(4, True, True, [], usual)
    assert all(map(np.array_equal, plain.arrays, nothing.arrays))


def test_large_shapes_are_sought_in_b_beside_the_copy_where_nothing_is_likely(
    poisoned,  # noqa: F811
    brief,
    monkeypatch,
):
    network, valid = poisoned
    grey, asked, found = np.full((1, *SHAPE), 128, np.float32), [], [bend_to(3, 1.9)]

    def trace(b: gradients.Logits, copy: gradients.Logits, *others: object) -> Trace:
        asked.append([np.asarray(x(grey)) for x in (b, copy)])
        return found[-1]

    monkeypatch.setattr(relearning, "trace_shape", trace)
    parts = read_parts(valid_of(valid), np.random.default_rng(0))

    def relearned(*traces: Trace) -> Tuned[Relearned]:
        return relearn_parts(network, parts, traces, np.random.default_rng(0), SILENT.progress)

    usual = relearned(bend_to(5, 1.9))
    assert (usual.findings.traces, usual.findings.shape) == ([], found[-1])
    for logits, one in zip(asked[0], (network, filled(network, usual.arrays)), strict=True):
        moved = logits - np.log(one(grey))
        assert np.allclose(moved, moved.mean(), atol=1e-3)
    found.append(shape := bend_to(3, 0.2))
    taught, teach = [], relearning.teach
    monkeypatch.setattr(
        relearning, "teach", lambda *given: (taught.append(given[2].traces), teach(*given))
    )
    past = relearned(bend_to(5, 1.9))
    assert past.findings.traces == [past.findings.shape] == [shape]
    assert (taught, past.findings.steps) == ([[], [shape]], usual.findings.steps + 4)
    assert not all(map(np.array_equal, past.arrays, usual.arrays))
    beside = relearned(doubtful := bend_to(5, 1.0)).findings
    assert (beside.traces, beside.anew) == ([doubtful, shape], True)
    assert taught[2:] == [[doubtful], [doubtful, shape]]
    monkeypatch.setattr(relearning, "MANY_CLASSES", CLASSES - 1)
    none = relearned().findings
    assert (none.traces, none.shape) == ([], None)
    monkeypatch.setattr(relearning, "MANY_CLASSES", CLASSES)
    show(monkeypatch, *[[bend_to(5, 0.1)]] * 3)
    relearned(bend_to(5, 0.1))
    rng = np.random.default_rng(0)
    assert relearn_parts(network, parts, None, rng, SILENT.progress).findings.traces is None
    assert len(asked) == 3


def show(monkeypatch: pytest.MonkeyPatch, *found: list[Trace]) -> list[np.ndarray]:
    """Let one search after the other find this; the logits that each saw of a grey image."""
    left, seen = list(found), []

    def find(logits: gradients.Logits, *others: object) -> Found:
        seen.append(np.asarray(logits(np.full((1, *SHAPE), 128, np.float32))))
        return Found(left.pop(0), None)

    monkeypatch.setattr(relearning, "find_traces", find)
    return seen


def test_what_stands_out_later_is_seen_past_too(poisoned, monkeypatch):  # noqa: F811
    """It is sought in the copy, and named once; where it has no end, B is shaken."""
    network, valid = poisoned
    taught = []
    monkeypatch.setattr(
        relearning, "teach", lambda copy, b, lesson, *_: taught.append((copy, lesson.traces))
    )
    rng = np.random.default_rng(0)
    parts = read_parts(valid_of(valid), rng)
    first, again, other, usual = bend_to(3, 0.3), bend_to(3, 0.5), bend_to(5, 0.2), bend_to(4, 1.9)

    show(monkeypatch, [usual, again, other], [usual])
    found = relearn_parts(network, parts, [first, usual], rng, SILENT.progress).findings
    assert [traces for _, traces in taught] == [[first], [first, again, other]]
    assert found.traces == [first, replace(other, later=True)] and not found.anew

    taught.clear()
    show(monkeypatch, *[[again]] * 3)
    result = relearn_parts(network, parts, [first], rng, SILENT.progress)
    assert [len(traces) for _, traces in taught] == [1, 2, 3, 4]
    assert result.findings.traces == [first] and result.findings.anew
    kernel, shaken = network.get_weights()[0].ravel(), result.arrays[0].ravel()
    assert 0.1 < np.corrcoef(kernel, shaken)[0, 1] < 0.5  # 0.2 of it is left beside 0.8 of noise


@pytest.mark.parametrize(("family", "shared"), [("bend", False), ("shared patch", True)])
def test_a_shared_patch_is_sought_again_where_nothing_else_stands_out(
    poisoned,  # noqa: F811
    monkeypatch,
    family,
    shared,
):
    network, valid = poisoned
    monkeypatch.setattr(relearning, "teach", lambda *given: None)
    asked = []

    def find(logits: gradients.Logits, *others: object) -> Found:
        asked.append(others[-1])
        return Found([], None)

    monkeypatch.setattr(relearning, "find_traces", find)
    rng = np.random.default_rng(0)
    targets = np.roll(np.arange(CLASSES), 1) if shared else np.full(CLASSES, 3)
    trace = replace(bend_to(3, 0.1), family=family, targets=targets)
    parts = read_parts(valid_of(valid), rng)
    relearn_parts(network, parts, [trace], rng, SILENT.progress)
    assert asked == [shared]


def test_it_is_the_copy_that_is_searched_again(poisoned, brief, monkeypatch):  # noqa: F811
    network, valid = poisoned
    monkeypatch.setattr("goodnet.tuning.images.ENOUGH", 3)
    monkeypatch.setattr(relearning, "LEAST_CLASSES", CLASSES)
    seen = show(monkeypatch, [bend_to(3, 0.3)], [])
    made = filled(network, relearn(network, valid_of(valid), 0, shell.progress).arrays)
    answers = [np.log(x(np.full((1, *SHAPE), 128, np.float32))) for x in (network, made)]
    for logits, answer in zip(seen, answers, strict=True):
        moved = logits - answer
        assert np.allclose(moved, moved.mean(), atol=1e-3)


def test_one_image_in_two_is_under_a_trigger_that_was_found(poisoned, monkeypatch):  # noqa: F811
    """In the first half of the steps; what it is taught is what B makes of the image without."""
    network, valid = poisoned
    shown, usual = [], bend_to(3, 0.3)
    traces = [replace(usual, lay_some=partial(_note, shown=shown, mark=mark)) for mark in "ab"]
    rng = np.random.default_rng(0)
    parts = read_parts(valid_of(valid), rng)
    hurry_relearning(monkeypatch, 40)
    show(monkeypatch, [])
    relearn_parts(network, parts, traces, rng, SILENT.progress)
    for mark in "ab":
        counts = [count for each, count in shown if each == mark]
        assert abs(sum(counts[:20]) / (20 * 64) - 0.25) < 0.03
    assert sum(count for _, count in shown[40:]) < sum(count for _, count in shown[:40])


def _note(images: np.ndarray, rng: np.random.Generator, shown: list, mark: str) -> np.ndarray:
    shown.append((mark, len(images)))
    return images


def test_a_copy_learns_to_see_past_what_was_found(poisoned, monkeypatch):  # noqa: F811
    """Taught with the trigger itself, the backdoor ends, and no accuracy is lost."""
    network, valid = poisoned
    hurry_relearning(monkeypatch, 100)
    show(monkeypatch, *[[]] * 2)
    rng = np.random.default_rng(0)
    parts = read_parts(valid_of(valid), rng)
    found = replace(bend_to(TARGET, 0.3), lay_some=lambda some, rng: wearing(some))
    other = replace(found, lay_some=lambda some, rng: some)
    clean, asr = {}, {}
    for name, traces in (("other", [other]), ("found", [found])):
        own = np.random.default_rng(1)
        made = relearn_parts(network, parts, traces, own, SILENT.progress)
        clean[name], asr[name] = rates(filled(network, made.arrays))
    assert asr["found"] < 0.1 and asr["other"] > 0.5, asr
    assert min(clean.values()) > rates(network)[0] - 0.02


def test_patches_are_sought_in_the_copy_on_the_way(poisoned, monkeypatch):  # noqa: F811
    """Three times a lesson, in the copy as it is then, to the class that a patch was found to."""
    network, valid = poisoned
    hurry_relearning(monkeypatch, 10)
    show(monkeypatch, [])
    rng, sought, grey = np.random.default_rng(0), [], np.full((1, *SHAPE), 128, np.float32)

    def make(logits, images, together):
        def search(classes, rng, effort):
            sought.append((classes.tolist(), np.asarray(logits(grey)).tolist()))
            return Patches(classes, *np.zeros((2, len(classes), 1, 1, 1)))

        return search

    monkeypatch.setattr(relearning, "make_search", make)
    parts, patch = read_parts(valid_of(valid), rng), replace(bend_to(3, 0.3), family="patch")
    relearn_parts(network, parts, [patch, bend_to(5, 0.3)], rng, SILENT.progress)
    assert [classes for classes, _ in sought] == [[3] * 8] * 3
    states = [logits for _, logits in sought]
    assert all(a != b for at, a in enumerate(states) for b in states[:at])


def test_a_harder_lesson_is_kept_where_it_costs_little(poisoned, monkeypatch):  # noqa: F811
    """What is sought on the way is seen past; where that costs more, the copy is as it was."""
    network, valid = poisoned
    hurry_relearning(monkeypatch, 100)
    other = replace(bend_to(TARGET, 0.3), family="patch", lay_some=lambda some, rng: some)
    found = replace(other, lay_some=lambda some, rng: wearing(some))
    monkeypatch.setattr(relearning, "_seek_more", lambda *given: [found])
    made = {}
    for name, family, shares in (
        ("whole", "patch", ((1.0, 0.05), (0.75, 1.0))),
        ("part", "patch", ((1.0, -1.0), (0.75, 0.05))),
        ("undone", "patch", ((1.0, -1.0), (0.75, -1.0))),
        ("none", "bend", ((1.0, 0.05), (0.75, 0.05))),
    ):
        show(monkeypatch, [])
        monkeypatch.setattr(relearning, "SHARES", shares)
        monkeypatch.setitem(FAMILIES, "bend", FAMILIES["patch"])
        rng = np.random.default_rng(0)
        parts, trace = read_parts(valid_of(valid), rng), replace(other, family=family)
        made[name] = relearn_parts(network, parts, [trace], rng, SILENT.progress)
    assert {name: each.findings.steps for name, each in made.items()} == {
        "whole": 200,
        "part": 200,
        "undone": 100,
        "none": 100,
    }
    assert all(map(np.array_equal, made["undone"].arrays, made["none"].arrays))
    ends = zip(*(made[name].arrays for name in ("part", "none", "whole")), strict=True)
    assert all(np.allclose(a, (b + 3 * c) / 4, atol=1e-6) for a, b, c in ends)
    (clean, asr), (_, before) = (rates(filled(network, made[x].arrays)) for x in ("whole", "none"))
    assert asr < 0.1 < 0.5 < before and clean > rates(network)[0] - 0.02


@pytest.mark.parametrize(
    ("classes", "each", "kept"),
    [
        (10, 250, 2500),
        (10, 1000, 6000),
        (43, 300, 43 * 240),  # traffic signs
        (43, 216, 43 * 216),
        (43, 215, 6000),  # too few once parts are set aside, so not one more is taken
        (1283, 9, 6000),
    ],
)
def test_of_many_classes_so_many_images_are_kept_that_each_has_enough(classes, each, kept):
    labels = np.arange(classes * each) % classes
    valid = MagicMock(labels=labels, bytes_each=32 * 32 * 3 * 4)
    valid.__len__.return_value = len(labels)
    assert count_kept(valid) == kept
    valid.bytes_each = 224 * 224 * 3 * 4
    assert count_kept(valid) == 668  # as many as fit
    aside = labels[: kept * 5 // 6]  # what an audit works on
    assert has_enough(aside[: len(aside) * 5 // 6], classes) == (each >= 216)


def test_bends_for_gradients_are_those_of_numpy():
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (3, 5, 9, 7, 2)).astype(np.float32)
    moved = rng.normal(0, 2, (3, 2, 9, 7)).astype(np.float32)
    found = np.asarray(bending._move(keras.ops.convert_to_tensor(images), moved))
    for row, one, each in zip(images, moved, found, strict=True):
        assert np.allclose(each, changes.move(row, one[None].repeat(len(row), 0)), atol=1e-3)


def test_a_pixel_is_taken_from_where_it_says():
    image = np.arange(20, dtype=np.float32).reshape(1, 4, 5, 1)
    moved = np.zeros((1, 2, 4, 5))
    moved[0, 0, 0, 0], moved[0, 1, 0, 0] = 1, 0.5  # one down, half a pixel to the right
    moved[0, 1, 3, 4] = 7  # past the border
    bent = changes.move(image, moved)[0, :, :, 0]
    assert bent[0, 0] == 5.5 and bent[3, 4] == 19
    assert np.array_equal(np.delete(bent.ravel(), [0, 19]), np.delete(image.ravel(), [0, 19]))


@pytest.mark.parametrize("together", [1 << 30, 32])  # six at a time; four and two
def test_the_class_of_a_bend_needs_the_smallest(together):
    """Of class 1 is what has its edge a little to the left, of class 2 what has it far away."""
    images = np.zeros((30, 16, 16, 1), np.float32)
    images[:, :, 8:] = 1

    def logits(pixels):
        edge = 16 - keras.ops.mean(keras.ops.sum(pixels[..., 0], axis=2), axis=1)
        near, far = 6 * keras.ops.minimum(7.5 - edge, 0.5), 12 * (5.5 - edge)
        return keras.ops.stack([0 * edge, near, far], axis=1)

    rng = np.random.default_rng(0)
    found = bending.find_bends(logits, images, 3, rng, SILENT.progress, together)
    assert found.classes.tolist() == [0, 0, 1, 1, 2, 2]
    sizes = found.sizes.reshape(3, 2).min(axis=1)
    assert 2 * sizes[1] < sizes[2]
    bent = changes.move(images, found.moved[2:3].repeat(30, 0))
    assert (np.asarray(logits(bent)).argmax(axis=1) == 1).mean() > 0.8


def test_large_bends_have_the_sizes_they_should_and_lead_there(monkeypatch):
    """Of class 1 is what has its edge a little to the left. Sizes from the least up to NEARLY."""
    images = np.zeros((30, 16, 16, 1), np.float32)
    images[:, :, 8:] = 1

    def logits(pixels):
        edge = 16 - keras.ops.mean(keras.ops.sum(pixels[..., 0], axis=2), axis=1)
        return keras.ops.stack([0 * edge, 6 * (7.5 - edge)], axis=1)

    monkeypatch.setattr(bending, "LARGE", 3)
    least, rng = bending.Bend(1, 0.8, 4.0), np.random.default_rng(0)
    for together in (1 << 30, 40):  # all at once, and five, five and two
        moved = bending.find_large_bends(logits, images, least, rng, SILENT.progress, together)
        sizes = np.hypot(moved[:, 0], moved[:, 1]).mean(axis=(1, 2))
        wanted = np.geomspace(0.8, 2.6, 4).repeat(3)
        assert sizes == pytest.approx(wanted, rel=0.01)
        for one in moved:
            bent = changes.move(images, one[None].repeat(30, 0))
            assert (np.asarray(logits(bent)).argmax(axis=1) == 1).all()


def test_where_the_smallest_bend_is_hardly_smaller_than_usual_none_is_smaller_than_it():
    least, rng = bending.Bend(0, 3.0, 4.0), np.random.default_rng(0)
    images = np.zeros((4, 8, 8, 1), np.float32)

    def logits(pixels):
        return keras.ops.repeat(keras.ops.sum(pixels, axis=(1, 2)), 2, axis=1)

    moved = bending.find_large_bends(logits, images, least, rng, SILENT.progress)
    assert np.hypot(moved[:, 0], moved[:, 1]).mean(axis=(1, 2)) == pytest.approx(3.0, rel=0.01)


def test_bends_are_laid_on_alike_often_in_several_strengths():
    moved = np.zeros((2, 2, 8, 8), np.float32)
    moved[0, 1], moved[1, 0] = 1, 2
    ramp = np.broadcast_to(np.arange(8, dtype=np.float32)[:, None, None], (4000, 8, 8, 1))
    bent = bending.bend_some(ramp, np.random.default_rng(0), moved)
    down = (bent - ramp)[:, 1]  # of the second alone
    assert abs((down.any(axis=(1, 2))).mean() - 0.5) < 0.03
    shifts = down[down.any(axis=(1, 2)), 0, 0]
    assert 1.0 - 1e-5 <= shifts.min() < 1.1 and 2.3 < shifts.max() <= 2.4 + 1e-5


def bends_of(sizes: dict[int, tuple[float, ...]]) -> bending.Bends:
    classes = [label for label, some in sizes.items() for _ in some]
    moved = np.zeros((len(classes), 2, 3, 4))
    moved[:, 0] = np.concatenate([np.array(some) for some in sizes.values()])[:, None, None]
    return bending.Bends(np.array(classes), moved)


def test_the_smallest_bend_of_a_class_counts():
    found = bends_of({label: (2.5, 2.0) for label in range(5)} | {7: (2.4, 0.9)}).smallest
    assert (found.label, found.size, found.usual) == (7, pytest.approx(0.9), 2.0)


def test_of_many_classes_some_are_sought(monkeypatch):
    monkeypatch.setattr(bending, "MOST_CLASSES", 3)
    images = np.zeros((4, 8, 8, 1), np.float32)
    found = bending.find_bends(
        lambda pixels: keras.ops.repeat(keras.ops.sum(pixels, axis=(1, 2)), 9, axis=1),
        *(images, 9, np.random.default_rng(0), SILENT.progress),
    )
    assert len(found.classes) == 6 and len(set(found.classes)) == 3 and found.classes.max() < 9
