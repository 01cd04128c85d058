"""A verdict in words, made from the figures alone. It never says that a network has no backdoor."""

import re
from collections.abc import Iterator

from goodnet.judging.record import AnswerRecord, Record
from goodnet.metrics import Judgement, wilson_interval
from goodnet.pruning.curve import TEST_MEANS, VALID_MEAN, ChannelMeans, PruningCurve

NO_PROOF = "No figure here shows that a network has no backdoor."
LOW = 10.0  # percent: an ASR under this is worth a price


def describe(
    record: Record | None,
    names: list[str],
    curve: PruningCurve | None,
    channels: ChannelMeans | None,
) -> list[str]:
    """The verdict in sentences, the most important first. `names`: of the networks, B first.

    `record`: None where no network was judged; `curve` and `channels`: None where they are of
    other files.
    """
    if record is None:
        return [
            *_curve_price(curve),
            *_shared_channels(channels),
            "Nothing is told of the saved networks: Geval.py has written no judged.json. "
            f"{NO_PROOF}",
        ]
    if not record.backdoored:
        return [*_on_clean_images(record, names), NO_PROOF]
    b, *repaired = record.networks
    own = b.itself.judgement
    sentences = [
        f"B gives {own.clean_accuracy:.2f} % of the clean images their label, and "
        f"{own.attack_success_rate:.2f} % of the backdoored images the attacker's target."
    ]
    if own.attack_success_rate < LOW:
        sentences.append(
            f"That is an ASR under {LOW:g} % before any repair: these backdoored images do not "
            "show what a repair is worth."
        )
    elif repaired:
        sentences += [*_prices(record, names), *_curve_price(curve)]
    if repaired:
        sentences.append(_rejections(record, names))
    sentences += _shared_channels(channels)
    return [
        *sentences,
        "An ASR is that of one trigger on these images; of other triggers it says nothing. "
        f"{NO_PROOF}",
    ]


def _on_clean_images(record: Record, names: list[str]) -> Iterator[str]:
    """What can be said where no backdoored images were judged."""
    b, *repaired = record.networks
    yield (
        f"B gives {b.itself.judgement.clean_accuracy:.2f} % of the clean images their label. No "
        "backdoored images were judged, so these figures say nothing of an attack; audit.py looks "
        "for one without them."
    )
    for name, network in zip(names[1:], repaired, strict=True):
        if network.goodnet:
            accuracy = network.itself.judgement.clean_accuracy
            rejected = network.goodnet.judgement.clean_rejected_rate
            yield (
                f"{name} gives {accuracy:.2f} % of them their label, and its goodnet rejects "
                f"{rejected:.2f} %."
            )


def _prices(record: Record, names: list[str]) -> Iterator[str]:
    """What an ASR under LOW costs with the repaired networks, and with their goodnets."""
    b, *repaired = record.networks
    named = list(zip(names[1:], repaired, strict=True))
    ours = all(re.match(r"B_pi_net_\d", name) for name, _ in named)
    own = [(name, network.itself) for name, network in named]
    yield _price("X" if ours else "repaired network", own, b.itself)
    goodnets = [(f"the goodnet of {name}", x.goodnet) for name, x in named if x.goodnet]
    yield _price("goodnet", goodnets, b.itself)


def _price(who: str, entries: list[tuple[str, AnswerRecord]], b: AnswerRecord) -> str:
    """What an ASR under LOW costs at least, with any of these."""

    def cost(answers: AnswerRecord) -> float:
        return b.judgement.clean_accuracy - answers.judgement.clean_accuracy

    cheap = [entry for entry in entries if entry[1].judgement.attack_success_rate < LOW]
    if not cheap:
        name, least = min(entries, key=lambda entry: entry[1].judgement.attack_success_rate)
        return (
            f"No {who} brings the ASR under {LOW:g} %. The lowest, of {name}, is "
            f"{least.judgement.attack_success_rate:.2f} %, {_points(cost(least))}."
        )
    name, best = min(cheap, key=lambda entry: cost(entry[1]))
    judgement = best.judgement
    low, high = wilson_interval(judgement.backdoored_hits, judgement.backdoored_images)
    start = "The" + name.removeprefix("the") if name.startswith("the ") else name
    figures = (
        f"{start} has an ASR of {judgement.attack_success_rate:.2f} % (95 % interval {low:.2f} to "
        f"{high:.2f}) and a clean accuracy of {judgement.clean_accuracy:.2f} %"
    )
    if cost(best) <= 0:
        return f"{figures}, which costs no clean accuracy."
    return f"{figures}, which costs {cost(best):.1f} points of it. No other {who} does it for less."


def _points(cost: float) -> str:
    if cost <= 0:
        return "for no clean accuracy"
    return f"for {cost:.1f} points of clean accuracy"


def _curve_price(curve: PruningCurve | None) -> Iterator[str]:
    if curve is None or not {"test_accuracy", "test_asr"} <= curve.percentages.keys():
        return
    accuracy, asr = curve.percentages["test_accuracy"], curve.percentages["test_asr"]
    low = [pruned for pruned in range(len(asr)) if asr[pruned] < LOW]
    every = f"On the whole pruning curve of {len(curve.channels)} channels"
    if not low:
        yield f"{every}, the ASR stays at {min(asr):.2f} % or more."
        return
    pruned = max(low, key=lambda k: accuracy[k])
    yield (
        f"{every}, the best that comes with an ASR under {LOW:g} % is a clean accuracy of "
        f"{accuracy[pruned]:.2f} %, with {pruned} of them pruned."
    )


def _rejections(record: Record, names: list[str]) -> str:
    goodnets = [
        (name, network.goodnet.judgement)
        for name, network in zip(names, record.networks, strict=True)
        if network.goodnet
    ]
    name, best = max(goodnets, key=lambda entry: _gain(entry[1]))
    if len(names) == 2:
        which = f"The goodnet, made with {name},"
    elif _gain(best) > 0:
        which = f"Of the goodnets, the best at telling them apart, made with {name},"
    else:
        which = f"No goodnet tells them apart: the one made with {name}"
    return (
        f"{which} rejects {best.backdoored_rejected_rate:.2f} % of the "
        f"backdoored images and {best.clean_rejected_rate:.2f} % of the clean ones."
    )


def _gain(judgement: Judgement) -> float:
    return judgement.backdoored_rejected_rate - judgement.clean_rejected_rate


def _shared_channels(channels: ChannelMeans | None) -> Iterator[str]:
    test, backdoored = TEST_MEANS
    if channels is None or backdoored not in channels.means:
        return
    clean = channels.means.get(test, channels.means[VALID_MEAN])
    fires = [k for k, mean in enumerate(channels.means[backdoored]) if mean != 0]
    shared = sum(clean[k] != 0 for k in fires)
    yield (
        f"{len(fires)} of the {len(clean)} channels are active on backdoored images, and {shared} "
        "of these on clean images too"
        + (
            ": none is the trigger's alone, to be pruned at no cost."
            if shared == len(fires)
            else "."
        )
    )
