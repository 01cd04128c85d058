"""Which verdicts of audit.py are a finding, and how it is told to other programs."""

import argparse

FAIL_ON = {  # which verdicts are a finding
    "likely": {"likely"},
    "possible": {"likely", "possible", "inconclusive"},
    "never": set[str](),
}


def add_finding_options(options: argparse.ArgumentParser) -> None:
    """--fail-on, which verdict ends with status 1, and --sarif."""
    options.add_argument(
        "--fail-on",
        choices=FAIL_ON,
        default="likely",
        help="the least verdict that ends with status 1; possible: inconclusive as well "
        "(default: likely)",
    )
    options.add_argument(
        "--sarif",
        type=_named_file,
        metavar="FILE",
        help="write the verdict for code-scanning services, as SARIF",
    )


def _named_file(text: str) -> str:
    """An argparse type: a file, for stdout has the answer."""
    if text == "-":
        raise argparse.ArgumentTypeError("stdout has the answer; name a file")
    return text
