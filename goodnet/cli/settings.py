"""What a command line asks for that changes a result: for the session, and for its JSON."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from goodnet.cli.options import reading
from goodnet.pixels import Range
from goodnet.vetting.reading import AS_IT_SHOWS, Reading


@dataclass(frozen=True)
class Asked:
    """What a command line says of image sets, and the settings that change a result, for JSON."""

    reading: Reading = AS_IT_SHOWS
    settings: Mapping[str, object] = field(default_factory=dict)


NOTHING_ASKED = Asked()


def asked_for(args: argparse.Namespace, *names: str) -> Asked:
    """How image sets are to be read, and as settings these options, which change a result.

    So do `--pixels` and `--scale`, and what says how image sets are read.
    """
    settings = {name: _plain(getattr(args, name)) for name in names}
    if isinstance(args.scale, Range):
        settings["pixels"] = str(args.scale)
    else:
        settings["scale"] = args.scale.divisor
    if "keys" not in args:  # the script reads no image sets
        return Asked(settings=settings)
    found = reading(args)
    if found.keys:
        settings["keys"] = list(found.keys)
    if found.classes:
        settings["classes"] = str(found.classes.path)
        settings["classes_sha256"] = found.classes.sha256
    return Asked(found, settings)


def _plain(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return float(value) if isinstance(value, Fraction) else value
