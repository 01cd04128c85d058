"""`repair.py --method` of what trains, from a loaded network to files, printed lines and JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from goodnet.cli.values import remark_on_values
from goodnet.dataset import ImageSet, open_clean
from goodnet.errors import Unusable
from goodnet.files import alone_in
from goodnet.lab import TunedFiles
from goodnet.lookup import look_up
from goodnet.memory import Limits
from goodnet.methods import Method, Repaired
from goodnet.metrics import percent
from goodnet.networks.demands import fit_batch, fit_training
from goodnet.networks.loading import LoadedNetwork, fit_of
from goodnet.networks.pixel_hint import hint_at_pixels
from goodnet.networks.wrappers import arrays_with_wrappers
from goodnet.networks.writing import write_weights
from goodnet.pixels import Range, Scaling
from goodnet.progress import Progress, Reporter
from goodnet.tuning import report
from goodnet.tuning.gradients import check_backend
from goodnet.tuning.images import count_kept
from goodnet.tuning.tuned import Repair, Tuned
from goodnet.vetting.quarantine import Held


@dataclass(frozen=True)
class TuningOptions:
    """Clean validation images, and how to repair with them."""

    valid: Path
    scale: Scaling | Range  # of their pixels
    method: Method
    seed: int
    limits: Limits


def tune_and_save(
    loaded: LoadedNetwork,
    held: Held,
    options: TuningOptions,
    made: TunedFiles,
    reporter: Reporter,
) -> Repaired:
    """Repair a network by training it, write all that is to be `made`, print what came out.

    Raises Unusable where the network cannot be trained or a file cannot be read or written.
    """
    remark_on_values(loaded.path, loaded.model)
    method = options.method
    valid = open_clean(held.images(options.valid), fit_of(loaded.model, options.scale))
    together = fit_training(loaded, valid, count_kept(valid), options.limits)
    batch_size = fit_batch([loaded], [valid.shape], options.limits)
    reporter.lap("loading")
    tuned = tune(loaded, valid, method, options.seed, reporter.progress, together)
    reporter.lap(method.name)
    pictures: list[Path] = []
    with alone_in(made.network.parent):  # so that all are of one run
        if method.pictures:
            pictures = look_up(method.pictures.draw)(tuned.findings, made.pictures)
        arrays = arrays_with_wrappers(loaded.in_file, loaded.model, tuned.arrays)
        write_weights(loaded, made.network, arrays)
    if reporter.prints:
        report.print_tuned(method, tuned, pictures, made.network)
    results = report.list_tuned(method, tuned, pictures, made.network)
    accuracy = percent(tuned.b_hits, tuned.held_back)
    return Repaired(results, hint_at_pixels(loaded.model, valid, accuracy, batch_size))


def tune(
    loaded: LoadedNetwork,
    valid: ImageSet,
    method: Method,
    seed: int,
    progress: Progress,
    together: int,
) -> Tuned[Any]:
    """Repair a network by training a copy of it, with the gradients of so many images together.

    Raises Unusable where it cannot be trained, or its weights end as no numbers.
    """
    check_backend()
    repair: Repair = look_up(method.repair)
    try:
        tuned = repair(loaded.model, valid, seed, progress, together=together)
        _check_finite(loaded.model.get_weights(), tuned.arrays)
        return tuned
    except Unusable as error:
        raise error.about_own(loaded.path) from None


def _check_finite(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> None:
    """Raise Unusable where weights that were numbers are infinite or NaN now."""
    for old, new in zip(before, after, strict=True):
        if _is_finite(old) and not _is_finite(new):
            wanted = "; save it with the dtype policy float32 or a mixed one"
            raise Unusable(
                f"its weights, which are {new.dtype}, grow beyond all numbers in training"
                f"{'' if new.dtype == np.float32 else wanted}"
            )


def _is_finite(array: np.ndarray) -> bool:
    return bool(np.isfinite(array.astype(np.float32)).all())
