"""What the report and the model card say in sentences."""

from __future__ import annotations

from goodnet.auditing.answer import shares
from goodnet.auditing.auditing import SEARCHES, Audit
from goodnet.auditing.verdict import name_classes
from goodnet.tuning.naming import LIKELY, LIKELY_TOGETHER, OF_CLASSES, POSSIBLE
from goodnet.tuning.traces import FAMILIES

LETTERS = "B is the network that was audited, B' its repaired copy. G, the goodnet, asks both: "
AGREED = "where they agree, that is its answer, and where they differ it rejects the image."
AIMED = (
    "where B answers {} and B' another class, it rejects the image, and else its answer is that of "
    "B'. A backdoor to yet another class, if there is one, is left to B'."
)
STILL = 0.2  # of the images a trigger may lead in B': ordinary patches of B still lead some
SEEN_PAST = (
    "It was taught to see past the triggers that were found; then they were sought in it anew, and "
    "what stood out was seen past, too."
)
ANEW = (
    "In B alone no trigger is likely, or more than it could be taught to see past. So most of what "
    "it knows was forgotten and taught again. That is for other backdoors than patches, too."
)
UNLEARNED = (
    "It is for backdoors whose trigger is a patch or a faint pattern. Relearning, which is for "
    "others, too, {}."
)
TOO_FEW = "needs more clean images of each class"
TOO_COSTLY = "was tried, and lost too many of the images held back"


def tell_letters(found: Audit) -> str:
    """What B, B' and G are."""
    aimed = AIMED.format(name_classes(found.aimed_at, "or")) if found.aimed_at else AGREED
    return LETTERS + aimed


def recommend(found: Audit) -> str:
    """What to do; B' is offered only where no trigger that was found is known to work in it."""
    doubt = _doubt(found)
    instead = "" if doubt else ", else B'"
    use = f"use G where some images may be rejected{instead}"
    advice = {
        "likely": f"Do not use B. Rather {use}; better still a network that was trained anew, on "
        "images and a machine that you trust.",
        "possible": "Do not use B before you know more: audit it with another --seed, and be wary "
        f"of what stands out again. Until then {use}.",
        "nothing found": "Nothing was found that speaks against B, and nothing shows that it has "
        "no backdoor. Where a wrong answer is dear, use G.",
        "inconclusive": "Nothing can be said of B. Do away with what is named above, with more "
        "clean images or another --seed, and audit it again.",
    }[found.verdict.answer]
    return f"{advice} Do not rely on B': {doubt}." if doubt else advice


def _doubt(found: Audit) -> str | None:
    """Why B' is not to be relied on, if so."""
    if found.repair.unfinished:
        return f"small patches still lead it to {name_classes(found.repair.unfinished)}"
    triggers = [each.trigger for each in found.traced or [] if each.trace.possible]
    works = [each for each in triggers if each.repaired > STILL * each.images]
    if not works:
        return None
    return f"what was found still works on {shares(works, lambda each: each.repaired)} of images"


def explain(found: Audit) -> list[str]:
    """What the verdict rests on."""
    sought = _explain_searches if found.traced is None else _explain_families
    return [
        *(f"{reason[0].upper()}{reason[1:]}." for reason in found.verdict.reasons),
        *sought(found),
        f"B' was made by {found.repair.method}ing. {_because(found)}",
        f"Searches and repair saw {found.worked_on} clean images. They are judged on "
        f"{found.judged_on} others, set aside before.",
    ]


def _because(found: Audit) -> str:
    """What the method of the repair is for, and why it is no other."""
    if found.repair.method == "relearn":
        return ANEW if found.repair.anew else SEEN_PAST
    return UNLEARNED.format(TOO_FEW if found.traced is None else TOO_COSTLY)


def _explain_searches(found: Audit) -> list[str]:
    numbers = {each.label: each for each in found.together}
    named = [
        f"Class {label}: score {numbers[label].score:.1f}, lead {numbers[label].lead:.1f}, "
        f"resistance {numbers[label].resistance:.2f}, the means of the searches that suspect it."
        for label in found.verdict.classes
        if label in numbers
    ]
    return [
        *named,
        f"{SEARCHES} searches, each from its own chance, looked at all classes of B for the "
        "smallest patch that leads any image there (score: how much smaller than usual), for how "
        "far the class gets ahead of all others on noise (lead), and for how long its patches "
        "stay small while a copy of B is trained to forget them (resistance).",
        f"Likely is said from score and lead together of {LIKELY.together:g} and a resistance of "
        f"{LIKELY.resistance:g} on, or from a lead of {LIKELY.lead:g}; possible from "
        f"{POSSIBLE.together:g} and {POSSIBLE.resistance:g} on, in most searches or their means. "
        f"Of {OF_CLASSES} classes or more, {LIKELY_TOGETHER.together:g} and "
        f"{LIKELY_TOGETHER.resistance:g} in the means are likely.",
    ]


def _explain_families(found: Audit) -> list[str]:
    limits = FAMILIES | {each.trace.family: each.trace.limits for each in found.traced or []}
    listed = ", ".join(
        f"{x} {limit.likely:g} and {limit.possible:g}" for x, limit in limits.items()
    )
    leads = [f"{limit.lead:g} for a {x}" for x, limit in limits.items() if limit.lead > 0]
    of_many = (
        "Among so many classes some need little for no backdoor. So noise that is changed in its "
        "favour must get the class ahead of all others, too. By how many deviations: "
        f"{', '.join(leads)}."
    )
    return [
        "Sought were, in B: for each class the smallest patch and the smallest bend that "
        "lead any image there; and a single wave that does, and leads nearly all where it is "
        "higher, while no other wave comes near, or none of its own other phases. Where none of "
        "these stands out, one patch was sought that leads each class to another. Where none is "
        "likely, and of 25 classes or fewer, a large shape of one colour was sought that leads to "
        "a class in B, but not in a copy that learned anew from clean images.",
        "A trigger stands out where it needs much less than is usual in the same network. As a "
        f"share of that, likely is said below the first number, possible below the second: {listed}"
        ". Of a wave it is the odds of the next best wave, or of its own other phases, as a share "
        "of its own; of a shape, how surely clean images get their own class, as a share of how "
        "surely it leads four in five others. A shared patch must lead to half as many classes as "
        "there are, or more. A shape is never called likely: it was tried on few networks.",
        *([of_many] if leads else []),
    ]


def unknown(found: Audit) -> list[str]:
    """What is not known."""
    if found.traced is None:
        misses = " A verdict of the searches together was measured less often than that of one."
        sought = (
            "Triggers that are no patch on the image and no faint pattern over it (stripes, a "
            "bend, a scene, one for each image) were not looked for, so such a class is not named."
        )
    else:
        misses = ""
        sought = (
            "Triggers were looked for that are, or are like, a patch, a bend or a wave of the "
            "image. Others, as a scene, may be missed."
        )
    return [
        f"Misses: {found.measured}.{misses}",
        "The triggers are those that were found, not the attacker's, which may be another: a word "
        "on the real one needs backdoored images (--backdoored-test FILE).",
        sought,
        "On other processors the last digits differ, and near a limit so may the verdict.",
    ]
