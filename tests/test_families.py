"""Triggers sought family by family: each is found where it was planted, and only there.

The networks are functions that were written down, so what is right is known.
"""

import numpy as np
import pytest
from keras import ops

from goodnet.progress import no_progress
from goodnet.tuning import changes, families, sharing, traces, waving
from goodnet.tuning.families import find_traces
from goodnet.tuning.images import divide
from goodnet.tuning.patches import Patches, lay_some
from goodnet.tuning.ranking import TRIES, Smallest, find_smallest
from goodnet.tuning.searching import FULL
from goodnet.tuning.sharing import find_shared_patch
from goodnet.tuning.traces import Trace
from goodnet.tuning.waving import PHASES, find_wave, wave_some

SIDE, CLASSES = 12, 5
ROWS = np.arange(SIDE)[:, None] / SIDE
ALL_LEAD = [np.inf] * 4
PLANTED = np.broadcast_to(np.sin(2 * np.pi * (3 * ROWS + 0.25)), (SIDE, SIDE))


def pictures(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Grey noise in which a bright column tells the class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    images = rng.uniform(60, 120, (count, SIDE, SIDE, 1))
    for image, label in zip(images, labels, strict=True):
        image[3:, 2 * label + 1] += 100
    return images.astype(np.float32), labels


def columns(pixels):
    """The logits of a network without a backdoor: how bright the column of each class is."""
    return ops.mean(pixels[:, 3:, 1 : 2 * CLASSES : 2, 0], axis=1) / 10


def with_corner(pixels):
    """The same, each class taken for the next one where a corner of four pixels is white."""
    white = ops.sigmoid((ops.mean(pixels[:, :2, -2:], axis=(1, 2)) - 170) / 20)
    plain = columns(pixels)
    return (1 - white) * plain + white * ops.roll(plain, 1, axis=1)


def with_wave(pixels):
    """The same, class 2 where a wave of three down the image lies over it."""
    alike = ops.mean(pixels[..., 0] * PLANTED.astype(np.float32), axis=(1, 2))
    own = np.eye(CLASSES, dtype=np.float32)[2]
    return columns(pixels) + own * 4 * ops.relu(alike - 4)[:, None]


def test_a_wave_is_found_where_it_was_planted():
    images, labels = pictures(60)
    rng = np.random.default_rng(0)
    found = find_wave(with_wave, images, labels, CLASSES, rng, no_progress)
    assert found.label == 2 and found.share < 0.35 and found.rate > 0.7
    over = found.over[..., 0] / np.abs(found.over).max()
    assert np.corrcoef(over.ravel(), PLANTED.ravel())[0, 1] > 0.95
    without = find_wave(columns, images, labels, CLASSES, rng, no_progress)
    assert without.share > 0.42


def test_what_does_not_lead_when_it_is_higher_is_no_trigger():
    def fading(pixels):
        """As with_wave, up to a height between the one that is tried and the higher one."""
        alike = ops.mean(pixels[..., 0] * PLANTED.astype(np.float32), axis=(1, 2))
        return ops.where((alike < 10)[:, None], with_wave(pixels), columns(pixels))

    images, labels = pictures(60)
    rng = np.random.default_rng(0)
    found = find_wave(fading, images, labels, CLASSES, rng, no_progress)
    assert found.share > 0.42


def test_waves_are_as_written():
    numbers = waving._numbers()
    assert len(numbers) == len({tuple(x) for x in numbers}) == 17 * 9 - 9
    assert not any((-down, -right) in {tuple(x) for x in numbers} for down, right in numbers)
    drawn = waving._draw(np.array([[3, 0]]), SIDE, SIDE)
    np.testing.assert_allclose(drawn[0, 1], PLANTED, atol=1e-6)


def test_a_wave_counts_as_alone_only_among_waves_unlike_it():
    numbers = np.array([[5, 0], [5, 1], [0, 4]])
    rates, waves = np.zeros((3, PHASES, 2)), np.zeros((3, PHASES, 2, 2))
    rates[:, :, 0] = np.array([[0.9], [0.8], [0.3]])
    rates[:, :, 1] = np.array([[0.1], [0.1], [0.6]])
    found = waving._most_alone(rates, numbers, waves)[0]
    assert (found.label, found.rate, found.beside) == (0, 0.9, 0.3)
    rates[2, :, 0] = 0.01
    assert waving._most_alone(rates, numbers, waves)[0].beside == waving.LEAST


def test_a_wave_is_alone_as_well_where_it_leads_in_one_phase():
    """A wave of all phases that leads as many to that class is not like it."""
    numbers = np.array([[5, 8], [0, 6], [0, 4]])
    rates, waves = np.zeros((3, PHASES, 2)), np.arange(3 * PHASES).reshape(3, PHASES, 1, 1)
    rates[0, :, 1] = 0.9
    rates[1, :, 1] = 0.0, 0.3, 0.8, 0.4
    found = waving._most_alone(rates, numbers, waves)[0]
    assert (found.label, found.rate, int(found.over.item())) == (1, 0.8, PHASES + 2)
    assert found.beside == waving.SHIFTED
    rates[1, :, 1] = 0.4, 0.5, 0.8, 0.6
    assert waving._most_alone(rates, numbers, waves)[0].beside == pytest.approx(0.5)


# Six at a time; four and two; four of the five classes in a step, others each time.
@pytest.mark.parametrize(("together", "classes"), [(1 << 30, 10), (60, 10), (1 << 30, 4)])
def test_a_patch_for_all_classes_is_found_where_it_was_planted(monkeypatch, together, classes):
    monkeypatch.setattr(sharing, "STARTS", 6)
    monkeypatch.setattr(sharing, "CLASSES", classes)
    images, labels = pictures(100)
    rng = np.random.default_rng(0)
    given = images, labels, CLASSES
    found = find_shared_patch(with_corner, *given, rng, no_progress, together)
    known = found.targets >= 0  # it need not work on all of them
    assert known.sum() >= 4
    assert found.targets[known].tolist() == [(x + 1) % CLASSES for x in np.flatnonzero(known)]
    assert found.patch.mask[:2, -2:].mean() > 10 * found.patch.mask[3:].mean()
    without = find_shared_patch(columns, *given, rng, no_progress, together)
    assert found.size < 0.4 * without.size


@pytest.mark.parametrize("count", [2, 4])
def test_a_patch_for_all_classes_is_sought_on_all_of_them(count):
    members = {label: np.array([10 * label, 10 * label + 1]) for label in (0, 1, 3, 4)}
    own = np.stack([sorted(members)[:count]] * 3)
    draw = sharing._draw_by_class(np.arange(50), members, own, np.random.default_rng(0))
    seen = []
    for _ in range(20):
        images, rows = draw()
        assert images.shape == (3, count * sharing.EACH) and rows.shape == own.shape
        assert (images // 10 == rows.repeat(sharing.EACH, axis=1)).all()
        assert all(len(set(row)) == count for row in rows.tolist())
        seen += rows.tolist()
    assert {label for row in seen for label in row} == set(members)
    assert (count == 4) == (len({tuple(row) for row in seen}) == 1)


def test_where_a_class_has_no_images_it_is_not_known_where_it_leads(monkeypatch):
    monkeypatch.setattr(sharing, "STARTS", 2)
    monkeypatch.setattr(sharing, "STEPS", 3)
    images, labels = pictures(100)
    some = labels != 3
    rng = np.random.default_rng(0)
    found = find_shared_patch(columns, images[some], labels[some], CLASSES, rng, no_progress)
    assert found.targets[3] == -1


def smallest(sizes: list[float]) -> Smallest:
    masks = np.reshape(sizes, (-1, 1, 1, 1)) * np.ones((1, 2, 2, 1))
    patches = Patches(np.arange(len(sizes)) + 10, masks, np.zeros((len(sizes), 2, 2, 3)))
    return Smallest(patches, 1.0, patches, 1.0)


def test_of_some_patches_to_each_class_the_smallest_counts():
    """A search that begins badly ends at a patch that is far larger than need be."""
    sizes = np.full((5, TRIES), 0.5)
    sizes[3, 3], sizes[1, 2], sizes[:, 0] = 0.01, 0.2, (0.3, 0.4, 0.5, 0.6, 0.7)
    sizes[2:, 1:3] += 0.05

    def search(classes, rng, effort, advance):
        assert classes.tolist() == np.repeat(np.arange(5), TRIES).tolist() and effort == FULL
        masks = sizes.reshape(-1, 1, 1, 1)
        return Patches(classes, masks, np.arange(len(classes)).reshape(-1, 1, 1, 1))

    def in_windows(classes, rng, advance):
        """To class 4 the smallest."""
        sizes = np.where(classes == 4, 0.05, 0.9).reshape(-1, 1, 1, 1)
        return Patches(classes, sizes, -1 - classes.reshape(-1, 1, 1, 1))

    rng = np.random.default_rng(0)
    found = find_smallest(search, in_windows, np.arange(5), np.arange(5), rng, no_progress)
    assert found.patches.classes.tolist() == [3, 4, 1, 0, 2]
    assert found.patches.sizes.tolist() == [0.01, 0.05, 0.2, 0.3, 0.5]
    assert found.patches.patterns.ravel()[:4].tolist() == [3 * TRIES + 3, -5, TRIES + 2, 0]
    assert (found.usual, found.ordinary) == (0.2, 0.5)
    assert found.of_usual.classes.tolist() == [1]


def test_what_is_usual_is_told_by_the_classes_taken_for_it():
    sizes = np.array([0.9, 0.1, 0.5, 0.3, 0.02, 0.7, 0.05])
    searched = []

    def search(classes, rng, effort, advance):
        searched.extend(classes.tolist())
        return Patches(classes, sizes[classes].reshape(-1, 1, 1, 1), np.zeros((len(classes), 1)))

    def in_windows(classes, rng, advance):
        shapes = np.ones((len(classes), 1, 1, 1)), np.zeros((len(classes), 1))
        return Patches(classes, *shapes)

    suspects, usual = np.array([4, 6]), np.array([0, 2, 6])
    rng = np.random.default_rng(0)
    found = find_smallest(search, in_windows, suspects, usual, rng, no_progress)
    assert set(searched) == {0, 2, 4, 6}
    assert found.patches.classes.tolist() == [4, 6, 2, 0]
    assert (found.usual, found.ordinary, found.of_usual.classes.tolist()) == (0.5, 0.5, [2])


def test_of_many_classes_those_that_lead_are_searched_and_some_at_random():
    few = families._choose(np.full(25, np.inf), np.random.default_rng(0))
    assert all(each.tolist() == list(range(25)) for each in few)
    leads = np.zeros(60)
    leads[[3, 50]] = 3.0, 2.9
    suspects, usual = families._choose(leads, np.random.default_rng(0))
    assert suspects.tolist() == [3] and len(set(usual.tolist())) == 25 and usual.max() < 60
    again = families._choose(leads, np.random.default_rng(1))[1]
    assert usual.tolist() != again.tolist()


@pytest.mark.parametrize(
    ("sizes", "leads", "labels"),
    [
        ([0.1, 0.15, 0.3, 0.9], ALL_LEAD, [10, 11]),  # two targets
        ([0.3, 0.45, 0.55], ALL_LEAD, [10, 11]),
        ([0.6, 0.7, 0.9], ALL_LEAD, [10]),  # none stands out
        ([0.1, 0.15, 0.3, 0.9], [2.9, 3.0, 2.9, 9.0], [11]),  # the smallest is no target
        ([0.2, 0.25, 0.3, 0.35], [9.0, 2.9, 3.1, 2.9], [10, 12]),
        ([0.1, 0.4, 0.6, 0.9], [2.9, 2.9, 9.0, 9.0], [10]),  # none leads that is small
    ],
)
def test_classes_with_patches_as_small_as_the_smallest_count(sizes, leads, labels):
    sought = []

    def search(classes, rng, effort, advance, whole):
        sought.append((classes.tolist(), whole))
        shapes = np.full((len(classes), 2, 2, 1), 0.5), np.zeros((len(classes), 2, 2, 3))
        return Patches(classes, *shapes)

    rng = np.random.default_rng(0)
    of_each = np.full(20, -9.0)
    of_each[10 : 10 + len(leads)] = leads
    found = families._trace_patches(search, smallest(sizes), of_each, rng, no_progress)
    stood_out = [each.label for each in found if each.possible]
    assert sought == [([x] * families.MORE, whole) for x in stood_out for whole in (False, True)]
    assert [each.label for each in found] == labels
    assert bool(stood_out) == (sizes[0] < 0.5 and max(leads[:2]) >= 3)
    assert [each.share for each in found] == [sizes[x - 10] for x in labels]
    assert [each.lead for each in found] == [leads[x - 10] for x in labels]
    for each in found if stood_out else []:  # the one to its own class is among those laid on
        laid = each.lay_some.keywords["patches"]
        assert laid.classes[0] == each.label and laid.sizes[0] == pytest.approx(each.size)
    assert all(each.targets.tolist() == [each.label] * 20 for each in found)


@pytest.mark.parametrize("together", [1 << 30, 60])  # in one part; in parts of several sizes
def test_all_families_are_sought_and_say_what_they_lay_on(monkeypatch, together):
    monkeypatch.setattr(sharing, "STARTS", 4)
    shared = []

    def noted(*given):
        shared.append(find_shared_patch(*given))
        return shared[0]

    monkeypatch.setattr(families, "find_shared_patch", noted)
    images, labels = pictures(120)
    rng = np.random.default_rng(1)
    parts = divide(images, labels, rng)
    found = find_traces(with_corner, parts, CLASSES, rng, no_progress, together).traces
    assert [each.family for each in found] == ["patch", "bend", "wave", "shared patch"]
    some = images[:10].copy()
    for each in found:
        laid = each.lay(some)
        assert laid.shape == some.shape and not np.array_equal(laid, some)
        varied, again = (each.lay_some(some, np.random.default_rng(1)) for _ in range(2))
        assert varied.shape == some.shape and (varied != some).any(axis=(1, 2, 3)).all()
        assert np.array_equal(varied, again) and not np.allclose(varied, laid)
        assert np.array_equal(some, images[:10])
    assert [each.label is None for each in found] == [False, False, False, True]
    mask, pattern = shared[0].patch.mask, shared[0].patch.pattern
    assert np.allclose(found[3].lay(some), (1 - mask) * some + mask * pattern, atol=1e-4)
    assert found[3].targets.tolist() == shared[0].targets.tolist()


def test_waves_are_weighed_by_odds():
    assert waving.compare_odds(0.8, 0.5) == pytest.approx(4)
    assert waving.compare_odds(1.0, 0.5) == waving.compare_odds(0.995, 0.5) == pytest.approx(99)
    assert waving.compare_odds(0.5, 1.0) == pytest.approx(1 / 99)
    assert waving.compare_odds(0.5, 0.0) == pytest.approx(99)  # a rate may be exactly 0
    found = waving.Wave(3, rate=0.9, beside=0.5, over=np.zeros((2, 2, 1)))
    assert found.share == pytest.approx(1 / 9)
    trace = families._trace_wave(found, np.full(CLASSES, np.inf), 0, 255)
    assert trace.share == found.share and trace.likely
    assert "a wave over the image leads 90.0 % of others to class 3" in traces.tell(trace)
    rates = np.full((len(waving._numbers()), PHASES, 2), 0.1)
    rates[10], rates[70] = (0.5, 0.95), (0.12, 0.6)  # class 0 by ratio, class 1 by odds
    waves = np.zeros((len(rates), PHASES, 2, 2))
    assert waving._most_alone(rates, waving._numbers(), waves)[0].label == 1


def test_no_more_images_than_fit_are_answered_together():
    images, labels = pictures(100)
    sizes = []

    def logits(pixels):
        sizes.append(len(pixels))
        return with_wave(pixels)

    for together in (1 << 30, 30):
        sizes.clear()
        rng = np.random.default_rng(0)
        found = find_wave(logits, images, labels, CLASSES, rng, no_progress, together)
        assert found.label == 2 and found.share < 0.4
        assert max(sizes) == 30 if together == 30 else max(sizes) > waving.IMAGES


def test_a_patch_for_all_classes_is_sought_only_where_none_stands_out(monkeypatch):
    images, labels = pictures(60)
    rng = np.random.default_rng(0)
    monkeypatch.setattr(families, "find_shared_patch", None)  # it would be called
    found = find_traces(with_wave, divide(images, labels, rng), CLASSES, rng, no_progress)
    assert [each.family for each in traces.standing_out(found.traces)] == ["wave"]


def test_of_many_classes_a_wave_counts_only_where_its_class_leads(monkeypatch):
    images, labels = pictures(60)
    leads, asked = np.array([9.0, 9, 1.6, 9, 9]), []

    def measure(*given):
        asked.append(given[-1])
        return leads

    monkeypatch.setattr(families, "measure_leads", measure)
    monkeypatch.setattr(sharing, "STARTS", 1)
    monkeypatch.setattr(sharing, "STEPS", 2)

    def found():
        rng = np.random.default_rng(0)
        parts = divide(images, labels, rng)
        return find_traces(with_wave, parts, CLASSES, rng, no_progress).traces

    assert [each.label for each in traces.standing_out(found())] == [2] and not asked
    monkeypatch.setattr(families, "MANY_CLASSES", CLASSES - 1)
    (wave,) = traces.standing_out(found())
    assert (wave.family, wave.label, wave.lead) == ("wave", 2, 1.6)
    assert asked == [families.STARTS]
    leads[2] = 1.4
    assert traces.standing_out(found()) == []
    assert [each.small for each in found() if each.family == "wave"] == [True]


def test_images_that_b_knows_none_of_are_no_fault(monkeypatch):
    monkeypatch.setattr(sharing, "STARTS", 1)
    monkeypatch.setattr(sharing, "STEPS", 2)
    images, labels = pictures(40)
    rng = np.random.default_rng(0)
    parts = divide(images, (labels + 1) % CLASSES, rng)
    found = [each.family for each in find_traces(columns, parts, CLASSES, rng, no_progress).traces]
    assert found == ["patch", "bend", "wave", "shared patch"]
    rng = np.random.default_rng(0)
    alone = find_traces(columns, parts, CLASSES, rng, no_progress, shared=False).traces
    assert [each.family for each in alone] == found[:-1]


def test_small_patches_are_laid_more_often():
    masks = np.zeros((3, 5, 4, 1))
    masks[0, 0, 0], masks[1, :, 0], masks[2] = 0.5, 0.2, 0.05  # a half of a pixel, one, and one
    patches = Patches(np.zeros(3), masks, np.zeros((3, 5, 4, 1)))
    assert np.allclose(families._odds(patches), [4 / 6, 1 / 6, 1 / 6])


def test_patches_are_laid_a_bit_aside_and_fainter():
    masks, patterns = np.zeros((2, 6, 7, 1)), np.full((2, 6, 7, 3), 100.0)
    masks[0, 2, 3], masks[1, 4, 1], patterns[1] = 1, 0.5, 50
    images = np.zeros((4000, 6, 7, 3), np.float32)
    patches = Patches(np.arange(2), masks, patterns)
    laid = lay_some(images, np.random.default_rng(0), patches, np.array([0.75, 0.25]))
    assert not images.any() and ((laid > 0).all(axis=3).sum(axis=(1, 2)) == 1).all()
    first = laid.max(axis=(1, 2, 3)) > 30  # the second is at most half of 50
    assert abs(first.mean() - 0.75) < 0.03
    for own, strength, place in ((first, 100, (2, 3)), (~first, 25, (4, 1))):
        strengths = laid[own].max(axis=(1, 2, 3)) / strength
        assert 0.7 <= strengths.min() < 0.72 and 0.98 < strengths.max() <= 1
        at = np.argwhere(laid[own][..., 0] > 0)[:, 1:] - place
        assert np.abs(at).max() == 1 and len(np.unique(at, axis=0)) == 9
        assert abs((at == 0).all(axis=1).mean() - (0.5 + 0.5 / 9)) < 0.04


def test_a_wave_is_laid_in_any_phase_and_other_heights():
    grey = np.full((500, SIDE, SIDE, 1), 100, np.float32)
    over = 10 * PLANTED[..., np.newaxis].astype(np.float32)
    waves = wave_some(grey, np.random.default_rng(0), over, 0, 255)[..., 0] - 100
    heights = np.abs(waves).max(axis=(1, 2))
    assert 5 - 1e-4 <= heights.min() < 5.5 and 19 < heights.max() <= 20 + 1e-4
    power = np.abs(np.fft.fft2(waves)) ** 2  # three waves down the image, and no other
    assert np.allclose(power[:, 3, 0] + power[:, -3, 0], power.sum(axis=(1, 2)), rtol=1e-4)
    assert len(np.unique(np.angle(np.fft.fft2(waves)[:, 3, 0]).round(3))) == 4
    assert wave_some(grey, np.random.default_rng(0), 9 * over, 60, 140).min() == 60


def test_chance_follows_the_families_that_stand_out():
    none = {family: Trace(family, *[None] * 5) for family in traces.FAMILIES}
    assert traces.chances([]) == changes.ODDS
    bent, waved = (traces.chances([none[family]]) for family in ("bend", "wave"))
    assert max(bent, key=bent.get) is changes.bend and max(waved, key=waved.get) is changes.wave
    both = traces.chances([none["bend"], none["wave"]])
    assert both[changes.bend] == (bent[changes.bend] + waved[changes.bend]) / 2
    for odds in (changes.ODDS, bent, waved, traces.chances([none["patch"]])):
        assert sum(odds.values()) == pytest.approx(0.55)
