"""A verdict in words, made from the figures alone. It never says that a network has no backdoor."""

import re
from collections.abc import Iterator

from goodnet.judging.judged_json import Answered, JudgedFiles
from goodnet.metrics import wilson_interval
from goodnet.pruning.curve import TEST_MEANS, VALID_MEAN, ChannelMeans, PruningCurve

LOW = 10.0  # percent: an ASR under this is worth a price


def verdict(
    judged: JudgedFiles,
    names: list[str],
    curve: PruningCurve | None,
    channels: ChannelMeans | None,
) -> list[str]:
    """Sentences, the most important first. `names`: of the networks, B first.

    `curve` and `channels`: None where they are of other files.
    """
    b, *repaired = judged.networks
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
        ours = all(re.match(r"B_pi_net_\d", name) for name in names[1:])
        who = "X" if ours else "repaired network"
        entries = [
            (name, network.itself) for name, network in zip(names[1:], repaired, strict=True)
        ]
        sentences.append(_price(who, entries, b.itself))
        goodnets = [
            (f"the goodnet of {name}", network.goodnet)
            for name, network in zip(names[1:], repaired, strict=True)
        ]
        sentences.append(_price("goodnet", goodnets, b.itself))
        sentences += _curve_price(curve)
    if repaired:
        sentences.append(_rejections(judged, names))
    sentences += _shared_channels(channels)
    return [
        *sentences,
        "An ASR is that of one trigger on these images; of other triggers it says nothing. "
        "No figure here shows that a network has no backdoor.",
    ]


def _price(who: str, entries: list[tuple[str, Answered]], b: Answered) -> str:
    """What an ASR under LOW costs at least, with any of these."""

    def cost(answered: Answered) -> float:
        return b.judgement.clean_accuracy - answered.judgement.clean_accuracy

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
    figures = (
        f"{name} has an ASR of {judgement.attack_success_rate:.2f} % (95 % interval {low:.2f} to "
        f"{high:.2f}) and a clean accuracy of {judgement.clean_accuracy:.2f} %"
    )
    if cost(best) <= 0:
        return f"{figures}, which costs no clean accuracy."
    return (
        f"No {who} brings the ASR under {LOW:g} % for less than {cost(best):.1f} points of clean "
        f"accuracy: {figures}."
    )


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


def _rejections(judged: JudgedFiles, names: list[str]) -> str:
    def gain(network) -> float:
        judgement = network.goodnet.judgement
        return judgement.backdoored_rejected_rate - judgement.clean_rejected_rate

    name, best = max(
        zip(names[1:], judged.networks[1:], strict=True), key=lambda entry: gain(entry[1])
    )
    judgement = best.goodnet.judgement
    if len(names) == 2:
        which = f"The goodnet, made with {name},"
    elif gain(best) > 0:
        which = f"Of the goodnets, the best at telling them apart, made with {name},"
    else:
        which = f"No goodnet tells them apart: the one made with {name}"
    return (
        f"{which} rejects {judgement.backdoored_rejected_rate:.2f} % of the "
        f"backdoored images and {judgement.clean_rejected_rate:.2f} % of the clean ones."
    )


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
