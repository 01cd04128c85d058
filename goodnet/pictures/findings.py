"""What the pictures and the report are made of, and the pictures that can be made of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from matplotlib.figure import Figure

from goodnet.judging.judged_json import read_record
from goodnet.judging.record import Record
from goodnet.lookup import look_up
from goodnet.pictures.catalogue import CHANNELS, PICTURES, RECORD
from goodnet.pruning.curve import (
    TOLERANCE,
    ChannelMeans,
    PruningCurve,
    points_lost,
    read_channels,
)
from goodnet.pruning.stops import find_stops


@dataclass(frozen=True)
class Findings:
    """What repair.py and Geval.py found, as far as it is at hand."""

    curve: PruningCurve
    stops: Mapping[Fraction, int | None]  # for each X to mark, see `find_stops`
    channels: ChannelMeans | None = None
    record: Record | None = None

    @property
    def attacked(self) -> Record | None:
        """The record where backdoored images were judged as well."""
        return self.record if self.record and self.record.backdoored else None


def read_findings(csv: Path, curve: PruningCurve, drops: list[Fraction]) -> Findings:
    """What lies beside the file of a curve. Raises Unusable where that is of no use."""
    channels, record = csv.with_name(CHANNELS), csv.with_name(RECORD)
    return Findings(
        curve,
        find_stops(points_lost(curve), drops),
        read_channels(channels) if channels.exists() else None,
        read_record(record) if record.exists() else None,
    )


def draw(findings: Findings) -> dict[str, Figure]:
    """The pictures by name, in the order of PICTURES, without those that lack what they need."""
    at_hand = set(findings.curve.percentages)
    at_hand |= {CHANNELS} if findings.channels else set()
    at_hand |= {RECORD} if findings.attacked else set()
    wanted = [picture for picture in PICTURES if at_hand.issuperset(picture.needs)]
    figures = {picture.name: look_up(picture.place)(findings) for picture in wanted}
    return {name: figure for name, figure in figures.items() if figure}


def fits_channels(findings: Findings) -> bool:
    """Whether curve and channel means, where they are at hand, are of the same order of pruning."""
    channels = findings.channels
    return channels is None or channels.channels == findings.curve.channels


def fits_record(findings: Findings) -> bool:
    """Whether B has the same figures in curve and record, which it has not on other images."""
    if findings.record is None:
        return True
    own = findings.record.networks[0].itself.judgement
    both = {"test_accuracy": own.clean_accuracy, "test_asr": own.attack_success_rate}
    percentages = findings.curve.percentages
    return all(
        abs(percentages[name][0] - rate) < TOLERANCE
        for name, rate in both.items()
        if name in percentages and not math.isnan(rate)
    )
