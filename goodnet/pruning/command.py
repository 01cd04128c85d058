"""`repair.py --method prune`, from a loaded network to files, printed lines and JSON."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from goodnet.cli import shell
from goodnet.cli.values import remark_on_values
from goodnet.dataset import ImageShape, open_backdoored, open_clean
from goodnet.errors import Unusable
from goodnet.lab import PrunedFiles
from goodnet.memory import Limits
from goodnet.methods import Repaired
from goodnet.networks.demands import fit_batch
from goodnet.networks.loading import LoadedNetwork, fit_of
from goodnet.networks.pixel_hint import hint_at_pixels
from goodnet.networks.split import Split, split_network
from goodnet.pixels import Range, Scaling
from goodnet.progress import Reporter
from goodnet.pruning import report
from goodnet.pruning.files import write_pruned
from goodnet.pruning.head import head_of
from goodnet.pruning.sweeping import Sweep, count_rows, prune
from goodnet.vetting.quarantine import Held


@dataclass(frozen=True)
class PruningOptions:
    """Image sets, of which the clean validation images alone decide, and how to prune."""

    valid: Path
    clean_test: Path | None
    backdoored_test: Path | None
    scale: Scaling | Range
    drops: list[Fraction]  # points of clean accuracy
    layer: str | None  # its name, None for the one that the last pooling leads to
    limits: Limits


def prune_and_save(
    loaded: LoadedNetwork,
    held: Held,
    options: PruningOptions,
    made: PrunedFiles,
    reporter: Reporter,
) -> Repaired:
    """Prune a network, write all that is to be `made`, print what came out.

    Raises Unusable where the network cannot be pruned or a file cannot be read or written.
    """
    remark_on_values(loaded.path, loaded.model)
    fit = fit_of(loaded.model, options.scale)
    valid = open_clean(held.images(options.valid), fit)
    clean = backdoored = None
    if options.clean_test:
        clean = open_clean(held.images(options.clean_test), fit)
    if options.backdoored_test:
        backdoored = open_backdoored(held.images(options.backdoored_test), fit)
    sets = [images for images in (valid, clean, backdoored) if images]
    batch_size = fit_batch([loaded], [images.shape for images in sets], options.limits)
    reporter.lap("loading")
    split = _split(loaded, options.layer, valid.shape)
    total = len(valid) + sum(map(len, sets))
    with reporter.progress("Pruning", total) as advance:
        head = head_of(split.head)
        pruning = prune(split, head, valid, options.drops, batch_size, advance)
        sweep = Sweep(split, head, pruning.order, batch_size)
        on_clean = count_rows(sweep, clean, advance) if clean else None
        on_backdoored = count_rows(sweep, backdoored, advance) if backdoored else None
    reporter.lap("pruning")
    curve = write_pruned(made, loaded, split, pruning, on_clean, on_backdoored)
    if reporter.prints:
        report.print_pruned(pruning, curve, made.networks)
    for line in report.never_reached(pruning, made.networks):
        shell.notice(line)
    results = report.pruned_json(split, pruning, curve, made.networks)
    accuracy = curve.percentages["valid_accuracy"][0]
    return Repaired(results, hint_at_pixels(loaded.model, valid, accuracy, batch_size))


def _split(loaded: LoadedNetwork, layer: str | None, image: ImageShape) -> Split:
    try:
        split = split_network(loaded.model, layer, image)
    except Unusable as error:
        raise Unusable(f"cannot be pruned: {error}", loaded.path) from None
    where = f", silenced in {split.silenced_in}, which takes them" if split.silenced_in else ""
    shell.notice(
        f"Pruning the {split.channels} channels of {split.layer.name} ({split.reason}), "
        f"measured at {split.measured_at}{where}."
    )
    return split
