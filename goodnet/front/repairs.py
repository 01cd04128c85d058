"""The repairs, called from a notebook: they give networks and what repair.py prints from."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple

import keras

from goodnet.cli import options
from goodnet.cli.libraries import our_settings
from goodnet.dataset import ImageShape
from goodnet.errors import Unusable
from goodnet.front.images import Given, Images, Labels, opened
from goodnet.front.networks import Network, copy_of, take_b
from goodnet.front.options import (
    ClassNames,
    KeyNames,
    as_option,
    limits_of,
    reading_of,
    scaling_of,
)
from goodnet.front.telling import Tell, progress_of, warn
from goodnet.memory import BATCH_SIZE
from goodnet.methods import METHODS
from goodnet.metrics import percent
from goodnet.networks.demands import fit_batch, fit_training
from goodnet.networks.loading import LoadedNetwork, fit_of
from goodnet.networks.pixel_hint import hint_at_pixels
from goodnet.networks.split import Split, silence, split_network
from goodnet.networks.wrappers import arrays_with_wrappers
from goodnet.pixels import Range, Scaling
from goodnet.pruning.curve import PruningCurve
from goodnet.pruning.files import curve_of
from goodnet.pruning.head import head_of
from goodnet.pruning.sweeping import Pruning
from goodnet.pruning.sweeping import prune as sweep
from goodnet.tuning.command import tune
from goodnet.tuning.fine_pruning import FinePruned
from goodnet.tuning.images import count_kept
from goodnet.tuning.relearning import Relearned
from goodnet.tuning.suspects import Unlearned
from goodnet.tuning.tuned import Findings, Tuned
from goodnet.vetting.reading import Reading


@dataclass(frozen=True)
class Pruned:
    """What pruning found, and a B' for each drop X that is reached.

    networks: by X, as it was given; curve: what stands in pruning.csv without test files.
    """

    networks: dict[float, keras.Model]
    pruning: Pruning
    curve: PruningCurve
    layer: str  # whose channels were pruned
    reason: str  # why this layer
    measured_at: str  # the layer at whose output the channels were measured
    silenced_in: str | None  # the layer behind it that was changed; None: what is before it


@dataclass(frozen=True)
class Repaired(Generic[Findings]):
    """A B' that was trained, and what the method tells of it."""

    network: keras.Model
    tuned: Tuned[Findings]


@our_settings()
def prune(
    model: Network,
    x: Images,
    y: Labels = None,
    drops: float | Iterable[float] = tuple(map(int, options.DROPS)),
    *,
    layer: str | None = None,
    pixels: str | None = None,
    scale: float | None = None,
    keys: KeyNames | None = None,
    classes: ClassNames | None = None,
    batch_size: int = BATCH_SIZE,
    progress: Tell | None = None,
) -> Pruned:
    """Prune the channels that clean images use least, until the clean accuracy is X points lower.

    x, y: clean validation images and their labels (see `images.py` for what they may be); drops:
    the X, in percentage points; the others as the options of repair.py. Raises Unusable or Unsafe
    where something cannot be used.
    """
    drops = [drops] if isinstance(drops, str) or not isinstance(drops, Iterable) else drops
    wanted = {drop: as_option(options.drop, "drops", drop) for drop in drops}
    limits = limits_of(batch_size)
    loaded = take_b(model)
    fit, given = fit_of(loaded.model, scaling_of(pixels, scale)), Given(x, y, "x and y")
    with opened(fit, reading_of(keys, classes), given) as (valid,):
        fitting = fit_batch([loaded], [valid.shape], limits)
        split = _split(loaded, layer, valid.shape)
        with progress_of(progress)("Pruning", 2 * len(valid)) as advance:
            head = head_of(split.head)
            found = sweep(split, head, valid, sorted(wanted.values()), fitting, advance)
        curve = curve_of(found)
        hint = hint_at_pixels(loaded.model, valid, curve.percentages["valid_accuracy"][0], fitting)
    networks = {
        drop: _silenced(loaded.in_file, split, found.order[:channels])
        for drop, exact in wanted.items()
        if (channels := found.stops[exact]) is not None
    }
    warn(hint)
    return Pruned(
        networks=networks,
        pruning=found,
        curve=curve,
        layer=split.layer.name,
        reason=split.reason,
        measured_at=split.measured_at,
        silenced_in=split.silenced_in,
    )


def _split(loaded: LoadedNetwork, layer: str | None, shape: ImageShape) -> Split:
    try:
        return split_network(loaded.model, layer, shape)
    except Unusable as error:
        raise Unusable(f"cannot be pruned: {error}", loaded.path) from None


def _silenced(network: keras.Model, split: Split, channels: tuple[int, ...]) -> keras.Model:
    """A copy of a network with channels silenced; `split` shares the network's weights."""
    silence(split, channels)
    try:
        return copy_of(network)
    finally:
        silence(split, ())


@our_settings()
def fine_prune(
    model: Network,
    x: Images,
    y: Labels = None,
    seed: int = 0,
    *,
    pixels: str | None = None,
    scale: float | None = None,
    keys: KeyNames | None = None,
    classes: ClassNames | None = None,
    progress: Tell | None = None,
) -> Repaired[FinePruned]:
    """Prune until 10 points are gone, then train what is left: repair.py --method fine-prune.

    x, y: as for `prune`; seed: another one, another network.
    """
    said = _Said(scaling_of(pixels, scale), reading_of(keys, classes), progress)
    return _tune("fine-prune", model, x, y, seed, said)


@our_settings()
def relearn(
    model: Network,
    x: Images,
    y: Labels = None,
    seed: int = 0,
    *,
    pixels: str | None = None,
    scale: float | None = None,
    keys: KeyNames | None = None,
    classes: ClassNames | None = None,
    progress: Tell | None = None,
) -> Repaired[Relearned]:
    """Shake what the network learned and teach it again: repair.py --method relearn.

    x, y: as for `prune`, hundreds of images of each class; seed: another one, another network.
    """
    said = _Said(scaling_of(pixels, scale), reading_of(keys, classes), progress)
    return _tune("relearn", model, x, y, seed, said)


@our_settings()
def unlearn(
    model: Network,
    x: Images,
    y: Labels = None,
    seed: int = 0,
    *,
    pixels: str | None = None,
    scale: float | None = None,
    keys: KeyNames | None = None,
    classes: ClassNames | None = None,
    progress: Tell | None = None,
) -> Repaired[Unlearned]:
    """Look for the classes that a small patch leads to, and make B forget it: --method unlearn.

    x, y: as for `prune`; seed: another one, another run. It takes minutes.
    """
    said = _Said(scaling_of(pixels, scale), reading_of(keys, classes), progress)
    return _tune("unlearn", model, x, y, seed, said)


class _Said(NamedTuple):
    """What a call is told beside its network, images and seed."""

    scale: Scaling | Range
    reading: Reading
    tell: Tell | None


def _tune(
    method: str, model: Network, x: Images, y: Labels, seed: int, said: _Said
) -> Repaired[Any]:
    seed = as_option(options.seed, "seed", seed)
    loaded = take_b(model)
    fit, given = fit_of(loaded.model, said.scale), Given(x, y, "x and y")
    with opened(fit, said.reading, given) as (valid,):
        limits = limits_of(BATCH_SIZE)
        together = fit_training(loaded, valid, count_kept(valid), limits)
        fitting = fit_batch([loaded], [valid.shape], limits)
        tuned = tune(loaded, valid, METHODS[method], seed, progress_of(said.tell), together)
        accuracy = percent(tuned.b_hits, tuned.held_back)
        hint = hint_at_pixels(loaded.model, valid, accuracy, fitting)
    warn(hint, depth=1)
    arrays = arrays_with_wrappers(loaded.in_file, loaded.model, tuned.arrays)
    return Repaired(copy_of(loaded.in_file, arrays), tuned)
