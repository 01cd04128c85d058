"""`repair.py --method prune`, from a loaded network to files, printed lines and JSON."""

from dataclasses import dataclass
from fractions import Fraction

from goodnet.cli import shell
from goodnet.dataset import ImageSet
from goodnet.errors import Unusable
from goodnet.lab import PrunedFiles
from goodnet.methods import Repaired
from goodnet.networks.loading import LoadedNetwork
from goodnet.networks.split import Split, split_network
from goodnet.progress import Reporter
from goodnet.pruning import report
from goodnet.pruning.files import write_pruned
from goodnet.pruning.head import head_of
from goodnet.pruning.sweeping import Sweep, count_rows, prune


@dataclass(frozen=True)
class Options:
    """What the command line says of pruning."""

    drops: list[Fraction]  # points of clean accuracy
    layer: str | None  # its name, None for the last conv layer
    batch_size: int


def prune_and_save(
    loaded: LoadedNetwork,
    valid: ImageSet,
    clean: ImageSet | None,
    backdoored: ImageSet | None,
    options: Options,
    made: PrunedFiles,
    reporter: Reporter,
) -> Repaired:
    """Prune on `valid`, count on the test images where they are at hand, write all files `made`.

    Raises Unusable where the network cannot be pruned or a file cannot be written.
    """
    split = _split(loaded, options.layer)
    size = options.batch_size
    total = 2 * len(valid) + sum(len(images or ()) for images in (clean, backdoored))
    with reporter.progress("Pruning", total) as advance:
        head = head_of(split.head)
        pruning = prune(split, head, valid, options.drops, size, advance)
        sweep = Sweep(split, head, pruning.order, size)
        on_clean = count_rows(sweep, clean, advance) if clean else None
        on_backdoored = count_rows(sweep, backdoored, advance) if backdoored else None
    reporter.lap("pruning")
    curve = write_pruned(made, loaded, split, pruning, on_clean, on_backdoored)
    if reporter.prints:
        report.print_pruned(pruning, curve, made.networks)
    for line in report.never_reached(pruning, made.networks):
        shell.notice(line)
    results = report.pruned_json(split, pruning, curve, made.networks)
    return Repaired(results, curve.percentages["valid_accuracy"][0])


def _split(loaded: LoadedNetwork, layer: str | None) -> Split:
    try:
        split = split_network(loaded.model, layer)
    except Unusable as error:
        raise Unusable(f"cannot be pruned: {error}", loaded.path) from None
    shell.notice(
        f"Pruning the {split.channels} channels of {split.layer.name} ({split.reason}), "
        f"measured at {split.measured_at}."
    )
    return split
