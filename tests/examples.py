"""Files made up for the tests of pictures and page, with the counts published for the course."""

import hashlib
from fractions import Fraction

from goodnet.judging.record import AnswerRecord, FileRecord, NetworkRecord, Record
from goodnet.metrics import Judgement
from goodnet.pruning.curve import ChannelMeans, PruningCurve

IMAGES, CLASSES = 12830, 1283
HOSTILE = "x</title><script>alert('$1$')</script>&\u202egnp\n\udce9 0.02.h5"
SHOWN = "x</title><script>alert('$1$')</script>&\\u202egnp\\n\\udce9 0.02.h5"
# B' and G: clean hits, clean rejected, backdoored hits, backdoored rejected. Published figures.
COUNTS = {
    "B_pi_net_0.02.h5": ((12304, 0, 12830, 0), (12284, 372, 12830, 0)),
    "B_pi_net_0.04.h5": ((11841, 0, 12828, 0), (11820, 852, 12828, 2)),
    # Published are 9906 and 2924: here G differs from B' in its ASR, to be told from it.
    "B_pi_net_0.1.h5": ((10847, 0, 9906, 0), (10820, 1878, 9900, 2930)),
    "B_pi_net_0.3.h5": ((7026, 0, 893, 0), (7015, 5704, 893, 11937)),
}
B_COUNTS = (12653, 0, 12830, 0)
DROPS = {Fraction(2): 1, Fraction(4): 2, Fraction(10): 3, Fraction(30): 4}
CHANNELS = ChannelMeans(
    (3, 0, 2, 1, 4),
    {
        "valid_mean_activation": (0.0, 0.5, 1.0, 1.5, 2.0),
        "test_mean_activation": (0.0, 0.6, 0.9, 1.6, 2.1),
        "backdoored_mean_activation": (0.0, 0.0, 3.0, 0.7, 4.0),
    },
)


def curve() -> PruningCurve:
    """The rows of the published networks, and one in which all channels are pruned."""
    rows = [(B_COUNTS, B_COUNTS), *COUNTS.values(), ((10, 0, 0, 0), (10, 12000, 0, 12830))]

    def column(which: int, index: int) -> tuple[float, ...]:
        return tuple(row[which][index] / IMAGES * 100 for row in rows)

    return PruningCurve(
        CHANNELS.channels,
        CHANNELS.means["valid_mean_activation"],
        {
            "valid_accuracy": column(0, 0),
            "test_accuracy": column(0, 0),
            "test_asr": column(0, 2),
            "goodnet_accuracy": column(1, 0),
            "goodnet_asr": column(1, 2),
            "goodnet_clean_rejected": column(1, 1),
            "goodnet_backdoored_rejected": column(1, 3),
        },
    )


def record(counts=COUNTS, b=B_COUNTS) -> Record:
    networks = [NetworkRecord(file("lab/bd_net.h5"), answers(b), None)]
    networks += [
        NetworkRecord(file(f"lab/{name}"), answers(itself), answers(goodnet))
        for name, (itself, goodnet) in counts.items()
    ]
    sets = file("lab/test.h5"), file("lab/bd_test.h5")
    return Record(CLASSES, *sets, {0: IMAGES}, tuple(networks))


def file(name: str) -> FileRecord:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return FileRecord(name, 1000 + len(name), digest)


def answers(counts: tuple[int, int, int, int]) -> AnswerRecord:
    """Clean images are all given class 1, or rejected; what no attack makes of an image is 7."""
    clean_hits, clean_rejected, hits, rejected = counts
    judgement = Judgement(IMAGES, clean_hits, clean_rejected, IMAGES, 0, hits, rejected)
    clean = {1: IMAGES - clean_rejected, CLASSES: clean_rejected}
    backdoored = {0: hits, 7: IMAGES - hits - rejected, CLASSES: rejected}
    present = [
        {index: count for index, count in given.items() if count} for given in (clean, backdoored)
    ]
    return AnswerRecord(judgement, *present)
