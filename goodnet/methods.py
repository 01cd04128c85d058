"""METHODS: the ways to repair a network by training it, a row each; needs no NumPy.

A new method is a module with a function like `fine_prune`, a row here, and what it prints in
tuning/report.py. Pruning, which repair.py does where nothing else is named, trains nothing and
makes a network for each drop: it has no row.
"""

from dataclasses import dataclass

PRUNE = "prune"


@dataclass(frozen=True)
class Pictures:
    """What a method draws beside the network that it saves."""

    folder: str  # its name
    draw: str  # the place of a function (findings, folder) that gives the paths of the pictures


@dataclass(frozen=True)
class Method:
    """A way to repair a network by training it; each place is one for `lookup.look_up`."""

    name: str  # as --method takes it
    described: str  # in the help, after the name; lines of up to 99 characters
    stem: str  # of the file that the network is saved in
    repair: str  # the place of a `tuning.tuned.Repair`
    print_findings: str  # the place of a function (findings, paths of pictures)
    list_findings: str  # the place of one that gives the same as plain values, for JSON
    kept: str  # which answers `Tuned.kept` counts, in words
    costly: str | None = None  # of one that counts labels: why many are lost, what may keep more
    pictures: Pictures | None = None


METHODS = {
    method.name: method
    for method in (
        Method(
            name="fine-prune",
            described="prunes until 10 points are gone, trains what is left, saves B_fine_pruned.",
            stem="B_fine_pruned",
            repair="goodnet.tuning.fine_pruning:fine_prune",
            print_findings="goodnet.tuning.report:print_fine_pruned",
            list_findings="goodnet.tuning.report:list_fine_pruned",
            kept="given their label",
            costly="what was pruned did not come back; relearn or unlearn may keep more",
        ),
        Method(
            name="relearn",
            described="teaches the network again with clean images, hundreds of each class: to see "
            "past\ntriggers that are found in it, else most of what it knows; not only for "
            "patches; saves B_relearned.",
            stem="B_relearned",
            repair="goodnet.tuning.relearning:relearn",
            print_findings="goodnet.tuning.report:print_relearned",
            list_findings="goodnet.tuning.report:list_relearned",
            kept="given their label",
            costly="there are too few images of each class; unlearn may keep more",
        ),
        Method(
            name="unlearn",
            described="looks for the classes to which a small patch leads any image, makes the "
            "network\nforget these patches, and saves B_unlearned, with the patches beside it in "
            "B_unlearned_patches/.",
            stem="B_unlearned",
            repair="goodnet.tuning.unlearning:unlearn",
            print_findings="goodnet.tuning.report:print_unlearned",
            list_findings="goodnet.tuning.report:list_unlearned",
            kept="answered as by B",
            pictures=Pictures("B_unlearned_patches", "goodnet.tuning.pictures:write_patches"),
        ),
    )
}
CHOICES = (PRUNE, *METHODS)  # for --method
DESCRIBED = "".join(f"--method {each.name} {each.described}\n" for each in METHODS.values())


@dataclass(frozen=True)
class Repaired:
    """What a repair tells of itself."""

    results: dict  # for JSON
    hint: str | None  # at the pixels, where B hardly knows its clean images
