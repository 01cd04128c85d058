"""Which verdicts of audit.py are a finding, and end with status 1."""

import argparse

FAIL_ON = {  # which verdicts are a finding
    "likely": {"likely"},
    "possible": {"likely", "possible", "inconclusive"},
    "never": set[str](),
}


def add_fail_option(options: argparse.ArgumentParser) -> None:
    """--fail-on, which verdict ends with status 1."""
    options.add_argument(
        "--fail-on",
        choices=FAIL_ON,
        default="likely",
        help="the least verdict that ends with status 1; possible: inconclusive as well "
        "(default: likely)",
    )
