"""One table of the pictures: what plot.py draws, and what the report shows in which order.

A new picture is a row of PICTURES and the function that the row names. Nothing here needs NumPy
or matplotlib, as the help of plot.py is made of this table.
"""

from dataclasses import dataclass

ACCURACIES = ("test_accuracy", "goodnet_accuracy")  # columns of pruning.csv
ASRS = ("test_asr", "goodnet_asr")
CHANNELS, RECORD, SAMPLES = "channels.csv", "judged.json", "samples.png"


@dataclass(frozen=True)
class Caption:
    """A picture's place in the report, and what stands under it."""

    position: int  # the report shows its pictures in the order of these
    text: str


@dataclass(frozen=True)
class Picture:
    """A picture that plot.py draws, from Findings, with the function at `place`.

    The function gives a matplotlib figure, or None where there is nothing to draw.
    """

    name: str  # of its file, without the suffix
    place: str  # "module:name" of its function
    shows: str  # for --help
    needs: tuple[str, ...] = ()  # columns of pruning.csv and files beside it: all of them
    columns: tuple[str, ...] = ()  # further ones that it shows where they are there
    caption: Caption | None = None  # None: the report does not show it


@dataclass(frozen=True)
class Source:
    """A file that is read where it lies beside pruning.csv."""

    name: str
    script: str  # that writes it
    lost: str | None = None  # what is missing without it, besides the pictures that need it
    caption: Caption | None = None  # of a picture that the report, and it alone, shows as it is


PICTURES = (
    Picture(
        name="clean",
        place="goodnet.pictures.curve:draw_clean",
        shows="clean accuracy against the number of channels pruned",
        columns=ACCURACIES,
    ),
    Picture(
        name="asr",
        place="goodnet.pictures.curve:draw_asr",
        shows="attack success rate against the number of channels pruned",
        needs=("test_asr",),
        columns=("goodnet_asr",),
    ),
    Picture(
        name="pruning",
        place="goodnet.pictures.curve:draw_pruning",
        shows="both as steps against the share of channels pruned, with each X of --drop marked",
        columns=ACCURACIES + ASRS,
        caption=Caption(
            2,
            "Channels pruned one after the other, those that clean images use least first. "
            "A repair that works brings the lower line down while the upper one is still up.",
        ),
    ),
    Picture(
        name="tradeoff",
        place="goodnet.pictures.tradeoff:draw_tradeoff",
        shows="clean accuracy against attack success rate: what one gives up for what",
        columns=ACCURACIES + ASRS,
        caption=Caption(
            1,
            "The trade-off: what is left of the attack against what is left of the network. "
            "A repair that works leads to the corner.",
        ),
    ),
    Picture(
        name="channels",
        place="goodnet.pictures.channels:draw_channels",
        shows="each channel's mean activation on clean and on backdoored images",
        needs=(CHANNELS,),
        caption=Caption(
            3,
            "How much clean and backdoored images use each channel, in the order of pruning. "
            "Pruning works where the trigger has channels of its own, at the left.",
        ),
    ),
    Picture(
        name="answers",
        place="goodnet.pictures.answers:draw_answers",
        shows="the classes that B and each B' answer to backdoored images",
        needs=(RECORD,),
        caption=Caption(
            4,
            "What B and each B' answer to backdoored images: where the attack works, it is the "
            "target, whoever is seen.",
        ),
    ),
)
SOURCES = (
    Source(CHANNELS, "repair.py"),
    Source(RECORD, "Geval.py", lost="saved networks"),
    Source(
        SAMPLES,
        "Geval.py",
        lost="example images in the report",
        caption=Caption(
            5, "Some images from all over the files, and what every network says of them."
        ),
    ),
)


def explain(beside: bool) -> str:
    """Lines for --help: the pictures that need a file beside pruning.csv, or those that do not."""
    files = {source.name for source in SOURCES}
    wide = max(len(picture.name) for picture in PICTURES) + len(".png") + 1
    return "\n".join(
        f"  {picture.name + '.png':{wide}} {picture.shows}"
        for picture in PICTURES
        if beside != files.isdisjoint(picture.needs)
    )


def list_captions() -> dict[str, str]:
    """The report's pictures in their order: the caption by the picture's name."""
    rows = [(row.name.removesuffix(".png"), row.caption) for row in (*PICTURES, *SOURCES)]
    shown = [(name, caption) for name, caption in rows if caption]
    return {name: caption.text for name, caption in sorted(shown, key=lambda row: row[1].position)}
